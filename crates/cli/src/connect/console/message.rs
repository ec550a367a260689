//! Formats messages from the server for standard output.
//!
//! Pure.

use std::fmt::Write as _;

use framecast_wire::frame::Kind;

use crate::display::escape;

/// Most bytes of a binary message that are printed, in hexadecimal. Arbitrary: they fit on one line
/// of a terminal.
const SHOWN_BYTES: usize = 32;

/// Formats a message (RFC 6455 §5.6) as one line, with its line feed.
pub(crate) fn line(kind: Kind, payload: &[u8]) -> String {
    let mut line = match kind {
        Kind::Binary => binary(payload),
        // Nothing is replaced: the reader has validated the UTF-8.
        Kind::Text => escape(&String::from_utf8_lossy(payload)),
    };
    line.push('\n');
    line
}

fn binary(payload: &[u8]) -> String {
    let mut line = format!("<binary {} bytes>", payload.len());
    for (index, byte) in payload.iter().take(SHOWN_BYTES).enumerate() {
        let separator = if index == 0 { " " } else { "" };
        // Writing to a `String` cannot fail.
        let _ = write!(line, "{separator}{byte:02x}");
    }
    if SHOWN_BYTES < payload.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_message_is_printed_as_one_line() {
        assert_eq!(line(Kind::Text, b"a\nb"), "a\\nb\n");
    }

    #[test]
    fn a_binary_message_shows_its_size_and_its_start() {
        let line = |payload: &[u8]| line(Kind::Binary, payload);
        assert_eq!(line(&[0, 0xff]), "<binary 2 bytes> 00ff\n");
        assert_eq!(line(&[]), "<binary 0 bytes>\n");
        let shown = format!("<binary 33 bytes> {}…\n", "ab".repeat(32));
        assert_eq!(line(&[0xab; 33]), shown);
    }
}
