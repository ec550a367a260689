//! A complete decoder of what a client sends, written to be seen to be right: it has all bytes
//! before it, copies what it likes, and reads like RFC 6455. Nothing of the server is in it but
//! the names of things.

use framecast::wire::{frame::Kind, violation::Violation, walk::Limits};

use crate::input::masked;

/// What the bytes of a client amount to.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The whole frames before the first violation.
    pub frames: Vec<Frame>,
    /// The kind of every message that was begun, by as little as its first byte.
    pub kinds: Vec<Kind>,
    pub violation: Option<Violation>,
    /// A message was begun and has not ended.
    pub is_inside_message: bool,
}

#[derive(Clone, Debug)]
pub struct Frame {
    pub first: u8,
    /// Bytes of it before its payload.
    pub header_len: usize,
    /// Unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn opcode(&self) -> u8 {
        self.first & 0x0F
    }

    pub fn is_final(&self) -> bool {
        self.first & 0x80 != 0
    }

    pub fn wire_len(&self) -> usize {
        self.header_len + self.payload.len()
    }
}

/// A message under way.
struct Message {
    kind: Kind,
    payload: Vec<u8>,
    frames: u32,
}

/// Decodes `wire` up to its first violation. A Close is a frame like others here.
pub fn decode(wire: &[u8], limits: Limits) -> Decoded {
    let mut decoded = Decoded::default();
    let mut message = None;
    let mut rest = wire;
    loop {
        match next_frame(rest, &mut message, &mut decoded.kinds, limits) {
            Ok(Some(frame)) => {
                rest = &rest[frame.wire_len()..];
                decoded.frames.push(frame);
            }
            Ok(None) => break,
            Err(violation) => {
                decoded.violation = Some(violation);
                break;
            }
        }
    }
    decoded.is_inside_message = message.is_some();
    decoded
}

/// The frame at the head of `rest`, or `None` if it is not whole. Whatever is wrong with it is
/// found as soon as the bytes are there that make it wrong.
fn next_frame(
    rest: &[u8],
    message: &mut Option<Message>,
    kinds: &mut Vec<Kind>,
    limits: Limits,
) -> Result<Option<Frame>, Violation> {
    let Some(&first) = rest.first() else {
        return Ok(None);
    };
    let (is_final, opcode) = (first & 0x80 != 0, first & 0x0F);
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBits);
    }
    match opcode {
        0 if message.is_none() => return Err(Violation::ContinuationWithoutStart),
        1 | 2 if message.is_some() => return Err(Violation::DataInsideMessage),
        8..=10 if !is_final => return Err(Violation::ControlFragmented),
        3..=7 | 11.. => return Err(Violation::UnknownOpcode),
        1 => kinds.push(Kind::Text),
        2 => kinds.push(Kind::Binary),
        _ => {}
    }
    let Some(&second) = rest.get(1) else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    if opcode >= 8 && second & 0x7F > 125 {
        return Err(Violation::ControlTooLong);
    }
    let header_len = match second & 0x7F {
        126 => 8,
        127 => 14,
        _ => 6,
    };
    let Some(header) = rest.get(..header_len) else {
        return Ok(None);
    };
    let (length, is_shortest) = match *header {
        [_, _, a, b, _, _, _, _] => (
            u64::from_be_bytes([0, 0, 0, 0, 0, 0, a, b]),
            a > 0 || b > 125,
        ),
        [_, _, a, b, c, d, e, f, g, h, ..] => {
            let length = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (length, length > 0xFFFF && a < 0x80)
        }
        _ => (u64::from(second & 0x7F), true),
    };
    if !is_shortest {
        return Err(Violation::LengthEncoding);
    }
    let key = header.last_chunk().expect("a header ends with its key");
    let there = &rest[header_len..];
    let there = &there[..there
        .len()
        .min(usize::try_from(length).unwrap_or(usize::MAX))];
    let is_whole = there.len() as u64 == length;
    let payload = masked(there, *key);
    if opcode < 8 {
        let mut whole = message.take().unwrap_or(Message {
            kind: if opcode == 1 {
                Kind::Text
            } else {
                Kind::Binary
            },
            payload: Vec::new(),
            frames: 0,
        });
        whole.frames += 1;
        if whole.payload.len() as u64 + length > limits.message_bytes as u64 {
            return Err(Violation::MessageTooBig);
        }
        if whole.frames > limits.fragments {
            return Err(Violation::TooManyFragments);
        }
        whole.payload.extend(&payload);
        if whole.kind == Kind::Text {
            check_text(&whole.payload, is_whole && is_final)?;
        }
        if !is_whole || !is_final {
            *message = Some(whole);
        }
    }
    Ok(is_whole.then_some(Frame {
        first,
        header_len,
        payload,
    }))
}

/// Text that could still become valid is valid, unless it has ended.
fn check_text(text: &[u8], has_ended: bool) -> Result<(), Violation> {
    match str::from_utf8(text) {
        Err(error) if has_ended || error.error_len().is_some() => Err(Violation::InvalidUtf8),
        _ => Ok(()),
    }
}
