//! Formats messages from the server for standard output.
//!
//! Pure: the time is an argument.

use std::{fmt::Write as _, time::SystemTime};

use framecast_wire::frame::Kind;

use crate::{
    connect::console::{encoding::Encoding, json},
    display::escape,
};

/// Largest number of bytes of a binary message that are printed if the user has not chosen an
/// encoding, in hexadecimal. Arbitrary: they fit on one line of a terminal.
const SHOWN_BYTES: usize = 32;

/// The signs for a person at a terminal that stand beside messages, and their colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// No signs: another program may read the output.
    #[default]
    None,
    /// A `<` before each message from the server.
    Plain,
    /// The same in colours.
    Coloured,
}

impl Style {
    /// Returns the prompt before what the user types, without and with colours.
    pub(crate) fn prompt(self) -> (&'static str, &'static str) {
        match self {
            Self::Coloured => ("> ", "\x1b[32m>\x1b[0m "),
            Self::None | Self::Plain => ("> ", "> "),
        }
    }

    /// Formats a line about the connection.
    pub(crate) fn notice(self, text: &str) -> String {
        match self {
            Self::Coloured => format!("\x1b[2mframecast: {text}\x1b[0m\n"),
            Self::None | Self::Plain => format!("framecast: {text}\n"),
        }
    }
}

/// The way in which messages are printed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Format {
    /// The encoding of binary messages. Without one, only their first bytes are shown.
    pub(crate) encoding: Option<Encoding>,
    pub(crate) layout: Layout,
    pub(crate) has_time: bool,
    pub(crate) style: Style,
}

/// The form of a message's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One line, in which nothing controls the terminal.
    #[default]
    Line,
    /// JSON is indented, over several lines. Any other message is one line.
    Indented,
    /// The bytes of the message. A text is followed by a line feed.
    Raw,
}

impl Format {
    /// Formats a message (RFC 6455 §5.6), which has arrived at the time `now`. The result ends with
    /// a line feed, except for a raw binary message.
    pub(crate) fn message(&self, kind: Kind, payload: &[u8], now: SystemTime) -> Vec<u8> {
        if self.layout == Layout::Raw {
            let end: &[u8] = match kind {
                Kind::Binary => b"",
                Kind::Text => b"\n",
            };
            return [payload, end].concat();
        }
        let mut line = self.start(now);
        match kind {
            Kind::Binary => match self.encoding {
                Some(encoding) => line.push_str(&encoding.encode(payload)),
                None => summarize(&mut line, payload),
            },
            // Nothing is replaced: the reader has validated the UTF-8.
            Kind::Text => self.push_text(&mut line, &String::from_utf8_lossy(payload)),
        }
        line.push('\n');
        line.into_bytes()
    }

    /// Returns the text before a message: the time and the sign, if they are wanted.
    fn start(&self, now: SystemTime) -> String {
        let mut start = String::new();
        if self.has_time {
            let time = humantime::format_rfc3339_millis(now);
            // Writing to a `String` cannot fail.
            let _ = match self.style {
                Style::Coloured => write!(start, "\x1b[2m{time}\x1b[0m "),
                Style::None | Style::Plain => write!(start, "{time} "),
            };
        }
        start.push_str(match self.style {
            Style::None => "",
            Style::Plain => "< ",
            Style::Coloured => "\x1b[36m<\x1b[0m ",
        });
        start
    }

    fn push_text(&self, line: &mut String, text: &str) {
        let indented = match self.layout {
            Layout::Indented => json::indent(text),
            Layout::Line | Layout::Raw => None,
        };
        let Some(indented) = indented else {
            line.push_str(&escape(text));
            return;
        };
        for (number, part) in indented.split('\n').enumerate() {
            if number > 0 {
                line.push('\n');
            }
            line.push_str(&escape(part));
        }
    }
}

/// Appends the size and the first bytes of a binary message.
fn summarize(line: &mut String, payload: &[u8]) {
    let shown = &payload[..payload.len().min(SHOWN_BYTES)];
    let separator = if shown.is_empty() { "" } else { " " };
    let bytes = Encoding::Hex.encode(shown);
    // Writing to a `String` cannot fail.
    let _ = write!(line, "<binary {} bytes>{separator}{bytes}", payload.len());
    if shown.len() < payload.len() {
        line.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(format: Format, kind: Kind, payload: &[u8]) -> String {
        String::from_utf8(format.message(kind, payload, SystemTime::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn a_text_message_is_printed_as_one_line() {
        assert_eq!(format(Format::default(), Kind::Text, b"a\nb"), "a\\nb\n");
    }

    #[test]
    fn a_binary_message_shows_its_size_and_its_start() {
        let line = |payload: &[u8]| format(Format::default(), Kind::Binary, payload);
        assert_eq!(line(&[0, 0xff]), "<binary 2 bytes> 00ff\n");
        assert_eq!(line(&[]), "<binary 0 bytes>\n");
        let shown = format!("<binary 33 bytes> {}…\n", "ab".repeat(32));
        assert_eq!(line(&[0xab; 33]), shown);
    }

    #[test]
    fn a_binary_message_is_shown_whole_in_the_encoding_that_the_user_has_chosen() {
        let line = |encoding| {
            let encoded = Format {
                encoding: Some(encoding),
                ..Format::default()
            };
            format(encoded, Kind::Binary, &[0xab; 33])
        };
        assert_eq!(line(Encoding::Hex), "ab".repeat(33) + "\n");
        assert_eq!(line(Encoding::Base64), "q6ur".repeat(11) + "\n");
    }

    #[test]
    fn json_is_indented_and_still_cannot_control_the_terminal() {
        let json = Format {
            layout: Layout::Indented,
            ..Format::default()
        };
        let text = "[\"\u{9b}2J\"]".as_bytes();
        assert_eq!(format(json, Kind::Text, text), "[\n  \"\\u{9b}2J\"\n]\n");
        assert_eq!(format(json, Kind::Text, b"[\n"), "[\\n\n");
    }

    #[test]
    fn a_raw_message_is_its_bytes_and_only_a_text_ends_its_line() {
        let raw = Format {
            layout: Layout::Raw,
            ..Format::default()
        };
        let text = "a\nb\u{1b}".as_bytes();
        assert_eq!(format(raw, Kind::Text, text), "a\nb\u{1b}\n");
        let binary = raw.message(Kind::Binary, &[0, 0xff], SystemTime::UNIX_EPOCH);
        assert_eq!(binary, [0, 0xff]);
    }

    #[test]
    fn the_time_and_the_sign_stand_before_a_message() {
        for (style, has_time, expected) in [
            (Style::Plain, false, "< hi\n"),
            (Style::None, true, "1970-01-01T00:00:00.000Z hi\n"),
            (Style::Plain, true, "1970-01-01T00:00:00.000Z < hi\n"),
            (Style::Coloured, false, "\x1b[36m<\x1b[0m hi\n"),
        ] {
            let signed = Format {
                style,
                has_time,
                ..Format::default()
            };
            assert_eq!(format(signed, Kind::Text, b"hi"), expected);
        }
    }
}
