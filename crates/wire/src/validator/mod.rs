//! The validator: checks the peer's frames while their bytes pass, in place.
//!
//! A pure state machine over bytes: it copies nothing but a header, allocates nothing, and gives
//! the same verdict for every way in which the same bytes are split. On its way it unmasks the
//! payload (§5.3), checks text as UTF-8 while it arrives (§8.1), and shows every data message as
//! plain binary to what reads after it: fastwebsockets drops a code point that is cut off at the
//! end of a fragmented text, and refuses what is compressed. What each message really is goes
//! into a queue beside.
//!
//! Section numbers are those of [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455).

use std::collections::VecDeque;

use super::{
    frame::Kind,
    header::{CONTROL, FIN, Header, OPCODE, RSV, RSV1},
    protocol_error::ProtocolError,
    utf8::Utf8,
};

/// The rules for what the peer sends.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Which side of the connection we are.
    pub role: Role,
    /// permessage-deflate was agreed on: messages may be compressed (RFC 7692 §6.2).
    pub deflate: bool,
    /// The limits of a message.
    pub limits: MessageLimits,
}

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the RFC knows two sides")]
pub enum Role {
    /// Its frames are masked (§5.1).
    Client,
    /// Its frames are not.
    Server,
}

/// The limits of a message.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    /// The largest message, in payload bytes, counted over all its fragments; this many pass.
    pub message_bytes: usize,
    /// The most frames that a message may be made of.
    pub fragments: u32,
}

impl MessageLimits {
    /// The largest message as it arrives. Compressing makes what can't be compressed larger: by
    /// an eighth at worst, where a byte takes nine bits (RFC 1951 §3.2.6).
    pub fn received_bytes(&self, is_deflated: bool) -> usize {
        if is_deflated {
            self.message_bytes + self.message_bytes / 8 + 64
        } else {
            self.message_bytes
        }
    }
}

/// The facts about a message that what is shown, plain binary, does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is no more to a message")]
pub struct MessageInfo {
    /// Text or binary.
    pub kind: Kind,
    /// It is to be inflated, and if it is text, to be checked after that (RFC 7692 §6.2).
    pub is_deflated: bool,
}

/// A protocol error, and how many bytes of the chunk before it may still be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorAt {
    /// Offset in the chunk of the header or payload that is wrong.
    pub at: usize,
    /// The error.
    pub error: ProtocolError,
}

/// The state machine, at some point of the peer's byte stream.
///
/// ```text
///         ┌────────────── payload done, or empty ──────────────┐
///         ▼                                                    │
///   header (2 to 14 bytes, may be split) ─► payload (`left` bytes, may be split)
/// ```
#[derive(Debug)]
pub struct Validator {
    rules: Rules,
    /// The header under way.
    header: Header,
    /// Payload bytes of the frame under way still to come.
    left: u64,
    /// The frame's masking key, turned so that its first byte is the next to be used.
    key: [u8; 4],
    /// The payload under way is text that can be read.
    is_text: bool,
    /// The frame under way is the last of its message.
    is_final: bool,
    utf8: Utf8,
    /// The fragmented message under way.
    message: Option<Fragmented>,
}

#[derive(Clone, Copy, Debug)]
struct Fragmented {
    info: MessageInfo,
    bytes: u64,
    frames: u32,
}

impl Validator {
    /// Starts at the first byte after the opening handshake.
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
            message: None,
        }
    }

    /// No frame and no fragmented message is under way.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.header.is_empty() && self.left == 0 && self.message.is_none()
    }

    /// A header has begun to come, and its end has not come yet.
    pub(super) fn is_in_header(&self) -> bool {
        !self.header.is_empty()
    }

    /// Payload of the frame under way that has not come yet, in bytes.
    pub(super) fn payload_left(&self) -> u64 {
        self.left
    }

    /// Returns how many bytes are missing to the end of the header or payload under way, as far as is known.
    #[must_use]
    pub fn wanted(&self) -> usize {
        if self.left > 0 {
            return usize::try_from(self.left).unwrap_or(usize::MAX);
        }
        self.header.size() - self.header.len()
    }

    /// Validates the next bytes, unmasking them; the kind of every data message that begins in them
    /// is appended to `infos`.
    ///
    /// # Errors
    ///
    /// The first error. The validator must not be used after it.
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

    /// Takes payload from the head of `bytes`; how much.
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
        if self.left == 0 {
            self.end_frame()?;
        }
        Ok(len)
    }

    /// Takes header bytes from the head of `bytes`; how many.
    fn take_header(
        &mut self,
        bytes: &mut [u8],
        infos: &mut VecDeque<MessageInfo>,
    ) -> Result<usize, ProtocolError> {
        let had = self.header.len();
        self.header.look_at(bytes);
        // The first two bytes are judged as soon as they are seen: they are delivered on, and
        // the first one is rewritten on its way.
        if had == 0 {
            bytes[0] = self.judge_first(infos)?;
        }
        if had < 2 && self.header.len() >= 2 {
            self.judge_second()?;
        }
        let size = self.header.size();
        if self.header.len() < size {
            return Ok(self.header.len() - had);
        }
        self.begin_payload()?;
        self.header.clear();
        Ok(size - had)
    }

    /// Judges FIN, RSV and opcode; the byte to show instead.
    fn judge_first(&self, infos: &mut VecDeque<MessageInfo>) -> Result<u8, ProtocolError> {
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
        match first & OPCODE {
            0x0 if self.message.is_none() => Err(ProtocolError::ContinuationWithoutStart),
            0x1 | 0x2 if self.message.is_some() => Err(ProtocolError::DataInsideMessage),
            0x8..=0xA if first & FIN == 0 => Err(ProtocolError::ControlFragmented),
            0x0 | 0x8..=0xA => Ok(first),
            0x1 | 0x2 => {
                infos.push_back(info_of(first));
                Ok(first & FIN | 0x2)
            }
            _ => Err(ProtocolError::UnknownOpcode),
        }
    }

    fn judge_second(&self) -> Result<(), ProtocolError> {
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

    /// The header is whole: accounts its length before a byte of it is allocated.
    fn begin_payload(&mut self) -> Result<(), ProtocolError> {
        let length = self.header.payload_length()?;
        let first = self.header.first();
        if first & CONTROL == 0 {
            self.account(first, length)?;
        } else {
            self.is_text = false;
            self.is_final = false;
        }
        self.left = length;
        self.key = self.header.key();
        if length == 0 {
            self.end_frame()?;
        }
        Ok(())
    }

    /// Counts a data frame into its message.
    fn account(&mut self, first: u8, length: u64) -> Result<(), ProtocolError> {
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

    fn end_frame(&mut self) -> Result<(), ProtocolError> {
        if self.is_text && self.is_final && !self.utf8.finish() {
            return Err(ProtocolError::InvalidUtf8);
        }
        Ok(())
    }
}

/// Returns what the first byte of its first frame says of a message.
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
