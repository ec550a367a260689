//! The walker: judges the peer's frames while their bytes pass, in place.
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
    utf8::Utf8,
    violation::Violation,
};

/// What the peer may send.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Which side of the connection we are.
    pub role: Role,
    /// permessage-deflate was agreed on: messages may be compressed (RFC 7692 §6.2).
    pub deflate: bool,
    /// How large a message may be.
    pub limits: Limits,
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

/// How large a message may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest message, in payload bytes, counted over all its fragments; this many pass.
    pub message_bytes: usize,
    /// The most frames that a message may be made of.
    pub fragments: u32,
}

impl Limits {
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

/// What a message is that is shown as plain binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is no more to a message")]
pub struct Mark {
    /// What it is made of.
    pub kind: Kind,
    /// It is to be inflated, and if it is text, to be checked after that (RFC 7692 §6.2).
    pub is_deflated: bool,
}

/// A violation, and how many bytes of the chunk before it may still be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Offset in the chunk of the header or payload that was refused.
    pub at: usize,
    /// Why.
    pub violation: Violation,
}

/// Where the peer's byte stream stands.
///
/// ```text
///         ┌────────────── payload done, or empty ──────────────┐
///         ▼                                                    │
///   header (2 to 14 bytes, may be split) ─► payload (`left` bytes, may be split)
/// ```
#[derive(Debug)]
pub struct Walk {
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
    mark: Mark,
    bytes: u64,
    frames: u32,
}

impl Walk {
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

    /// How many bytes end what is under way, as far as it is known: a header or a payload.
    #[must_use]
    pub fn wanted(&self) -> usize {
        if self.left > 0 {
            return usize::try_from(self.left).unwrap_or(usize::MAX);
        }
        self.header.size() - self.header.len()
    }

    /// Walks the next bytes, unmasking them; the mark of every data message that begins in them
    /// is appended to `marks`.
    ///
    /// # Errors
    ///
    /// The first violation. The walk must not be continued after it.
    pub fn walk(&mut self, chunk: &mut [u8], marks: &mut VecDeque<Mark>) -> Result<(), Refusal> {
        let mut at = 0;
        while at < chunk.len() {
            let rest = &mut chunk[at..];
            let taken = if self.left > 0 {
                self.take_payload(rest)
            } else {
                self.take_header(rest, marks)
            };
            at += taken.map_err(|violation| Refusal { at, violation })?;
        }
        Ok(())
    }

    /// Takes payload from the head of `bytes`; how much.
    fn take_payload(&mut self, bytes: &mut [u8]) -> Result<usize, Violation> {
        let len = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let piece = &mut bytes[..len];
        if self.rules.role == Role::Server {
            fastwebsockets::unmask(piece, self.key);
            self.key.rotate_left(len % 4);
        }
        self.left -= len as u64;
        if self.is_text && !self.utf8.feed(piece) {
            return Err(Violation::InvalidUtf8);
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
        marks: &mut VecDeque<Mark>,
    ) -> Result<usize, Violation> {
        let had = self.header.len();
        self.header.look_at(bytes);
        // The first two bytes are judged as soon as they are seen: they are delivered on, and
        // the first one is rewritten on its way.
        if had == 0 {
            bytes[0] = self.judge_first(marks)?;
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
    fn judge_first(&self, marks: &mut VecDeque<Mark>) -> Result<u8, Violation> {
        let first = self.header.first();
        let is_data = matches!(first & OPCODE, 0x1 | 0x2);
        let allowed = if self.rules.deflate && is_data {
            RSV1
        } else {
            0
        };
        if first & RSV & !allowed != 0 {
            return Err(Violation::ReservedBits);
        }
        match first & OPCODE {
            0x0 if self.message.is_none() => Err(Violation::ContinuationWithoutStart),
            0x1 | 0x2 if self.message.is_some() => Err(Violation::DataInsideMessage),
            0x8..=0xA if first & FIN == 0 => Err(Violation::ControlFragmented),
            0x0 | 0x8..=0xA => Ok(first),
            0x1 | 0x2 => {
                marks.push_back(mark_of(first));
                Ok(first & FIN | 0x2)
            }
            _ => Err(Violation::UnknownOpcode),
        }
    }

    fn judge_second(&self) -> Result<(), Violation> {
        match (self.rules.role, self.header.is_masked()) {
            (Role::Server, false) => return Err(Violation::Unmasked),
            (Role::Client, true) => return Err(Violation::Masked),
            _ => {}
        }
        if self.header.is_control_too_long() {
            return Err(Violation::ControlTooLong);
        }
        Ok(())
    }

    /// The header is whole: accounts its length before a byte of it is allocated.
    fn begin_payload(&mut self) -> Result<(), Violation> {
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
    fn account(&mut self, first: u8, length: u64) -> Result<(), Violation> {
        let before = self.message.take().unwrap_or_else(|| Fragmented {
            mark: mark_of(first),
            bytes: 0,
            frames: 0,
        });
        let message = Fragmented {
            mark: before.mark,
            bytes: before.bytes.saturating_add(length),
            frames: before.frames + 1,
        };
        let limits = self.rules.limits;
        if message.bytes > limits.received_bytes(message.mark.is_deflated) as u64 {
            return Err(Violation::MessageTooBig);
        }
        if message.frames > limits.fragments {
            return Err(Violation::TooManyFragments);
        }
        self.is_text = message.mark.kind == Kind::Text && !message.mark.is_deflated;
        self.is_final = first & FIN != 0;
        if !self.is_final {
            self.message = Some(message);
        }
        Ok(())
    }

    fn end_frame(&mut self) -> Result<(), Violation> {
        if self.is_text && self.is_final && !self.utf8.finish() {
            return Err(Violation::InvalidUtf8);
        }
        Ok(())
    }
}

/// What a message is, from the first byte of its first frame.
fn mark_of(first: u8) -> Mark {
    Mark {
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
