//! Large frames in parts: what fastwebsockets is shown, so that it holds no more than has come.
//!
//! It reserves what a header promises. So a large frame is shown to it as fragments of a few KiB, each
//! with a header of its own, which is shown when its part comes. To whoever reads whole messages that
//! is the same message. Pure.
//!
//! ```text
//!  FIN text, 20,000 bytes ─► text, 8,192 ─► continuation, 8,192 ─► FIN continuation, 3,616
//! ```

use super::header::{CONTROL, FIN, MASK, MAX_BYTES};

/// How the frame under way is shown. The masking keys of parts are zero: it is unmasked already.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// A header that is to be shown: that of the frame, of which all may not have come yet, or that of
    /// the next part.
    header: [u8; MAX_BYTES],
    len: usize,
    /// How much of it was shown.
    shown: usize,
    /// The header of the frame has come.
    is_whole: bool,
    is_final: bool,
    /// Payload of the part under way that has not come yet, and of those after it.
    part: u64,
    others: u64,
}

impl Parts {
    /// Takes bytes of the frame's header.
    pub(super) fn take_header(&mut self, bytes: &[u8]) {
        if self.is_whole {
            (self.len, self.shown, self.is_whole) = (0, 0, false);
        }
        self.header[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Takes note that the header has come, and promises so much payload.
    pub(super) fn begin(&mut self, payload: u64) {
        self.is_whole = true;
        (self.part, self.others) = (payload, 0);
        let first = self.header[0];
        if payload > PART_BYTES && first & CONTROL == 0 {
            self.is_final = first & FIN != 0;
            self.others = payload;
            self.next_part(first & !FIN);
        }
    }

    /// Returns the header bytes that are to be shown before anything else.
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

    /// Returns how much payload may be shown before the next header.
    pub(super) fn part(&self) -> u64 {
        self.part
    }

    /// Takes note of payload that is shown.
    pub(super) fn payload_shown(&mut self, count: usize) {
        self.part -= count as u64;
        if self.part == 0 && self.others > 0 {
            self.next_part(0);
        }
    }

    fn next_part(&mut self, opcode: u8) {
        self.part = self.others.min(PART_BYTES);
        self.others -= self.part;
        let is_last = self.others == 0;
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
                let len = u16::try_from(self.part).expect("a part is smaller");
                self.header[2..4].copy_from_slice(&len.to_be_bytes());
                self.len = 8;
            }
        }
    }
}

/// A part, at most: what is reserved for it is about as much as fastwebsockets' buffer has anyway.
const PART_BYTES: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames that are shown of one with this header: FIN and opcode, and length.
    fn shown(header: &[u8], payload: u64) -> Vec<(u8, u64)> {
        let mut parts = Parts::default();
        // It may come in pieces.
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
    fn a_large_frame_is_shown_in_parts_of_which_the_last_one_is_as_final_as_the_frame() {
        let header = [0x82, 0xFE, 0x4E, 0x20, 0, 0, 0, 0];
        let parts = [(0x02, 8192), (0x00, 8192), (0x80, 3616)];
        assert_eq!(shown(&header, 20_000), parts);
        let header = [0x00, 0xFE, 0x20, 0x01, 0, 0, 0, 0];
        assert_eq!(shown(&header, 8193), [(0x00, 8192), (0x00, 1)]);
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
