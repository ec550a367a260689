//! Inflating the payload of one message ([RFC 7692 §7.2.2]), which has no frame any more.
//!
//! Whether text is UTF-8 is for others to check, afterwards.
//!
//! [RFC 7692 §7.2.2]: https://www.rfc-editor.org/rfc/rfc7692#section-7.2.2

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{
    deflate::{TAIL, to_len},
    extension::WindowBits,
    violation::Violation,
};

/// The tail that compressed messages are sent without, and a block that is the last of its stream.
/// The tail alone does not tell a whole message from one that was cut inside a block; a stream
/// that ends exactly here does.
const END: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];

/// Inflated at a time, in bytes: whole messages, usually.
const CHUNK: usize = 16 * 1024;

/// Taken at a time, in bytes: what costs most, tables of codes for nothing, takes 50 ns for each.
const PIECE: usize = 2 * 1024;

/// How far back a block may refer, in bytes.
const WINDOW: usize = 32 * 1024;

/// Streams in one message, i.e. blocks with BFINAL (§7.2.3.4) and the rest. Arbitrary: compressors
/// make one or two, and each costs the copy of a window for as little as two bytes.
const MAX_STREAMS: usize = 256;

/// Inflates messages, each of which refers to no other one; of any window.
pub struct Inflater {
    stream: Inflate,
    chunk: Box<[u8]>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// One for any number of peers. It costs about 64 KB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stream: Inflate::new(false, WindowBits::MAX.bits()),
            chunk: vec![0; CHUNK].into(),
        }
    }

    /// The payload of a message, of which `compressed` came on the wire, in `limit` bytes at most.
    ///
    /// # Errors
    ///
    /// [`Violation::MessageTooBig`] as soon as it is, having taken no more memory than `limit`;
    /// [`Violation::InvalidCompression`].
    pub fn inflate(&mut self, compressed: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
        let mut inflating = Inflating::new(limit);
        loop {
            if let Some(payload) = inflating.step(self, compressed)? {
                return Ok(payload);
            }
        }
    }

    /// Begins a stream that may refer to what there is of the message.
    fn restart(&mut self, message: &Message) -> Result<(), Violation> {
        self.stream.reset(false);
        let payload = &message.payload;
        let window = &payload[payload.len().saturating_sub(WINDOW)..];
        if !window.is_empty() {
            let set = self.stream.set_dictionary(window);
            set.map_err(|_| Violation::InvalidCompression)?;
        }
        Ok(())
    }

    /// Inflates some of `input` into the chunk. Returns how much of which.
    fn run(&mut self, input: &[u8]) -> Result<(Status, usize, usize), Violation> {
        let (taken, written) = (self.stream.total_in(), self.stream.total_out());
        let status = self
            .stream
            .decompress(input, &mut self.chunk, InflateFlush::NoFlush)
            .map_err(|_| Violation::InvalidCompression)?;
        let taken = to_len(self.stream.total_in() - taken);
        let written = to_len(self.stream.total_out() - written);
        Ok((status, taken, written))
    }

    /// Returns true if the stream is at its end, or between two of its blocks.
    fn is_whole(&mut self) -> Result<bool, Violation> {
        let mut rest = &END[..];
        loop {
            let (status, taken, written) = self.run(rest)?;
            rest = &rest[taken..];
            // What `END` adds to the payload was cut off from a block.
            if written > 0 || rest.is_empty() || taken == 0 || status == Status::StreamEnd {
                // The block that the tail belongs to may be a last one, too: then that of `END`
                // is left.
                let is_at_end = rest.is_empty() || rest == &END[TAIL.len()..];
                return Ok(written == 0 && status == Status::StreamEnd && is_at_end);
            }
        }
    }
}

/// A message that is inflated in steps, between which the inflater must do nothing else.
#[derive(Debug)]
pub struct Inflating {
    message: Message,
    /// How much of what is compressed was taken.
    taken: usize,
    streams: usize,
    is_in_stream: bool,
}

