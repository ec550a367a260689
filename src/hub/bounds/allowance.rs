//! The time that one step may hold its shard's thread.
//!
//! A step is a piece of a shard's work, after which the shard's other tasks get their turns. Work
//! is charged when it is done, with the nanoseconds that it is expected to take. The clock is read
//! once for every [`CLOCK_INTERVAL`] of charged work: often enough to notice work that takes longer
//! than expected, and never in a short step. Most steps are short.
//!
//! Pure: the clock is an argument.

use std::time::{Duration, Instant};

/// The time that a step has left, with the work that was charged to it.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: Duration,
    /// Nanoseconds of work charged since the clock was last read.
    charged: u64,
    /// Time that later steps will need for work that this step has caused.
    caused: Duration,
    /// Approximate start of the step; `None` until the clock is first read.
    begun: Option<Instant>,
    /// Time that the step had taken when the clock was last read.
    used: Duration,
    is_spent: bool,
}

impl Allowance {
    /// Begins a step that may take `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            charged: 0,
            caused: Duration::ZERO,
            begun: None,
            used: Duration::ZERO,
            is_spent: limit.is_zero(),
        }
    }

    /// Begins a step that may take `limit`, for a caller that has read the clock anyway.
    pub(crate) fn since(now: Instant, limit: Duration) -> Self {
        Self {
            begun: Some(now),
            ..Self::new(limit)
        }
    }

    /// Charges work that was just done and is expected to have taken `nanoseconds`.
    #[inline]
    pub(crate) fn spend(&mut self, nanoseconds: u64) {
        self.spend_by(nanoseconds, Instant::now);
    }

    /// Charges work as [`spend`](Self::spend) does. `now` reads the clock.
    #[inline]
    fn spend_by(&mut self, nanoseconds: u64, now: impl FnOnce() -> Instant) {
        self.charged += nanoseconds;
        if self.charged >= CLOCK_INTERVAL {
            self.update(now());
        }
    }

    /// Reads the clock now, because the work since the last reading may have taken any time.
    pub(crate) fn charge_elapsed(&mut self) {
        self.update(Instant::now());
    }

    /// Sets the time used to the time that has passed on the clock since the step began. At the
    /// first reading, the begin of the step is not known: the step is assumed to have taken as long
    /// as the work that was charged to it.
    fn update(&mut self, now: Instant) {
        let charged = Duration::from_nanos(std::mem::take(&mut self.charged)).min(self.limit);
        let begun = *self
            .begun
            .get_or_insert_with(|| now.checked_sub(charged).unwrap_or(now));
        self.used = now.saturating_duration_since(begun);
        self.is_spent |= self.used + self.caused >= self.limit;
    }

    /// Charges work that this step has caused and a later step will do.
    #[inline]
    pub(crate) fn charge_later(&mut self, nanoseconds: u64) {
        self.caused = self
            .caused
            .saturating_add(Duration::from_nanos(nanoseconds));
        self.is_spent |= self.caused >= self.limit;
    }

    /// Returns true if the step's time is used up, so that it must end.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Returns how long the step had taken when the clock was last read. Zero in a short step,
    /// which never reads it.
    pub(crate) fn used(&self) -> Duration {
        self.used
    }
}

/// The time of a step: short against the 5 ms that no input may hold a shard for, and long against
/// the cost of going from one step to the next (2 us).
pub(crate) const STEP: Duration = Duration::from_nanos(STEP_NANOSECONDS);

pub(crate) const STEP_NANOSECONDS: u64 = 500_000;

/// The cost of ending a connection that follows 128 topics, the most that it may, in nanoseconds.
pub(in crate::hub) const END: u64 = 10_000;

/// Nanoseconds of charged work between two readings of the clock. A reading costs 25 ns.
const CLOCK_INTERVAL: u64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_step_does_not_read_the_clock() {
        let mut allowance = Allowance::new(STEP);
        allowance.spend_by(CLOCK_INTERVAL - 1, || panic!("the clock was read"));
        assert!(!allowance.is_spent());
    }

    #[test]
    fn a_step_ends_by_the_time_on_the_clock_and_not_by_the_charged_time() {
        // `begin` is the time of the first reading. All time before it is that of charged work.
        let begin = Instant::now();
        let mut allowance = Allowance::new(STEP);
        allowance.spend_by(100 * CLOCK_INTERVAL, || begin);
        allowance.spend_by(100 * CLOCK_INTERVAL, || begin);
        assert!(
            allowance.is_spent(),
            "the first reading takes the charged time for the real one"
        );

        let mut allowance = Allowance::new(STEP);
        allowance.spend_by(CLOCK_INTERVAL, || begin);
        allowance.spend_by(100 * CLOCK_INTERVAL, || begin + STEP / 2);
        assert!(!allowance.is_spent(), "the work was faster than charged");
        allowance.spend_by(CLOCK_INTERVAL, || begin + STEP);
        assert!(allowance.is_spent());
    }

    #[test]
    fn work_that_a_step_causes_for_later_counts_immediately() {
        let mut allowance = Allowance::new(STEP);
        allowance.charge_later(400_000);
        assert!(!allowance.is_spent());
        allowance.charge_later(100_000);
        assert!(allowance.is_spent());
    }
}
