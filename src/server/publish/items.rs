//! The items of a list: those of a JSON array, or lines. Only their places are found here. Each is
//! parsed by itself, so that a bad item spoils no other.
//!
//! Pure: this file does no I/O.

use std::{mem, ops::Range};

use crate::server::response::Rejection;

/// The form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum ListForm {
    /// A JSON array.
    Array,
    /// JSON on lines. Blank lines are no items.
    Lines,
}

/// A search for the items of a list, in steps of a bounded length.
#[derive(Debug)]
pub(in crate::server) struct Search {
    form: ListForm,
    /// Index of the next byte to be looked at.
    at: usize,
    /// Index of the first byte of the present item, if that has begun.
    start: Option<usize>,
    /// Index behind the last byte so far that is no space.
    end: usize,
    place: Place,
    found: Vec<Range<usize>>,
}

/// The place of the next byte in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the array.
    Before,
    /// Within this number of brackets and braces, those of the array included.
    Nested(u32),
    /// In a string within this number of brackets and braces.
    String(u32),
    /// In a string, behind a backslash.
    Escaped(u32),
    /// Behind the array.
    After,
}

impl Search {
    pub(in crate::server) fn new(form: ListForm) -> Self {
        Self {
            form,
            at: 0,
            start: None,
            end: 0,
            place: Place::Before,
            found: Vec::new(),
        }
    }

    /// Looks at the next part of `list`. Returns true if it was not the last one.
    pub(in crate::server) fn step(&mut self, list: &[u8]) -> Result<bool, Rejection> {
        let end = list.len().min(self.at + STEP_BYTES);
        while self.at < end {
            let byte = list[self.at];
            match self.form {
                ListForm::Array => self.place = self.next_place(byte)?,
                ListForm::Lines if byte == b'\n' => self.end_line()?,
                ListForm::Lines => self.begin(byte),
            }
            self.at += 1;
            if !is_space(byte) {
                self.end = self.at;
            }
        }
        Ok(self.at < list.len())
    }

    /// Returns the items of the list, of which all parts were looked at.
    pub(in crate::server) fn finish(mut self) -> Result<Vec<Range<usize>>, Rejection> {
        match (self.form, self.place) {
            (ListForm::Lines, _) => self.end_line()?,
            (ListForm::Array, Place::After) => {}
            (ListForm::Array, _) => return Err(Rejection::bad_request(&"the array has no end")),
        }
        Ok(self.found)
    }

    /// Returns the place behind a byte of an array.
    fn next_place(&mut self, byte: u8) -> Result<Place, Rejection> {
        let is_first = self.found.is_empty() && self.start.is_none();
        let place = match (self.place, byte) {
            (Place::Before | Place::After, byte) if is_space(byte) => self.place,
            (Place::Before, b'[') => Place::Nested(1),
            (Place::Before, _) => return Err(self.unexpected("an array is expected")),
            (Place::After, _) => return Err(self.unexpected("the array has ended")),
            (Place::String(depth), b'\\') => Place::Escaped(depth),
            (Place::String(depth), b'"') => Place::Nested(depth),
            (Place::String(depth) | Place::Escaped(depth), _) => Place::String(depth),
            (Place::Nested(1), b']') if is_first => Place::After,
            (Place::Nested(1), b']' | b',') => {
                self.end_item()?;
                if byte == b']' {
                    Place::After
                } else {
                    Place::Nested(1)
                }
            }
            (Place::Nested(1), b'}') => return Err(self.unexpected("`,` or `]` is expected")),
            (Place::Nested(depth), byte) => {
                self.begin(byte);
                match byte {
                    b'"' => Place::String(depth),
                    b'[' | b'{' => Place::Nested(depth + 1),
                    b']' | b'}' => Place::Nested(depth - 1),
                    _ => Place::Nested(depth),
                }
            }
        };
        Ok(place)
    }

    /// Begins an item, if none has begun and `byte` is no space.
    fn begin(&mut self, byte: u8) {
        if self.start.is_none() && !is_space(byte) {
            self.start = Some(self.at);
        }
    }

    fn end_line(&mut self) -> Result<(), Rejection> {
        match self.start {
            Some(_) => self.end_item(),
            None => Ok(()),
        }
    }

    fn end_item(&mut self) -> Result<(), Rejection> {
        let start = mem::take(&mut self.start);
        let start = start.ok_or_else(|| self.unexpected("an item is expected"))?;
        if self.found.len() == MAX_ITEMS {
            return Err(Rejection::TooManyItems { most: MAX_ITEMS });
        }
        self.found.push(start..self.end);
        Ok(())
    }

