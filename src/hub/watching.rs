//! Single shards, as those see them who hand connections out and watch for shards that stand still.
//!
//! Each shard counts its [ticks](Hub::ticks), and one that is [nudged](Hub::nudge) and does not tick
//! stands still.

use crate::hub::Hub;

impl Hub {
    /// The shard that is to get the next connection.
    pub(crate) fn next_shard(&self) -> usize {
        self.0.links.shared.attendance.next()
    }

    /// Says whether connections are to pass a shard by.
    pub(crate) fn set_absent(&self, shard: usize, is_absent: bool) {
        let shared = &self.0.links.shared;
        shared.attendance.set_absent(shard, is_absent);
        if is_absent {
            // The others must not wait for those whom it was about to end.
            shared.relief[shard].clear();
        }
    }

    /// Has a shard tick, if it can.
    pub(crate) fn nudge(&self, shard: usize) {
        self.0.links.inboxes[shard].wake();
    }

    /// How often a shard has ticked.
    pub(crate) fn ticks(&self, shard: usize) -> u64 {
        self.0.links.shared.metrics[shard].ticks.get()
    }
}
