//! The report that each shard gives to the others while memory is short.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The part of a shard's relief that the other shards take into account.
#[derive(Debug, Default)]
pub(in crate::hub) struct Report {
    /// Time, in milliseconds, by which the peer that the shard would end next is behind. Zero if
    /// there is no such peer.
    furthest: AtomicU64,
    /// Number of bytes that ended peers of the shard are about to free.
    bytes_about_to_be_freed: AtomicU64,
}

impl Report {
    /// Clears the report: the shard has no peer to end, and is about to free no memory.
    pub(in crate::hub) fn clear(&self) {
        self.set(0, 0);
    }

    /// Replaces both numbers of the report.
    pub(super) fn set(&self, furthest: u64, bytes_about_to_be_freed: u64) {
        // Stores only changes, which are rare: every shard reads the numbers while memory is short,
        // and after a store the other cores must fetch them again.
        for (reported, new) in [
            (&self.furthest, furthest),
            (&self.bytes_about_to_be_freed, bytes_about_to_be_freed),
        ] {
            if reported.load(Relaxed) != new {
                reported.store(new, Relaxed);
            }
        }
    }

    pub(super) fn furthest(&self) -> u64 {
        self.furthest.load(Relaxed)
    }

    pub(super) fn bytes_about_to_be_freed(&self) -> u64 {
        self.bytes_about_to_be_freed.load(Relaxed)
    }
}
