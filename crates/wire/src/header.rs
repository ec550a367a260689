//! The header of a frame (RFC 6455 §5.2), collected while it arrives: two to fourteen bytes.

use super::protocol_error::ProtocolError;

/// Size of the longest header, in bytes: two bytes, an extended length of eight, and a masking key
/// of four.
pub(super) const MAX_BYTES: usize = 14;

pub(super) const FIN: u8 = 0x80;
pub(super) const RSV: u8 = 0x70;
/// The reserved bit with which permessage-deflate marks a compressed message (RFC 7692 §6).
pub(super) const RSV1: u8 = 0x40;
pub(super) const OPCODE: u8 = 0x0F;
/// The bit that control opcodes have and data opcodes do not.
pub(super) const CONTROL: u8 = 0x08;
pub(super) const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7F;

/// The first bytes of a frame, collected until its header is whole.
#[derive(Debug, Default)]
pub(super) struct Header {
    bytes: [u8; MAX_BYTES],
    /// Number of bytes collected.
    len: usize,
}

impl Header {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of collected bytes. They may include payload bytes behind the header.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Collects more bytes from the beginning of `chunk`, up to the size of the longest header.
    /// Behind a shorter header these may be payload bytes.
    #[inline]
    pub(super) fn collect(&mut self, chunk: &[u8]) {
        let len = MAX_BYTES.min(self.len + chunk.len());
        self.bytes[self.len..len].copy_from_slice(&chunk[..len - self.len]);
        self.len = len;
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Returns the first byte: FIN, RSV and opcode.
    #[inline]
    pub(super) fn first(&self) -> u8 {
        self.bytes[0]
    }

    /// Returns true if the frame is masked. The first two bytes must have arrived.
    #[inline]
    pub(super) fn is_masked(&self) -> bool {
        self.bytes[1] & MASK != 0
    }

    /// Returns true if this is a control frame with a length of more than 125 bytes (§5.5). The
    /// first two bytes must have arrived.
    pub(super) fn is_control_too_long(&self) -> bool {
        self.bytes[0] & CONTROL != 0 && self.bytes[1] & LENGTH > 125
    }

    /// Returns the size of the whole header, in bytes. The second byte determines it. Until this
    /// byte has arrived, 2 is returned.
    #[inline]
    pub(super) fn size(&self) -> usize {
        if self.len < 2 {
            return 2;
        }
        self.length_end() + if self.is_masked() { 4 } else { 0 }
    }

    /// Returns the offset of the first byte behind the length.
    #[inline]
    fn length_end(&self) -> usize {
        match self.bytes[1] & LENGTH {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    /// Returns the payload length. The header must be whole.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::LengthEncoding`] if the length is not in its shortest form, or its top bit
    /// is set.
    #[inline]
    pub(super) fn payload_length(&self) -> Result<u64, ProtocolError> {
        let extended = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        };
        let (length, range) = match self.length_end() {
            2 => return Ok(u64::from(self.bytes[1] & LENGTH)),
            4 => (extended(&self.bytes[2..4]), 126..0x1_0000),
            _ => (extended(&self.bytes[2..10]), 0x1_0000..1 << 63),
        };
        if range.contains(&length) {
            Ok(length)
        } else {
            Err(ProtocolError::LengthEncoding)
        }
    }

    /// Returns the masking key, or a key of zeros, which changes nothing, if the frame is not
    /// masked. The header must be whole.
    #[inline]
    pub(super) fn key(&self) -> [u8; 4] {
        let start = self.length_end();
        let mut key = [0; 4];
        if self.is_masked() {
            key.copy_from_slice(&self.bytes[start..start + 4]);
        }
        key
    }
}
