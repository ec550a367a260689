//! permessage-deflate (RFC 7692) as a peer does it, with zlib and without code of the server.

use std::fmt;

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

use crate::frames::{Frame, RSV1};

/// The header in which a client offers permessage-deflate without parameters.
pub const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Last four bytes of a flushed block, which every compressed message is sent without (§7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Returns a message as a client sends it compressed, in one frame.
pub fn compressed((first, payload): Frame) -> Frame {
    (first | RSV1, deflated(&payload))
}

/// Returns the payload of a compressed message, made with zlib's best level.
pub fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut wire = Compressor::new().block(payload);
    wire.truncate(wire.len() - TAIL.len());
    wire
}

/// Returns the payload of a compressed message whose blocks are stored without compression.
pub fn stored(payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for piece in payload.chunks(0x8000) {
        let len = u16::try_from(piece.len()).unwrap();
        // A stored block: its header, its length, the complement of that, and its bytes (RFC 1951
        // §3.2.4).
        wire.push(0x00);
        wire.extend(len.to_le_bytes());
        wire.extend((!len).to_le_bytes());
        wire.extend(piece);
    }
    // An empty stored block, without its last four bytes.
    wire.push(0x00);
    wire
}

/// Returns the payload of a compressed message that inflates to `len` zeros, rounded down to whole
/// mebibytes.
pub fn zeros(len: usize) -> Vec<u8> {
    let mebibyte = vec![0; 1 << 20];
    let mut compressor = Compressor::new();
    // All blocks but the first refer back to zeros before them, and so they are the same.
    let (first, next) = (compressor.block(&mebibyte), compressor.block(&mebibyte));
    // These blocks have their tails. The message ends with an empty block that has none.
    [first, next.repeat((len >> 20) - 1), vec![0x00]].concat()
}

/// A zlib stream of level 9 with a window of 15 bits.
struct Compressor(Deflate);

impl Compressor {
    fn new() -> Self {
        Self(Deflate::new(9, false, 15))
    }

    /// Compresses a payload and flushes. Returns the bytes up to and including [`TAIL`].
    fn block(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut wire = vec![0; payload.len() + payload.len() / 8 + 64];
        let before = self.0.total_out();
        self.0
            .compress(payload, &mut wire, DeflateFlush::SyncFlush)
            .unwrap();
        wire.truncate(usize::try_from(self.0.total_out() - before).unwrap());
        wire
    }
}

/// A client's decompressor that keeps its context from message to message (§7.2.2).
pub struct Inflater(Inflate);

impl Default for Inflater {
    fn default() -> Self {
        Self(Inflate::new(false, 15))
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

impl Inflater {
    /// Returns a compressed frame as it was before the server compressed it. A frame without RSV1
    /// is returned unchanged.
    #[track_caller]
    pub fn inflate(&mut self, (first, payload): Frame) -> Frame {
        if first & RSV1 == 0 {
            return (first, payload);
        }
        let is_data = matches!(first & 0x0F, 0x1 | 0x2);
        assert!(is_data, "RSV1 on {first:02X}");
        (
            first & !RSV1,
            self.inflate_payload(&[&payload[..], &TAIL].concat()),
        )
    }

    fn inflate_payload(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let Self(stream) = self;
        let mut piece = vec![0; 0x8000];
        let mut payload = Vec::new();
        loop {
            let (taken, written) = (stream.total_in(), stream.total_out());
            let inflated = stream.decompress(wire, &mut piece, InflateFlush::SyncFlush);
            inflated.expect("a compressed message within the window");
            wire = &wire[usize::try_from(stream.total_in() - taken).unwrap()..];
            let written = usize::try_from(stream.total_out() - written).unwrap();
            payload.extend(&piece[..written]);
            if wire.is_empty() && written < piece.len() {
                return payload;
            }
        }
    }
}

/// Inflates a frame that does not refer to earlier messages, because the server compresses without
/// a context. A frame without RSV1 is returned unchanged.
#[track_caller]
pub fn inflated(frame: Frame) -> Frame {
    Inflater::default().inflate(frame)
}

/// Returns pseudorandom bytes, which deflate cannot make smaller.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}
