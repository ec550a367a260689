//! Whom of a topic's subscribers messages are for.
//!
//! Pure.

use crate::{hub::peer::Peer, user::UserId};

/// Whom of the subscribers messages are for.
#[derive(Debug)]
pub(in crate::hub) enum Audience {
    /// All of them.
    Everyone,
    /// Those of this user, or of any, each once, by whichever topic comes first: they are marked
    /// with this number of the fan-out.
    Once(Option<UserId>, u64),
}

impl Audience {
    /// Returns true if the messages are for this subscriber and it does not have them yet.
    pub(in crate::hub) fn has(&self, peer: &Peer) -> bool {
        match self {
            Self::Everyone => true,
            Self::Once(user, number) => {
                peer.reached_by != *number && (user.is_none() || *user == peer.user)
            }
        }
    }

    /// Takes note that a subscriber has them.
    pub(in crate::hub) fn reached(&self, peer: &mut Peer) {
        if let Self::Once(_, number) = self {
            peer.reached_by = *number;
        }
    }
}
