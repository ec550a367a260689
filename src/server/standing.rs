//! Decides which shards stand still, from whether they have ticked since they were last looked at.
//!
//! It counts looks and reads no clock: while the process was stopped, or the machine asleep, nobody
//! has looked.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What is known of the shards.
#[derive(Debug)]
pub(super) struct Watch(Vec<Watched>);

/// How a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It goes on.
    Moving,
    /// It may be about to stand still: others had better get what comes.
    Late,
    /// It stands still.
    Standing,
}

#[derive(Clone, Debug, Default)]
struct Watched {
    /// At the last look.
    ticks: Option<u64>,
    /// Looks since it was last seen to move.
    missed: u32,
}

impl Watched {
    fn condition(&self) -> Condition {
        match self.missed {
            0 => Condition::Moving,
            1..STANDING_LOOKS => Condition::Late,
            _ => Condition::Standing,
        }
    }
}

impl Watch {
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![Watched::default(); shards])
    }

    /// Looks at a shard, which was asked to tick at the last look, and has done so `ticks` times now.
    pub(super) fn look(&mut self, shard: usize, ticks: u64) -> Condition {
        let watched = &mut self.0[shard];
        watched.missed = if watched.ticks == Some(ticks) {
            watched.missed.saturating_add(1)
        } else {
            0
        };
        watched.ticks = Some(ticks);
        watched.condition()
    }

    /// How a shard was at the last look.
    pub(super) fn condition(&self, shard: usize) -> Condition {
        self.0[shard].condition()
    }

    /// Returns true if there are shards in this condition.
    pub(super) fn has(&self, condition: Condition) -> bool {
        self.0.iter().any(|shard| shard.condition() == condition)
    }

    /// Returns true if no shard does anything.
    pub(super) fn all_stand(&self) -> bool {
        !self.has(Condition::Moving) && !self.has(Condition::Late)
    }
}

/// Which shards stand still, for whoever wants to know.
#[derive(Debug)]
pub(super) struct Standing(Vec<AtomicBool>);

impl Standing {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| AtomicBool::new(false)).collect())
    }

    /// Says whether a shard stands still. Returns whether that is news.
    pub(super) fn set(&self, shard: usize, stands: bool) -> bool {
        self.0[shard].swap(stands, Relaxed) != stands
    }

    /// Those that stand still.
    pub(super) fn shards(&self) -> Vec<usize> {
        let shards = self.0.iter().enumerate();
        let standing = shards.filter(|(_, stands)| stands.load(Relaxed));
        standing.map(|(shard, _)| shard).collect()
    }
}

/// A shard that was asked to tick and has not done so for so many looks stands still.
pub(super) const STANDING_LOOKS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_stands_still_that_has_not_ticked_for_four_looks_until_it_ticks() {
        use Condition::{Late, Moving, Standing};
        let mut watch = Watch::new(1);
        let looks = [7, 8, 8, 8, 8, 8, 8, 9].map(|ticks| watch.look(0, ticks));
        let expected = [Moving, Moving, Late, Late, Late, Standing, Standing, Moving];
        assert_eq!(looks, expected);
    }

    #[test]
    fn all_stand_only_if_none_moves_or_is_late() {
        let mut watch = Watch::new(2);
        assert!(!watch.all_stand());
        for _ in 0..=STANDING_LOOKS {
            watch.look(0, 1);
        }
        assert!(watch.has(Condition::Moving) && watch.has(Condition::Standing));
        for _ in 0..STANDING_LOOKS {
            watch.look(1, 1);
        }
        assert!(watch.has(Condition::Late) && !watch.all_stand());
        watch.look(1, 1);
        assert!(watch.all_stand());
    }

    #[test]
    fn what_stands_is_news_once() {
        let standing = Standing::new(2);
        assert!(!standing.set(1, false));
        assert!(standing.set(1, true));
        assert!(!standing.set(1, true));
        assert_eq!(standing.shards(), [1]);
        assert!(standing.set(1, false));
        assert_eq!(standing.shards(), [0; 0]);
    }
}
