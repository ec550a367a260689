//! Replies to a connection during its turn, gathered so that one system call writes all of them.
//!
//! All connections of a shard share one buffer. A connection uses it during one poll of its task
//! and leaves it empty.

use bytes::BufMut;

use crate::wire::frame::{Frame, Kind, MAX_HEADER_BYTES, encode_message};

/// Encoded frames of the replies that are gathered.
#[derive(Debug, Default)]
pub(in crate::hub) struct Replies {
    frames: Vec<u8>,
    /// Number of messages that end in `frames`.
    messages: u64,
}

impl Replies {
    /// Returns true if a frame with a payload of this length fits. A frame that does not fit is
    /// queued to the outbox, behind the gathered replies.
    pub(in crate::hub) fn fits(&self, payload_len: usize) -> bool {
        self.frames.len() + MAX_HEADER_BYTES + payload_len <= MAX_BYTES
    }

    /// Gathers a message if it [fits](Self::fits). Returns false if it does not.
    // Inlined: echo calls this once for each message.
    #[inline]
    #[must_use]
    pub(in crate::hub) fn push_message(&mut self, kind: Kind, payload: &[u8]) -> bool {
        let fits = self.fits(payload.len());
        if fits {
            encode_message(kind, payload, &mut self.frames);
            self.messages += 1;
        }
        fits
    }

    pub(in crate::hub) fn push(&mut self, frame: &Frame) {
        self.frames.put_slice(frame.as_bytes());
        self.messages += u64::from(frame.ends_message());
    }

    pub(in crate::hub) fn as_bytes(&self) -> &[u8] {
        &self.frames
    }

    /// Returns the number of messages that end in the gathered frames.
    pub(in crate::hub) fn messages(&self) -> u64 {
        self.messages
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(in crate::hub) fn clear(&mut self) {
        self.frames.clear();
        self.messages = 0;
    }
}

/// Greatest number of bytes of replies that are gathered: as many as a turn receives, so that an
/// echo of all of them fits.
pub(in crate::hub) const MAX_BYTES: usize = 264 * 1024;
