//! JSON on one line, for clients.
//!
//! Pure.

use std::fmt::Write;

use serde::Serialize;

#[derive(Serialize)]
struct Complaint<'a> {
    error: &'a str,
}

/// Returns what was wrong, for whoever has sent it: `{"error":"..."}`.
pub(crate) fn complaint(error: &str) -> String {
    json(&Complaint { error })
}

/// Returns JSON on one line: control characters of what a client has sent are escaped.
pub(crate) fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    if !json.contains(char::is_control) {
        return json;
    }
    // serde_json escapes those of ASCII, but for the last; a terminal may obey the others too.
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
    fn no_control_character_comes_through_and_none_is_lost() {
        let all: String = (0..=0xA0).filter_map(char::from_u32).collect();
        let line = json(&all);
        assert!(!line.contains(char::is_control), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).ok(), Some(all));
    }
}
