//! Frames from the client to the server, encoded and masked.

use fastwebsockets::{Frame, OpCode};

/// `text` as one final text frame.
pub(super) fn text(text: &str) -> Vec<u8> {
    masked(Frame::text(text.as_bytes().to_vec().into()))
}

/// A Ping frame; its payload is at most 125 bytes.
pub(super) fn ping(payload: &[u8]) -> Vec<u8> {
    let payload = payload.to_vec().into();
    masked(Frame::new(true, OpCode::Ping, None, payload))
}

/// A Close frame; its reason is at most 123 bytes.
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    masked(Frame::close(code, reason.as_bytes()))
}

/// Whether `wire` is a Close frame.
pub(super) fn is_close(wire: &[u8]) -> bool {
    // §5.2: the opcode is the low half of the first byte.
    wire.first()
        .is_some_and(|first| first & 0x0f == OpCode::Close as u8)
}

/// §5.3: every frame from a client is masked, with a key that nobody can guess.
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
        let wire = text("hi");
        assert_eq!(wire[..2], [0x81, 0x80 | 2]);
        assert_eq!(unmasked(&wire[2..6], &wire[6..]), b"hi");
    }

    #[test]
    fn a_close_frame_carries_code_and_reason() {
        let wire = close(1000, "bye");
        assert_eq!(wire[..2], [0x88, 0x80 | 5]);
        assert_eq!(unmasked(&wire[2..6], &wire[6..]), b"\x03\xe8bye");
        assert!(is_close(&wire));
    }

    #[test]
    fn a_ping_is_not_a_close() {
        let wire = ping(b"x");
        assert_eq!(wire[..2], [0x89, 0x80 | 1]);
        assert!(!is_close(&wire));
    }
}
