//! Entries of the log that are written without the log itself: after a panic, when lines were
//! dropped, and when the server ends with an error. They look like the log's own lines.
//!
//! Pure, but for the clock.

use std::{borrow::Cow, fmt::Write as _};

use serde::Serialize;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};

/// An entry of the log. In JSON it is one object, as the log's own entries are.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    timestamp: String,
    level: &'static str,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backtrace: Option<&'a str>,
    target: &'static str,
}

impl<'a> Entry<'a> {
    /// Makes an entry with the current time.
    pub(crate) fn new(level: &'static str, message: impl Into<Cow<'a, str>>) -> Self {
        let mut timestamp = String::new();
        // Writing to a `String` does not fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
        Self {
            timestamp,
            level,
            message: message.into(),
            count: None,
            backtrace: None,
            target: "framecast",
        }
    }

    /// Adds a count.
    pub(crate) fn with_count(self, count: usize) -> Self {
        let count = Some(count);
        Self { count, ..self }
    }

    /// Adds a backtrace. As text, it follows the line, and has several lines of its own.
    pub(crate) fn with_backtrace(self, backtrace: &'a str) -> Self {
        let backtrace = Some(backtrace);
        Self { backtrace, ..self }
    }

    /// Formats the entry as a line of text.
    pub(crate) fn to_text(&self) -> String {
        let Self {
            timestamp,
            level,
            message,
            count,
            backtrace,
            target,
        } = self;
        let mut line = format!("{timestamp} {level:>5} {target}: {message}");
        if let Some(count) = count {
            let _ = write!(line, " count={count}");
        }
        line.push('\n');
        line.push_str(backtrace.unwrap_or_default());
        line
    }

    /// Formats the entry as a line of JSON.
    pub(crate) fn to_json(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let json = escape_invisible(json.as_bytes());
        format!("{}\n", String::from_utf8_lossy(&json))
    }
}

/// Escapes the characters of a line of JSON that can't be seen, such as C1 controls and those that
/// reverse the direction of text. JSON itself demands this only of the controls below U+0020.
pub(crate) fn escape_invisible(json: &[u8]) -> Cow<'_, [u8]> {
    if json.is_ascii() && !json.contains(&DELETE) {
        return json.into();
    }
    let mut escaped = String::with_capacity(json.len());
    for character in String::from_utf8_lossy(json).chars() {
        let may_stay = match character {
            '\n' | ' '..='~' => true,
            _ => character.escape_debug().len() == 1,
        };
        if may_stay {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped.into_bytes().into()
}

/// The only ASCII control that JSON allows in a string as it is.
const DELETE: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_in_both_formats() {
        let entry = Entry::new("WARN", "lines were\u{202e} dropped").with_count(3);
        let text = entry.to_text();
        assert!(text.ends_with("Z  WARN framecast: lines were\u{202e} dropped count=3\n"));
        let json = entry.to_json();
        assert_eq!(json.lines().count(), 1);
        assert!(json.ends_with(
            r#""level":"WARN","message":"lines were\u202e dropped","count":3,"target":"framecast"}
"#
        ));
    }

    #[test]
    fn a_backtrace_is_a_field_in_json_and_follows_the_line_in_text() {
        let entry = Entry::new("ERROR", "no").with_backtrace("0: a\n1: b\n");
        assert!(entry.to_text().ends_with(" framecast: no\n0: a\n1: b\n"));
        assert!(entry.to_json().contains(r#""backtrace":"0: a\n1: b\n""#));
        assert_eq!(entry.to_json().lines().count(), 1);
    }

    #[test]
    fn only_what_can_not_be_seen_is_escaped_in_json() {
        let escaped = |json: &str| String::from_utf8(escape_invisible(json.as_bytes()).into());
        for (json, expected) in [
            ("{\"a\":\"b\\n\"}\n", "{\"a\":\"b\\n\"}\n"),
            ("\"käse 日本 🦀\"", "\"käse 日本 🦀\""),
            ("\"\u{9b}2J \u{7f}\"", "\"\\u009b2J \\u007f\""),
            (
                "\"\u{202e}\u{2028}\u{e0001}\"",
                "\"\\u202e\\u2028\\udb40\\udc01\"",
            ),
        ] {
            assert_eq!(escaped(json).as_deref(), Ok(expected));
        }
    }
}
