//! The memory budget: the bytes that all clients together may make the server hold, and the bytes
//! that it holds now.
//!
//! All memory that grows with what clients send is charged for as long as it is held. Memory that
//! passes between threads has a [`Charge`]. Memory that one shard holds alone is entered in its
//! [`Ledger`](crate::hub::bounds::ledger), which reports to the budget only when its changes add
//! up to 16 KiB.
//!
//! The server does less and less as memory gets short. Memory that stays until its client leaves
//! (for a connection, a registration or a topic) is refused first, because the server can't free it
//! by itself. The rest of the budget is left for outboxes, whose memory the server can free:
//!
//! ```text
//!  bytes held, as part    measures from here on
//!  of the budget
//!  3/4    (crowded)       connections that are furthest behind are ended; new connections,
//!                         registrations and topics are refused
//!  13/16  (full)          new TCP connections are answered 503, at most 16 at a time
//!  7/8                    publishers wait (the bytes of waiting publishers do not count here)
//!  15/16  (exhausted)     nothing is received
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

/// The memory budget of a hub, and the memory that is held. Sizes are in bytes.
pub(crate) struct Budget {
    limit: u64,
    held: AtomicI64,
    shortage: Shortage,
    pub(crate) counts: Counts,
}

/// The shortage of memory. It is read much more often than it is changed, so it has cache lines of
/// its own.
#[repr(align(128))]
struct Shortage {
    /// The levels that are reached: a bit each for [`CROWDED`], [`FULL`], [`HOLDS_PUBLISHERS`] and
    /// [`EXHAUSTED`].
    levels: AtomicU8,
    /// Bytes charged by publishers that are waiting for a permit to publish.
    waiting: AtomicI64,
    /// Wakes the tasks that wait until they may publish or receive.
    relief: Notify,
}

/// Counters of everything that was ended or refused for lack of memory. [`MemoryMetrics`] describes
/// each counter.
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
                levels: AtomicU8::new(0),
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

    /// Returns the current counts and sizes.
    pub(crate) fn metrics(&self) -> MemoryMetrics {
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

    /// Returns how many bytes are held, as far as the ledgers have reported them.
    pub(crate) fn held(&self) -> u64 {
        u64::try_from(self.held.load(Relaxed)).unwrap_or(0)
    }

    /// Charges `bytes` until the returned charge is dropped.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.change(signed(bytes));
        Charge {
            budget: Arc::clone(self),
            bytes,
        }
    }

    /// Charges the length of `bytes`, plus `besides` bytes of other memory, until the last clone of
    /// the returned `Bytes` is dropped. The returned `Bytes` are `bytes` without a copy.
    pub(crate) fn own(self: &Arc<Self>, bytes: Bytes, besides: usize) -> Bytes {
        let charge = self.charge(bytes.len() + besides);
        Bytes::from_owner(Owned {
            bytes,
            _charge: charge,
        })
    }

    /// Adds `by` to the bytes held; a negative number means that memory was freed.
    pub(in crate::hub) fn change(&self, by: i64) {
        let held = self.held.fetch_add(by, Relaxed) + by;
        self.update_levels(held);
    }

    /// Computes the levels of shortage again, because they may be out of date: if two threads
    /// change the held bytes at the same time, the thread with the older sum may be the last one
    /// that computes the levels.
    pub(in crate::hub) fn refresh_levels(&self) {
        self.update_levels(self.held.load(Relaxed));
    }

    /// Computes the levels for `held` bytes. Wakes the tasks that need not wait any more.
    fn update_levels(&self, held: i64) {
        let before = self.shortage.levels.load(Relaxed);
        let held = u64::try_from(held).unwrap_or(0);
        if before == 0 && held < self.sixteenths(CROWDED_SIXTEENTHS) {
            return; // Memory is not short, and was not short before: the common case.
        }
        let waiting = u64::try_from(self.shortage.waiting.load(Relaxed)).unwrap_or(0);
        let not_waiting = held.saturating_sub(waiting);
        let bit_if_reached = |held, sixteenths, bit| {
            let is_reached = held >= self.sixteenths(sixteenths);
            if is_reached { bit } else { 0 }
        };
        let levels = bit_if_reached(held, CROWDED_SIXTEENTHS, CROWDED)
            | bit_if_reached(held, FULL_SIXTEENTHS, FULL)
            | bit_if_reached(not_waiting, PUBLISHERS_SIXTEENTHS, HOLDS_PUBLISHERS)
            | bit_if_reached(held, EXHAUSTED_SIXTEENTHS, EXHAUSTED);
        if levels != before {
            // A swap, not a store: if two threads clear a level at the same time, exactly one of
            // them gets the level as set, and wakes the tasks.
            let before = self.shortage.levels.swap(levels, Relaxed);
            if before & !levels & (HOLDS_PUBLISHERS | EXHAUSTED) != 0 {
                self.shortage.relief.notify_waiters();
            }
        }
    }

    /// Returns `count` sixteenths of the budget, in bytes.
    fn sixteenths(&self, count: u64) -> u64 {
        self.limit / 16 * count
    }

    fn has_reached(&self, level: u8) -> bool {
        self.shortage.levels.load(Relaxed) & level != 0
    }

    /// Returns true if connections that are furthest behind must be ended, and new connections,
    /// registrations and topics are refused.
    pub(crate) fn is_crowded(&self) -> bool {
        self.has_reached(CROWDED)
    }

    /// Returns true if memory will still be crowded after `bytes` are freed.
    pub(in crate::hub) fn is_crowded_without(&self, bytes: u64) -> bool {
        self.held().saturating_sub(bytes) >= self.sixteenths(CROWDED_SIXTEENTHS)
    }

    /// Returns true if new TCP connections are answered 503.
    pub(crate) fn is_full(&self) -> bool {
        self.has_reached(FULL)
    }

    /// Returns true if publishers must wait.
    pub(in crate::hub) fn holds_publishers(&self) -> bool {
        self.has_reached(HOLDS_PUBLISHERS)
    }

    /// Returns true if memory is so short that the server receives nothing from any client.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.has_reached(EXHAUSTED)
    }

    /// Excludes `bytes`, which a waiting publisher has charged, from the sum of bytes that makes
    /// publishers wait, until the returned token is dropped.
    pub(in crate::hub) fn wait_with(&self, bytes: usize) -> WaitingPublisher<'_> {
        self.change_waiting(signed(bytes));
        WaitingPublisher {
            budget: self,
            bytes,
        }
    }

    fn change_waiting(&self, by: i64) {
        self.shortage.waiting.fetch_add(by, Relaxed);
        self.refresh_levels();
    }

    /// Waits until memory is no longer so short that publishers must wait.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(in crate::hub) async fn wait_for_room(&self) {
        wait_while(&self.shortage.relief, || self.holds_publishers()).await;
    }

    /// Waits until memory is no longer exhausted, so that connections may receive again.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(in crate::hub) async fn wait_to_receive(&self) {
        wait_while(&self.shortage.relief, || self.is_exhausted()).await;
    }

    /// Checks that memory suffices for a new connection, registration or topic. If not, increments
    /// the counter that `counter` selects: `budget.admit(|counts| &counts.refused_registrations)`.
    ///
    /// # Errors
    ///
    /// Memory is [crowded](Self::is_crowded).
    pub(crate) fn admit(
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

/// The error of a refusal for lack of memory.
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

/// A charge to the budget, which lasts until it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Changes the charge to `bytes`.
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

/// A token that [excludes](Budget::wait_with) bytes of a waiting publisher, until it is dropped.
pub(in crate::hub) struct WaitingPublisher<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Drop for WaitingPublisher<'_> {
    fn drop(&mut self) {
        self.budget.change_waiting(-signed(self.bytes));
    }
}

