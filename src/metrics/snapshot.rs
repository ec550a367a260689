//! The table of all metrics of a hub, as a snapshot.

use crate::metrics::{ends::Ends, shard::ShardMetrics};

/// The metrics of a hub, summed over its shards. Metrics of a server, such as failed accepts, are
/// not included.
///
/// The metrics are read one after the other while the shards go on, so two of them need not be of
/// the same moment. A *gauge* is a current value. A *counter* counts since the start of the hub and
/// never decreases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Gauge: open connections, those in their opening or closing handshakes included.
    pub connections: u64,
    /// Gauge: topics with a subscriber.
    pub topics: u64,
    /// Counter: messages queued to subscribers. A message counts once for each subscriber.
    pub deliveries: u64,
    /// Counter: system calls that wrote to a socket.
    pub writes: u64,
    /// Counter: steps of the shards' ticks. In a step, a shard delivers and writes messages.
    /// Between two steps, it reads the messages of clients.
    pub ticks: u64,
    /// Counters: connections that have ended, by reason.
    pub ended: Ends,
    /// Memory that clients make the server hold, and counters of what was done while it was short.
    pub memory: MemoryMetrics,
}

/// The memory that clients make the server hold, and counters of what was done while it was short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryMetrics {
    /// Gauge: bytes of memory that are charged to the [budget](crate::Limits::memory_budget).
    pub held_bytes: u64,
    /// Gauge: the memory budget, in bytes.
    pub budget_bytes: u64,
    /// Counter: connections ended because they were furthest behind while memory was short.
    pub evicted: u64,
    /// Counter: connections and requests that were ended with an unfinished message, body or head,
    /// because memory was short.
    pub unfinished: u64,
    /// Counter: connections refused for lack of memory.
    pub refused_connections: u64,
    /// Counter: registrations refused for lack of memory.
    pub refused_registrations: u64,
    /// Counter: connections ended because they wanted more topics while memory was short.
    pub refused_topics: u64,
}

impl Metrics {
    /// Adds the metrics of one shard to these.
    pub(crate) fn add(&mut self, shard: &ShardMetrics) {
        let ShardMetrics {
            connections,
            deliveries,
            writes,
            ticks,
            ended,
        } = shard;
        self.connections += connections.get();
        self.deliveries += deliveries.get();
        self.writes += writes.get();
        self.ticks += ticks.get();
        self.ended.add(ended);
    }
}

impl MemoryMetrics {
    /// Returns the number of all refusals: of connections, registrations and topics.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused_connections + self.refused_registrations + self.refused_topics
    }
}
