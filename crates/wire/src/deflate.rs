//! Compresses the payloads of messages ([RFC 7692 §7.2.1]), before they are put into frames.
//!
//! [RFC 7692 §7.2.1]: https://www.rfc-editor.org/rfc/rfc7692#section-7.2.1

use std::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::extension::WindowBits;

/// Last bytes that the compressor writes for each message. They are removed before the message is
/// sent (§7.2.1).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Compression level: the fastest. Level 3 takes ten times as long and makes messages a sixth
/// smaller (measured with 200 bytes).
const LEVEL: i32 = 1;

/// Memory level of a compressor without a context: zlib's default.
const MEM_LEVEL: i32 = 8;

/// Largest window of a compressor with a context, as the base-2 logarithm of its bytes, even if the
/// peer agreed to a larger one. The largest window would cost 115 KB more.
const CONTEXT_WINDOW_BITS: u8 = 12;

/// Memory level (of zlib) of a compressor with a context. Level 8 would cost 100 KB more.
const CONTEXT_MEM_LEVEL: i32 = 5;

/// Payload bytes that one step compresses, in some 40 us.
const PIECE: usize = 16 * 1024;

/// Spare bytes of the output buffer, which is also an eighth larger than the payload, because one
/// byte can take nine bits. If the buffer is too small nevertheless, the compressor is called
/// again.
const GROWTH: usize = 64;

/// Compressor of messages.
///
/// zlib does not support [`WindowBits::MIN`]. With this window, only messages that are no larger
/// than the window are compressed: then nothing in them can refer further back.
pub struct Deflater {
    stream: Deflate,
    window: WindowBits,
    keeps_context: bool,
}

impl Deflater {
    /// Returns a compressor without a context. No message refers to an earlier one, so it serves
    /// any number of peers that agreed on `window`. It takes 251 to 380 KB of memory (measured).
    #[must_use]
    pub fn new(window: WindowBits) -> Self {
        Self {
            stream: raw_stream(window.bits(), MEM_LEVEL),
            window,
            keeps_context: false,
        }
    }

    /// Returns a compressor with a context. Messages refer to earlier ones, so it serves a single
    /// peer, which must get all of them. It takes 151 to 165 KB of memory (measured). With
    /// [`WindowBits::MIN`] it has no context, and no message refers to an earlier one.
    #[must_use]
    pub fn with_context(window: WindowBits) -> Self {
        Self {
            stream: raw_stream(window.bits().min(CONTEXT_WINDOW_BITS), CONTEXT_MEM_LEVEL),
            window,
            keeps_context: window != WindowBits::MIN,
        }
    }

    /// Returns the compressed payload of a message, or `None` if the message is to be sent
    /// uncompressed because it would get no smaller or does not fit in [`WindowBits::MIN`]. With a
    /// context every message is compressed, even if it grows.
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

    /// Compresses a whole message, even if it grows. The compressor must not be stopped inside a
    /// message: in zlib-rs 0.6.8, output that the stream has begun and not written survives a
    /// reset, gets into the next message, and finally causes a panic.
    fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        // §7.2.3.6: an empty message is compressed to this byte. zlib would write nothing, because
        // it has nothing to flush.
        if payload.is_empty() {
            return vec![0x00];
        }
        let mut compressed = Vec::new();
        self.append(payload, DeflateFlush::SyncFlush, &mut compressed);
        compressed.truncate(compressed.len() - TAIL.len());
        compressed
    }

    /// Compresses all of `payload`, which must not be empty, and appends the output to
    /// `compressed`.
    fn append(&mut self, mut payload: &[u8], flush: DeflateFlush, compressed: &mut Vec<u8>) {
        let mut written = compressed.len();
        // While the buffer is full, the stream may have more output.
        while !payload.is_empty() || written == compressed.len() {
            compressed.resize(written + payload.len() + payload.len() / 8 + GROWTH, 0);
            let (in_before, out_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .compress(payload, &mut compressed[written..], flush);
            status.expect("a raw stream accepts any input");
            written += to_len(self.stream.total_out() - out_before);
            payload = &payload[to_len(self.stream.total_in() - in_before)..];
        }
        compressed.truncate(written);
    }
}

/// Compression of one large message in steps, with a compressor that is used for this message
/// alone.
#[derive(Debug)]
pub struct Deflating {
    deflater: Deflater,
    /// Number of payload bytes that are compressed already.
    taken: usize,
    compressed: Vec<u8>,
}

impl Deflating {
    /// Begins a message for peers with this window. Returns `None` if the message is to be sent
    /// uncompressed because it does not fit in [`WindowBits::MIN`].
    #[must_use]
    pub fn begin(window: WindowBits, payload: &[u8]) -> Option<Self> {
        let fits = window != WindowBits::MIN || payload.len() <= 1 << WindowBits::MIN.bits();
        fits.then(|| Self {
            deflater: Deflater::new(window),
            taken: 0,
            compressed: Vec::new(),
        })
    }

