//! The data that all shards of a hub share.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use tokio::sync::watch;

use crate::{
    config::HubConfig,
    hub::{
        bounds::budget::Budget,
        measured::LongestHold,
        publication::{
            compression::{Contexts, Forms, Windows},
            encoded_message::EncodedMessage,
            router::Router,
        },
        shard::{relief::report::Report, round_robin::RoundRobin},
    },
    message::Message,
    metrics::{DrainedCounts, ShardMetrics, incidents::Incidents},
};

/// The data that all shards of a hub share.
#[derive(Debug)]
pub(in crate::hub) struct Shared {
    pub(in crate::hub) config: HubConfig,
    /// The metrics of each shard.
    pub(in crate::hub) metrics: Vec<ShardMetrics>,
    pub(in crate::hub) incidents: Incidents,
    /// The connections that have ended since a drain began.
    pub(in crate::hub) drained: DrainedCounts,
    /// The longest time that a step or a turn has taken, for each shard.
    pub(in crate::hub) holds: Vec<LongestHold>,
    /// The report of each shard's [relief](crate::hub::shard::relief) to the other shards.
    pub(in crate::hub) relief: Vec<Report>,
    pub(in crate::hub) contexts: Contexts,
    /// For each shard, the set of windows for which it compresses messages, as the bits of
    /// [`Windows`].
    pub(in crate::hub) windows: Vec<AtomicU8>,
    pub(in crate::hub) budget: Arc<Budget>,
    pub(in crate::hub) round_robin: RoundRobin,
    pub(in crate::hub) router: Router,
    /// Becomes true when a shard has panicked.
    pub(in crate::hub) has_panicked: watch::Sender<bool>,
}

impl Shared {
    pub(in crate::hub) fn new(config: &HubConfig) -> Self {
        let shards = 0..config.shards.get();
        Self {
            config: config.clone(),
            metrics: shards.clone().map(|_| ShardMetrics::default()).collect(),
            incidents: Incidents::default(),
            drained: DrainedCounts::default(),
            holds: shards.clone().map(|_| LongestHold::new()).collect(),
            windows: shards.clone().map(|_| AtomicU8::new(0)).collect(),
            relief: shards.map(|_| Report::default()).collect(),
            contexts: Contexts::new(&config.deflate),
            budget: Budget::new(config.limits.budget_bytes()),
            round_robin: RoundRobin::new(config.shards.get()),
            router: Router::default(),
            has_panicked: watch::Sender::new(false),
        }
    }

    /// Encodes a message for publication.
    pub(in crate::hub) fn encode(&self, message: Message) -> EncodedMessage {
        EncodedMessage::new(message, &self.config.deflate, &self.budget)
    }

    /// Returns the compressed forms that a shard may have to make of a message that it delivers to
    /// this number of `subscribers`.
    pub(in crate::hub) fn forms(&self, shard: usize, subscribers: usize) -> Forms {
        if !self.config.deflate.enabled {
            return Forms::default();
        }
        Forms {
            windows: Windows(self.windows[shard].load(Relaxed)),
            contexts: self.contexts.granted().min(subscribers),
        }
    }
}
