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
    protocol_error::ProtocolError,
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
    /// [`ProtocolError::MessageTooBig`] as soon as it is, having taken no more memory than `limit`;
    /// [`ProtocolError::InvalidCompression`].
    pub fn inflate(&mut self, compressed: &[u8], limit: usize) -> Result<Vec<u8>, ProtocolError> {
        let mut inflating = Inflating::new(limit);
        loop {
            if let Some(payload) = inflating.step(self, compressed)? {
                return Ok(payload);
            }
        }
    }

    /// Begins a stream that may refer to what there is of the message.
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

    /// Inflates some of `input` into the chunk. Returns how much of which.
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

    /// Feeds the stream the end that messages are sent without. Returns true if it ends there: nothing of a block
    /// was cut off.
    fn finish_stream(&mut self) -> Result<bool, ProtocolError> {
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
    message: Inflated,
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
            message: Inflated::new(limit),
            taken: 0,
            streams: 0,
            is_in_stream: false,
        }
    }

    /// Returns the memory that it holds, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.message.payload.capacity()
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
        // §7.2.3.4 has an empty block after one with BFINAL; it may be missing.
        let is_done = is_all && !self.is_in_stream;
        Ok(is_done.then(|| std::mem::take(&mut self.message.payload)))
    }
}

/// What has been inflated.
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
