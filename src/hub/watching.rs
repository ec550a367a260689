//! The hub's functions for single shards, used by the acceptor, which hands each new connection to
//! a shard, and by the watchdog, which detects shards that stand still.
//!
//! Each shard counts its [ticks](Hub::ticks). A shard that was [asked for a
//! tick](Hub::request_tick) and does not tick stands still.

use crate::hub::Hub;

impl Hub {
    /// Returns the shard that gets the next connection.
    pub(crate) fn next_shard(&self) -> usize {
        self.0.links.shared.round_robin.next()
    }

    /// Makes a shard unavailable, so that it gets no new connections, or available again.
    pub(crate) fn set_unavailable(&self, shard: usize, is_unavailable: bool) {
        let shared = &self.0.links.shared;
        shared.round_robin.set_unavailable(shard, is_unavailable);
        if is_unavailable {
            // The shard may have reported peers that it is about to end to free memory. The other
            // shards must not wait for that memory.
            shared.relief[shard].clear();
        }
    }

    /// Wakes a shard, which then ticks unless it stands still.
    pub(crate) fn request_tick(&self, shard: usize) {
        self.0.links.inboxes[shard].wake();
    }

    /// Returns the number of steps that a shard's tick has had so far.
    pub(crate) fn ticks(&self, shard: usize) -> u64 {
        self.0.links.shared.metrics[shard].ticks.get()
    }
}
