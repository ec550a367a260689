//! Splits large frames into parts, so that fastwebsockets reserves little more memory than has
//! arrived.
//!
//! fastwebsockets reserves memory for the whole payload as soon as it has read the header of a
//! frame. So the gate presents ("shows") a large frame to fastwebsockets as several fragments of at
//! most 8 KiB, the parts. Each part has a header of its own, which fastwebsockets gets only after
//! the payload of the previous part.
//!
//! A reader of whole messages gets the same message as without parts. A reader of single frames
//! could not tell a part from a fragment that the peer has sent. So for such a reader, each frame
//! is shown to fastwebsockets as a whole message, whose fragments can only be parts. This module
//! performs no I/O.
//!
//! ```text
//!  sent by the peer             shown to fastwebsockets
//!  FIN binary, 20,000 bytes ─► binary, 8,192 ─► continuation, 8,192 ─► FIN continuation, 3,616
//!
//!  for a reader of frames:
//!  binary, 20,000 bytes     ─► binary, 8,192 ─► continuation, 8,192 ─► FIN continuation, 3,616
//!  FIN continuation, 100    ─► FIN binary, 100
//! ```

use super::header::{CONTROL, FIN, MASK, MAX_BYTES};

/// State of the frame that fastwebsockets is reading. The headers of parts have masking keys of
/// zero, because the payload is unmasked already.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The header that fastwebsockets reads next: the header of the frame itself, of which perhaps
    /// not all bytes have arrived, or the header of the next part.
    header: [u8; MAX_BYTES],
    /// Number of bytes of `header` that are filled.
    len: usize,
    /// Number of bytes of `header` that fastwebsockets has read.
    shown: usize,
    /// True if the header of the frame has arrived whole.
    is_whole: bool,
    /// True if the last part of the frame must have the FIN bit.
    is_final: bool,
    /// True if fastwebsockets gets each frame as a message of its own, because the connection reads
    /// frames and not messages.
    frames_as_messages: bool,
    /// Payload bytes of the current part that fastwebsockets has not read yet.
    part: u64,
    /// Payload bytes of all parts after the current one.
    later_parts: u64,
}

impl Parts {
    /// Returns a state that shows each frame as a whole message, for a reader of frames.
    pub(super) fn of_frames() -> Self {
        Self {
            frames_as_messages: true,
            ..Self::default()
        }
    }

    /// Appends bytes of the frame's header that have arrived.
    pub(super) fn take_header(&mut self, bytes: &[u8]) {
        if self.is_whole {
            (self.len, self.shown, self.is_whole) = (0, 0, false);
        }
        self.header[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Begins a frame whose header has arrived whole. `payload` is the number of its payload bytes.
    /// Returns true if this is the last frame of the peer's message, false if more frames of the
    /// message follow, and `None` for a control frame.
    pub(super) fn begin(&mut self, payload: u64) -> Option<bool> {
        self.is_whole = true;
        (self.part, self.later_parts) = (payload, 0);
        let arrived = self.header[0];
        if arrived & CONTROL != 0 {
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
        Some(arrived & FIN != 0)
    }

    /// Returns the header bytes that fastwebsockets must read next. There are none while the
    /// frame's header is incomplete, and while a payload is read.
    pub(super) fn header(&self) -> &[u8] {
        if self.is_whole {
            &self.header[self.shown..self.len]
        } else {
            &[]
        }
    }

    /// Records that fastwebsockets has read `count` more bytes of the header.
    pub(super) fn header_shown(&mut self, count: usize) {
        self.shown += count;
    }

    /// Returns the number of payload bytes that fastwebsockets may read before the next header.
    pub(super) fn part(&self) -> u64 {
        self.part
    }

    /// Records that fastwebsockets has read `count` bytes of payload. If these were the last bytes
    /// of a part, builds the header of the next part.
    pub(super) fn payload_shown(&mut self, count: usize) {
        self.part -= count as u64;
        if self.part == 0 && self.later_parts > 0 {
            self.next_part(0);
        }
    }

    /// Takes the next part off `later_parts`, and builds its header. `opcode` is the opcode of the
    /// frame for the first part, and 0 (continuation) for all others.
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
                self.len = 6; // 2 bytes, and a key of 4
            }
            _ => {
                self.header[1] = MASK | 126;
                let len = u16::try_from(self.part).expect("a part has at most 8 KiB");
                self.header[2..4].copy_from_slice(&len.to_be_bytes());
                self.len = 8; // 2 bytes, a length of 2, and a key of 4
            }
        }
    }
}

const BINARY: u8 = 0x2;

/// Size of the largest part, in bytes. The buffer of fastwebsockets is about as large in any case.
const PART_BYTES: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the frames that fastwebsockets reads in place of a frame with this header and this
    /// number of payload bytes. Each is given by its first byte (FIN and opcode) and its payload
    /// length.
    fn shown(header: &[u8], payload: u64) -> Vec<(u8, u64)> {
        shown_by(Parts::default(), header, payload)
    }

    /// Returns the same as [`shown`], but splits the frame with these `parts`.
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
        // FIN binary, masked, a length of two bytes (0x2000 is 8,192), and the key.
        let header = [0x82, 0xFE, 0x20, 0, 1, 2, 3, 4];
        assert_eq!(shown(&header, 8192), [(0x82, 8192)]);
        // A Ping.
        assert_eq!(shown(&[0x89, 0x80, 0, 0, 0, 0], 0), [(0x89, 0)]);
    }

    #[test]
    fn the_last_part_of_a_large_frame_has_the_fin_bit_of_the_frame() {
        // 0x4E20 is 20,000.
        let header = [0x82, 0xFE, 0x4E, 0x20, 0, 0, 0, 0];
        let parts = [(0x02, 8192), (0x00, 8192), (0x80, 3616)];
        assert_eq!(shown(&header, 20_000), parts);
        // A fragment from the middle of a message.
        let header = [0x00, 0xFE, 0x20, 0x01, 0, 0, 0, 0];
        assert_eq!(shown(&header, 8193), [(0x00, 8192), (0x00, 1)]);
    }

    #[test]
    fn to_a_reader_of_frames_each_fragment_is_shown_as_a_message() {
        // A long frame has 20,000 (0x4E20) bytes of payload, a short one 1.
        let long = |first| [first, 0xFE, 0x4E, 0x20, 0, 0, 0, 0];
        for first in [0x02, 0x82, 0x00, 0x80] {
            let parts = shown_by(Parts::of_frames(), &long(first), 20_000);
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
        // The first frame of a message, a middle one, the last one, a message of one frame, and a
        // Ping.
        let firsts = [0x02, 0x00, 0x80, 0x82, 0x89];
        let ends = [Some(false), Some(false), Some(true), Some(true), None];
        assert_eq!(firsts.map(begin), ends);
    }

    #[test]
    fn the_header_of_a_part_has_the_shortest_length() {
        let mut parts = Parts::default();
        // 0x2001 is 8,193: a part of 8,192 bytes, and one of 1.
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