/// Bytes that are charged until they are dropped.
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

// Bits of `Shortage::levels`, and the sixteenths of the limit at which each level is reached.
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

    /// Returns one bool for each level, from the lowest to the highest: true if it is reached.
    fn levels(budget: &Budget) -> [bool; 4] {
        [
            budget.is_crowded(),
            budget.is_full(),
            budget.holds_publishers(),
            budget.is_exhausted(),
        ]
    }

    #[test]
    fn each_level_of_shortage_is_reached_at_its_part_of_the_budget() {
        // A sixteenth is 100 bytes.
        let budget = Budget::new(1600);
        let mut charge = budget.charge(1199);
        assert_eq!(levels(&budget), [false; 4]);
        charge.set(1200);
        assert_eq!(levels(&budget), [true, false, false, false]);
        charge.set(1300);
        assert_eq!(levels(&budget), [true, true, false, false]);
        charge.set(1400);
        assert_eq!(levels(&budget), [true, true, true, false]);
        charge.set(1500);
        assert_eq!(levels(&budget), [true; 4]);
        drop(charge);
        assert_eq!((levels(&budget), budget.held()), ([false; 4], 0));
    }

    #[tokio::test]
    async fn publishers_do_not_wait_for_memory_that_waiting_publishers_hold() {
        let budget = Budget::new(1600); // Publishers wait from 1,400 bytes on.
        let _outboxes = budget.charge(1300);
        let message = budget.charge(200);
        let mut waiting = Box::pin(budget.wait_for_room());
        assert_eq!((&mut waiting).now_or_never(), None);
        let token = budget.wait_with(200);
        assert_eq!((&mut waiting).now_or_never(), Some(()));
        assert!(budget.is_exhausted(), "but nothing may be received");
        drop(token);
        assert!(budget.holds_publishers());
        drop(message);
        assert!(!budget.holds_publishers());
    }

    #[tokio::test]
    async fn receiving_waits_until_memory_is_no_longer_exhausted() {
        let budget = Budget::new(1600); // Memory is exhausted from 1,500 bytes on.
        let mut charge = budget.charge(1500);
        let mut waiting = Box::pin(budget.wait_to_receive());
        assert_eq!((&mut waiting).now_or_never(), None);
        charge.set(1499);
        assert!(budget.holds_publishers(), "publishers still wait");
        waiting.await;
    }

    #[test]
    fn bytes_are_charged_once_until_their_last_clone_is_gone() {
        let budget = Budget::new(1600);
        let bytes = budget.own(Bytes::from_static(b"hello"), 10);
        let clone = bytes.clone();
        assert_eq!((&clone[..], budget.held()), (&b"hello"[..], 5 + 10));
        drop(bytes);
        assert_eq!(budget.held(), 15);
        drop(clone);
        assert_eq!(budget.held(), 0);
    }
}
