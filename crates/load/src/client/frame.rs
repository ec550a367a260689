//! Encodes frames of a client: header, masking key, and the payload masked in place ([RFC 6455
//! §5.2]).
//!
//! [RFC 6455 §5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.2

/// The opcodes of the frames that the generator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Pong = 0xA,
}

/// Generates masking keys, a different one for every frame. They can be predicted, as nobody needs
/// to be protected from the payloads of a load generator.
#[derive(Debug)]
pub(crate) struct Keys(u64);

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        // Xorshift started at 0 yields only zeros.
        Self(seed | 1)
    }

    /// Returns a generator of keys that are zero, which leave the payload unchanged. So the frames
    /// that a bare TCP server sends back can be parsed like those of a WebSocket server.
    pub(crate) fn zeros() -> Self {
        Self(0)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
}

/// Appends a final and masked frame to `wire`. Its payload is `parts`, one after the other.
#[expect(clippy::cast_possible_truncation, reason = "each arm bounds `len`")]
pub(crate) fn append(wire: &mut Vec<u8>, opcode: Opcode, keys: &mut Keys, parts: &[&[u8]]) {
    wire.push(FIN | opcode as u8);
    match parts.iter().map(|part| part.len()).sum::<usize>() {
        len @ 0..=125 => wire.push(MASKED | len as u8),
        len @ 126..=0xFFFF => {
            wire.push(MASKED | 126);
            wire.extend((len as u16).to_be_bytes());
        }
        len => {
            wire.push(MASKED | 127);
            wire.extend((len as u64).to_be_bytes());
        }
    }
    let key = keys.next().to_ne_bytes();
    wire.extend(key);
    let start = wire.len();
    for part in parts {
        wire.extend_from_slice(part);
    }
    mask(&mut wire[start..], key);
}

/// Masks `payload` in place (§5.3), eight bytes at a time. The compiler vectorizes the loop.
fn mask(payload: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    let (blocks, rest) = payload.as_chunks_mut::<8>();
    for block in blocks {
        *block = (u64::from_ne_bytes(*block) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(parts: &[&[u8]]) -> Vec<u8> {
        let mut wire = Vec::new();
        append(&mut wire, Opcode::Text, &mut Keys::new(7), parts);
        wire
    }

    #[test]
    fn a_frame_is_final_and_unmasked_by_its_key() {
        let wire = frame(&[b"hello ", b"to all of you"]);
        assert_eq!(wire[..2], [0x81, 0x80 | 19]);
        let (key, payload) = wire[2..].split_at(4);
        let unmasked: Vec<u8> = payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        assert_eq!(unmasked, b"hello to all of you");
        assert_ne!(payload, b"hello to all of you");
    }

    #[test]
    fn the_length_is_encoded_in_the_shortest_form() {
        let header = |len: usize| frame(&[&vec![0; len]])[1..4].to_vec();
        assert_eq!(header(125)[0], 0x80 | 125);
        assert_eq!(header(126), [0x80 | 126, 0, 126]);
        assert_eq!(header(65_535), [0x80 | 126, 0xFF, 0xFF]);
        assert_eq!(header(65_536)[0], 0x80 | 127);
    }

    #[test]
    fn every_frame_has_a_different_key_unless_all_are_zero() {
        let mut keys = Keys::new(0);
        assert_ne!(keys.next(), keys.next());
        let mut keys = Keys::zeros();
        assert_eq!([keys.next(), keys.next()], [0; 2]);
    }
}
