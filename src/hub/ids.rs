//! Keys of connections, topics and subscriptions inside the hub.

use std::fmt;

use slotmap::{Key as _, new_key_type};

new_key_type! {
    /// The key of a connection on its shard. No later connection gets the same key.
    pub(crate) struct PeerKey;

    /// The key of a topic that has subscribers on a shard.
    pub(super) struct TopicKey;
}

/// The id of a connection of this hub. No later connection gets the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    pub(super) shard: usize,
    pub(super) key: PeerKey,
}

/// Formats the id as the log shows it: the shard, and the key on that shard.
impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}", self.shard, self.key.data())
    }
}

/// A subscription, as the connection stores it: the topic, and the index of the connection in the
/// topic's list of subscribers. With the index, unsubscribing is O(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubscriptionKey {
    pub(super) topic: TopicKey,
    /// Index of the connection in the topic's list of subscribers.
    pub(super) index: u32,
}

/// A subscriber, as the topic stores it: the connection, and the index of the [`SubscriptionKey`]
/// in the connection's list of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscriber {
    pub(super) peer: PeerKey,
    /// Index of the subscription in the connection's list of subscriptions.
    pub(super) subscription: u32,
}

#[cfg(test)]
impl ConnectionId {
    /// Returns an id that no connection has. It differs from that of every other `number`.
    pub(crate) fn of_nobody(number: u32) -> Self {
        Self {
            shard: 0,
            key: slotmap::KeyData::from_ffi(1 << 32 | u64::from(number)).into(),
        }
    }
}
