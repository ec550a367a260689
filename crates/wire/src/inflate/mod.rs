//! Decompresses the payload of one message ([RFC 7692 §7.2.2]), after it was taken out of its
//! frames.
//!
//! Does not check text for UTF-8: the callers do that afterwards.
//!
//! [RFC 7692 §7.2.2]: https://www.rfc-editor.org/rfc/rfc7692#section-7.2.2

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{
    deflate::{TAIL, to_len},
    extension::WindowBits,
    protocol_error::ProtocolError,
};

/// Bytes that are fed to the stream after a message: the tail that senders remove, then a last
/// block (with BFINAL), which is empty. The tail alone does not tell a whole message from one that
/// was cut inside a block. A message is whole if its stream ends exactly at the end of these bytes.
const END: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];

/// Largest output of one step, in bytes. Most messages are smaller.
const CHUNK: usize = 16 * 1024;

/// Largest input of one step, in bytes. The most expensive input, Huffman tables that decode
/// nothing, takes 50 ns a byte.
const PIECE: usize = 2 * 1024;

/// Distance up to which a block may refer back, in bytes.
const WINDOW: usize = 32 * 1024;

/// Largest number of streams in one message: each block with BFINAL ends a stream (§7.2.3.4), and
/// the blocks after it are a new one. Arbitrary: compressors make one or two streams, and each
/// costs a copy of the window for as little as two bytes of input.
const MAX_STREAMS: usize = 256;

/// Decompressor of messages that do not refer to earlier messages, for any window.
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
    /// Returns a decompressor for any number of peers. It costs about 64 KB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stream: Inflate::new(false, WindowBits::MAX.bits()),
            chunk: vec![0; CHUNK].into(),
        }
    }

    /// Returns the payload of the message that came on the wire as `compressed`.
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

    /// Begins a stream that may refer back to what is inflated of the message so far.
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

    /// Feeds [`END`] to the stream. Returns true if the stream ends exactly there: then no block of
    /// the message was cut.
    fn finish_stream(&mut self) -> Result<bool, ProtocolError> {
        let mut rest = &END[..];
        loop {
            let (status, taken, written) = self.run(rest)?;
            rest = &rest[taken..];
            // If `END` adds to the payload, it was read as the content of a block that was cut.
            if written > 0 || rest.is_empty() || taken == 0 || status == Status::StreamEnd {
                // If the block that the tail completes has BFINAL, the stream ends there and the
                // last block of `END` is left over.
                let is_at_end = rest.is_empty() || rest == &END[TAIL.len()..];
                return Ok(written == 0 && status == Status::StreamEnd && is_at_end);
            }
        }
    }
}

/// Decompression of one message in steps. The inflater must do nothing else between the steps.
#[derive(Debug)]
pub struct Inflating {
    message: Inflated,
    /// Number of compressed bytes consumed.
    taken: usize,
    streams: usize,
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
    /// `compressed` must be the whole message, the same on each call. Returns the payload when the
    /// message is done.
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
            _ if is_all && written < CHUNK => {
                let is_whole = inflater.finish_stream()?;
                let payload = is_whole.then(|| std::mem::take(&mut self.message.payload));
                return payload.map(Some).ok_or(ProtocolError::InvalidCompression);
            }
            _ if taken == 0 && written == 0 => return Err(ProtocolError::InvalidCompression),
            _ => {}
        }
        // §7.2.3.4 has an empty block after one with BFINAL. Messages without it are accepted, too.
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
