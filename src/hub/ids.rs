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

/// A topic that a connection follows, and where it stands there: what makes leaving it O(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: TopicKey,
    /// Index among the topic's subscribers.
    pub(super) index: u32,
}

/// A connection that follows a topic, and where it keeps its [`Place`]: the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscriber {
    pub(super) peer: PeerKey,
    /// Index among the connection's places.
    pub(super) place: u32,
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
