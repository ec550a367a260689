//! How long one step may hold its shard.
//!
//! Pure: the clock is an argument. Work is charged as it is done, in nanoseconds that it may take,
//! and the clock is looked at once for every [`LOOK`] of them: often enough to notice what takes
//! longer than expected, and never in a step as short as most are.

use std::time::{Duration, Instant};

/// The time that a step has left.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: Duration,
    /// Work charged since the clock was last looked at.
    unlooked: u64,
    /// Work that the step has caused for others.
    caused: Duration,
    /// About when the step began; `None` until the clock is first looked at.
    since: Option<Instant>,
    /// How long it had taken at the last look.
    used: Duration,
    is_spent: bool,
}

impl Allowance {
    /// Begins a step that may take `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            unlooked: 0,
            caused: Duration::ZERO,
            since: None,
            used: Duration::ZERO,
            is_spent: limit.is_zero(),
        }
    }

    /// Begins a step that may take `limit`, and in which the clock has to be looked at anyway.
    pub(crate) fn since(now: Instant, limit: Duration) -> Self {
        Self {
            since: Some(now),
            ..Self::new(limit)
        }
    }

    /// Charges work that may have taken `nanoseconds`.
    #[inline]
    pub(crate) fn spend(&mut self, nanoseconds: u64) {
        self.spend_by(nanoseconds, Instant::now);
    }

    #[inline]
    fn spend_by(&mut self, nanoseconds: u64, now: impl FnOnce() -> Instant) {
        self.unlooked += nanoseconds;
        if self.unlooked >= LOOK {
            self.look(now());
        }
    }

    /// Looks at the clock now: what was done since the last look may have taken any time.
    pub(crate) fn look_at_clock(&mut self) {
        self.look(Instant::now());
    }

    fn look(&mut self, now: Instant) {
        let unlooked = Duration::from_nanos(std::mem::take(&mut self.unlooked)).min(self.limit);
        let since = *self
            .since
            .get_or_insert_with(|| now.checked_sub(unlooked).unwrap_or(now));
        self.used = now.saturating_duration_since(since);
        self.is_spent |= self.used + self.caused >= self.limit;
    }

    /// Charges work that was not done in this step, but will be in a later one because of it.
    #[inline]
    pub(crate) fn cause(&mut self, nanoseconds: u64) {
        self.caused = self
            .caused
            .saturating_add(Duration::from_nanos(nanoseconds));
        self.is_spent |= self.caused >= self.limit;
    }

    /// Returns true when the step must end and let others have theirs.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Returns how long the step had taken when the clock was last looked at; nothing if it is
    /// a short one.
    pub(crate) fn used(&self) -> Duration {
        self.used
    }
}

/// The time of a step: short beside the 5 ms that nothing may hold a shard for, and long beside
/// what it costs to go from one step to the next (2 us).
pub(crate) const STEP: Duration = Duration::from_nanos(STEP_NANOSECONDS);

pub(crate) const STEP_NANOSECONDS: u64 = 500_000;

/// What ending a connection may take, in nanoseconds: it may follow 128 topics.
pub(in crate::hub) const END: u64 = 10_000;

/// Work between two looks at the clock, in nanoseconds. A look costs 25 ns.
const LOOK: u64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_not_looked_at_in_a_short_step() {
        let mut allowance = Allowance::new(STEP);
        allowance.spend_by(LOOK - 1, || panic!("looked"));
        assert!(!allowance.is_spent());
    }

    #[test]
    fn a_step_ends_by_the_clock_and_not_by_what_was_charged() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(STEP);
        allowance.spend_by(100 * LOOK, || begin);
        allowance.spend_by(100 * LOOK, || begin);
        assert!(
            allowance.is_spent(),
            "the first look assumes what was charged"
        );

        let mut allowance = Allowance::new(STEP);
        allowance.spend_by(LOOK, || begin);
        allowance.spend_by(100 * LOOK, || begin + STEP / 2);
        assert!(!allowance.is_spent(), "it was faster than expected");
        allowance.spend_by(LOOK, || begin + STEP);
        assert!(allowance.is_spent());
    }

    #[test]
    fn what_a_step_causes_for_others_counts_at_once() {
        let mut allowance = Allowance::new(STEP);
        allowance.cause(400_000);
        assert!(!allowance.is_spent());
        allowance.cause(100_000);
        assert!(allowance.is_spent());
    }
}
