//! The table of everything that a hub counts, as it stands at one moment.

use crate::metrics::{ends::Ends, shard::ShardMetrics};

/// The numbers of a hub, summed over its shards. What only a server counts is not among them.
///
/// Each is read by itself while the shards go on, so two of them need not be of the same moment.
/// A *gauge* is a number as it is now; a *counter* counts since the hub's start and never decreases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Gauge: open connections, those in their opening or closing handshakes included.
    pub connections: u64,
    /// Gauge: topics with a subscriber. One with subscribers on several shards counts on each.
    pub topics: u64,
    /// Counter: messages queued to subscribers, once for each of them.
    pub deliveries: u64,
    /// Counter: system calls that wrote to a socket.
    pub writes: u64,
    /// Counter: steps of the shards' ticks.
    pub ticks: u64,
    /// Counters: connections that have ended, by the reason.
    pub ended: Ends,
    /// What clients make the server hold, and what was done while memory was short.
    pub memory: MemoryMetrics,
}

/// What clients make the server hold, and what was done while memory was short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryMetrics {
    /// Gauge: bytes that are charged to the [budget](crate::Limits::memory_budget).
    pub held_bytes: u64,
    /// Gauge: the budget, in bytes.
    pub budget_bytes: u64,
    /// Counter: connections ended because they were furthest behind.
    pub evicted: u64,
    /// Counter: connections and requests ended with an unfinished message, body or head.
    pub unfinished: u64,
    /// Counter: connections refused.
    pub refused_connections: u64,
    /// Counter: registrations refused.
    pub refused_registrations: u64,
    /// Counter: connections ended because they wanted more topics.
    pub refused_topics: u64,
}

impl Metrics {
    /// Adds the numbers of one shard.
    pub(crate) fn add(&mut self, shard: &ShardMetrics) {
        let ShardMetrics {
            connections,
            topics,
            deliveries,
            writes,
            ticks,
            ended,
        } = shard;
        self.connections += connections.get();
        self.topics += topics.get();
        self.deliveries += deliveries.get();
        self.writes += writes.get();
        self.ticks += ticks.get();
        self.ended.add(ended);
    }
}

impl MemoryMetrics {
    /// Returns how often something was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused_connections + self.refused_registrations + self.refused_topics
    }
}
