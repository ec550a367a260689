//! Finds the shards that stand still: those that have not ticked for several checks.
//!
//! This counts checks and reads no clock: while the process is stopped or the machine sleeps, there
//! are no checks, and no shard is blamed for that time.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The results of the checks so far, one entry for each shard.
#[derive(Debug)]
pub(super) struct Watch(Vec<Watched>);

/// The condition of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It has ticked since the last check.
    Moving,
    /// It has missed one to three checks. New connections go to other shards.
    Late,
    /// It stands still: it has missed [`STANDING_CHECKS`] checks.
    Standing,
}

/// The results of the checks of one shard.
#[derive(Clone, Debug, Default)]
struct Watched {
    /// Number of the shard's ticks at the last check. `None` before the first check.
    ticks: Option<u64>,
    /// Number of checks in a row that the shard has missed.
    missed: u32,
}

impl Watched {
    fn condition(&self) -> Condition {
        match self.missed {
            0 => Condition::Moving,
            1..STANDING_CHECKS => Condition::Late,
            _ => Condition::Standing,
        }
    }
}

impl Watch {
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![Watched::default(); shards])
    }

    /// Checks a shard, which was asked to tick at the last check, and has ticked `ticks` times
    /// since it was started. Returns its condition.
    pub(super) fn check(&mut self, shard: usize, ticks: u64) -> Condition {
        let watched = &mut self.0[shard];
        watched.missed = if watched.ticks == Some(ticks) {
            watched.missed.saturating_add(1)
        } else {
            0
        };
        watched.ticks = Some(ticks);
        watched.condition()
    }

    /// Returns the condition of a shard at the last check.
    pub(super) fn condition(&self, shard: usize) -> Condition {
        self.0[shard].condition()
    }

    /// Returns true if any shard is in this condition.
    pub(super) fn has(&self, condition: Condition) -> bool {
        self.0.iter().any(|shard| shard.condition() == condition)
    }

    /// Returns true if all shards stand still.
    pub(super) fn all_stand(&self) -> bool {
        !self.has(Condition::Moving) && !self.has(Condition::Late)
    }
}

/// Flags that are true for the shards that stand still, one for each shard. All threads can read
/// them.
#[derive(Debug)]
pub(super) struct StandingShards(Vec<AtomicBool>);

impl StandingShards {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| AtomicBool::new(false)).collect())
    }

    /// Stores whether a shard stands still. Returns true if that differs from what was stored
    /// before.
    pub(super) fn set(&self, shard: usize, stands: bool) -> bool {
        self.0[shard].swap(stands, Relaxed) != stands
    }

    /// Returns the indexes of the shards that stand still.
    pub(super) fn shards(&self) -> Vec<usize> {
        let shards = self.0.iter().enumerate();
        let standing = shards.filter(|(_, stands)| stands.load(Relaxed));
        standing.map(|(shard, _)| shard).collect()
    }
}

/// Number of checks that a shard must miss in a row to count as standing still. It misses a check
/// if it has not ticked since the check before, at which it was asked to tick.
pub(super) const STANDING_CHECKS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_has_not_ticked_for_four_checks_stands_still_until_it_ticks() {
        use Condition::{Late, Moving, Standing};
        let mut watch = Watch::new(1);
        let checks = [7, 8, 8, 8, 8, 8, 8, 9].map(|ticks| watch.check(0, ticks));
        let expected = [Moving, Moving, Late, Late, Late, Standing, Standing, Moving];
        assert_eq!(checks, expected);
    }

    #[test]
    fn all_stand_only_if_none_moves_or_is_late() {
        let mut watch = Watch::new(2);
        assert!(!watch.all_stand());
        // The first check only learns the number of ticks.
        for _ in 0..=STANDING_CHECKS {
            watch.check(0, 1);
        }
        assert!(watch.has(Condition::Moving) && watch.has(Condition::Standing));
        for _ in 0..STANDING_CHECKS {
            watch.check(1, 1);
        }
        assert!(watch.has(Condition::Late) && !watch.all_stand());
        watch.check(1, 1);
        assert!(watch.all_stand());
    }

    #[test]
    fn a_change_is_reported_once() {
        let standing = StandingShards::new(2);
        assert!(!standing.set(1, false));
        assert!(standing.set(1, true));
        assert!(!standing.set(1, true));
        assert_eq!(standing.shards(), [1]);
        assert!(standing.set(1, false));
        assert_eq!(standing.shards(), [0; 0]);
    }
}
