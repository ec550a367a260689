//! What every shard knows of the others, and of the whole hub.

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
        shard::{attendance::Attendance, relief::report::Report},
    },
    message::Message,
    metrics::ShardMetrics,
};

/// One for all shards.
#[derive(Debug)]
pub(in crate::hub) struct Shared {
    pub(in crate::hub) config: HubConfig,
    /// Of each shard.
    pub(in crate::hub) metrics: Vec<ShardMetrics>,
    /// Of each shard.
    pub(in crate::hub) holds: Vec<LongestHold>,
    /// Of each shard: what its [relief](crate::hub::shard::relief) reports to the others.
    pub(in crate::hub) relief: Vec<Report>,
    pub(in crate::hub) contexts: Contexts,
    /// Of each shard: the windows for which its connections want what is compressed for all.
    pub(in crate::hub) windows: Vec<AtomicU8>,
    pub(in crate::hub) budget: Arc<Budget>,
    pub(in crate::hub) attendance: Attendance,
    pub(in crate::hub) router: Router,
    /// Turns true when a shard has panicked.
    pub(in crate::hub) has_panicked: watch::Sender<bool>,
}

impl Shared {
    pub(in crate::hub) fn new(config: &HubConfig) -> Self {
        let shards = 0..config.shards.get();
        Self {
            config: config.clone(),
            metrics: shards.clone().map(|_| ShardMetrics::default()).collect(),
            holds: shards.clone().map(|_| LongestHold::new()).collect(),
            windows: shards.clone().map(|_| AtomicU8::new(0)).collect(),
            relief: shards.map(|_| Report::default()).collect(),
            contexts: Contexts::new(&config.deflate),
            budget: Budget::new(config.limits.budget_bytes()),
            attendance: Attendance::new(config.shards.get()),
            router: Router::default(),
            has_panicked: watch::Sender::new(false),
        }
    }

    /// Encodes a message that is to be published.
    pub(in crate::hub) fn encode(&self, message: Message) -> EncodedMessage {
        EncodedMessage::new(message, &self.config.deflate, &self.budget)
    }

    /// Returns the forms in which a shard compresses a message for so many subscribers, at most.
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
