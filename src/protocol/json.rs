//! Formats JSON, always on one line, for clients of the relay and of the HTTP API.
//!
//! Pure: no I/O and no clock.

use std::fmt::Write;

use serde::Serialize;

#[derive(Serialize)]
struct ErrorLine<'a> {
    error: &'a str,
}

/// Returns an error for a client as JSON: `{"error":"..."}`.
pub(crate) fn error_line(error: &str) -> String {
    json(&ErrorLine { error })
}

/// Returns `value` as JSON on one line. All control characters, which a client may have sent, are
/// escaped.
pub(crate) fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    if !json.contains(char::is_control) {
        return json;
    }
    // serde_json escapes the control characters of ASCII except DEL. A terminal may also obey DEL
    // and the C1 controls (U+0080 to U+009F). An escape, such as \u007f, has 6 bytes.
    let mut escaped = String::with_capacity(json.len() + 6);
    for character in json.chars() {
        if character.is_control() {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_character_is_escaped_and_none_is_lost() {
        let all: String = (0..=0xA0).filter_map(char::from_u32).collect();
        let line = json(&all);
        assert!(!line.contains(char::is_control), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).ok(), Some(all));
    }
}