    /// Compresses the next piece of the message. `payload` must be the whole message on each call.
    /// Returns the number of bytes that were compressed, which is 0 at the end of the message.
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

    /// Returns the compressed payload, or `None` if the message is to be sent uncompressed because
    /// it would get no smaller.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        let len = self.compressed.len() - TAIL.len();
        self.compressed.truncate(len);
        Some(self.compressed).filter(|compressed| compressed.len() < self.taken)
    }
}

/// Returns a zlib stream without zlib's header.
fn raw_stream(window_bits: u8, mem_level: i32) -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        // Negative means without the header. zlib's smallest window is 9.
        window_bits: -i32::from(window_bits.max(9)),
        mem_level,
        ..DeflateConfig::new(LEVEL)
    })
}

/// Converts a number of bytes, which zlib counts in 64 bits. The bytes must be in one buffer.
pub(super) fn to_len(bytes: u64) -> usize {
    usize::try_from(bytes).expect("the bytes of a buffer in memory")
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

    /// Inflates messages as a peer that keeps its context does, each with reference to the earlier
    /// ones. Returns their payloads.
    fn inflate_in_context(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut peer = Inflate::new(false, 15);
        let mut inflate = |message: &Vec<u8>| {
            let wire = [&message[..], &TAIL].concat();
            let (in_before, out_before) = (peer.total_in(), peer.total_out());
            let mut payload = vec![0; 1 << 16];
            peer.decompress(&wire, &mut payload, InflateFlush::SyncFlush)
                .unwrap();
            assert_eq!(to_len(peer.total_in() - in_before), wire.len());
            payload.truncate(to_len(peer.total_out() - out_before));
            payload
        };
        messages.iter().map(&mut inflate).collect()
    }

    /// Returns pseudorandom bytes, which cannot be compressed.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_compressor_with_a_context_writes_the_bytes_of_the_rfc() {
        let mut deflater = Deflater::with_context(WindowBits::MAX);
        // "Hello" from §7.2.3.1, and twice the empty message from §7.2.3.6.
        let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
        assert_eq!(deflater.deflate(b"Hello").unwrap(), hello);
        assert_eq!(deflater.deflate(b"").unwrap(), [0x00]);
        assert_eq!(deflater.deflate(b"").unwrap(), [0x00]);
        // The example of §7.2.3.2 takes 5 bytes for a second "Hello".
        let again = deflater.deflate(b"Hello").unwrap();
        assert!(again.len() < 5);
        assert_eq!(inflate_in_context(&[hello.to_vec(), again]), [b"Hello"; 2]);
    }

    #[test]
    fn a_payload_that_would_not_shrink_is_compressed_only_with_a_context() {
        for payload in [vec![], b"Hello".to_vec(), noise(100), noise(10_000)] {
            assert_eq!(Deflater::new(WindowBits::MAX).deflate(&payload), None);
            let mut deflater = Deflater::with_context(WindowBits::MAX);
            let messages = [(); 2].map(|()| deflater.deflate(&payload).unwrap());
            assert!(messages[0].len() > payload.len());
            assert_eq!(inflate_in_context(&messages), [&payload[..]; 2]);
        }
        let compressed = Deflater::new(WindowBits::MAX).deflate(&[b'a'; 20]).unwrap();
        assert!(compressed.len() < 20);
    }

    #[test]
    fn with_the_smallest_window_only_messages_that_fit_in_it_are_compressed() {
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
    fn a_message_after_many_that_would_not_shrink_is_compressed_correctly() {
        let mut deflater = Deflater::new(WindowBits::MAX);
        for _ in 0..30 {
            assert_eq!(deflater.deflate(&noise(5000)), None);
        }
        let next = deflater.deflate(&[b'x'; 100]).unwrap();
        assert_eq!(Inflater::new().inflate(&next, 100), Ok(vec![b'x'; 100]));
    }

    #[test]
    fn a_message_that_is_compressed_in_steps_inflates_to_itself() {
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
        fn every_compressed_message_inflates_to_itself(
            words in vec(vec(select(&["", "topic", "offset", "cats", "{\"", "\u{e9}", "0123"][..]), 0..400), 1..6),
            noisy in 0..3000usize, window in select(&WindowBits::ALL[..]),
        ) {
            let mut messages: Vec<Vec<u8>> = words.iter().map(|each| each.concat().into()).collect();
            messages.insert(1, noise(noisy));
            let mut without_context = Deflater::new(window);
            let mut inflater = Inflater::new();
            for message in &messages {
                if let Some(compressed) = without_context.deflate(message) {
                    prop_assert!(compressed.len() < message.len());
                    prop_assert_eq!(&inflater.inflate(&compressed, message.len()).unwrap(), message);
                }
            }
            if window != WindowBits::MIN {
                let mut deflater = Deflater::with_context(window);
                let sent: Vec<_> = messages.iter().map(|each| deflater.deflate(each).unwrap()).collect();
                prop_assert_eq!(inflate_in_context(&sent), messages);
            }
        }
    }
}
