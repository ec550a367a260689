//! Indents JSON for people.
//!
//! Pure. The text is only broken at brackets and commas, so that numbers, strings and the order of
//! keys stay as the server has written them.

use serde::de::IgnoredAny;

/// Returns `text` with a line for each element. `None` if it is not JSON, or so deep that the blanks
/// would take many times its size.
pub(crate) fn indent(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    // Arbitrary: more than any JSON needs that people read.
    let limit = 8 * text.len() + 4096;
    let mut indented = Indented::default();
    let mut is_string = false;
    let mut is_escaped = false;
    for character in text.chars() {
        if is_string {
            indented.text.push(character);
            is_string = character != '"' || is_escaped;
            is_escaped = character == '\\' && !is_escaped;
        } else if !character.is_ascii_whitespace() {
            is_string = character == '"';
            indented.push(character);
            if limit < indented.text.len() {
                return None;
            }
        }
    }
    Some(indented.text)
}

/// JSON that is being indented.
#[derive(Default)]
struct Indented {
    text: String,
    depth: usize,
    /// True after an opening bracket. An empty object or array stays on its line.
    is_empty: bool,
}

impl Indented {
    /// Appends a character that is neither a blank nor inside a string.
    fn push(&mut self, character: char) {
        match character {
            '{' | '[' => {
                self.begin_first();
                self.text.push(character);
                self.depth += 1;
                self.is_empty = true;
            }
            '}' | ']' => {
                self.depth -= 1;
                if !self.is_empty {
                    self.break_line();
                }
                self.is_empty = false;
                self.text.push(character);
            }
            ',' => {
                self.text.push(',');
                self.break_line();
            }
            ':' => self.text.push_str(": "),
            other => {
                self.begin_first();
                self.text.push(other);
            }
        }
    }

    /// Begins a line for the first element of an object or array.
    fn begin_first(&mut self) {
        if self.is_empty {
            self.break_line();
            self.is_empty = false;
        }
    }

    fn break_line(&mut self) {
        self.text.push('\n');
        self.text.extend((0..self.depth).map(|_| "  "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_has_a_line_and_an_empty_one_stays_on_its() {
        let indented = indent(r#" {"a":[1,{"b":{}}, [ ]],"c" : true} "#).unwrap();
        let lines: Vec<&str> = indented.lines().collect();
        let expected = [
            "{",
            r#"  "a": ["#,
            "    1,",
            "    {",
            r#"      "b": {}"#,
            "    },",
            "    []",
            "  ],",
            r#"  "c": true"#,
            "}",
        ];
        assert_eq!(lines, expected);
    }

    // Parsing into numbers and maps would round, sort and merge these.
    #[test]
    fn numbers_keys_and_strings_stay_as_they_are_written() {
        for text in [
            "12345678901234567890123",
            "1.10",
            "-0",
            r#""\u0041 {[,:\"\\""#,
        ] {
            assert_eq!(indent(text).as_deref(), Some(text));
        }
        let indented = indent(r#"{"b":1e400,"a":"\\","a":"x: y"}"#).unwrap();
        assert_eq!(
            indented,
            "{\n  \"b\": 1e400,\n  \"a\": \"\\\\\",\n  \"a\": \"x: y\"\n}"
        );
    }

    #[test]
    fn a_text_that_is_not_json_is_none() {
        for text in ["", "hello", "{", "{'a':1}", "1 2", "[1,]", "\u{feff}1"] {
            assert_eq!(indent(text), None, "{text}");
        }
    }

    // A server could make the client take a hundred times the memory of its message.
    #[test]
    fn a_text_that_indenting_would_blow_up_is_none() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert_eq!(indent(&deep), None);
    }
}
