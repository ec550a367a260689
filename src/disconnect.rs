//! Reasons for which connections end: the close code of each, and what becomes of what waits for the peer.

use crate::wire::{close::CloseCode, frame::Frame, protocol_error::ProtocolError};

/// The reason for which a connection ended.
///
/// Ending is not an error: a peer that says goodbye is the expected case. Codes from 4000 are
/// ours: 4000 to 4499 invite the client to connect again, 4500 to 4999 tell it not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// The application has closed it, with this code.
    #[error("closed by the application")]
    Application(CloseCode),
    /// The server has failed: a shard has panicked.
    #[error("internal error")]
    ShardPanicked,
    /// The peer began the closing handshake (RFC 6455 §5.5.1); its code is echoed.
    #[error("closed by peer")]
    ByPeer,
    /// The peer ended the stream, or reset it, without a Close. It may still read what waits for it.
    #[error("connection lost")]
    Lost,
    /// Nothing came from the peer, not even an answer to a Ping.
    #[error("no pong")]
    NoPong,
    /// Memory is short, and the peer has begun a message or wants what takes more of it.
    #[error("server is short of memory")]
    Overloaded,
    /// The server is shutting down; another one may be there already.
    #[error("server is restarting")]
    Restarting,
    /// The peer read more slowly than its topics were published.
    #[error("slow consumer")]
    SlowConsumer,
    /// The oldest message that waits for the peer has waited for too long.
    #[error("too far behind")]
    TooFarBehind,
    /// The registration of this connection was deleted.
    #[error("registration deleted")]
    Unregistered,
    /// The peer broke the protocol or a limit.
    #[error("{0}")]
    ProtocolError(#[from] ProtocolError),
}

impl Disconnect {
    /// The status code for the Close frame (RFC 6455 §7.4; 1012 is from the IANA registry), or
    /// `None` if nothing of ours is to be sent.
    #[must_use]
    pub fn close_code(self) -> Option<u16> {
        match self {
            Self::ByPeer | Self::Lost => None,
            Self::Application(code) => Some(code.get()),
            Self::ShardPanicked => Some(1011),
            Self::NoPong => Some(4012),
            Self::Overloaded => Some(1013),
            Self::Restarting => Some(1012),
            Self::SlowConsumer | Self::TooFarBehind => Some(4008),
            Self::Unregistered => Some(4503),
            Self::ProtocolError(error) => Some(error.close_code()),
        }
    }

    /// Returns the Close frame that says so, if there is one to send.
    pub(crate) fn close_frame(self) -> Option<Frame> {
        Some(Frame::close(self.close_code()?, &self.to_string()))
    }

    /// Returns true if what waits in the outbox is of no use any more: the peer does not read it.
    pub(crate) fn discards_outbox(self) -> bool {
        matches!(
            self,
            Self::ShardPanicked
                | Self::NoPong
                | Self::Overloaded
                | Self::SlowConsumer
                | Self::TooFarBehind
        )
    }

    /// Returns true if the peer may still answer our Close with its own. Of one that is ended for what it makes the
    /// server hold nothing is kept, and so its Close can't be told from what it sends besides.
    pub(crate) fn expects_peers_close(self) -> bool {
        !matches!(
            self,
            Self::ShardPanicked
                | Self::ByPeer
                | Self::Lost
                | Self::Overloaded
                | Self::SlowConsumer
                | Self::TooFarBehind
                | Self::ProtocolError(_)
        )
    }

    /// Returns true if the peer may be sending, and would lose our Close to a reset.
    pub(crate) fn is_amid_sending(self) -> bool {
        !self.expects_peers_close() && self.close_code().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each connection has room for one.
    #[test]
    fn a_reason_is_small() {
        assert_eq!(size_of::<Option<Disconnect>>(), 3);
    }

    #[test]
    fn every_reason_that_we_give_fits_a_control_frame() {
        let error = Disconnect::ProtocolError(ProtocolError::LengthEncoding);
        for reason in [Disconnect::NoPong, Disconnect::Restarting, error] {
            let frame = reason.close_frame().unwrap();
            assert_eq!(frame.as_bytes()[0], 0x88);
            assert_eq!(frame.wire_len(), 4 + reason.to_string().len());
        }
        assert_eq!(Disconnect::ByPeer.close_frame(), None);
    }
}
