//! Whom of a topic's subscribers messages are for.
//!
//! Pure.

use crate::{
    hub::{ids::PeerKey, peer::Peer},
    user::UserId,
};

/// Whom of the subscribers messages are for.
#[derive(Debug)]
pub(in crate::hub) enum Audience {
    /// All of them.
    Everyone,
    /// Some of them, each once, by whichever topic comes first.
    Once {
        /// Only those of this user.
        user: Option<UserId>,
        /// Not this one.
        except: Option<PeerKey>,
        /// The number of the fan-out, which marks those who have them.
        mark: u64,
    },
}

impl Audience {
    /// Returns true if the messages are for this subscriber and it does not have them yet.
    pub(in crate::hub) fn has(&self, key: PeerKey, peer: &Peer) -> bool {
        match self {
            Self::Everyone => true,
            Self::Once { user, except, mark } => {
                peer.reached_by != *mark
                    && (user.is_none() || *user == peer.user)
                    && *except != Some(key)
            }
        }
    }

    /// Takes note that a subscriber has them.
    pub(in crate::hub) fn reached(&self, peer: &mut Peer) {
        if let Self::Once { mark, .. } = self {
            peer.reached_by = *mark;
        }
    }
}
