//! The memory that all clients together may make the server hold, and how much of it is held.
//!
//! Whatever grows with what clients send is charged for as long as it is held. What passes between
//! threads has a [`Charge`]. What one shard holds alone is in its [`Ledger`](crate::hub::bounds::ledger), which
//! tells the budget of changes only when they amount to something.
//!
//! As memory gets short, more and more is no longer done, so that what can't be taken back never
//! crowds out what can:
//!
//! ```text
//!  held, of the budget    from here on
//!  3/4                    whoever is furthest behind is ended; what stays is refused:
//!                         connections, registrations, topics
//!  13/16                  new connections are answered 503, some at a time
//!  7/8                    publishers wait (what they wait with does not count for this)
//!  15/16                  nothing is received
//! ```

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{
    hub::bounds::publisher_queue::wait_while,
    metrics::{MemoryMetrics, SharedCounter},
};

/// The budget of a hub. Sizes are in bytes.
pub(crate) struct Budget {
    limit: u64,
    held: AtomicI64,
    shortage: Shortage,
    pub(crate) counts: Counts,
}

/// How short memory is. Read much more often than changed, so it has cache lines of its own.
#[repr(align(128))]
struct Shortage {
    /// Of [`CROWDED`], [`FULL`], [`HOLDS_PUBLISHERS`] and [`EXHAUSTED`].
    signs: AtomicU8,
    /// What publishers wait with.
    waiting: AtomicI64,
    /// Wakes those that wait, to publish or to receive.
    relief: Notify,
}

/// What was ended or refused because memory was short. [`MemoryMetrics`] says what each of them is.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) evicted: SharedCounter,
    pub(crate) unfinished: SharedCounter,
    pub(crate) refused_connections: SharedCounter,
    pub(crate) refused_registrations: SharedCounter,
    pub(crate) refused_topics: SharedCounter,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: AtomicI64::new(0),
            shortage: Shortage {
                signs: AtomicU8::new(0),
                waiting: AtomicI64::new(0),
                relief: Notify::new(),
            },
            counts: Counts::default(),
        })
    }

    #[cfg(test)]
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the numbers as they stand.
    pub(in crate::hub) fn metrics(&self) -> MemoryMetrics {
        MemoryMetrics {
            held_bytes: self.held(),
            budget_bytes: self.limit,
            evicted: self.counts.evicted.get(),
            unfinished: self.counts.unfinished.get(),
            refused_connections: self.counts.refused_connections.get(),
            refused_registrations: self.counts.refused_registrations.get(),
            refused_topics: self.counts.refused_topics.get(),
        }
    }

    /// Returns what is held, as far as the ledgers have told it.
    pub(crate) fn held(&self) -> u64 {
        u64::try_from(self.held.load(Relaxed)).unwrap_or(0)
    }

    /// Charges `bytes` for as long as the charge is kept.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.change(signed(bytes));
        Charge {
            budget: Arc::clone(self),
            bytes,
        }
    }

    /// Returns the same bytes, charged with `besides` for as long as any clone of them is there.
    pub(crate) fn own(self: &Arc<Self>, bytes: Bytes, besides: usize) -> Bytes {
        let charge = self.charge(bytes.len() + besides);
        Bytes::from_owner(Owned {
            bytes,
            _charge: charge,
        })
    }

    /// Takes note that `by` bytes more are held, or fewer.
    pub(in crate::hub) fn change(&self, by: i64) {
        let held = self.held.fetch_add(by, Relaxed) + by;
        self.look_for_signs(held);
    }

    /// Looks again how short memory is: of two changes at a time the older one may have been the
    /// last to say so.
    pub(in crate::hub) fn look_again(&self) {
        self.look_for_signs(self.held.load(Relaxed));
    }

    fn look_for_signs(&self, held: i64) {
        let before = self.shortage.signs.load(Relaxed);
        let held = u64::try_from(held).unwrap_or(0);
        if before == 0 && held < self.part(CROWDED_SIXTEENTHS) {
            return;
        }
        let waiting = u64::try_from(self.shortage.waiting.load(Relaxed)).unwrap_or(0);
        let others = held.saturating_sub(waiting);
        let sign = |is_there, sign| if is_there { sign } else { 0 };
        let signs = sign(held >= self.part(CROWDED_SIXTEENTHS), CROWDED)
            | sign(held >= self.part(FULL_SIXTEENTHS), FULL)
            | sign(others >= self.part(PUBLISHERS_SIXTEENTHS), HOLDS_PUBLISHERS)
            | sign(held >= self.part(EXHAUSTED_SIXTEENTHS), EXHAUSTED);
        if signs != before {
            // Exchanged: of two threads that change them, one sees that somebody was held.
            let before = self.shortage.signs.swap(signs, Relaxed);
            if before & !signs & (HOLDS_PUBLISHERS | EXHAUSTED) != 0 {
                self.shortage.relief.notify_waiters();
            }
        }
    }

    fn part(&self, sixteenths: u64) -> u64 {
        self.limit / 16 * sixteenths
    }

    fn has_sign(&self, sign: u8) -> bool {
        self.shortage.signs.load(Relaxed) & sign != 0
    }

    /// Returns true if those who are furthest behind must go, and nothing is taken in that stays.
    pub(crate) fn is_crowded(&self) -> bool {
        self.has_sign(CROWDED)
    }

    /// Returns true if it is crowded still when so many bytes are given back.
    pub(in crate::hub) fn is_crowded_without(&self, bytes: u64) -> bool {
        self.held().saturating_sub(bytes) >= self.part(CROWDED_SIXTEENTHS)
    }

    /// Returns true if no connection is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.has_sign(FULL)
    }

    /// Returns true if publishers wait.
    pub(in crate::hub) fn holds_publishers(&self) -> bool {
        self.has_sign(HOLDS_PUBLISHERS)
    }

    /// Returns true if nothing is received.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.has_sign(EXHAUSTED)
    }

    /// Takes note that a publisher waits with so many bytes, which are charged, until the token is
    /// dropped.
    pub(in crate::hub) fn wait_with(&self, bytes: usize) -> WaitingPublisher<'_> {
        self.change_waiting(signed(bytes));
        WaitingPublisher {
            budget: self,
            bytes,
        }
    }

    fn change_waiting(&self, by: i64) {
        self.shortage.waiting.fetch_add(by, Relaxed);
        self.look_again();
    }

    /// Waits until publishers need not wait.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(in crate::hub) async fn wait_for_room(&self) {
        wait_while(&self.shortage.relief, || self.holds_publishers()).await;
    }

    /// Waits until something may be received.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(in crate::hub) async fn wait_to_receive(&self) {
        wait_while(&self.shortage.relief, || self.is_exhausted()).await;
    }

    /// Refuses what would stay, while memory is short, and counts that:
    /// `budget.take_in(|counts| &counts.refused_registrations)`.
    ///
    /// # Errors
    ///
    /// Memory is short.
    pub(crate) fn take_in(
        &self,
        counter: impl FnOnce(&Counts) -> &SharedCounter,
    ) -> Result<(), ShortOfMemory> {
        if self.is_crowded() {
            counter(&self.counts).increment();
            return Err(ShortOfMemory);
        }
        Ok(())
    }
}