    fn unexpected(&self, what: &str) -> Rejection {
        Rejection::BadRequest(format!("{what} at byte {}", self.at))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Greatest number of items in a list. Arbitrary: enough that the cost of a request hardly counts
/// among theirs, and few enough to be tried again.
pub(in crate::server) const MAX_ITEMS: usize = 1_000;

/// Number of bytes of a step. A byte takes 1 to 2 ns.
const STEP_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn search(form: ListForm, list: &[u8]) -> Result<Vec<&[u8]>, String> {
        let mut search = Search::new(form);
        let found = loop {
            match search.step(list) {
                Ok(true) => {}
                Ok(false) => break search.finish(),
                Err(rejection) => break Err(rejection),
            }
        };
        let found = found.map_err(|rejection| rejection.to_string())?;
        Ok(found.into_iter().map(|item| &list[item]).collect())
    }

    #[track_caller]
    fn assert_found(form: ListForm, list: &str, items: &[&str]) {
        let items: Vec<_> = items.iter().map(|item| item.as_bytes()).collect();
        assert_eq!(search(form, list.as_bytes()), Ok(items), "{list}");
    }

    #[test]
    fn the_items_of_an_array_are_found_whatever_is_in_them() {
        let found = |list, items: &[&str]| assert_found(ListForm::Array, list, items);
        found("[]", &[]);
        found(" [\n] ", &[]);
        found("[{}]", &["{}"]);
        found("[ {} ,1,\"a\" ]", &["{}", "1", "\"a\""]);
        found(r#"[{"a":[1,2]},[3,[4]]]"#, &[r#"{"a":[1,2]}"#, "[3,[4]]"]);
        found(r#"[{"a":"],\"},\\"},2]"#, &[r#"{"a":"],\"},\\"}"#, "2"]);
        // Only the item is bad.
        found("[{],x]", &["{]", "x"]);
        found("[{\"a\" 1},2]", &["{\"a\" 1}", "2"]);
        found("[1 2,3]", &["1 2", "3"]);
    }

    #[test]
    fn an_array_that_cannot_be_divided_into_items_is_refused() {
        for (list, error) in [
            ("", "the array has no end"),
            ("[", "the array has no end"),
            ("[{]", "the array has no end"),
            ("[\"]", "the array has no end"),
            ("[1,", "the array has no end"),
            ("{}", "an array is expected at byte 0"),
            ("[1,]", "an item is expected at byte 3"),
            ("[,1]", "an item is expected at byte 1"),
            ("[1, ,2]", "an item is expected at byte 4"),
            ("[1}]", "`,` or `]` is expected at byte 2"),
            ("[1] x", "the array has ended at byte 4"),
            ("[1][2]", "the array has ended at byte 3"),
            ("[1]]", "the array has ended at byte 3"),
        ] {
            let refused = search(ListForm::Array, list.as_bytes());
            assert_eq!(refused, Err(error.to_owned()), "{list}");
        }
    }

    #[test]
    fn each_line_that_is_not_blank_is_an_item() {
        let found = |list, items: &[&str]| assert_found(ListForm::Lines, list, items);
        found("", &[]);
        found("\n \r\n\t", &[]);
        found("{}", &["{}"]);
        found("{}\n", &["{}"]);
        found("{}\r\n\r\n {\"a\":\r\n[]", &["{}", "{\"a\":", "[]"]);
        found("{} \t\r\n\n1  ", &["{}", "1"]);
    }

    #[test]
    fn one_item_more_than_allowed_is_refused() {
        let lines = |count| "1\n".repeat(count);
        let array = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        for (form, list) in [
            (ListForm::Array, array as fn(usize) -> String),
            (ListForm::Lines, lines),
        ] {
            let found = search(form, list(MAX_ITEMS).as_bytes()).map(|found| found.len());
            assert_eq!(found, Ok(MAX_ITEMS));
            let refused = search(form, list(MAX_ITEMS + 1).as_bytes()).map(|found| found.len());
            assert_eq!(refused, Err("more than 1000 items".into()));
        }
    }

    #[test]
    fn a_long_list_is_searched_in_several_steps() {
        let list = format!(
            "[\"{}\",{}1]",
            "x".repeat(STEP_BYTES),
            " ".repeat(STEP_BYTES)
        );
        let mut search = Search::new(ListForm::Array);
        assert_eq!(search.step(list.as_bytes()), Ok(true));
        assert_eq!(search.step(list.as_bytes()), Ok(true));
        assert_eq!(search.step(list.as_bytes()), Ok(false));
        assert_eq!(search.finish().map(|found| found.len()), Ok(2));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            "[\\[\\]{},:\"\\\\ a\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let object = proptest::collection::btree_map("[\\]}\"\\\\,]{0,3}", inner.clone(), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::from),
                object.prop_map(|object| Value::Object(object.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_items_of_any_array_and_of_any_lines_are_those_that_a_json_parser_finds(
            values in proptest::collection::vec(value(), 0..8), is_pretty: bool,
        ) {
            let array = if is_pretty {
                serde_json::to_string_pretty(&values).unwrap()
            } else {
                serde_json::to_string(&values).unwrap()
            };
            let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
            for (form, list) in [(ListForm::Array, array), (ListForm::Lines, lines)] {
                let found = search(form, list.as_bytes()).unwrap();
                let found = found.into_iter().map(|item| serde_json::from_slice(item).unwrap());
                prop_assert_eq!(found.collect::<Vec<Value>>(), &values[..]);
            }
        }
    }
}
