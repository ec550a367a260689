//! The errors by which a peer can break the protocol, each with the close code that it leads to.
//!
//! Section numbers are those of [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455) where no other
//! RFC is named.

/// An error by which the peer broke the protocol or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// §5.4: a fragment continues a message that was never begun.
    #[error("continuation frame without a message to continue")]
    ContinuationWithoutStart,
    /// §5.5: control frames must not be fragmented.
    #[error("fragmented control frame")]
    ControlFragmented,
    /// §5.5: control frames carry at most 125 bytes.
    #[error("control frame over 125 bytes")]
    ControlTooLong,
    /// §5.4: a new message begins inside a fragmented one.
    #[error("data frame inside a fragmented message")]
    DataInsideMessage,
    /// §5.5.1: the body of a Close must be empty, or begin with a code that may be sent (§7.4).
    #[error("invalid close frame")]
    InvalidClose,
    /// RFC 7692 §7.2.2: the payload of a compressed message can't be decompressed.
    #[error("invalid compressed data")]
    InvalidCompression,
    /// §8.1: text, or a close reason, is not UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// §5.2: the length of a payload must be encoded in its shortest form, and its top bit must be
    /// 0.
    #[error("payload length not in its shortest form")]
    LengthEncoding,
    /// fastwebsockets refused bytes that the validator had accepted. No such bytes are known.
    #[error("malformed frame")]
    Malformed,
    /// §5.1: a server must not mask its frames.
    #[error("masked frame")]
    Masked,
    /// The message is larger than
    /// [`MessageLimits::message_bytes`](super::validator::MessageLimits::message_bytes).
    #[error("message too big")]
    MessageTooBig,
    /// §5.2: RSV bits are set that no agreed extension uses.
    #[error("reserved bits set")]
    ReservedBits,
    /// The message has more frames than
    /// [`MessageLimits::fragments`](super::validator::MessageLimits::fragments).
    #[error("too many fragments")]
    TooManyFragments,
    /// §5.2: the opcode is not defined.
    #[error("unknown opcode")]
    UnknownOpcode,
    /// §5.1: a client must mask its frames.
    #[error("unmasked frame")]
    Unmasked,
}

impl ProtocolError {
    /// Returns the close code for this error (§7.4.1).
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::InvalidCompression | Self::InvalidUtf8 => 1007,
            Self::TooManyFragments => 1008,
            Self::MessageTooBig => 1009,
            _ => 1002,
        }
    }
}
