//! What one shard holds for its clients, and since when.
//!
//! It belongs to the shard's thread, so that keeping it costs no atomic operation. The
//! [`Budget`](crate::hub::bounds::budget) is told when what has changed amounts to something.

use std::{
    cell::Cell,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::hub::bounds::budget::{Budget, signed};

/// The ledger of a shard, and its clock for things that wait.
pub(crate) struct Ledger {
    budget: Arc<Budget>,
    /// What the budget does not know of yet.
    untold: Cell<i64>,
    started: Instant,
    now: Cell<Moment>,
}

/// A point in time, in milliseconds since the shard was started; it wraps around after 49 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment(u32);

impl Moment {
    /// Returns how long ago `earlier` was. Less than 24 days.
    pub(in crate::hub) fn since(self, earlier: Self) -> Duration {
        // Of two looks at the clock the later one may have been taken note of first.
        let milliseconds = self.0.wrapping_sub(earlier.0).cast_signed().max(0);
        Duration::from_millis(u64::from(milliseconds.cast_unsigned()))
    }

    /// Returns the earlier of two that are less than 24 days apart.
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
            untold: Cell::new(0),
            started: Instant::now(),
            now: Cell::default(),
        })
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Enters `bytes` for as long as they are held.
    pub(crate) fn hold(self: &Rc<Self>, bytes: usize) -> Held {
        self.change(signed(bytes));
        Held {
            ledger: Rc::clone(self),
            bytes,
        }
    }

    /// Enters `bytes` until they are [crossed out](Self::cross_out).
    pub(in crate::hub) fn enter(&self, bytes: usize) {
        self.change(signed(bytes));
    }

    /// Crosses out `bytes` that were entered.
    pub(in crate::hub) fn cross_out(&self, bytes: usize) {
        self.change(-signed(bytes));
    }

    fn change(&self, by: i64) {
        let untold = self.untold.get() + by;
        self.untold.set(untold);
        if untold.unsigned_abs() >= TOLD_TOGETHER {
            self.tell();
        }
    }

    /// Tells the budget what it does not know of yet.
    pub(in crate::hub) fn tell(&self) {
        self.budget.change(self.untold.take());
    }

    /// Returns when it is, as of the last [look at the clock](Self::look_at_clock): some
    /// milliseconds ago on a busy shard, up to a second on one at rest.
    pub(in crate::hub) fn now(&self) -> Moment {
        self.now.get()
    }

    /// Looks at the clock now.
    pub(in crate::hub) fn look(&self) {
        self.look_at_clock(Instant::now());
    }

    pub(in crate::hub) fn look_at_clock(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.started).as_millis();
        #[expect(clippy::cast_possible_truncation, reason = "it wraps around")]
        self.now.set(Moment(passed as u32));
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.tell();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("untold", &self.untold)
            .finish_non_exhaustive()
    }
}

/// Bytes that are entered in the ledger for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Held {
    ledger: Rc<Ledger>,
    bytes: usize,
}

impl Held {
    /// Makes it so many bytes.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.ledger.change(signed(bytes) - signed(self.bytes));
        self.bytes = bytes;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it so many bytes at least.
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

/// What a ledger may keep to itself: with it, most changes of a busy shard cancel out.
const TOLD_TOGETHER: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_told_of_what_amounts_to_something() {
        let budget = Budget::new(1 << 20);
        let ledger = Ledger::new(Arc::clone(&budget));
        let mut held = ledger.hold(10_000);
        assert_eq!(budget.held(), 0);
        held.set(20_000);
        assert_eq!(budget.held(), 20_000);
        drop(held);
        assert_eq!(budget.held(), 0);
        let small = ledger.hold(10);
        ledger.tell();
        assert_eq!(budget.held(), 10);
        drop(small);
        drop(ledger);
        assert_eq!(budget.held(), 0, "what ends owes nothing");
    }

    #[test]
    fn time_passes_and_wraps_around() {
        let moment = |ms| Moment(ms);
        assert_eq!(moment(1500).since(moment(500)).as_secs(), 1);
        assert_eq!(moment(500).since(moment(u32::MAX - 499)).as_secs(), 1);
        assert_eq!(moment(500).since(moment(501)), Duration::ZERO);
        let before = moment(u32::MAX - 499);
        assert_eq!(moment(500).earlier(before), before);
        assert_eq!(before.earlier(moment(500)), before);
    }
}
