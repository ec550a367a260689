//! The validator: checks and unmasks the peer's frames in place, on their way from the socket to
//! fastwebsockets.
//!
//! It is a pure state machine over bytes. It copies nothing but headers, and returns the same
//! verdict however the bytes are split. It unmasks the payloads of a client (§5.3), and checks text
//! for UTF-8 while it arrives (§8.1).
//!
//! It also rewrites every data message to plain binary, because fastwebsockets would drop a code
//! point that is cut at the end of a fragmented text, and would refuse compressed messages. The
//! real kind of each message, and whether it is compressed, go into a queue of [`MessageInfo`].
//! Nothing else is allocated. `close_code` checks the code of a Close.
//!
//! Section numbers are those of [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455).

pub(super) mod close_code;

use std::collections::VecDeque;

use self::close_code::ArrivingCode;
use super::{
    frame::{Kind, Opcode},
    header::{CONTROL, FIN, Header, OPCODE, RSV, RSV1},
    protocol_error::ProtocolError,
    utf8::Utf8,
};

/// Rules by which the peer's frames are checked.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Our side of the connection.
    pub role: Role,
    /// True if permessage-deflate was agreed, so that messages may be compressed (RFC 7692 §6.2).
    pub deflate: bool,
    /// Limits of a message.
    pub limits: MessageLimits,
}

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the RFC knows two sides")]
pub enum Role {
    /// The client, which masks its frames (§5.1).
    Client,
    /// The server, which does not mask its frames.
    Server,
}

/// Limits of a message.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    /// Size of the largest message that is allowed, in payload bytes of all its fragments.
    pub message_bytes: usize,
    /// Largest number of frames that is allowed in a message.
    pub fragments: u32,
}

impl MessageLimits {
    /// Returns the largest number of payload bytes that a message may have on the wire. For a
    /// compressed message this is more than `message_bytes`, because data that cannot be compressed
    /// grows by compression: by an eighth at most, because a byte takes at most nine bits (RFC 1951
    /// §3.2.6), and by some bytes for the headers of its blocks.
    pub fn received_bytes(&self, is_deflated: bool) -> usize {
        if is_deflated {
            self.message_bytes + self.message_bytes / 8 + 64
        } else {
            self.message_bytes
        }
    }
}

/// Properties of a message that fastwebsockets cannot see any more: the validator rewrites
/// compressed frames to uncompressed ones, and text to binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is no more to a message")]
pub struct MessageInfo {
    /// Text or binary.
    pub kind: Kind,
    /// True if the message is compressed. The reader must then inflate it, and check it for UTF-8
    /// if it is text (RFC 7692 §6.2).
    pub is_deflated: bool,
}

/// A protocol error, and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorAt {
    /// Offset of the wrong header or payload in the bytes that [`Validator::validate`] was given.
    /// It is 0 if the header or payload began in an earlier call. The bytes before this offset may
    /// be passed to fastwebsockets.
    pub at: usize,
    /// The rule that the peer broke.
    pub error: ProtocolError,
}

/// The state machine, at some position in the peer's byte stream.
///
/// ```text
///         ┌────────────── payload done, or empty ──────────────┐
///         ▼                                                    │
///   header (2 to 14 bytes, may be split) ─► payload (`left` bytes, may be split)
/// ```
#[derive(Debug)]
pub struct Validator {
    rules: Rules,
    /// The bytes of the header that is arriving. Empty during a payload.
    header: Header,
    /// Payload bytes of the current frame that have not arrived yet.
    left: u64,
    /// The masking key of the current frame, rotated so that its first byte is the next one to be
    /// used.
    key: [u8; 4],
    /// True if the current payload is uncompressed text, and must be checked for UTF-8.
    is_text: bool,
    /// True if the current frame is the last of its message.
    is_final: bool,
    utf8: Utf8,
    /// The code of the Close frame that is arriving.
    close_code: ArrivingCode,
    /// The fragmented message of which more frames must follow, or `None` if there is no such
    /// message.
    message: Option<Fragmented>,
}

