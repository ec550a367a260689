//! The recipients of a fan-out. Those that have got the messages already are marked.
//!
//! Pure: no I/O and no clock.

use crate::hub::{
    ids::{ConnectionId, PeerKey},
    peer::Peer,
    publication::Audience,
};

/// The subscribers to which a fan-out queues its messages.
#[derive(Debug)]
pub(in crate::hub) enum Recipients {
    /// All subscribers of a single topic.
    All,
    /// The subscribers in an audience. A subscriber of several topics of the fan-out gets the
    /// messages once, by the first of these topics.
    Once {
        audience: Audience,
        /// The shard of the subscribers.
        shard: usize,
        /// The number of the fan-out. A subscriber that has got the messages is marked with it.
        mark: u64,
    },
}

impl Recipients {
    /// Returns true if the messages are for this subscriber and were not queued to it yet.
    pub(in crate::hub) fn include(&self, key: PeerKey, peer: &Peer) -> bool {
        match self {
            Self::All => true,
            Self::Once {
                audience,
                shard,
                mark,
            } => {
                let id = ConnectionId { shard: *shard, key };
                peer.reached_by != *mark && audience.includes(id, peer.user.as_ref())
            }
        }
    }

    /// Marks a subscriber to which the messages were queued, so that it is not
    /// [included](Self::include) again.
    pub(in crate::hub) fn mark(&self, peer: &mut Peer) {
        if let Self::Once { mark, .. } = self {
            peer.reached_by = *mark;
        }
    }
}
