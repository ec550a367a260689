//! Shows large frames to fastwebsockets in parts, so that it reserves no more memory than has
//! arrived.
//!
//! fastwebsockets reserves the whole payload length of a header at once. So the gate shows it a
//! large frame as fragments of a few KiB. Each of these parts has a header of its own, which is
//! shown only when the part arrives. A reader of whole messages gets the same message. For a reader
//! of frames, each frame is shown as a whole message, because it could not tell a part from a
//! fragment. This module performs no I/O.
//!
//! ```text
//!  FIN binary, 20,000 bytes ─► binary, 8,192 ─► continuation, 8,192 ─► FIN continuation, 3,616
//!
//!  for a reader of frames:
//!  binary, 20,000 bytes     ─► binary, 8,192 ─► continuation, 8,192 ─► FIN continuation, 3,616
//!  FIN continuation, 100    ─► FIN binary, 100
//! ```

use super::header::{CONTROL, FIN, MASK, MAX_BYTES};

/// State of the frame that is being shown. The parts' headers have masking keys of zero, because
/// the payload is unmasked already.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The header to show next: the frame's own, which may not have arrived whole, or that of the
    /// next part.
    header: [u8; MAX_BYTES],
    /// Size of `header`, as far as it has arrived.
    len: usize,
    /// Number of bytes of `header` that were shown.
    shown: usize,
    /// The frame's own header has arrived whole.
    is_whole: bool,
    /// The last part has the FIN bit.
    is_final: bool,
    /// Each frame is shown as a message.
    frames_as_messages: bool,
    /// Payload bytes of the current part that have not been shown yet.
    part: u64,
    /// Payload bytes of all parts after the current one.
    later_parts: u64,
}

impl Parts {
    /// Returns a state that shows each frame as a message.
    pub(super) fn of_frames() -> Self {
        Self {
            frames_as_messages: true,
            ..Self::default()
        }
    }

