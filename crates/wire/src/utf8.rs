//! Checks text for UTF-8 while it arrives, however its bytes are split.

/// Returns true if a whole text is UTF-8.
#[inline]
pub(super) fn is_valid(text: &[u8]) -> bool {
    // Most texts are short and ASCII. simdutf8 checks short texts byte by byte, which took a
    // quarter of the instructions of an echo of 20 bytes. So short ASCII is recognized without it.
    text.len() < SHORT_BYTES && text.is_ascii() || simdutf8::basic::from_utf8(text).is_ok()
}

/// Size of a block of simdutf8, in bytes. simdutf8 checks texts that are shorter than a block byte
/// by byte.
const SHORT_BYTES: usize = 64;

/// Checker of a text that arrives in pieces.
///
/// Invariant: `tail[..tail_len]` is the beginning of a code point that may become valid. It is
/// empty if the text so far ends with a whole code point.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    tail: [u8; 4],
    tail_len: u8,
}

impl Utf8 {
    /// Checks the next bytes of the text. Returns false if the text is invalid, whatever follows.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        let Some(rest) = self.complete_tail(bytes) else {
            return false;
        };
        if is_valid(rest) {
            return true;
        }
        let Err(error) = str::from_utf8(rest) else {
            return true;
        };
        self.keep_tail(&rest[error.valid_up_to()..]);
        error.error_len().is_none()
    }

    /// Ends the text. The checker can then be used for another text. Returns false if the text was
    /// cut inside a code point.
    pub(super) fn finish(&mut self) -> bool {
        std::mem::take(&mut self.tail_len) == 0
    }

    /// Completes the code point in `tail` with the first of `bytes`, one byte after the other.
    /// Returns the bytes behind the code point, or `None` if the code point is invalid.
    fn complete_tail<'a>(&mut self, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
        while self.tail_len > 0
            && let Some((&next, rest)) = bytes.split_first()
        {
            self.tail[usize::from(self.tail_len)] = next;
            self.tail_len += 1;
            bytes = rest;
            match str::from_utf8(&self.tail[..usize::from(self.tail_len)]) {
                Ok(_) => self.tail_len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return None,
            }
        }
        Some(bytes)
    }

    /// Keeps the beginning of a code point, which has at most three bytes, in `tail`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cut to the tail's four bytes"
    )]
    fn keep_tail(&mut self, tail: &[u8]) {
        let len = tail.len().min(self.tail.len() - 1);
        self.tail[..len].copy_from_slice(&tail[..len]);
        self.tail_len = len as u8;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks a text that arrives in these pieces. Returns true if it is valid.
    fn verdict(pieces: &[&[u8]]) -> bool {
        let mut utf8 = Utf8::default();
        pieces.iter().all(|piece| utf8.feed(piece)) && utf8.finish()
    }

    #[test]
    fn a_code_point_may_be_split_anywhere_but_must_end() {
        assert!(verdict(&[b"a\xE2", b"\x82", b"\xAC!"]));
        assert!(!verdict(&[b"a\xE2", b"\x82"]));
        assert!(!verdict(&[b"a\xE2", b"x"]));
    }

    #[test]
    fn invalid_bytes_are_refused_before_the_text_ends() {
        assert!(!Utf8::default().feed(b"abc\xFF"));
        assert!(
            !Utf8::default().feed(b"\xED\xA0"),
            "a surrogate, before its last byte"
        );
        assert!(
            !Utf8::default().feed(b"\xC0"),
            "an overlong form, on its first byte"
        );
    }

    proptest! {
        #[test]
        fn every_split_gives_the_verdict_of_the_standard_library(
            text in proptest::collection::vec(any::<u8>(), 0..12), valid in ".{0,8}", cut in 0..64usize,
        ) {
            for bytes in [&text[..], valid.as_bytes()] {
                let (first, second) = bytes.split_at(cut.min(bytes.len()));
                prop_assert_eq!(verdict(&[first, second]), str::from_utf8(bytes).is_ok());
                let single: Vec<&[u8]> = bytes.chunks(1).collect();
                prop_assert_eq!(verdict(&single), str::from_utf8(bytes).is_ok());
            }
        }
    }
}
