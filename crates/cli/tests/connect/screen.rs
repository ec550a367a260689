//! A small terminal: what a person sees of the bytes that a program writes.
//!
//! It knows the sequences that the line editor writes, and panics at others, so that no test is
//! passed by accident.

use std::mem;

/// The cells of a screen that is 80 columns wide, and never full.
#[derive(Default)]
pub(crate) struct Screen {
    /// The characters of each row. `None` is the right half of a wide one.
    rows: Vec<Vec<Option<char>>>,
    row: usize,
    column: usize,
    /// Bytes of a sequence or character that is not complete yet.
    pending: Vec<u8>,
}

const COLUMNS: usize = 80;

impl Screen {
    /// Shows what a program has written. The bytes may end anywhere.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.pending.extend(bytes);
        let pending = mem::take(&mut self.pending);
        let valid = match str::from_utf8(&pending) {
            Ok(_) => pending.len(),
            Err(error) => error.valid_up_to(),
        };
        let (text, rest) = pending.split_at(valid);
        let mut text = str::from_utf8(text).unwrap();
        while let Some(first) = text.chars().next() {
            let length = if first == '\x1b' {
                let Some(length) = sequence(text) else {
                    break;
                };
                self.control(&text[..length]);
                length
            } else {
                self.put(first);
                first.len_utf8()
            };
            text = &text[length..];
        }
        self.pending = [text.as_bytes(), rest].concat();
    }

    /// Returns the rows, without blanks at their ends.
    pub(crate) fn rows(&self) -> Vec<String> {
        let rows = self.rows.iter();
        rows.map(|row| {
            row.iter()
                .flatten()
                .collect::<String>()
                .trim_end()
                .to_owned()
        })
        .collect()
    }

    /// Returns the row and column of the cursor.
    pub(crate) fn cursor(&self) -> (usize, usize) {
        (self.row, self.column)
    }

    fn put(&mut self, character: char) {
        match character {
            '\r' => self.column = 0,
            '\n' => self.row += 1,
            '\x07' => {}
            '\x08' => self.column = self.column.saturating_sub(1),
            character => {
                let width = if is_wide(character) { 2 } else { 1 };
                if self.column + width > COLUMNS {
                    self.column = 0;
                    self.row += 1;
                }
                let column = self.column;
                let cells = self.cells();
                cells.resize(cells.len().max(column + width), Some(' '));
                cells[column] = Some(character);
                if width == 2 {
                    cells[column + 1] = None;
                }
                self.column += width;
            }
        }
        self.cells();
    }

    /// Returns the cells of the cursor's row.
    fn cells(&mut self) -> &mut Vec<Option<char>> {
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, Vec::new());
        }
        &mut self.rows[self.row]
    }

    /// Obeys a whole control sequence.
    fn control(&mut self, sequence: &str) {
        let body = sequence.strip_prefix("\x1b[").unwrap();
        let (arguments, last) = body.split_at(body.len() - 1);
        let count = arguments.parse().unwrap_or(1);
        match (last, arguments) {
            // Colours, and modes such as bracketed paste.
            ("m", _) | ("h" | "l", "?25" | "?2004" | "?2026") => {}
            ("A", _) => self.row = self.row.saturating_sub(count),
            ("B", _) => self.row += count,
            ("C", _) => self.column = (self.column + count).min(COLUMNS - 1),
            ("D", _) => self.column = self.column.saturating_sub(count),
            ("K", "") => {
                let column = self.column;
                self.cells().truncate(column);
            }
            _ => panic!("the screen does not know {sequence:?}"),
        }
    }
}

/// Returns the length of the control sequence at the start of `text`. `None` if its end is missing.
fn sequence(text: &str) -> Option<usize> {
    let body = text.strip_prefix("\x1b[");
    let is_known = body.is_some() || text.len() == 1;
    assert!(is_known, "the screen does not know {text:?}");
    let end = body?.find(|c: char| c.is_ascii_alphabetic())?;
    Some("\x1b[".len() + end + 1)
}

fn is_wide(character: char) -> bool {
    matches!(character, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{ffdc}' | '\u{1f300}'..)
}

#[test]
fn the_screen_shows_text_where_the_cursor_is() {
    let mut screen = Screen::default();
    for byte in "> 日本x\x1b[32m\x1b[3D語\r\n< é\x1b[A\r\x1b[K>\n".bytes() {
        screen.write(&[byte]);
    }
    assert_eq!(screen.rows(), [">", "< é"]);
    assert_eq!(screen.cursor(), (1, 1));
}
