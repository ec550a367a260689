//! The ledger of one shard: the bytes that the shard holds for its clients, and a coarse clock.
//!
//! Only the shard's thread uses the ledger, so that an entry costs no atomic operation. Changes are
//! reported to the [`Budget`](crate::hub::bounds::budget) when they add up to 16 KiB.

use std::{
    cell::Cell,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::hub::bounds::budget::{Budget, signed};

/// The ledger of a shard, and the coarse clock by which the shard measures how long messages have
/// waited.
pub(crate) struct Ledger {
    budget: Arc<Budget>,
    /// Change in bytes that is not reported to the budget yet.
    unreported: Cell<i64>,
    started: Instant,
    now: Cell<Moment>,
}

/// A point in time, in milliseconds since the shard was started; it wraps around after 49 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment(u32);

impl Moment {
    /// Returns the time from `earlier` to this moment, which must be less than 24 days.
    pub(in crate::hub) fn since(self, earlier: Self) -> Duration {
        // `earlier` may be a little later: two readings of the clock may be stored in wrong order.
        let milliseconds = self.0.wrapping_sub(earlier.0).cast_signed().max(0);
        Duration::from_millis(u64::from(milliseconds.cast_unsigned()))
    }

    /// Returns the earlier of two moments that are less than 24 days apart.
    pub(in crate::hub) fn earlier(self, other: Self) -> Self {
        if self.0.wrapping_sub(other.0).cast_signed() < 0 {
            self
        } else {
            other
        }
    }
}

impl Ledger {
    pub(in crate::hub) fn new(budget: Arc<Budget>) -> Rc<Self> {
        Rc::new(Self {
            budget,
            unreported: Cell::new(0),
            started: Instant::now(),
            now: Cell::default(),
        })
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Enters `bytes` until the returned entry is dropped.
    pub(crate) fn hold(self: &Rc<Self>, bytes: usize) -> Held {
        self.change(signed(bytes));
        Held {
            ledger: Rc::clone(self),
            bytes,
        }
    }

    /// Enters `bytes` until [`remove`](Self::remove) removes them.
    pub(in crate::hub) fn enter(&self, bytes: usize) {
        self.change(signed(bytes));
    }

    /// Removes `bytes` that [`enter`](Self::enter) has entered.
    pub(in crate::hub) fn remove(&self, bytes: usize) {
        self.change(-signed(bytes));
    }

    fn change(&self, by: i64) {
        let unreported = self.unreported.get() + by;
        self.unreported.set(unreported);
        if unreported.unsigned_abs() >= REPORTED_TOGETHER {
            self.report();
        }
    }

    /// Reports all changes to the budget.
    pub(in crate::hub) fn report(&self) {
        self.budget.change(self.unreported.take());
    }

    /// Returns the moment of the last [reading of the clock](Self::set_now): some
    /// milliseconds ago on a busy shard, up to a second ago on an idle one.
    pub(in crate::hub) fn now(&self) -> Moment {
        self.now.get()
    }

    /// Reads the clock and stores the time.
    pub(in crate::hub) fn read_clock(&self) {
        self.set_now(Instant::now());
    }

    /// Stores a time that the caller has just read from the clock.
    pub(in crate::hub) fn set_now(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.started).as_millis();
        #[expect(clippy::cast_possible_truncation, reason = "it wraps around")]
        self.now.set(Moment(passed as u32));
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.report();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("unreported", &self.unreported)
            .finish_non_exhaustive()
    }
}

/// An entry of bytes in the ledger, which lasts until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    ledger: Rc<Ledger>,
    bytes: usize,
}

impl Held {
    /// Changes the entry to `bytes`.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.ledger.change(signed(bytes) - signed(self.bytes));
        self.bytes = bytes;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Raises the entry to `bytes`, unless it is larger already.
    pub(crate) fn grow_to(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.set(bytes);
        }
    }

    pub(in crate::hub) fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.change(-signed(self.bytes));
    }
}

/// Sum of changes, in bytes, at which a ledger reports to the budget. On a busy shard most changes
/// cancel each other out before they add up to this.
const REPORTED_TOGETHER: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_reported_to_the_budget_when_they_add_up_to_16_kib() {
        let budget = Budget::new(1 << 20);
        let ledger = Ledger::new(Arc::clone(&budget));
        let mut held = ledger.hold(10_000);
        assert_eq!(budget.held(), 0);
        held.set(20_000);
        assert_eq!(budget.held(), 20_000);
        drop(held);
        assert_eq!(budget.held(), 0);
        let small = ledger.hold(10);
        ledger.report();
        assert_eq!(budget.held(), 10);
        drop(small);
        drop(ledger);
        assert_eq!(budget.held(), 0, "a dropped ledger reports its last change");
    }

    #[test]
    fn the_time_between_two_moments_is_right_when_the_clock_wraps_around() {
        // In milliseconds. `u32::MAX - 499` is 500 ms before the clock begins at 0 again.
        let moment = |milliseconds| Moment(milliseconds);
        assert_eq!(moment(1500).since(moment(500)).as_secs(), 1);
        assert_eq!(moment(500).since(moment(u32::MAX - 499)).as_secs(), 1);
        assert_eq!(moment(500).since(moment(501)), Duration::ZERO);
        let before = moment(u32::MAX - 499);
        assert_eq!(moment(500).earlier(before), before);
        assert_eq!(before.earlier(moment(500)), before);
    }
}
