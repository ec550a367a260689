//! The fast path: takes whole plain messages in place from the receive buffer.
//!
//! A plain message is a single uncompressed frame. Most messages are plain, have arrived whole and
//! need nothing but unmasking, so they bypass the gate and fastwebsockets. All other bytes, invalid
//! ones included, are left unchanged for the gate.

use super::{
    frame::Kind,
    header::{FIN, Header},
    utf8,
    validator::MessageLimits,
};

/// The beginning of the bytes that were received from a client. It is not inside a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Head<'a> {
    /// A whole plain message, unmasked in place.
    Message {
        /// Text or binary.
        kind: Kind,
        /// The unmasked payload.
        payload: &'a [u8],
        /// Length of the frame, header included, in bytes.
        wire_len: usize,
    },
    /// A plain message that has not arrived whole. Its bytes are unchanged.
    Part {
        /// Length of the frame, header included, in bytes. While the header is incomplete, this is
        /// the number of bytes after which more of the header can be read.
        wire_len: usize,
    },
    /// Anything else, which must be read through the gate. Its bytes are unchanged.
    Other,
}

/// Classifies the beginning of `received`. Unmasks a whole plain message in place.
// Inlined, because a loop in another crate calls this once per message: the call itself would cost
// a twelfth of an echo.
#[inline]
pub fn head(received: &mut [u8], limits: MessageLimits) -> Head<'_> {
    let mut header = Header::default();
    header.collect(received);
    let kind = match header.first() {
        TEXT => Kind::Text,
        BINARY => Kind::Binary,
        _ => return Head::Other,
    };
    let start = header.size();
    if header.len() < start {
        return Head::Part { wire_len: start };
    }
    if !header.is_masked() {
        return Head::Other;
    }
    let Ok(length) = header.payload_length() else {
        return Head::Other;
    };
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|&length| length <= limits.message_bytes)
    else {
        return Head::Other;
    };
    let wire_len = start + length;
    if received.len() < wire_len {
        return Head::Part { wire_len };
    }
    let payload = &mut received[start..wire_len];
    fastwebsockets::unmask(payload, header.key());
    if kind == Kind::Text && !utf8::is_valid(payload) {
        // The gate will report the invalid UTF-8. It expects the payload masked, as it arrived.
        fastwebsockets::unmask(payload, header.key());
        return Head::Other;
    }
    Head::Message {
        kind,
        payload,
        wire_len,
    }
}

const TEXT: u8 = FIN | 0x1;
const BINARY: u8 = FIN | 0x2;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MessageLimits = MessageLimits {
        message_bytes: 1000,
        fragments: 4,
    };
    const KEY: [u8; 4] = [9, 8, 7, 6];

    /// Returns a frame whose header begins with `head` and ends with [`KEY`], and whose payload is
    /// masked.
    fn frame(head: &[u8], payload: &[u8]) -> Vec<u8> {
        let masked = payload.iter().zip(KEY.iter().cycle());
        let masked = masked.map(|(byte, key)| byte ^ key);
        [head, &KEY].concat().into_iter().chain(masked).collect()
    }

    #[test]
    fn a_whole_plain_message_is_unmasked_in_place() {
        // The first byte of a Close follows the message.
        let mut text = [frame(&[0x81, 0x82], b"hi"), vec![0x88]].concat();
        let message = Head::Message {
            kind: Kind::Text,
            payload: b"hi",
            wire_len: 8, // 2 bytes of header, 4 of key, 2 of payload
        };
        assert_eq!(head(&mut text, LIMITS), message);
        let mut binary = frame(&[0x82, 0xFE, 0, 200], &[0xFF; 200]);
        let message = Head::Message {
            kind: Kind::Binary,
            payload: &[0xFF; 200],
            wire_len: 208, // 4 bytes of header, 4 of key, 200 of payload
        };
        assert_eq!(head(&mut binary, LIMITS), message);
    }

    #[test]
    fn a_part_of_a_plain_message_comes_with_the_length_to_wait_for() {
        let whole = frame(&[0x82, 0xFE, 0, 200], &[1; 200]);
        for len in 1..whole.len() {
            let wire_len = match len {
                1 => 2,    // The second byte tells how long the header is.
                2..8 => 8, // The header tells how long the frame is.
                _ => 208,
            };
            let mut part = whole[..len].to_vec();
            assert_eq!(head(&mut part, LIMITS), Head::Part { wire_len });
            assert_eq!(part, whole[..len]);
        }
    }

    #[test]
    fn everything_but_valid_plain_messages_is_left_unchanged() {
        for (what, other) in [
            ("nothing", vec![]),
            ("unmasked", vec![0x81, 0x02, b'h', b'i']),
            ("first fragment", frame(&[0x01, 0x81], b"x")),
            ("last fragment", frame(&[0x80, 0x81], b"x")),
            ("compressed", frame(&[0xC1, 0x81], b"x")),
            ("unknown opcode", frame(&[0x83, 0x81], b"x")),
            ("Ping", frame(&[0x89, 0x80], b"")),
            ("Close", frame(&[0x88, 0x80], b"")),
            ("invalid UTF-8", frame(&[0x81, 0x83], b"a\xFFb")),
            ("cut code point", frame(&[0x81, 0x82], b"\xE2\x82")),
            (
                "length not in its shortest form",
                frame(&[0x82, 0xFE, 0, 125], &[0; 125]),
            ),
            (
                "1,001 bytes, over the limit",
                frame(&[0x82, 0xFE, 3, 233], &[]),
            ),
            (
                "top bit of the length",
                frame(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], &[]),
            ),
        ] {
            let mut received = other.clone();
            assert_eq!(head(&mut received, LIMITS), Head::Other, "{what}");
            assert_eq!(received, other, "{what}");
        }
    }
}
