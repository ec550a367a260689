//! The subscribers that a fan-out reaches, and which of them it has reached.
//!
//! Pure.

use crate::hub::{
    ids::{ConnectionId, PeerKey},
    peer::Peer,
    publication::Audience,
};

/// Those subscribers of the visited topics that messages are queued to.
#[derive(Debug)]
pub(in crate::hub) enum Recipients {
    /// All of them: one topic is visited.
    All,
    /// Those in the audience, each once, by whichever topic comes first.
    Once {
        audience: Audience,
        /// The shard that has the subscribers.
        shard: usize,
        /// The number of the fan-out, which those are marked with that it has reached.
        mark: u64,
    },
}

impl Recipients {
    /// Returns true if the messages are for this subscriber and it does not have them yet.
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

    /// Takes note that a subscriber has them.
    pub(in crate::hub) fn mark(&self, peer: &mut Peer) {
        if let Self::Once { mark, .. } = self {
            peer.reached_by = *mark;
        }
    }
}
