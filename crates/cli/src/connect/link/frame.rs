//! Encodes and masks frames from the client to the server.

use fastwebsockets::{Frame, OpCode};
use framecast_wire::{deflate::Deflater, extension::Agreement, frame::Kind};

/// Encodes messages. Compresses those that this makes smaller, if both sides have agreed on
/// compression.
#[derive(Debug)]
pub(crate) struct Encoder(Option<Deflater>);

impl Encoder {
    pub(crate) fn new(deflate: Option<Agreement>) -> Self {
        Self(deflate.map(|agreement| Deflater::new(agreement.window)))
    }

    /// Encodes a whole message as one masked frame.
    pub(crate) fn message(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        let opcode = match kind {
            Kind::Text => OpCode::Text,
            Kind::Binary => OpCode::Binary,
        };
        let is_large = payload.len() >= MIN_DEFLATED_BYTES;
        let deflater = self.0.as_mut().filter(|_| is_large);
        match deflater.and_then(|deflater| deflater.deflate(payload)) {
            None => masked(Frame::new(true, opcode, None, payload.into())),
            Some(compressed) => {
                let mut wire = masked(Frame::new(true, opcode, None, compressed.as_slice().into()));
                wire[0] |= RSV1;
                wire
            }
        }
    }
}

/// Length of the shortest message that is compressed, in bytes. Compressing shorter ones would save
/// next to nothing.
const MIN_DEFLATED_BYTES: usize = 64;

/// The bit of a frame's first byte that marks a compressed message (RFC 7692 §6).
const RSV1: u8 = 0x40;

/// Encodes a Ping. `payload` must have at most 125 bytes.
pub(crate) fn ping(payload: &[u8]) -> Vec<u8> {
    let payload = payload.to_vec().into();
    masked(Frame::new(true, OpCode::Ping, None, payload))
}

/// Encodes the Pong that answers a Ping with this payload.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(Frame::pong(payload.to_vec().into()))
}

/// Encodes a Close. `reason` must have at most 123 bytes.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    masked(Frame::close(code, reason.as_bytes()))
}

/// Encodes a frame, masked with a random key, as RFC 6455 §5.3 requires of every frame from a
/// client.
fn masked(mut frame: Frame<'_>) -> Vec<u8> {
    frame.mask();
    let mut wire = Vec::new();
    let length = frame.write(&mut wire).len();
    wire.truncate(length);
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(key: &[u8], payload: &[u8]) -> Vec<u8> {
        let key = key.iter().cycle();
        payload
            .iter()
            .zip(key)
            .map(|(byte, key)| byte ^ key)
            .collect()
    }

    #[test]
    fn a_text_frame_is_final_and_masked() {
        let wire = Encoder::new(None).message(Kind::Text, b"hi");
        // FIN and Text; masked, with 2 bytes of payload.
        assert_eq!(wire[..2], [0x81, 0x80 | 2]);
        // 2 bytes of header, 4 of masking key, then the payload.
        assert_eq!(unmasked(&wire[2..6], &wire[6..]), b"hi");
    }

    #[test]
    fn a_close_frame_carries_code_and_reason() {
        let wire = close(1000, "bye");
        // FIN and Close; masked, with 2 bytes of code and 3 of reason.
        assert_eq!(wire[..2], [0x88, 0x80 | 5]);
        // 0x03e8 is 1000.
        assert_eq!(unmasked(&wire[2..6], &wire[6..]), b"\x03\xe8bye");
    }

    #[test]
    fn a_message_is_compressed_if_that_was_agreed_on_and_makes_it_smaller() {
        let agreed = framecast_wire::extension::agreed(
            [&b"permessage-deflate; server_no_context_takeover"[..]].into_iter(),
        );
        let mut encoder = Encoder::new(agreed.unwrap());
        let wire = encoder.message(Kind::Text, "cats ".repeat(100).as_bytes());
        // FIN, RSV1 and Text.
        assert_eq!(wire[0], 0xC1);
        // 500 bytes before compression.
        assert!(wire.len() < 100);
        // FIN and Text, without RSV1.
        assert_eq!(encoder.message(Kind::Text, b"small")[0], 0x81);
    }
}
