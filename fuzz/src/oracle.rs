//! A complete decoder of what a peer sends, written to be seen to be right: it has all bytes
//! before it, copies what it likes, and reads like RFC 6455. Nothing of the server is in it but
//! the names of things.

use framecast_wire::{
    frame::Kind,
    protocol_error::ProtocolError,
    validator::{MessageInfo, Role, Rules},
};

use crate::input::masked;

/// What the bytes of a peer amount to.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The whole frames before the first protocol error.
    pub frames: Vec<Frame>,
    /// The kind of every message that was begun, by as little as its first byte.
    pub infos: Vec<MessageInfo>,
    pub error: Option<ProtocolError>,
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
    info: MessageInfo,
    payload: Vec<u8>,
    frames: u32,
}

/// Decodes `wire` up to its first protocol error. A Close is a frame like others here.
pub fn decode(wire: &[u8], rules: Rules) -> Decoded {
    let mut decoded = Decoded::default();
    let mut message = None;
    let mut rest = wire;
    loop {
        match next_frame(rest, &mut message, &mut decoded.infos, rules) {
            Ok(Some(frame)) => {
                rest = &rest[frame.wire_len()..];
                decoded.frames.push(frame);
            }
            Ok(None) => break,
            Err(error) => {
                decoded.error = Some(error);
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
    infos: &mut Vec<MessageInfo>,
    rules: Rules,
) -> Result<Option<Frame>, ProtocolError> {
    let Some(&first) = rest.first() else {
        return Ok(None);
    };
    let (is_final, opcode) = (first & 0x80 != 0, first & 0x0F);
    // RFC 7692 §6: RSV1 on the first frame of a message, where that was agreed on.
    let is_deflated = first & 0x40 != 0;
    let may_be_deflated = rules.deflate && (opcode == 1 || opcode == 2);
    if first & 0x30 != 0 || is_deflated && !may_be_deflated {
        return Err(ProtocolError::ReservedBits);
    }
    let info = MessageInfo {
        kind: if opcode == 1 {
            Kind::Text
        } else {
            Kind::Binary
        },
        is_deflated,
    };
    match opcode {
        0 if message.is_none() => return Err(ProtocolError::ContinuationWithoutStart),
        1 | 2 if message.is_some() => return Err(ProtocolError::DataInsideMessage),
        8..=10 if !is_final => return Err(ProtocolError::ControlFragmented),
        3..=7 | 11.. => return Err(ProtocolError::UnknownOpcode),
        1 | 2 => infos.push(info),
        _ => {}
    }
    let Some(&second) = rest.get(1) else {
        return Ok(None);
    };
    let is_masked = second & 0x80 != 0;
    match rules.role {
        Role::Server if !is_masked => return Err(ProtocolError::Unmasked),
        Role::Client if is_masked => return Err(ProtocolError::Masked),
        _ => {}
    }
    if opcode >= 8 && second & 0x7F > 125 {
        return Err(ProtocolError::ControlTooLong);
    }
    let key_at = match second & 0x7F {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let header_len = key_at + if is_masked { 4 } else { 0 };
    let Some(header) = rest.get(..header_len) else {
        return Ok(None);
    };
    let (length, is_shortest) = match header[..key_at] {
        [_, _, a, b] => (
            u64::from_be_bytes([0, 0, 0, 0, 0, 0, a, b]),
            a > 0 || b > 125,
        ),
        [_, _, a, b, c, d, e, f, g, h] => {
            let length = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (length, length > 0xFFFF && a < 0x80)
        }
        _ => (u64::from(second & 0x7F), true),
    };
    if !is_shortest {
        return Err(ProtocolError::LengthEncoding);
    }
    let key = match header[key_at..] {
        [a, b, c, d] => [a, b, c, d],
        _ => [0; 4],
    };
    let there = &rest[header_len..];
    let there = &there[..there
        .len()
        .min(usize::try_from(length).unwrap_or(usize::MAX))];
    let is_whole = there.len() as u64 == length;
    let payload = masked(there, key);
    if opcode < 8 {
        let mut whole = message.take().unwrap_or(Message {
            info,
            payload: Vec::new(),
            frames: 0,
        });
        whole.frames += 1;
        if whole.payload.len() as u64 + length > most_received(whole.info, rules) {
            return Err(ProtocolError::MessageTooBig);
        }
        if whole.frames > rules.limits.fragments {
            return Err(ProtocolError::TooManyFragments);
        }
        whole.payload.extend(&payload);
        if whole.info.kind == Kind::Text && !whole.info.is_deflated {
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

/// How many bytes of a message may come: of a compressed one as many as any of its size needs, nine
/// bits for a byte, and some for the code.
fn most_received(info: MessageInfo, rules: Rules) -> u64 {
    let limit = rules.limits.message_bytes as u64;
    if info.is_deflated {
        limit * 9 / 8 + 64
    } else {
        limit
    }
}

/// Text that could still become valid is valid, unless it has ended.
fn check_text(text: &[u8], has_ended: bool) -> Result<(), ProtocolError> {
    match str::from_utf8(text) {
        Err(error) if has_ended || error.error_len().is_some() => Err(ProtocolError::InvalidUtf8),
        _ => Ok(()),
    }
}
