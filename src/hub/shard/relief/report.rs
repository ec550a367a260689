//! The report that each shard gives to the others while memory is short.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The part of a shard's relief that the other shards take into account.
#[derive(Debug, Default)]
pub(in crate::hub) struct Report {
    /// How far behind somebody is who can be ended, in milliseconds.
    furthest: AtomicU64,
    /// What those who were ended are about to give back, in bytes.
    leaving_bytes: AtomicU64,
}

impl Report {
    /// Takes everything back: the shard has nobody to end, and nothing to give back.
    pub(in crate::hub) fn clear(&self) {
        self.tell(0, 0);
    }

    /// Replaces it: how far behind somebody is, in milliseconds, and what is about to be given back.
    pub(super) fn tell(&self, furthest: u64, leaving_bytes: u64) {
        // Read by every shard while memory is short, and mostly unchanged.
        for (told, new) in [
            (&self.furthest, furthest),
            (&self.leaving_bytes, leaving_bytes),
        ] {
            if told.load(Relaxed) != new {
                told.store(new, Relaxed);
            }
        }
    }

    pub(super) fn furthest(&self) -> u64 {
        self.furthest.load(Relaxed)
    }

    pub(super) fn leaving_bytes(&self) -> u64 {
        self.leaving_bytes.load(Relaxed)
    }
}
