//! Decompresses the payloads of messages ([RFC 7692 §7.2.2]), after they were taken out of their
//! frames.
//!
//! This does not check text for UTF-8. The callers do that afterwards.
//!
//! [RFC 7692 §7.2.2]: https://www.rfc-editor.org/rfc/rfc7692#section-7.2.2

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{
    deflate::{TAIL, to_len},
    extension::WindowBits,
    protocol_error::ProtocolError,
};

/// Bytes that are fed to the stream after a message, to find out whether the message is whole: the
/// four bytes of [`TAIL`], which senders remove, then an empty block with BFINAL, which ends a
/// stream. `TAIL` alone is not enough: if a message was cut inside a block, the decompressor takes
/// these bytes for the rest of the block. See [`Inflater::finish_stream`].
const END: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];

/// Largest output of one step of inflating, in bytes. Most messages are smaller.
const CHUNK: usize = 16 * 1024;

/// Largest input of one step of inflating, in bytes. The most expensive input, Huffman tables that
/// decode nothing, takes 50 ns for each byte.
const PIECE: usize = 2 * 1024;

/// Distance up to which a block may refer back, in bytes.
const WINDOW: usize = 32 * 1024;

/// Largest number of streams in one message. A block with BFINAL ends a stream (§7.2.3.4), and the
/// blocks behind it are a new stream. The value is arbitrary: compressors make one or two streams.
/// There is a limit because each stream costs a copy of the window, for as little as two bytes of
/// input.
const MAX_STREAMS: usize = 256;

/// Decompressor of messages that do not refer to earlier messages. It accepts every window that a
/// peer may use.
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
    /// Returns a decompressor, which serves any number of peers. It takes about 64 KB of memory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stream: Inflate::new(false, WindowBits::MAX.bits()),
            chunk: vec![0; CHUNK].into(),
        }
    }

    /// Returns the payload of the message whose compressed payload, as it was received, is
    /// `compressed`.
    ///
    /// # Errors
    ///
    /// - [`ProtocolError::MessageTooBig`] as soon as the payload is larger than `limit`, in bytes.
    ///   It never takes up more memory than that.
    /// - [`ProtocolError::InvalidCompression`] if `compressed` is not a whole deflated message.
    pub fn inflate(&mut self, compressed: &[u8], limit: usize) -> Result<Vec<u8>, ProtocolError> {
        let mut inflating = Inflating::new(limit);
        loop {
            if let Some(payload) = inflating.step(self, compressed)? {
                return Ok(payload);
            }
        }
    }

    /// Begins the next stream of a message. It may refer back to everything that is inflated of the
    /// message so far.
    fn restart(&mut self, message: &Inflated) -> Result<(), ProtocolError> {
        self.stream.reset(false);
        let payload = &message.payload;
        let window = &payload[payload.len().saturating_sub(WINDOW)..];
        if !window.is_empty() {
            let set = self.stream.set_dictionary(window);
            set.map_err(|_| ProtocolError::InvalidCompression)?;
        }
        Ok(())
    }

    /// Inflates some of `input` into the chunk. Returns zlib's status, the number of bytes consumed
    /// and the number of bytes written.
    fn run(&mut self, input: &[u8]) -> Result<(Status, usize, usize), ProtocolError> {
        let (taken, written) = (self.stream.total_in(), self.stream.total_out());
        let status = self
            .stream
            .decompress(input, &mut self.chunk, InflateFlush::NoFlush)
            .map_err(|_| ProtocolError::InvalidCompression)?;
        let taken = to_len(self.stream.total_in() - taken);
        let written = to_len(self.stream.total_out() - written);
        Ok((status, taken, written))
    }

    /// Feeds [`END`] to the stream, after all bytes of the message. Returns true if the message was
    /// whole. That is so if nothing was inflated from these bytes, and the stream ends either with
    /// the last byte of `END` or with the last byte of `TAIL`. If a block of the message was cut,
    /// it takes bytes of `END` as its own, and the stream ends elsewhere or not at all.
    fn finish_stream(&mut self) -> Result<bool, ProtocolError> {
        let mut rest = &END[..];
        loop {
            let (status, taken, written) = self.run(rest)?;
            rest = &rest[taken..];
            // Output means that bytes of `END` were read as the content of a block that was cut.
            if written > 0 || rest.is_empty() || taken == 0 || status == Status::StreamEnd {
                // `TAIL` completes the last block of the message. If that block has BFINAL, the
                // stream ends with it, and the empty block of `END` is not read.
                let is_at_end = rest.is_empty() || rest == &END[TAIL.len()..];
                return Ok(written == 0 && status == Status::StreamEnd && is_at_end);
            }
        }
    }
}

/// Decompression of one message in steps. Between the steps, the inflater must not be used for
/// another message.
#[derive(Debug)]
pub struct Inflating {
    message: Inflated,
    /// Number of compressed bytes consumed.
    taken: usize,
    /// Number of streams begun (see [`MAX_STREAMS`]).
    streams: usize,
    /// True if the current stream has not ended yet with a block that has BFINAL.
    is_in_stream: bool,
}

impl Inflating {
    /// Begins a message that inflates to `limit` bytes at most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            message: Inflated::new(limit),
            taken: 0,
            streams: 0,
            is_in_stream: false,
        }
    }

    /// Returns the memory that the payload so far takes up, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.message.payload.capacity()
    }

    /// Inflates some more of the message: at most 2 KiB of input, to at most 16 KiB of output.
    /// `compressed` must be the whole message on each call. Returns the payload when the message is
    /// done, and `None` before.
    ///
    /// # Errors
    ///
    /// The same as for [`inflate`](Inflater::inflate).
    pub fn step(
        &mut self,
        inflater: &mut Inflater,
        compressed: &[u8],
    ) -> Result<Option<Vec<u8>>, ProtocolError> {
        if !self.is_in_stream {
            if self.streams == MAX_STREAMS {
                return Err(ProtocolError::InvalidCompression);
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
            // A full chunk means that the stream may have more output.
            _ if is_all && written < CHUNK => {
                let is_whole = inflater.finish_stream()?;
                let payload = is_whole.then(|| std::mem::take(&mut self.message.payload));
                return payload.map(Some).ok_or(ProtocolError::InvalidCompression);
            }
            _ if taken == 0 && written == 0 => return Err(ProtocolError::InvalidCompression),
            _ => {}
        }
        // The example of §7.2.3.4 has an empty block behind a block with BFINAL. Messages without
        // it are accepted, too.
        let is_done = is_all && !self.is_in_stream;
        Ok(is_done.then(|| std::mem::take(&mut self.message.payload)))
    }
}

/// The payload that was inflated so far.
///
/// Invariant: neither its length nor its capacity is over `limit`.
#[derive(Debug)]
struct Inflated {
    payload: Vec<u8>,
    limit: usize,
}

impl Inflated {
    fn new(limit: usize) -> Self {
        Self {
            payload: Vec::new(),
            limit,
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let len = self.payload.len() + bytes.len();
        if len > self.limit {
            return Err(ProtocolError::MessageTooBig);
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
mod tests;
