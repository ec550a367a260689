//! Counters and gauges. Each shard writes its own, so that counting costs no contention; whoever
//! reads sums them up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one thread changes and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`. Only the thread that owns the counter may: this is not a read-modify-write.
    pub(crate) fn add(&self, count: u64) {
        self.set(self.get() + count);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value, as of some moment in the recent past.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that any thread increments and reads.
#[derive(Debug, Default)]
pub(crate) struct SharedCounter(AtomicU64);

impl SharedCounter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one shard counts.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ShardMetrics {
    /// Open connections, those in their handshakes included.
    pub connections: Counter,
    /// Topics with a subscriber on this shard.
    pub topics: Counter,
    /// Frames queued to subscribers.
    pub deliveries: Counter,
    /// Writes to sockets.
    pub writes: Counter,
    /// Steps of its tick: while they don't go on, the shard stands still.
    pub ticks: Counter,
    /// Connections ended because they read too slowly.
    pub slow_consumers: Counter,
    /// Of these, those whose oldest waiting message was too old.
    pub too_far_behind: Counter,
    /// Connections ended because they were silent for too long.
    pub unanswered_pings: Counter,
    /// Connections ended because they broke the protocol or a limit.
    pub violations: Counter,
}
