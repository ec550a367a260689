//! Subscribers of one topic on one shard. Their sockets take everything that is written.

use framecast::{
    HubConfig, Message, TopicName,
    internals::{Handle, Shards},
};
use tokio::io::{empty, join, sink};

/// Numbers of subscribers to measure with.
pub(crate) const SIZES: [usize; 3] = [1, 100, 10_000];

pub(crate) struct Subscribers {
    pub(crate) shards: Shards,
    pub(crate) topic: TopicName,
    _handles: Vec<Handle>,
}

impl Subscribers {
    /// Connects and subscribes `size` subscribers. Each makes this `offer` of extensions.
    pub(crate) fn new(size: usize, offer: Option<&str>) -> Self {
        let mut config = HubConfig::default();
        config.shards = 1.try_into().unwrap();
        config.deflate.enabled = true;
        let shards = Shards::new(&config);
        let topic = TopicName::new("topic").unwrap();
        let handles = (0..size).map(|_| {
            let handle = connect(&shards, offer);
            handle.set_topics(std::slice::from_ref(&topic));
            handle
        });
        let subscribers = Self {
            _handles: handles.collect(),
            shards,
            topic,
        };
        subscribers.run_until_at_rest();
        subscribers
    }

    /// Publishes `messages`, one after the other, and then delivers them to all subscribers.
    pub(crate) fn publish(&self, messages: &[Message]) {
        for message in messages {
            // The receipt is not needed.
            drop(
                self.shards
                    .publish(self.topic.clone(), message.clone(), None),
            );
        }
        self.run_until_at_rest();
    }

    /// Runs the shard until it has nothing to do.
    pub(crate) fn run_until_at_rest(&self) {
        while !self.shards.is_at_rest() {
            self.shards.tick(0);
        }
    }
}

/// Opens one more connection, without subscriptions.
pub(crate) fn connect(shards: &Shards, offer: Option<&str>) -> Handle {
    shards.join(0, None, offer, join(empty(), sink()))
}
