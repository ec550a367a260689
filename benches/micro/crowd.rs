//! Subscribers of one topic on one shard, whose sockets take everything.

use framecast::{
    HubConfig, Message, TopicName,
    internals::{Handle, Shards},
};
use tokio::io::{empty, join, sink};

/// How many subscribers there are.
pub(crate) const SIZES: [usize; 3] = [1, 100, 10_000];

pub(crate) struct Crowd {
    pub(crate) shards: Shards,
    pub(crate) topic: TopicName,
    _handles: Vec<Handle>,
}

impl Crowd {
    /// So many, each of which made this `offer` of extensions.
    pub(crate) fn new(size: usize, offer: Option<&str>) -> Self {
        let mut config = HubConfig::default();
        config.shards = 1.try_into().unwrap();
        config.deflate.enabled = true;
        let shards = Shards::new(&config);
        let topic = TopicName::new("crowd").unwrap();
        let handles = (0..size).map(|_| {
            let handle = connect(&shards, offer);
            handle.set_topics(std::slice::from_ref(&topic));
            handle
        });
        let crowd = Self {
            _handles: handles.collect(),
            shards,
            topic,
        };
        crowd.come_to_rest();
        crowd
    }

    /// Publishes `messages`, one after the other, and delivers them.
    pub(crate) fn publish(&self, messages: &[Message]) {
        for message in messages {
            // Nobody asks for the receipt.
            drop(
                self.shards
                    .publish(self.topic.clone(), message.clone(), None),
            );
        }
        self.come_to_rest();
    }

    pub(crate) fn come_to_rest(&self) {
        while !self.shards.is_at_rest() {
            self.shards.tick(0);
        }
    }
}

/// One more connection, which follows nothing yet.
pub(crate) fn connect(shards: &Shards, offer: Option<&str>) -> Handle {
    shards.join(0, None, offer, join(empty(), sink()))
}
