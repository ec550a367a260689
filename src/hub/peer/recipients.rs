//! The subscribers that a fan-out reaches, and which of them it has reached.
//!
//! Pure.

use crate::hub::{peer::Peer, publication::Audience};

/// Those subscribers of the visited topics that messages are queued to.
#[derive(Debug)]
pub(in crate::hub) enum Recipients {
    /// All of them: one topic is visited.
    All,
    /// Those in the audience, each once, by whichever topic comes first: they are marked with this
    /// number of the fan-out.
    Once(Audience, u64),
}

impl Recipients {
    /// Returns true if the messages are for this subscriber and it does not have them yet.
    pub(in crate::hub) fn include(&self, peer: &Peer) -> bool {
        match self {
            Self::All => true,
            Self::Once(audience, mark) => {
                peer.reached_by != *mark && audience.includes(peer.user.as_ref())
            }
        }
    }

    /// Takes note that a subscriber has them.
    pub(in crate::hub) fn mark(&self, peer: &mut Peer) {
        if let Self::Once(_, mark) = self {
            peer.reached_by = *mark;
        }
    }
}
