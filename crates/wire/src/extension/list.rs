//! Parser of the header `Sec-WebSocket-Extensions` ([RFC 6455 §9.1]). Offers and answers have the
//! same grammar.
//!
//! [RFC 6455 §9.1]: https://www.rfc-editor.org/rfc/rfc6455#section-9.1

use std::borrow::Cow;

/// Largest number of elements in the list, empty ones included. The value is arbitrary, and more
/// than any peer sends.
const MAX_ELEMENTS: usize = 64;

/// One element of the list: an extension and its parameters.
pub(super) struct Extension<'a> {
    pub(super) name: &'a [u8],
    /// Names and values, in the order of the header.
    pub(super) parameters: Vec<Parameter<'a>>,
}

/// A parameter: its name, and its value without quotes, if it has one.
type Parameter<'a> = (&'a [u8], Option<Cow<'a, [u8]>>);

/// The error of a header that does not follow the grammar of RFC 6455 §9.1. The handshake must be
/// refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed Sec-WebSocket-Extensions")]
#[non_exhaustive]
pub struct Malformed;

/// Parses all lines of the header into one list, in their order. Empty elements are skipped (RFC
/// 9110 §5.6.1.2, RFC 2616 §2.1). But if there are lines, one element must not be empty.
pub(super) fn parse<'a>(
    values: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Extension<'a>>, Malformed> {
    let mut extensions = Vec::new();
    let mut elements = 0;
    for value in values {
        let mut rest = Rest(value);
        loop {
            elements += 1;
            if !matches!(rest.peek(), None | Some(b',')) {
                extensions.push(rest.extension()?);
            }
            if elements > MAX_ELEMENTS {
                return Err(Malformed);
            }
            match rest.peek() {
                None => break,
                Some(_) => rest.skip(b',').then_some(()).ok_or(Malformed)?,
            }
        }
    }
    let is_empty = elements > 0 && extensions.is_empty();
    if is_empty {
        Err(Malformed)
    } else {
        Ok(extensions)
    }
}

/// The unparsed rest of one header line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Parses `token *( ";" token [ "=" ( token / quoted-string ) ] )`.
    fn extension(&mut self) -> Result<Extension<'a>, Malformed> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.skip(b';') {
            let parameter = self.token()?;
            let has_value = self.skip(b'=');
            let value = has_value.then(|| self.value()).transpose()?;
            parameters.push((parameter, value));
        }
        Ok(Extension { name, parameters })
    }

    /// Skips white space, which may stand between any two tokens (RFC 6455 §9.1). Returns the next
    /// byte and does not consume it.
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        self.0.first().copied()
    }

    /// Consumes the next byte if it is `byte`. Returns true if it was.
    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.0 = &self.0[1..];
        }
        is_next
    }

    /// Parses a token, which must not be empty.
    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        self.peek();
        let is_end = |byte: &u8| !is_token_byte(*byte);
        let len = self.0.iter().position(is_end).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        (len > 0).then_some(token).ok_or(Malformed)
    }

    /// Parses a value: a token, bare or in quotes. The content of the quotes must be a token, too.
    fn value(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        if !self.skip(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = Vec::new();
        loop {
            let (byte, rest) = match self.0 {
                [b'"', rest @ ..] if !value.is_empty() => {
                    self.0 = rest;
                    return Ok(Cow::Owned(value));
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (*byte, rest),
                [] => return Err(Malformed),
            };
            if !is_token_byte(byte) {
                return Err(Malformed);
            }
            value.push(byte);
            self.0 = rest;
        }
    }
}

/// Returns true if `byte` may be part of a token (RFC 9110 §5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names of the extensions in a line, or `None` if it is malformed.
    fn names(value: &[u8]) -> Option<Vec<&[u8]>> {
        let extensions = parse([value].into_iter()).ok()?;
        Some(extensions.iter().map(|each| each.name).collect())
    }

    #[test]
    fn quotes_and_backslashes_are_removed_from_values() {
        let line: &[u8] = br#"x; a=1; b="1\5" ; c = "\1"; d"#;
        let parsed = parse([line].into_iter()).unwrap();
        let values: Vec<_> = parsed[0]
            .parameters
            .iter()
            .map(|(_, value)| value.as_deref())
            .collect();
        assert_eq!(values, [Some(&b"1"[..]), Some(b"15"), Some(b"1"), None]);
    }

    #[test]
    fn empty_elements_are_skipped_up_to_the_limit() {
        assert_eq!(names(b",, a,\t,b ,"), Some(vec![&b"a"[..], b"b"]));
        let with_a = |commas: usize| [&b",".repeat(commas)[..], b"a"].concat();
        assert_eq!(names(&with_a(MAX_ELEMENTS - 1)), Some(vec![&b"a"[..]]));
        assert_eq!(names(&with_a(MAX_ELEMENTS)), None);
    }

    #[test]
    fn a_header_without_lines_is_an_empty_list_but_lines_without_elements_are_malformed() {
        assert!(parse([].into_iter()).unwrap().is_empty());
        let both: [&[u8]; 2] = [b"", b"a"];
        assert_eq!(parse(both.into_iter()).unwrap().len(), 1);
        for empty in [&b""[..], b" ", b",", b" , ,"] {
            assert_eq!(names(empty), None);
        }
    }
}
