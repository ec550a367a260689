//! The payload of a numbered message: a stamp with its stream and number, then filler.
//!
//! It consists of letters, digits and a colon, so that it needs no escapes in a text message or in
//! JSON.

use crate::clock::Moment;

/// The stream, the number and the scheduled time of a message.
///
/// | offset | size | field                                               |
/// |--------|------|-----------------------------------------------------|
/// | 0      | 4    | `fcl:`, by which a stamp is found in a longer text  |
/// | 4      | 4    | stream, like all numbers in hexadecimal digits      |
/// | 8      | 12   | sequence number in the stream                       |
/// | 20     | 16   | scheduled time, in nanoseconds                      |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The stream of publications that the message belongs to.
    pub stream: usize,
    /// The message's number in its stream.
    pub sequence: u64,
    /// The time for which the message was scheduled.
    pub scheduled: Moment,
}

impl Stamp {
    /// Length of a stamp in bytes. No numbered message is shorter.
    pub const BYTES: usize = 36;

    /// Number of streams that four hexadecimal digits can number.
    pub const MAX_STREAMS: usize = 1 << 16;

    /// Encodes the stamp, with which a message begins.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(MARK);
        put_hex(&mut bytes[4..8], self.stream as u64);
        put_hex(&mut bytes[8..20], self.sequence);
        put_hex(&mut bytes[20..], self.scheduled.as_nanos());
        bytes
    }

    /// Parses the stamp at the start of `bytes`. `None` if there is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let digits = bytes.get(..Self::BYTES)?.strip_prefix(MARK)?;
        Some(Self {
            stream: usize::try_from(hex(&digits[..4])?).ok()?,
            sequence: hex(&digits[4..16])?,
            scheduled: Moment::from_nanos(hex(&digits[16..])?),
        })
    }

    /// Returns the offset of the first `fcl:` in `message`, where a stamp may begin.
    pub fn find(message: &[u8]) -> Option<usize> {
        message.windows(MARK.len()).position(|bytes| bytes == MARK)
    }
}

const MARK: &[u8; 4] = b"fcl:";

/// Returns `len` letters, with which a message is filled up to its size. They are always the same.
pub(crate) fn filler(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

/// Fills `digits` with the last hexadecimal digits of `number`.
pub(crate) fn put_hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xF) as usize];
        number >>= 4;
    }
}

/// Returns the number that the last `digits` hexadecimal digits of `number` make up, as [`put_hex`]
/// writes them. `digits` is at most 15.
pub(crate) fn last_digits(number: u64, digits: usize) -> u64 {
    number & ((1 << (4 * digits)) - 1)
}

/// Parses at most 16 hexadecimal digits in lower case. `None` if another byte is among them.
pub(crate) fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        stream: 0x1f,
        sequence: 0xabc,
        scheduled: Moment::from_nanos(0x1234),
    };

    #[test]
    fn a_stamp_is_text_and_is_read_back() {
        let bytes = STAMP.to_bytes();
        assert_eq!(&bytes, b"fcl:001f000000000abc0000000000001234");
        assert_eq!(Stamp::read(&bytes), Some(STAMP));
    }

    #[test]
    fn a_stamp_is_found_inside_of_another_message() {
        let mut message = br#"{"data":""#.to_vec();
        message.extend(STAMP.to_bytes());
        let start = Stamp::find(&message).unwrap();
        assert_eq!(Stamp::read(&message[start..]), Some(STAMP));
        assert_eq!(Stamp::find(b"{}"), None);
    }

    #[test]
    fn a_truncated_or_changed_stamp_is_not_read() {
        let mut bytes = STAMP.to_bytes();
        assert_eq!(Stamp::read(&bytes[..35]), None);
        // Not a hexadecimal digit.
        bytes[9] = b'G';
        assert_eq!(Stamp::read(&bytes), None);
    }
}
