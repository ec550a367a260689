//! What the server's application sent, and how it is shown.
//!
//! Pure.

use std::fmt::Write as _;

use crate::cli::display::escape;

/// How much of a binary message is shown, in bytes. Arbitrary: it fits on one line of a terminal.
const SHOWN_BYTES: usize = 32;

/// A message (RFC 6455 §5.6).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Binary(Vec<u8>),
    Text(String),
}

impl Message {
    /// The message as one line, its line feed included.
    pub(super) fn line(&self) -> String {
        let mut line = match self {
            Self::Binary(payload) => binary(payload),
            Self::Text(text) => escape(text),
        };
        line.push('\n');
        line
    }
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
    fn a_text_is_one_line_whatever_it_contains() {
        assert_eq!(Message::Text("a\nb".to_owned()).line(), "a\\nb\n");
    }

    #[test]
    fn a_binary_message_shows_its_size_and_its_start() {
        let line = |payload| Message::Binary(payload).line();
        assert_eq!(line(vec![0, 0xff]), "<binary 2 bytes> 00ff\n");
        assert_eq!(line(Vec::new()), "<binary 0 bytes>\n");
        let shown = format!("<binary 33 bytes> {}…\n", "ab".repeat(32));
        assert_eq!(line(vec![0xab; 33]), shown);
    }
}