    /// Appends arrived bytes of the frame's header.
    pub(super) fn take_header(&mut self, bytes: &[u8]) {
        if self.is_whole {
            (self.len, self.shown, self.is_whole) = (0, 0, false);
        }
        self.header[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Begins the payload, after the header has arrived whole. Returns true if the frame ends its
    /// message, false if more frames follow, `None` for a control frame.
    pub(super) fn begin(&mut self, payload: u64) -> Option<bool> {
        self.is_whole = true;
        (self.part, self.later_parts) = (payload, 0);
        let first = self.header[0];
        if first & CONTROL != 0 {
            return None;
        }
        if self.frames_as_messages {
            self.header[0] = FIN | BINARY;
        }
        let shown = self.header[0];
        self.is_final = shown & FIN != 0;
        if payload > PART_BYTES {
            self.later_parts = payload;
            self.next_part(shown & !FIN);
        }
        Some(first & FIN != 0)
    }

    /// Returns the header bytes that must be shown next, or nothing while the header is incomplete.
    pub(super) fn header(&self) -> &[u8] {
        if self.is_whole {
            &self.header[self.shown..self.len]
        } else {
            &[]
        }
    }

    pub(super) fn header_shown(&mut self, count: usize) {
        self.shown += count;
    }

    /// Returns the number of payload bytes that may be shown before the next header.
    pub(super) fn part(&self) -> u64 {
        self.part
    }

    /// Records that `count` bytes of payload were shown. Builds the next part's header if they were
    /// the last of their part.
    pub(super) fn payload_shown(&mut self, count: usize) {
        self.part -= count as u64;
        if self.part == 0 && self.later_parts > 0 {
            self.next_part(0);
        }
    }

    fn next_part(&mut self, opcode: u8) {
        self.part = self.later_parts.min(PART_BYTES);
        self.later_parts -= self.part;
        let is_last = self.later_parts == 0;
        let fin = if is_last && self.is_final { FIN } else { 0 };
        self.header = [0; MAX_BYTES];
        self.header[0] = fin | opcode;
        self.shown = 0;
        match u8::try_from(self.part) {
            Ok(len @ ..126) => {
                self.header[1] = MASK | len;
                self.len = 6;
            }
            _ => {
                self.header[1] = MASK | 126;
                let len = u16::try_from(self.part).expect("a part has at most 8 KiB");
                self.header[2..4].copy_from_slice(&len.to_be_bytes());
                self.len = 8;
            }
        }
    }
}

const BINARY: u8 = 0x2;

/// Size of the largest part. fastwebsockets' buffer has about this much memory anyway.
const PART_BYTES: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the frames that are shown for a frame with this header: FIN and opcode, and length.
    fn shown(header: &[u8], payload: u64) -> Vec<(u8, u64)> {
        shown_by(Parts::default(), header, payload)
    }

    fn shown_by(mut parts: Parts, header: &[u8], payload: u64) -> Vec<(u8, u64)> {
        // The header may arrive byte by byte.
        for byte in header {
            assert!(parts.header().is_empty());
            parts.take_header(&[*byte]);
        }
        parts.begin(payload);
        let mut frames = Vec::new();
        while !parts.header().is_empty() {
            frames.push((parts.header()[0], parts.part()));
            parts.header_shown(parts.header().len());
            parts.payload_shown(usize::try_from(parts.part()).unwrap());
        }
        frames
    }

    #[test]
    fn a_small_frame_and_a_control_frame_are_shown_as_they_are() {
        let header = [0x82, 0xFE, 0x20, 0, 1, 2, 3, 4];
        assert_eq!(shown(&header, 8192), [(0x82, 8192)]);
        assert_eq!(shown(&[0x89, 0x80, 0, 0, 0, 0], 0), [(0x89, 0)]);
    }

    #[test]
    fn the_last_part_of_a_large_frame_has_the_fin_bit_of_the_frame() {
        let header = [0x82, 0xFE, 0x4E, 0x20, 0, 0, 0, 0];
        let parts = [(0x02, 8192), (0x00, 8192), (0x80, 3616)];
        assert_eq!(shown(&header, 20_000), parts);
        let header = [0x00, 0xFE, 0x20, 0x01, 0, 0, 0, 0];
        assert_eq!(shown(&header, 8193), [(0x00, 8192), (0x00, 1)]);
    }

    #[test]
    fn to_a_reader_of_frames_each_fragment_is_shown_as_a_message() {
        let frame = |first| [first, 0xFE, 0x4E, 0x20, 0, 0, 0, 0];
        for first in [0x02, 0x82, 0x00, 0x80] {
            let parts = shown_by(Parts::of_frames(), &frame(first), 20_000);
            assert_eq!(parts, [(0x02, 8192), (0x00, 8192), (0x80, 3616)]);
            let short = [first, 0x81, 0, 0, 0, 0];
            assert_eq!(shown_by(Parts::of_frames(), &short, 1), [(0x82, 1)]);
        }
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        assert_eq!(shown_by(Parts::of_frames(), &ping, 0), [(0x89, 0)]);
    }

    #[test]
    fn begin_says_which_data_frames_end_their_message() {
        let begin = |first| {
            let mut parts = Parts::of_frames();
            parts.take_header(&[first, 0x80, 0, 0, 0, 0]);
            parts.begin(0)
        };
        let firsts = [0x02, 0x00, 0x80, 0x82, 0x89];
        let ends = [Some(false), Some(false), Some(true), Some(true), None];
        assert_eq!(firsts.map(begin), ends);
    }

    #[test]
    fn the_header_of_a_part_has_the_shortest_length() {
        let mut parts = Parts::default();
        parts.take_header(&[0x82, 0xFE, 0x20, 0x01, 9, 9, 9, 9]);
        parts.begin(8193);
        assert_eq!(parts.header(), [0x02, 0xFE, 0x20, 0, 0, 0, 0, 0]);
        parts.header_shown(8);
        parts.payload_shown(8000);
        assert!(parts.header().is_empty());
        parts.payload_shown(192);
        assert_eq!(parts.header(), [0x80, 0x81, 0, 0, 0, 0]);
    }
}
