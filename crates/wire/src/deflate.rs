//! Compressing the payload of one message ([RFC 7692 §7.2.1]), which has no frame yet.
//!
//! [RFC 7692 §7.2.1]: https://www.rfc-editor.org/rfc/rfc7692#section-7.2.1

use std::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::extension::WindowBits;

/// What every compressed message ends with, and is sent without (§7.2.1).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// The fastest: level 3 takes ten times as long for a sixth less (measured at 200 bytes).
const LEVEL: i32 = 1;

/// zlib's default.
const MEM_LEVEL: i32 = 8;

/// The window of a context at most, whatever was agreed: the largest would cost 115 KB more.
const CONTEXT_WINDOW_BITS: u8 = 12;

/// Down from 8, which would cost 100 KB more.
const CONTEXT_MEM_LEVEL: i32 = 5;

/// What a message is compressed by at a time: some 40 us.
const PIECE: usize = 16 * 1024;

/// What a message may grow by, besides an eighth (nine bits a byte); else another round is needed.
const GROWTH: usize = 64;

/// Compresses messages.
///
/// With [`WindowBits::MIN`], which zlib does not know, it compresses messages that are no larger
/// than that window: nothing in them can refer further back.
pub struct Deflater {
    stream: Deflate,
    window: WindowBits,
    keeps_context: bool,
}

impl Deflater {
    /// One that forgets each message: for any number of peers that agreed on `window`. It costs
    /// 251 to 380 KB (measured).
    #[must_use]
    pub fn new(window: WindowBits) -> Self {
        Self {
            stream: raw_stream(window.bits(), MEM_LEVEL),
            window,
            keeps_context: false,
        }
    }

    /// One that refers to earlier messages: for a single peer, which must get all of them. It costs
    /// 151 to 165 KB (measured). With [`WindowBits::MIN`] it forgets, too.
    #[must_use]
    pub fn with_context(window: WindowBits) -> Self {
        Self {
            stream: raw_stream(window.bits().min(CONTEXT_WINDOW_BITS), CONTEXT_MEM_LEVEL),
            window,
            keeps_context: window != WindowBits::MIN,
        }
    }

    /// The compressed payload of a message; `None`, if it is to be sent as it is, because it
    /// would get no smaller. In a context every message is compressed, even if it grows.
    #[must_use]
    pub fn deflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if self.keeps_context {
            return Some(self.compress(payload));
        }
        if self.window == WindowBits::MIN && payload.len() > 1 << WindowBits::MIN.bits() {
            return None;
        }
        self.stream.reset();
        Some(self.compress(payload)).filter(|compressed| compressed.len() < payload.len())
    }

    /// Always to the end of the message, also if it grows: what zlib-rs 0.6.8 has begun and not
    /// written survives a reset, gets into the next message, and makes it panic at last.
    fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        // §7.2.3.6; zlib would write nothing, because it has nothing to flush.
        if payload.is_empty() {
            return vec![0x00];
        }
        let mut compressed = Vec::new();
        self.append(payload, DeflateFlush::SyncFlush, &mut compressed);
        compressed.truncate(compressed.len() - TAIL.len());
        compressed
    }

    /// Compresses all of `payload`, which is not empty, and appends what that gives.
    fn append(&mut self, mut payload: &[u8], flush: DeflateFlush, compressed: &mut Vec<u8>) {
        let mut written = compressed.len();
        while !payload.is_empty() || written == compressed.len() {
            compressed.resize(written + payload.len() + payload.len() / 8 + GROWTH, 0);
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .compress(payload, &mut compressed[written..], flush);
            status.expect("a raw stream takes everything");
            written += to_len(self.stream.total_out() - given);
            payload = &payload[to_len(self.stream.total_in() - taken)..];
        }
        compressed.truncate(written);
    }
}

/// A large message that is compressed in steps, by a compressor of its own.
#[derive(Debug)]
pub struct Deflating {
    deflater: Deflater,
    taken: usize,
    compressed: Vec<u8>,
}

impl Deflating {
    /// Begins a message for a peer with this window; `None` if it is to be sent as it is, because
    /// it would not fit into the window.
    #[must_use]
    pub fn begin(window: WindowBits, payload: &[u8]) -> Option<Self> {
        let fits = window != WindowBits::MIN || payload.len() <= 1 << WindowBits::MIN.bits();
        fits.then(|| Self {
            deflater: Deflater::new(window),
            taken: 0,
            compressed: Vec::new(),
        })
    }

    /// Compresses the next piece of the message, which is the same `payload` each time. Returns
    /// how many bytes that were; none if it is done.
    pub fn step(&mut self, payload: &[u8]) -> usize {
        let left = &payload[self.taken..];
        let piece = &left[..left.len().min(PIECE)];
        let is_last = piece.len() == left.len();
        let flush = if is_last {
            DeflateFlush::SyncFlush
        } else {
            DeflateFlush::NoFlush
        };
        if !piece.is_empty() {
            self.deflater.append(piece, flush, &mut self.compressed);
            self.taken += piece.len();
        }
        piece.len()
    }

    /// Returns the compressed payload; `None` if the message is to be sent as it is, because it
    /// would get no smaller.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        let len = self.compressed.len() - TAIL.len();
        self.compressed.truncate(len);
        Some(self.compressed).filter(|compressed| compressed.len() < self.taken)
    }
}

fn raw_stream(window_bits: u8, mem_level: i32) -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        // Negative: without zlib's header. 9 is the least that there is.
        window_bits: -i32::from(window_bits.max(9)),
        mem_level,
        ..DeflateConfig::new(LEVEL)
    })
}

