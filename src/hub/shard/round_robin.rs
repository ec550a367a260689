//! The choice of a shard for the next connection: round robin over the shards that are available.
//!
//! The server's watchdog marks a shard that stands still as unavailable.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The shard whose turn it is to get a connection, and the shards that get none.
#[derive(Debug)]
pub(in crate::hub) struct RoundRobin {
    /// Number of turns so far. Its remainder by the number of shards is the next shard.
    next: AtomicUsize,
    /// One for each shard: true if it gets no connections.
    is_unavailable: Vec<AtomicBool>,
    /// One for each shard: true if it has panicked, and so stays unavailable.
    has_panicked: Vec<AtomicBool>,
}

impl RoundRobin {
    pub(in crate::hub) fn new(shards: usize) -> Self {
        Self {
            next: AtomicUsize::new(0),
            is_unavailable: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            has_panicked: (0..shards).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Returns the next available shard in turn. If none is available, returns any shard.
    pub(in crate::hub) fn next(&self) -> usize {
        let take_turn = || self.next.fetch_add(1, Relaxed) % self.is_unavailable.len();
        // At most one turn for each shard.
        let mut in_turn = self.is_unavailable.iter().map(|_| take_turn());
        let available = in_turn.find(|&shard| !self.is_unavailable[shard].load(Relaxed));
        available.unwrap_or_else(take_turn)
    }

    /// Marks a shard as unavailable or available. A shard that has panicked stays unavailable.
    pub(in crate::hub) fn set_unavailable(&self, shard: usize, is_unavailable: bool) {
        let has_panicked = self.has_panicked[shard].load(Relaxed);
        self.is_unavailable[shard].store(is_unavailable || has_panicked, Relaxed);
    }

    /// Makes a shard unavailable for good.
    pub(in crate::hub) fn set_panicked(&self, shard: usize) {
        self.has_panicked[shard].store(true, Relaxed);
        self.set_unavailable(shard, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the shards that the next `count` connections get.
    fn turns(shards: &RoundRobin, count: usize) -> Vec<usize> {
        (0..count).map(|_| shards.next()).collect()
    }

    #[test]
    fn each_available_shard_has_its_turn_and_every_shard_has_if_none_is_available() {
        let shards = RoundRobin::new(3);
        assert_eq!(turns(&shards, 4), [0, 1, 2, 0]);
        shards.set_unavailable(1, true);
        assert_eq!(turns(&shards, 4), [2, 0, 2, 0]);
        shards.set_unavailable(0, true);
        assert_eq!(turns(&shards, 2), [2, 2]);
        shards.set_unavailable(2, true);
        assert!(turns(&shards, 4).iter().all(|&shard| shard < 3));
        shards.set_unavailable(1, false);
        assert_eq!(turns(&shards, 2), [1, 1]);
    }
}
