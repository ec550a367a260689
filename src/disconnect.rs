//! Reasons for which connections end. The reason decides which close code the server sends, if it
//! sends a Close, whether the outbox is still written, and whether the peer's Close is awaited.

use crate::wire::{close::CloseCode, frame::Frame, protocol_error::ProtocolError};

/// The reason for which a connection ended.
///
/// The end of a connection is not an error: most connections are closed by their peer. framecast's
/// own close codes begin at 4000: 4000 to 4499 invite the client to connect again, 4500 to 4999
/// tell it not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// The application has closed the connection, with this code.
    #[error("closed by the application")]
    Application(CloseCode),
    /// The shard of the connection has panicked, which is a bug of the server.
    #[error("internal error")]
    ShardPanicked,
    /// The peer began the closing handshake (RFC 6455 §5.5.1). The server's Close echoes its code.
    #[error("closed by peer")]
    ByPeer,
    /// The peer ended the stream, or reset it, without a Close. It may still read what waits for it.
    #[error("connection lost")]
    Lost,
    /// Nothing came from the peer for too long, not even a Pong for a Ping.
    #[error("no pong")]
    NoPong,
    /// Memory is short, and the peer has not finished a message that it began, or wants more
    /// topics.
    #[error("server is short of memory")]
    Overloaded,
    /// The server is shutting down. Another server may be running in its place already.
    #[error("server is restarting")]
    Restarting,
    /// The peer read its messages too slowly, or it was furthest behind in reading while memory was
    /// short.
    #[error("slow consumer")]
    SlowConsumer,
    /// A newer connection has taken the registration of this one over.
    #[error("taken over")]
    TakenOver,
    /// The oldest message in the peer's outbox has waited for too long.
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
    /// Returns the status code for the Close frame (RFC 6455 §7.4; 1012 and 1013 are from the IANA
    /// registry), or `None` if the server sends no Close of its own.
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
            Self::TakenOver => Some(4506),
            Self::Unregistered => Some(4503),
            Self::ProtocolError(error) => Some(error.close_code()),
        }
    }

    /// Returns the Close frame with this reason, or `None` if the server sends no Close of its own.
    pub(crate) fn close_frame(self) -> Option<Frame> {
        Some(Frame::close(self.close_code()?, &self.to_string()))
    }

    /// Returns true if the outbox is dropped instead of written, because the peer does not read it,
    /// memory must be freed, or the shard has panicked.
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

    /// Returns true if the server waits for the peer to answer its Close. It does not wait if the
    /// peer has sent its Close or has gone, if the peer's frames can't be read after a protocol
    /// error, or if the shard has panicked. Nor does it wait for a peer that is ended because of
    /// the memory that it makes the server hold: the unfinished message and the unread bytes of
    /// this peer are freed, and without them a Close can't be found among the bytes that follow.
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

    /// Returns true if the peer may still be sending when the server has sent its Close. The peer's
    /// bytes must then be read until the stream ends: unread bytes would make the kernel reset the
    /// connection, and the peer could lose the server's Close.
    pub(crate) fn may_still_send(self) -> bool {
        !self.expects_peers_close() && self.close_code().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every connection stores an `Option<Disconnect>`, so its size matters.
    #[test]
    fn a_reason_takes_three_bytes() {
        assert_eq!(size_of::<Option<Disconnect>>(), 3);
    }

    #[test]
    fn the_text_of_a_reason_fits_into_a_close_frame() {
        let error = Disconnect::ProtocolError(ProtocolError::LengthEncoding);
        for reason in [Disconnect::NoPong, Disconnect::Restarting, error] {
            let frame = reason.close_frame().unwrap();
            assert_eq!(frame.as_bytes()[0], 0x88, "FIN and Close");
            // 2 bytes of header, 2 bytes of code, and the whole text: nothing is cut off.
            assert_eq!(frame.wire_len(), 4 + reason.to_string().len());
        }
        assert_eq!(Disconnect::ByPeer.close_frame(), None);
    }
}