impl Inflating {
    /// Begins a message of `limit` bytes at most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            message: Message::new(limit),
            taken: 0,
            streams: 0,
            is_in_stream: false,
        }
    }

    /// Inflates some more of the message, which came as the same `compressed` each time: at most
    /// 2 KiB of it, or to 16 KiB. Returns the payload when that was all.
    ///
    /// # Errors
    ///
    /// As of [`inflate`](Inflater::inflate).
    pub fn step(
        &mut self,
        inflater: &mut Inflater,
        compressed: &[u8],
    ) -> Result<Option<Vec<u8>>, Violation> {
        if !self.is_in_stream {
            if self.streams == MAX_STREAMS {
                return Err(Violation::InvalidCompression);
            }
            self.streams += 1;
            self.is_in_stream = true;
            inflater.restart(&self.message)?;
        }
        let left = &compressed[self.taken..];
        let (status, taken, written) = inflater.run(&left[..left.len().min(PIECE)])?;
        self.taken += taken;
        self.message.append(&inflater.chunk[..written])?;
        let is_all = self.taken == compressed.len();
        match status {
            Status::StreamEnd => self.is_in_stream = false,
            _ if is_all && written < CHUNK => {
                let is_whole = inflater.is_whole()?;
                let payload = is_whole.then(|| std::mem::take(&mut self.message.payload));
                return payload.map(Some).ok_or(Violation::InvalidCompression);
            }
            _ if taken == 0 && written == 0 => return Err(Violation::InvalidCompression),
            _ => {}
        }
        // §7.2.3.4 has an empty block after one with BFINAL; it may be missing.
        let is_done = is_all && !self.is_in_stream;
        Ok(is_done.then(|| std::mem::take(&mut self.message.payload)))
    }
}

/// What has been inflated.
///
/// Invariant: neither its length nor its capacity is over `limit`.
#[derive(Debug)]
struct Message {
    payload: Vec<u8>,
    limit: usize,
}