/// zlib counts a stream's bytes in 64 bits; these are of one buffer.
pub(super) fn to_len(bytes: u64) -> usize {
    usize::try_from(bytes).expect("bytes in memory")
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("window", &self.window)
            .field("keeps_context", &self.keeps_context)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use zlib_rs::{Inflate, InflateFlush};

    use super::*;
    use crate::inflate::Inflater;

    /// A peer that keeps its context, and gives what each message says.
    fn in_context(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut peer = Inflate::new(false, 15);
        let mut inflate = |message: &Vec<u8>| {
            let wire = [&message[..], &TAIL].concat();
            let (taken, given) = (peer.total_in(), peer.total_out());
            let mut payload = vec![0; 1 << 16];
            peer.decompress(&wire, &mut payload, InflateFlush::SyncFlush)
                .unwrap();
            assert_eq!(to_len(peer.total_in() - taken), wire.len());
            payload.truncate(to_len(peer.total_out() - given));
            payload
        };
        messages.iter().map(&mut inflate).collect()
    }

    /// Bytes without any pattern.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_context_gives_the_bytes_of_the_rfc() {
        let mut deflater = Deflater::with_context(WindowBits::MAX);
        // §7.2.3.1, and §7.2.3.6 in between.
        let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
        assert_eq!(deflater.deflate(b"Hello").unwrap(), hello);
        assert_eq!(deflater.deflate(b"").unwrap(), [0x00]);
        assert_eq!(deflater.deflate(b"").unwrap(), [0x00]);
        // Like §7.2.3.2, but shorter.
        let again = deflater.deflate(b"Hello").unwrap();
        assert!(again.len() < 5);
        assert_eq!(in_context(&[hello.to_vec(), again]), [b"Hello"; 2]);
    }

    #[test]
    fn what_would_not_get_smaller_is_left_alone_unless_a_context_needs_it() {
        for payload in [vec![], b"Hello".to_vec(), noise(100), noise(10_000)] {
            assert_eq!(Deflater::new(WindowBits::MAX).deflate(&payload), None);
            let mut deflater = Deflater::with_context(WindowBits::MAX);
            let messages = [(); 2].map(|()| deflater.deflate(&payload).unwrap());
            assert!(messages[0].len() > payload.len());
            assert_eq!(in_context(&messages), [&payload[..]; 2]);
        }
        let compressed = Deflater::new(WindowBits::MAX).deflate(&[b'a'; 20]).unwrap();
        assert!(compressed.len() < 20);
    }

    #[test]
    fn the_smallest_window_is_for_messages_that_fit_in_it() {
        for mut deflater in [
            Deflater::new(WindowBits::MIN),
            Deflater::with_context(WindowBits::MIN),
        ] {
            let first = deflater.deflate(&[b'a'; 256]);
            assert_eq!(
                Inflater::new().inflate(&first.unwrap(), 256),
                Ok(vec![b'a'; 256])
            );
            assert_eq!(deflater.deflate(&[b'a'; 257]), None);
            let again = deflater.deflate(&[b'a'; 256]).unwrap();
            assert_eq!(Inflater::new().inflate(&again, 256), Ok(vec![b'a'; 256]));
        }
    }

    #[test]
    fn a_message_after_many_that_were_left_alone_is_whole() {
        let mut deflater = Deflater::new(WindowBits::MAX);
        for _ in 0..30 {
            assert_eq!(deflater.deflate(&noise(5000)), None);
        }
        let next = deflater.deflate(&[b'x'; 100]).unwrap();
        assert_eq!(Inflater::new().inflate(&next, 100), Ok(vec![b'x'; 100]));
    }

    #[test]
    fn a_message_is_the_same_in_steps() {
        let words = b"{\"topic\":\"cats\",\"offset\":1234567}".repeat(5_000);
        for payload in [words, noise(100_000), vec![0; PIECE], vec![1; PIECE + 1]] {
            let mut deflating = Deflating::begin(WindowBits::MAX, &payload).unwrap();
            let mut steps = 0;
            while deflating.step(&payload) > 0 {
                steps += 1;
            }
            assert_eq!(steps, payload.len().div_ceil(PIECE));
            let compressed = deflating.finish();
            assert_eq!(compressed.is_some(), payload != noise(100_000));
            if let Some(compressed) = compressed {
                let inflated = Inflater::new().inflate(&compressed, payload.len());
                assert_eq!(inflated, Ok(payload));
            }
        }
        assert!(Deflating::begin(WindowBits::MIN, &[0; 257]).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn messages_come_out_as_they_went_in(
            words in vec(vec(select(&["", "topic", "offset", "cats", "{\"", "\u{e9}", "0123"][..]), 0..400), 1..6),
            noisy in 0..3000usize, window in select(&WindowBits::ALL[..]),
        ) {
            let mut messages: Vec<Vec<u8>> = words.iter().map(|each| each.concat().into()).collect();
            messages.insert(1, noise(noisy));
            let mut forgetful = Deflater::new(window);
            let mut inflater = Inflater::new();
            for message in &messages {
                if let Some(compressed) = forgetful.deflate(message) {
                    prop_assert!(compressed.len() < message.len());
                    prop_assert_eq!(&inflater.inflate(&compressed, message.len()).unwrap(), message);
                }
            }
            if window != WindowBits::MIN {
                let mut deflater = Deflater::with_context(window);
                let sent: Vec<_> = messages.iter().map(|each| deflater.deflate(each).unwrap()).collect();
                prop_assert_eq!(in_context(&sent), messages);
            }
        }
    }
}
