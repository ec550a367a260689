//! A peer's own permessage-deflate (RFC 7692).

use std::fmt;

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

/// What a client says that wants compression, whatever its parameters.
pub const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// What every compressed message is sent without (§7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// A message, compressed as well as zlib can.
pub fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut wire = Compressor::new().block(payload);
    wire.truncate(wire.len() - TAIL.len());
    wire
}

/// A message of blocks that are not compressed.
pub fn stored(payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for piece in payload.chunks(0x8000) {
        let len = u16::try_from(piece.len()).unwrap();
        wire.push(0x00);
        wire.extend(len.to_le_bytes());
        wire.extend((!len).to_le_bytes());
        wire.extend(piece);
    }
    wire.push(0x00);
    wire
}

/// A message of this many zeros, in blocks of a mebibyte each; the rest is left out.
pub fn zeros(len: usize) -> Vec<u8> {
    let mebibyte = vec![0; 1 << 20];
    let mut compressor = Compressor::new();
    // All but the first may refer to zeros before them, and so are alike.
    let (first, next) = (compressor.block(&mebibyte), compressor.block(&mebibyte));
    [first, next.repeat((len >> 20) - 1), vec![0x00]].concat()
}

struct Compressor(Deflate);

impl Compressor {
    fn new() -> Self {
        Self(Deflate::new(9, false, 15))
    }

    /// The payload up to a flush, tail included.
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

/// What a client inflates with that remembers what it has got.
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
    /// A frame as it was before it was compressed.
    #[track_caller]
    pub fn open(&mut self, (first, payload): (u8, Vec<u8>)) -> (u8, Vec<u8>) {
        if first & 0x40 == 0 {
            return (first, payload);
        }
        let is_data = matches!(first & 0x0F, 0x1 | 0x2);
        assert!(is_data, "RSV1 on {first:02X}");
        (first & !0x40, self.inflate(&[&payload[..], &TAIL].concat()))
    }

    fn inflate(&mut self, mut wire: &[u8]) -> Vec<u8> {
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

/// A frame as it was before it was compressed, if it was, in no context.
#[track_caller]
pub fn inflated(frame: (u8, Vec<u8>)) -> (u8, Vec<u8>) {
    Inflater::default().open(frame)
}

/// Bytes without any pattern.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}
