//! The forms in which a person writes and reads bytes: hexadecimal and base64.
//!
//! Pure.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A form in which bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Encoding {
    /// Two hexadecimal digits for each byte, in either case
    Hex,
    /// Base64 (RFC 4648 §4), with padding
    Base64,
}

impl Encoding {
    /// Returns the bytes that `text` stands for, or `None` if it stands for none.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => {
                let mut digits = text.chars().filter(|c| !c.is_ascii_whitespace());
                let mut bytes = Vec::with_capacity(text.len() / 2);
                while let Some(high) = digits.next() {
                    let byte = 16 * high.to_digit(16)? + digits.next()?.to_digit(16)?;
                    bytes.push(u8::try_from(byte).ok()?);
                }
                Some(bytes)
            }
            Self::Base64 => STANDARD.decode(text.trim()).ok(),
        }
    }

    /// Returns the text that stands for `bytes`.
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => {
                let mut text = String::with_capacity(2 * bytes.len());
                for byte in bytes {
                    // Writing to a `String` cannot fail.
                    let _ = write!(text, "{byte:02x}");
                }
                text
            }
            Self::Base64 => STANDARD.encode(bytes),
        }
    }

    /// Returns the name of the form, for an error message.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hex => "hexadecimal",
            Self::Base64 => "base64",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_both_forms() {
        let bytes: Vec<u8> = (0..=255).collect();
        for encoding in [Encoding::Hex, Encoding::Base64] {
            let text = encoding.encode(&bytes);
            assert_eq!(encoding.decode(&text), Some(bytes.clone()));
            assert_eq!(encoding.decode(""), Some(Vec::new()));
        }
    }

    #[test]
    fn hexadecimal_may_have_spaces_and_either_case() {
        let decode = |text| Encoding::Hex.decode(text);
        assert_eq!(decode("CA fe\t0 0"), Some(vec![0xCA, 0xFE, 0]));
        for wrong in ["c", "cafe0", "0x00", "zz", "+1", "é"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn base64_has_its_padding() {
        let decode = |text| Encoding::Base64.decode(text);
        assert_eq!(decode("AP8= "), Some(vec![0, 0xFF]));
        for wrong in ["AP8", "AP8==", "A_8=", "é"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
