//! The oracle for frames: a complete decoder of the bytes that a peer sends, simple instead of
//! fast. It has all bytes from the start, copies freely, and follows the text of RFC 6455. It
//! shares only the names of types with the product.

use framecast_wire::{
    frame::Kind,
    protocol_error::ProtocolError,
    validator::{MessageInfo, Role, Rules},
};

use crate::input::masked;

/// The result of decoding a peer's bytes.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The whole frames before the first protocol error.
    pub frames: Vec<Frame>,
    /// The info of every message of which at least one byte has arrived.
    pub infos: Vec<MessageInfo>,
    pub error: Option<ProtocolError>,
    /// True if the last message has not ended.
    pub is_inside_message: bool,
}

/// A frame that a peer sent.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The first byte: FIN, RSV and opcode.
    pub first: u8,
    /// Size of the header, in bytes.
    pub header_len: usize,
    /// The unmasked payload.
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

/// A message that has begun and not ended.
struct Message {
    info: MessageInfo,
    payload: Vec<u8>,
    frames: u32,
}

/// Decodes `wire` up to its first protocol error. Does not stop at a Close.
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

/// Returns the frame at the beginning of `rest`, or `None` if it is not whole. Returns an error as
/// soon as `rest` has the bytes that cause it, even if the frame is not whole. `message` is the
/// unfinished message that the frame may continue.
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
    // RFC 7692 §6: with compression, the first frame of a message may have RSV1.
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
    let arrived = &rest[header_len..];
    let arrived = &arrived[..arrived
        .len()
        .min(usize::try_from(length).unwrap_or(usize::MAX))];
    let is_whole = arrived.len() as u64 == length;
    let payload = masked(arrived, key);
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

/// Returns the largest number of payload bytes that a message may have on the wire. A compressed
/// message may need nine bits for each byte of the limit, and 64 bytes for its blocks.
fn most_received(info: MessageInfo, rules: Rules) -> u64 {
    let limit = rules.limits.message_bytes as u64;
    if info.is_deflated {
        limit * 9 / 8 + 64
    } else {
        limit
    }
}

/// Checks for UTF-8 the text that has arrived. If it has not ended, it may be cut inside a code
/// point.
fn check_text(text: &[u8], has_ended: bool) -> Result<(), ProtocolError> {
    match str::from_utf8(text) {
        Err(error) if has_ended || error.error_len().is_some() => Err(ProtocolError::InvalidUtf8),
        _ => Ok(()),
    }
}
