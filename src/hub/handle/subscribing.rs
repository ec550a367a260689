//! The topics that a connection follows.

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
    /// Follows exactly `topics`, each named once, from now on: whatever is published to them after
    /// this returns reaches the connection.
    ///
    /// Nobody has to wait for that: the router knows when this returns.
    pub(crate) fn set_topics(&self, topics: &[TopicName]) {
        let mut state = self.shard.state.borrow_mut();
        let left = state
            .peers
            .get(self.key)
            .map_or(0, |peer| peer.subscriptions.len());
        state.set_topics(self.key, topics);
        drop(state);
        self.spend((left + topics.len()) as u64 * TOPIC_CHANGE);
    }

    /// Returns the topics that the connection follows.
    pub(crate) fn topics(&self) -> Topics {
        let state = self.shard.state.borrow();
        let topics = state.topics_of(self.key);
        Topics::of_distinct(topics.map(|topic| topic.name.clone()))
    }

    /// Follows one topic more, if it is not followed yet.
    pub(crate) fn subscribe(&self, name: &TopicName) -> Subscribed {
        // Whatever comes of it: all that are followed are looked at.
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
            // Most connections follow one topic, and there are many of them.
            peer.subscriptions.reserve_exact(1);
        }
        state.subscribe(self.key, name);
        state.update_gauges();
        Subscribed::Yes
    }

    /// Leaves one topic, if it is followed.
    pub(crate) fn unsubscribe(&self, name: &TopicName) {
        let mut state = self.shard.state.borrow_mut();
        let subscription = state
            .topics_of(self.key)
            .position(|topic| topic.name == *name);
        if let Some(subscription) = subscription {
            state.leave(self.key, subscription);
            state.update_gauges();
            if let Some(peer) = state.peers.get_mut(self.key) {
                // One that has left nearly all is to be as small as one that has just come.
                if 4 * peer.subscriptions.len() <= peer.subscriptions.capacity() {
                    peer.subscriptions.shrink_to_fit();
                }
            }
        }
        drop(state);
        self.spend(TOPIC_CHANGE);
    }

    /// Returns a receiver that completes, with an error, when all that was published before now is queued
    /// for this connection. Returns `None` if it follows no topic.
    pub(crate) fn deliveries(&self) -> Option<oneshot::Receiver<()>> {
        self.with(|peer| !peer.subscriptions.is_empty())
            .filter(|follows| *follows)?;
        let (done, queued) = oneshot::channel::<()>();
        // The shard drops the sender when it has fanned out what is before this in its inbox.
        let work: Work = Box::new(move |_| drop(done));
        self.shard.inbox().push(Item::Run(work));
        Some(queued)
    }

    /// Returns true if following these topics takes more memory than what is followed now, and memory
    /// is short.
    pub(crate) fn is_too_much(&self, topics: &[TopicName]) -> bool {
        let wanted = topics.iter().map(subscription_bytes).sum::<usize>();
        let state = self.shard.state.borrow();
        self.shard.ledger().budget().is_crowded() && wanted > state.topics_bytes(self.key)
    }
}

/// The outcome of following one topic more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Subscribed {
    /// It is followed, and may have been before.
    Yes,
    ShortOfMemory,
    TooMany,
}

/// The cost of following or leaving a topic, in nanoseconds.
const TOPIC_CHANGE: u64 = 300;
