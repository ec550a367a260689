//! Subscribing a connection to topics, and unsubscribing it.

use tokio::sync::oneshot;

use crate::{
    hub::{
        handle::HandleRef,
        shard::{Item, Work, subscriptions::subscription_bytes},
    },
    topic::{
        TopicName,
        list::{MAX_TOPICS, Topics},
    },
};

impl HandleRef {
    /// Subscribes the connection to exactly `topics`, each of which is named once. Every message
    /// that is published to them after this function has returned reaches the connection, because
    /// the router knows of the subscriptions by then.
    pub(crate) fn set_topics(&self, topics: &[TopicName]) {
        let mut state = self.shard.state.borrow_mut();
        let followed = state
            .peers
            .get(self.key)
            .map_or(0, |peer| peer.subscriptions.len());
        state.set_topics(self.key, topics);
        drop(state);
        self.spend((followed + topics.len()) as u64 * TOPIC_CHANGE);
    }

    /// Returns the topics that the connection follows.
    pub(crate) fn topics(&self) -> Topics {
        let state = self.shard.state.borrow();
        let topics = state.topics_of(self.key);
        Topics::of_distinct(topics.map(|topic| topic.name.clone()))
    }

    /// Subscribes the connection to one more topic, unless it follows the topic already.
    pub(crate) fn subscribe(&self, name: &TopicName) -> Subscribed {
        // Charged whatever the outcome is, because the name is compared with all topics that the
        // connection follows.
        self.spend(TOPIC_CHANGE);
        let mut state = self.shard.state.borrow_mut();
        let mut followed = 0;
        let mut topics = state.topics_of(self.key).inspect(|_| followed += 1);
        let is_new = !topics.any(|topic| topic.name == *name);
        drop(topics);
        if !is_new {
            return Subscribed::Yes;
        }
        if followed == MAX_TOPICS {
            return Subscribed::TooMany;
        }
        if self.shard.ledger().budget().is_crowded() {
            return Subscribed::ShortOfMemory;
        }
        if let Some(peer) = state.peers.get_mut(self.key)
            && peer.subscriptions.is_empty()
        {
            // Memory for exactly one: most connections follow one topic, and there are many
            // connections.
            peer.subscriptions.reserve_exact(1);
        }
        state.subscribe(self.key, name);
        Subscribed::Yes
    }

    /// Unsubscribes the connection from one topic, if it follows the topic.
    pub(crate) fn unsubscribe(&self, name: &TopicName) {
        let mut state = self.shard.state.borrow_mut();
        let subscription = state
            .topics_of(self.key)
            .position(|topic| topic.name == *name);
        if let Some(subscription) = subscription {
            state.leave(self.key, subscription);
            if let Some(peer) = state.peers.get_mut(self.key) {
                // A connection that has left most of its topics gives back their memory.
                if 4 * peer.subscriptions.len() <= peer.subscriptions.capacity() {
                    peer.subscriptions.shrink_to_fit();
                }
            }
        }
        drop(state);
        self.spend(TOPIC_CHANGE);
    }

    /// Returns a receiver that completes, with an error, when all messages that were published
    /// before this call are queued for the connection. Returns `None` if it follows no topic.
    pub(crate) fn deliveries(&self) -> Option<oneshot::Receiver<()>> {
        self.with(|peer| !peer.subscriptions.is_empty())
            .filter(|follows| *follows)?;
        let (done, queued) = oneshot::channel::<()>();
        // The shard drops the sender when it has fanned out what is before this in its inbox.
        let work: Work = Box::new(move |_| drop(done));
        self.shard.inbox().push(Item::Run(work));
        Some(queued)
    }

    /// Returns true if memory is short, and following `topics` would take more memory than the
    /// topics that the connection follows now.
    pub(crate) fn is_too_much(&self, topics: &[TopicName]) -> bool {
        let wanted = topics.iter().map(subscription_bytes).sum::<usize>();
        let state = self.shard.state.borrow();
        self.shard.ledger().budget().is_crowded() && wanted > state.topics_bytes(self.key)
    }
}

/// The outcome of subscribing to one more topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Subscribed {
    /// The connection follows the topic. It may have done so before.
    Yes,
    /// The connection was not subscribed, because memory is short.
    ShortOfMemory,
    /// The connection was not subscribed, because it follows [`MAX_TOPICS`] topics already.
    TooMany,
}

/// The cost of subscribing to a topic or unsubscribing from it, in nanoseconds.
const TOPIC_CHANGE: u64 = 300;
