//! Those who are behind, as far as the relief of a shard knows them.

use std::{collections::BinaryHeap, time::Duration};

use crate::hub::{bounds::ledger::Moment, ids::PeerKey};

/// Those who are to be ended if memory stays short.
#[derive(Debug, Default)]
pub(in crate::hub) struct Relief {
    /// How far each is behind, in milliseconds, the furthest first. With 250,000 of them, no step takes
    /// more than 0.2 ms to grow it.
    pub(super) behind: BinaryHeap<(u32, PeerKey)>,
    /// Those who were ended amid a message that they hold still.
    pub(super) leaving: Vec<PeerKey>,
    /// When the last look at all began.
    pub(super) looked: Option<Moment>,
    /// The next part of the table to be looked at, while a look is under way.
    pub(super) next_part: Option<usize>,
}

impl Relief {
    /// Returns true if it is time to look at all connections again.
    pub(super) fn must_look(&self, now: Moment) -> bool {
        let is_over = |looked| now.since(looked) >= BETWEEN_LOOKS;
        self.behind.is_empty() && self.looked.is_none_or(is_over)
    }

    /// Returns true if there is more to be done at once.
    pub(super) fn is_under_way(&self) -> bool {
        self.next_part.is_some() || !self.behind.is_empty() || !self.leaving.is_empty()
    }
}

/// How often all are looked at: 10,000 connections take half a millisecond.
pub(in crate::hub) const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