/// Why something is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is short of memory")]
pub(crate) struct ShortOfMemory;

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limit", &self.limit)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// Bytes of the budget that are held for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Makes it a charge of so many bytes.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.budget.change(signed(bytes) - signed(self.bytes));
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.change(-signed(self.bytes));
    }
}

/// A publisher that waits.
pub(in crate::hub) struct WaitingPublisher<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Drop for WaitingPublisher<'_> {
    fn drop(&mut self) {
        self.budget.change_waiting(-signed(self.bytes));
    }
}

/// Bytes with their charge.
struct Owned {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

pub(in crate::hub) fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

const CROWDED: u8 = 1;
const CROWDED_SIXTEENTHS: u64 = 12;
const FULL: u8 = 2;
const FULL_SIXTEENTHS: u64 = 13;
const HOLDS_PUBLISHERS: u8 = 4;
const PUBLISHERS_SIXTEENTHS: u64 = 14;
const EXHAUSTED: u8 = 8;
const EXHAUSTED_SIXTEENTHS: u64 = 15;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn signs(budget: &Budget) -> [bool; 4] {
        [
            budget.is_crowded(),
            budget.is_full(),
            budget.holds_publishers(),
            budget.is_exhausted(),
        ]
    }

    #[test]
    fn the_shorter_memory_is_the_less_is_done() {
        let budget = Budget::new(1600);
        let mut charge = budget.charge(1199);
        assert_eq!(signs(&budget), [false; 4]);
        charge.set(1200);
        assert_eq!(signs(&budget), [true, false, false, false]);
        charge.set(1300);
        assert_eq!(signs(&budget), [true, true, false, false]);
        charge.set(1400);
        assert_eq!(signs(&budget), [true, true, true, false]);
        charge.set(1500);
        assert_eq!(signs(&budget), [true; 4]);
        drop(charge);
        assert_eq!((signs(&budget), budget.held()), ([false; 4], 0));
    }

    #[tokio::test]
    async fn publishers_do_not_wait_for_what_only_they_could_give_back() {
        let budget = Budget::new(1600);
        let _others = budget.charge(1300);
        let theirs = budget.charge(200);
        let mut waiting = Box::pin(budget.wait_for_room());
        assert_eq!((&mut waiting).now_or_never(), None);
        let token = budget.wait_with(200);
        assert_eq!((&mut waiting).now_or_never(), Some(()));
        assert!(budget.is_exhausted(), "but nobody may bring more");
        drop(token);
        assert!(budget.holds_publishers());
        drop(theirs);
        assert!(!budget.holds_publishers());
    }

    #[tokio::test]
    async fn who_would_receive_waits_until_memory_is_no_longer_exhausted() {
        let budget = Budget::new(1600);
        let mut charge = budget.charge(1500);
        let mut waiting = Box::pin(budget.wait_to_receive());
        assert_eq!((&mut waiting).now_or_never(), None);
        charge.set(1499);
        assert!(budget.holds_publishers(), "they wait for longer");
        waiting.await;
    }

    #[test]
    fn bytes_are_charged_once_until_their_last_clone_is_gone() {
        let budget = Budget::new(1600);
        let bytes = budget.own(Bytes::from_static(b"hello"), 10);
        let clone = bytes.clone();
        assert_eq!((&clone[..], budget.held()), (&b"hello"[..], 15));
        drop(bytes);
        assert_eq!(budget.held(), 15);
        drop(clone);
        assert_eq!(budget.held(), 0);
    }
}
