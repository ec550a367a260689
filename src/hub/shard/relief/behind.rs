//! The peers that are behind, and the progress of the search for them.

use std::{collections::BinaryHeap, time::Duration};

use crate::hub::{bounds::ledger::Moment, ids::PeerKey};

/// The peers that are behind and are to be ended if memory stays short, and the search for them.
#[derive(Debug, Default)]
pub(in crate::hub) struct Relief {
    /// Peers that are behind, each with the time by which it is behind, in milliseconds. The peer
    /// that is furthest behind is on top. With 250,000 peers, growing the heap takes at most 0.2 ms
    /// in a step.
    pub(super) behind: BinaryHeap<(u32, PeerKey)>,
    /// Peers that were ended while they sent a message. The bytes of the message are still held.
    pub(super) ended_amid_message: Vec<PeerKey>,
    /// Time at which the last search began.
    pub(super) searched: Option<Moment>,
    /// Part of the table of peers that is searched next, while a search is under way.
    pub(super) next_part: Option<usize>,
}

impl Relief {
    /// Returns true if all connections must be searched again: every peer that the last search has
    /// found was considered, and that search began long enough ago.
    pub(super) fn must_search(&self, now: Moment) -> bool {
        let is_long_ago = |searched| now.since(searched) >= SEARCH_INTERVAL;
        self.behind.is_empty() && self.searched.is_none_or(is_long_ago)
    }

    /// Returns true if a search is under way, or has found peers that are still to be considered.
    pub(super) fn is_under_way(&self) -> bool {
        self.next_part.is_some() || !self.behind.is_empty() || !self.ended_amid_message.is_empty()
    }
}

/// Least time from the begin of a search to the begin of the next one. A search of 10,000
/// connections takes half a millisecond.
pub(in crate::hub) const SEARCH_INTERVAL: Duration = Duration::from_millis(100);
