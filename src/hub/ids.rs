//! Names of connections, topics and subscriptions inside the hub.

use slotmap::new_key_type;

new_key_type! {
    /// A connection of a shard; never that of a later one.
    pub(crate) struct PeerKey;

    /// A topic with subscribers on a shard.
    pub(super) struct TopicKey;
}

/// Names a connection of this hub; never a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    pub(super) shard: usize,
    pub(super) key: PeerKey,
}

/// A connection's subscription: the topic, and the index at which its shard finds the connection among the
/// topic's subscribers. With it, unsubscribing is O(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubscriptionKey {
    pub(super) topic: TopicKey,
    /// Index among the topic's subscribers.
    pub(super) index: u32,
}

/// A subscriber of a topic: the connection, and the index at which that keeps its [`SubscriptionKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscriber {
    pub(super) peer: PeerKey,
    /// Index among the connection's subscriptions.
    pub(super) subscription: u32,
}

#[cfg(test)]
impl ConnectionId {
    pub(crate) fn of_nobody() -> Self {
        Self {
            shard: 0,
            key: PeerKey::default(),
        }
    }
}
