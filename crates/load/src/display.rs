//! Makes text from the network safe to print: it stays on its line and cannot control the terminal.
//!
//! Pure.

use serde::Deserialize;

/// Longest text that [`first_line`] returns uncut, in characters. Arbitrary: it fits on two lines
/// of a terminal.
const SHOWN_CHARACTERS: usize = 120;

/// Escapes all characters of `text` that would move the cursor, colour the terminal, start a line
/// or reverse the reading direction. Tabs are kept, and so are backslashes, of which JSON is full.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Returns the first line of `text` that is not blank, escaped and shortened. Returns an empty text
/// if all lines are blank.
pub fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line.unwrap_or_default();
    match line.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => escape(&line[..end]) + "…",
        None => escape(line),
    }
}

/// Returns the reason that the body of a response gives for a refusal, escaped and shortened: the
/// field `error` of a JSON object, as framecast sends it, or the [`first_line`].
pub fn reason(body: &str) -> String {
    match serde_json::from_str(body) {
        Ok(Refusal { error }) => first_line(&error),
        Err(_) => first_line(body),
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

fn is_unsafe(character: char) -> bool {
    // Control characters (C0, DEL, C1), line and paragraph separators, bidirectional overrides.
    (character.is_control() && character != '\t')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_shown_as_it_is() {
        let text = "a\tb \\ {\"key\":\"\\n\"} žluťoučký 🐈";
        assert_eq!(escape(text), text);
    }

    #[test]
    fn a_text_of_several_lines_stays_one_line() {
        assert_eq!(escape("a\nb\r\nc\u{2028}d"), "a\\nb\\r\\nc\\u{2028}d");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(
            escape("\u{1b}[31m\u{7}\u{9b}2J\u{7f}\u{202e}"),
            "\\u{1b}[31m\\u{7}\\u{9b}2J\\u{7f}\\u{202e}"
        );
    }

    #[test]
    fn only_the_start_of_the_first_line_of_a_reason_is_shown() {
        assert_eq!(first_line("\r\n  no\u{1b}\r\nmore"), "no\\u{1b}");
        assert_eq!(first_line(""), "");
        assert_eq!(first_line(&"é".repeat(200)), "é".repeat(120) + "…");
    }

    #[test]
    fn the_reason_is_the_error_of_a_json_object_or_the_first_line() {
        assert_eq!(
            reason("{\"error\":\"no\\u001b\",\"more\":1}\n"),
            "no\\u{1b}"
        );
        for other in ["{\"error\":1}", "{\"reason\":\"no\"}", "no"] {
            assert_eq!(reason(other), other);
        }
    }
}
