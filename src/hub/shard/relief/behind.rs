//! The peers that are behind, and the progress of the search for them.

use std::{collections::BinaryHeap, time::Duration};

use crate::hub::{bounds::ledger::Moment, ids::PeerKey};

/// The peers that are behind and are to be ended if memory stays short, and the search for them.
#[derive(Debug, Default)]
pub(in crate::hub) struct Relief {
    /// Peers that are behind, each with the time by which it is behind, in milliseconds. The peer
    /// that is furthest behind is on top. If 250,000 peers are behind, the growth of the heap takes
    /// at most 0.2 ms of a step.
    pub(super) behind: BinaryHeap<(u32, PeerKey)>,
    /// Peers that were ended while they sent a message. The bytes of the message are still held.
    pub(super) ended_amid_message: Vec<PeerKey>,
    /// Time at which the last search began.
    pub(super) searched: Option<Moment>,
    /// Index of the part of the table of peers that is searched next, or `None` if no search is
    /// under way.
    pub(super) next_part: Option<usize>,
}

impl Relief {
    /// Returns true if a new search of all connections must begin: each peer that the last search
    /// has found was ended or passed over, and the last search began long enough ago.
    pub(super) fn must_search(&self, now: Moment) -> bool {
        let is_long_ago = |searched| now.since(searched) >= SEARCH_INTERVAL;
        self.behind.is_empty() && self.searched.is_none_or(is_long_ago)
    }

    /// Returns true if a search is under way, if peers that it has found are still to be ended or
    /// passed over, or if messages of ended peers may still be held.
    pub(super) fn is_under_way(&self) -> bool {
        self.next_part.is_some() || !self.behind.is_empty() || !self.ended_amid_message.is_empty()
    }
}

/// Least time from the begin of a search to the begin of the next one. A search of 10,000
/// connections takes half a millisecond.
pub(in crate::hub) const SEARCH_INTERVAL: Duration = Duration::from_millis(100);
