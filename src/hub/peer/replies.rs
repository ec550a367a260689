//! Replies to a connection during its turn, gathered so that one write takes all of them.
//!
//! One buffer for all connections of a shard: a connection has it during one poll of its task and
//! leaves it empty.

use bytes::BufMut;

use crate::wire::frame::{Frame, Kind, MAX_HEADER_BYTES, encode_message};

#[derive(Debug, Default)]
pub(in crate::hub) struct Replies(Vec<u8>);

impl Replies {
    /// Returns true if a frame with this payload fits; if not, it is queued by itself, after what was
    /// gathered.
    pub(in crate::hub) fn fits(&self, payload_len: usize) -> bool {
        self.0.len() + MAX_HEADER_BYTES + payload_len <= MAX_BYTES
    }

    /// Gathers a message, if it [fits](Self::fits). Returns false if not.
    // Once for each message of an echo.
    #[inline]
    #[must_use]
    pub(in crate::hub) fn push_message(&mut self, kind: Kind, payload: &[u8]) -> bool {
        let fits = self.fits(payload.len());
        if fits {
            encode_message(kind, payload, &mut self.0);
        }
        fits
    }

    pub(in crate::hub) fn push(&mut self, frame: &Frame) {
        self.0.put_slice(frame.as_bytes());
    }

    pub(in crate::hub) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::hub) fn clear(&mut self) {
        self.0.clear();
    }
}

/// As much as one receive brings, if it is full and all of it is echoed.
pub(in crate::hub) const MAX_BYTES: usize = 264 * 1024;
