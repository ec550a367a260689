//! The hub's functions for single shards, used by the acceptor, which hands each new connection to
//! a shard, and by the watchdog, which detects shards that stand still.
//!
//! Each shard counts its [ticks](Hub::ticks). A shard that is [nudged](Hub::nudge) and does not
//! tick stands still.

use crate::hub::Hub;

impl Hub {
    /// Returns the shard that gets the next connection.
    pub(crate) fn next_shard(&self) -> usize {
        self.0.links.shared.round_robin.next()
    }

    /// Makes a shard absent, so that it gets no new connections, or present again.
    pub(crate) fn set_absent(&self, shard: usize, is_absent: bool) {
        let shared = &self.0.links.shared;
        shared.round_robin.set_unavailable(shard, is_absent);
        if is_absent {
            // The other shards must not wait for peers that this one has reported as about to end.
            shared.relief[shard].clear();
        }
    }

    /// Wakes a shard, which then ticks unless it stands still.
    pub(crate) fn nudge(&self, shard: usize) {
        self.0.links.inboxes[shard].wake();
    }

    /// Returns how often a shard has ticked.
    pub(crate) fn ticks(&self, shard: usize) -> u64 {
        self.0.links.shared.metrics[shard].ticks.get()
    }
}