/// What is known of a fragmented message from the headers of the frames that have begun so far.
#[derive(Clone, Copy, Debug)]
struct Fragmented {
    info: MessageInfo,
    bytes: u64,
    frames: u32,
}

impl Validator {
    /// Returns a validator for a stream that begins with a frame, such as the first frame after the
    /// opening handshake.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            header: Header::default(),
            left: 0,
            key: [0; 4],
            is_text: false,
            is_final: false,
            utf8: Utf8::default(),
            close_code: ArrivingCode::default(),
            message: None,
        }
    }

    /// Returns true if neither a frame nor a fragmented message is unfinished.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.header.is_empty() && self.left == 0 && self.message.is_none()
    }

    /// Returns true if part of a header has arrived, and its end has not.
    pub(super) fn is_in_header(&self) -> bool {
        !self.header.is_empty()
    }

    /// Returns true if a Close frame is shown with another code than the peer has sent.
    pub(super) fn has_replaced_close_code(&self) -> bool {
        self.close_code.is_replaced
    }

    /// Returns the number of payload bytes of the current frame that have not arrived yet.
    pub(super) fn payload_left(&self) -> u64 {
        self.left
    }

    /// Returns how many bytes must still arrive until the current header or payload is whole. A
    /// header is taken to have 2 bytes until the second one, which determines its length, has
    /// arrived.
    #[must_use]
    pub fn wanted(&self) -> usize {
        if self.left > 0 {
            return usize::try_from(self.left).unwrap_or(usize::MAX);
        }
        self.header.size() - self.header.len()
    }

    /// Validates the next bytes of the peer, and unmasks and rewrites them in place. For each data
    /// message that begins in these bytes, appends its info to `infos`.
    ///
    /// # Errors
    ///
    /// The first protocol error. The validator must not be used after it.
    pub fn validate(
        &mut self,
        chunk: &mut [u8],
        infos: &mut VecDeque<MessageInfo>,
    ) -> Result<(), ErrorAt> {
        let mut at = 0;
        while at < chunk.len() {
            let rest = &mut chunk[at..];
            let taken = if self.left > 0 {
                self.take_payload(rest)
            } else {
                self.take_header(rest, infos)
            };
            at += taken.map_err(|error| ErrorAt { at, error })?;
        }
        Ok(())
    }

    /// Validates and unmasks bytes of a payload at the beginning of `bytes`. Returns how many of
    /// the bytes belong to the payload.
    fn take_payload(&mut self, bytes: &mut [u8]) -> Result<usize, ProtocolError> {
        let len = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let piece = &mut bytes[..len];
        if self.rules.role == Role::Server {
            fastwebsockets::unmask(piece, self.key);
            self.key.rotate_left(len % 4);
        }
        self.left -= len as u64;
        if self.is_text && !self.utf8.feed(piece) {
            return Err(ProtocolError::InvalidUtf8);
        }
        self.close_code.take(piece)?;
        if self.left == 0 {
            self.end_frame()?;
        }
        Ok(len)
    }

    /// Validates bytes of a header at the beginning of `bytes`. Returns how many of the bytes
    /// belong to the header.
    fn take_header(
        &mut self,
        bytes: &mut [u8],
        infos: &mut VecDeque<MessageInfo>,
    ) -> Result<usize, ProtocolError> {
        let had = self.header.len();
        self.header.collect(bytes);
        // Each of the first two bytes is checked as soon as it arrives: the gate may pass it on
        // before the rest of the header has arrived, and the first byte must be rewritten before
        // that.
        if had == 0 {
            bytes[0] = self.check_first_byte(infos)?;
        }
        if had < 2 && self.header.len() >= 2 {
            self.check_second_byte()?;
        }
        let size = self.header.size();
        if self.header.len() < size {
            return Ok(self.header.len() - had);
        }
        self.begin_payload()?;
        self.header.clear();
        Ok(size - had)
    }

    /// Checks the first byte of a frame: FIN, RSV and opcode. Returns the byte that fastwebsockets
    /// gets in its place. If a data message begins, appends its info to `infos`.
    fn check_first_byte(&self, infos: &mut VecDeque<MessageInfo>) -> Result<u8, ProtocolError> {
        let first = self.header.first();
        let is_data = matches!(first & OPCODE, 0x1 | 0x2);
        let allowed = if self.rules.deflate && is_data {
            RSV1
        } else {
            0
        };
        if first & RSV & !allowed != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        // The opcodes: 0x0 is a continuation, 0x1 text, 0x2 binary, 0x8 to 0xA are Close, Ping and
        // Pong. All others are unknown.
        match first & OPCODE {
            0x0 if self.message.is_none() => Err(ProtocolError::ContinuationWithoutStart),
            0x1 | 0x2 if self.message.is_some() => Err(ProtocolError::DataInsideMessage),
            0x8..=0xA if first & FIN == 0 => Err(ProtocolError::ControlFragmented),
            0x0 | 0x8..=0xA => Ok(first),
            0x1 | 0x2 => {
                infos.push_back(info_of(first));
                // Binary, without RSV1.
                Ok(first & FIN | 0x2)
            }
            _ => Err(ProtocolError::UnknownOpcode),
        }
    }

    /// Checks the mask bit against our role, and the length of a control frame.
    fn check_second_byte(&self) -> Result<(), ProtocolError> {
        match (self.rules.role, self.header.is_masked()) {
            (Role::Server, false) => return Err(ProtocolError::Unmasked),
            (Role::Client, true) => return Err(ProtocolError::Masked),
            _ => {}
        }
        if self.header.is_control_too_long() {
            return Err(ProtocolError::ControlTooLong);
        }
        Ok(())
    }

    /// Begins the payload of a frame whose header is whole. Checks its length against the limits
    /// before any memory is allocated for it.
    fn begin_payload(&mut self) -> Result<(), ProtocolError> {
        let length = self.header.payload_length()?;
        let first = self.header.first();
        if first & CONTROL == 0 {
            self.add_to_message(first, length)?;
        } else {
            // A control frame does not end the text that it may interrupt.
            self.is_text = false;
            self.is_final = false;
            if first & OPCODE == Opcode::Close as u8 {
                self.close_code.begin(length)?;
            }
        }
        self.left = length;
        self.key = self.header.key();
        if length == 0 {
            self.end_frame()?;
        }
        Ok(())
    }

    /// Adds a data frame, whose header is whole, to its message. Checks the limits of the message.
    fn add_to_message(&mut self, first: u8, length: u64) -> Result<(), ProtocolError> {
        let before = self.message.take().unwrap_or_else(|| Fragmented {
            info: info_of(first),
            bytes: 0,
            frames: 0,
        });
        let message = Fragmented {
            info: before.info,
            bytes: before.bytes.saturating_add(length),
            frames: before.frames + 1,
        };
        let limits = self.rules.limits;
        if message.bytes > limits.received_bytes(message.info.is_deflated) as u64 {
            return Err(ProtocolError::MessageTooBig);
        }
        if message.frames > limits.fragments {
            return Err(ProtocolError::TooManyFragments);
        }
        self.is_text = message.info.kind == Kind::Text && !message.info.is_deflated;
        self.is_final = first & FIN != 0;
        if !self.is_final {
            self.message = Some(message);
        }
        Ok(())
    }

    /// If a text ends with this frame, checks that it does not end inside a code point.
    fn end_frame(&mut self) -> Result<(), ProtocolError> {
        if self.is_text && self.is_final && !self.utf8.finish() {
            return Err(ProtocolError::InvalidUtf8);
        }
        Ok(())
    }
}

/// Returns the properties of a message from the first byte of its first frame.
fn info_of(first: u8) -> MessageInfo {
    MessageInfo {
        kind: if first & OPCODE == 0x1 {
            Kind::Text
        } else {
            Kind::Binary
        },
        is_deflated: first & RSV1 != 0,
    }
}

#[cfg(test)]
mod tests;