impl Message {
    fn new(limit: usize) -> Self {
        Self {
            payload: Vec::new(),
            limit,
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let len = self.payload.len() + bytes.len();
        if len > self.limit {
            return Err(Violation::MessageTooBig);
        }
        if len > self.payload.capacity() {
            let capacity = (2 * self.payload.capacity()).clamp(len, self.limit);
            self.payload.reserve_exact(capacity - self.payload.len());
        }
        self.payload.extend_from_slice(bytes);
        Ok(())
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deflate::Deflater;
    use proptest::{collection::vec, prelude::*};
    use zlib_rs::{Deflate, DeflateFlush};

    const INVALID: Result<Vec<u8>, Violation> = Err(Violation::InvalidCompression);
    const TOO_BIG: Result<Vec<u8>, Violation> = Err(Violation::MessageTooBig);

    fn inflate(compressed: &[u8]) -> Result<Vec<u8>, Violation> {
        Inflater::new().inflate(compressed, 1 << 20)
    }

    /// Blocks of a mebibyte of zeros each, all alike.
    fn mebibytes_of_zeros(count: usize) -> Vec<u8> {
        let mut stream = Deflate::new(9, false, 15);
        let zeros = vec![0; 1 << 20];
        let mut block = || {
            let mut room = vec![0; 8192];
            let before = stream.total_out();
            stream
                .compress(&zeros, &mut room, DeflateFlush::SyncFlush)
                .unwrap();
            room.truncate(to_len(stream.total_out() - before));
            room
        };
        let first = block();
        [first, block().repeat(count - 1), vec![0x00]].concat()
    }

    #[test]
    fn the_examples_of_the_rfc_are_inflated() {
        let examples: [(&str, &[u8]); 6] = [
            ("7.2.3.1", &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]),
            (
                "7.2.3.3",
                &[
                    0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
                ],
            ),
            ("7.2.3.4", &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]),
            (
                "7.2.3.4, without the last byte",
                &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00],
            ),
            (
                "7.2.3.5",
                &[
                    0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
                ],
            ),
            (
                "two fragments of 7.2.3.1",
                &[[0xF2, 0x48, 0xCD].as_slice(), &[0xC9, 0xC9, 0x07, 0x00]].concat(),
            ),
        ];
        for (section, compressed) in examples {
            assert_eq!(inflate(compressed), Ok(b"Hello".to_vec()), "{section}");
        }
        assert_eq!(inflate(&[0x00]), Ok(vec![]), "7.2.3.6");
        assert_eq!(inflate(&[0x01]), Ok(vec![]), "7.2.3.6 as a last block");
        let second_in_a_context = [0xF2, 0x00, 0x11, 0x00, 0x00];
        assert_eq!(inflate(&second_in_a_context), INVALID, "7.2.3.2");
    }

    #[test]
    fn a_message_refers_to_no_earlier_one() {
        let mut inflater = Inflater::new();
        let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
        for _ in 0..2 {
            assert_eq!(inflater.inflate(&hello, 5), Ok(b"Hello".to_vec()));
            assert_eq!(
                inflater.inflate(&[0xF2, 0x00, 0x11, 0x00, 0x00], 5),
                INVALID
            );
        }
    }

    #[test]
    fn a_block_after_a_last_block_may_refer_to_it() {
        let last = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
        let twice = [&last[..], &[0xF2, 0x00, 0x11, 0x00, 0x00]].concat();
        assert_eq!(inflate(&twice), Ok(b"HelloHello".to_vec()));
        let many = |count| inflate(&[&last.repeat(count)[..], &[0x00]].concat());
        assert_eq!(many(MAX_STREAMS - 1), Ok(b"Hello".repeat(MAX_STREAMS - 1)));
        assert_eq!(many(MAX_STREAMS + 1), INVALID);
    }

    #[test]
    fn what_is_not_deflate_is_refused() {
        let cases: [&[u8]; 9] = [
            b"",
            b"Hello",
            &[0xFF],
            &[0x06],
            &[
                0x00, 0x05, 0x00, 0xFA, 0xFE, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
            ],
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xFF],
            // Cut inside the table of codes, for which the tail would do.
            &[0x04, 0x00],
            &[0x0C, 0x8F, 0x5B, 0x0A, 0x00, 0x50, 0x04, 0x44, 0xB7],
            // The tail would be the content of this block.
            &[0x00, 0x04, 0x00, 0xFB, 0xFF],
        ];
        for compressed in cases {
            assert_eq!(inflate(compressed), INVALID, "{compressed:02X?}");
        }
    }

    #[test]
    fn exactly_the_limit_passes_and_no_more_memory_is_taken() {
        let mut deflater = Deflater::new(WindowBits::MAX);
        for limit in [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 100_000] {
            let compressed = |len: usize| {
                let compressed = deflater.deflate(&vec![b'a'; len]);
                compressed.unwrap_or_else(|| stored(&vec![b'a'; len]))
            };
            let [full, over] = [limit, limit + 1].map(compressed);
            let payload = Inflater::new().inflate(&full, limit).unwrap();
            assert_eq!((payload.len(), payload.capacity()), (limit, limit));
            assert_eq!(Inflater::new().inflate(&over, limit), TOO_BIG);
        }
    }

    /// A message in one block without compression.
    fn stored(payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(payload.len()).unwrap();
        let lengths = [len.to_le_bytes(), (!len).to_le_bytes()].concat();
        [&[0x00], &lengths[..], payload, &[0x00]].concat()
    }

    #[test]
    fn a_bomb_is_inflated_to_its_limit_and_no_further() {
        let three = mebibytes_of_zeros(3);
        let payload = Inflater::new().inflate(&three, 3 << 20).unwrap();
        assert_eq!((payload.len(), payload.capacity()), (3 << 20, 3 << 20));

        let gibibyte = mebibytes_of_zeros(1024);
        let mut inflater = Inflater::new();
        assert_eq!(inflater.inflate(&gibibyte, 1 << 16), TOO_BIG);
        assert!(to_len(inflater.stream.total_out()) <= (1 << 16) + CHUNK);
        assert_eq!(inflater.inflate(&[0x00], 0), Ok(vec![]), "and goes on");
    }

    #[test]
    fn a_message_that_was_cut_is_refused_or_ends_between_two_blocks() {
        let mut payload =
            b"{\"topic\":\"cats\",\"offset\":1234567,\"data\":\"meow meow meow\"}".repeat(3);
        payload.extend((0..=255).rev());
        let stored = stored(&payload);
        let deflated = |level| {
            let mut room = vec![0; 2000];
            let mut stream = Deflate::new(level, false, 15);
            stream
                .compress(&payload, &mut room, DeflateFlush::SyncFlush)
                .unwrap();
            room.truncate(to_len(stream.total_out()) - 4);
            room
        };
        // Stored, fixed and dynamic Huffman codes, and blocks that hold the tail itself.
        let tails = [
            0x00, 0x08, 0x00, 0xF7, 0xFF, 0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF, 0x00,
        ];
        for message in [stored, deflated(1), deflated(9), tails.to_vec()] {
            let whole = inflate(&message).unwrap();
            assert!(!whole.is_empty());
            let cuts: Vec<usize> = (0..message.len())
                .filter(|cut| inflate(&message[..*cut]).is_ok())
                .collect();
            for cut in cuts {
                // What is taken is a whole message: the empty block at its end is there.
                assert_eq!(cut, 1, "{message:02X?}");
                assert_eq!(inflate(&message[..cut]), Ok(vec![]));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_within_the_limit(bytes in vec(any::<u8>(), 0..300), limit in 0..2000usize) {
            let mut inflater = Inflater::new();
            if let Ok(payload) = inflater.inflate(&bytes, limit) {
                prop_assert!(payload.capacity() <= limit);
            }
        }

        #[test]
        fn any_change_of_a_message_ends_within_the_limit(
            place in any::<proptest::sample::Index>(), byte in any::<u8>(), limit in 0..2000usize,
        ) {
            let payload = b"{\"topic\":\"cats\",\"offset\":1234567}".repeat(30);
            let mut message = Deflater::new(WindowBits::MAX).deflate(&payload).unwrap();
            let place = place.index(message.len());
            message[place] = byte;
            if let Ok(payload) = Inflater::new().inflate(&message, limit) {
                prop_assert!(payload.capacity() <= limit);
            }
        }
    }
}
