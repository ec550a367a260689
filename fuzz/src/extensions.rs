//! The oracle for `Sec-WebSocket-Extensions`. It first splits the header into words, and then
//! parses the words (RFC 6455 §9.1, RFC 7692 §7.1).

/// An element of the header's list: an extension with its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extension {
    pub name: Vec<u8>,
    /// Name and value of each parameter.
    pub parameters: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The parameters of permessage-deflate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `server_no_context_takeover`.
    pub server_forgets: bool,
    /// `client_no_context_takeover`.
    pub client_forgets: bool,
    /// The value of `server_max_window_bits`.
    pub server_window: Option<u8>,
    /// `client_max_window_bits`: `None` if the parameter is absent, `Some(None)` if it has no
    /// value.
    pub client_window: Option<Option<u8>>,
}

/// A word of the header.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Token(Vec<u8>),
    /// The content of the quotes, which must be a token, too.
    Quoted(Vec<u8>),
    Separator(u8),
}

/// Largest number of elements that the server accepts in a header, empty ones included.
const MAX_ELEMENTS: usize = 64;

/// Returns the elements of all lines that are not empty, or `None` if the header does not follow
/// the grammar.
pub fn read(lines: &[&[u8]]) -> Option<Vec<Extension>> {
    let lines: Option<Vec<Vec<Word>>> = lines.iter().map(|line| words(line)).collect();
    let lines = lines?;
    let elements = lines
        .iter()
        .flat_map(|line| line.split(|word| *word == Word::Separator(b',')));
    if elements.clone().count() > MAX_ELEMENTS {
        return None;
    }
    let present = elements.filter(|element| !element.is_empty());
    let extensions: Vec<Extension> = present.map(extension).collect::<Option<_>>()?;
    (lines.is_empty() || !extensions.is_empty()).then_some(extensions)
}

/// Splits a line into words. Returns `None` if it has a byte that belongs to no word.
fn words(line: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => {}
            b',' | b';' | b'=' => words.push(Word::Separator(byte)),
            b'"' => {
                let mut content = Vec::new();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => content.push(bytes.next()?),
                        other => content.push(other),
                    }
                }
                let is_token = !content.is_empty() && content.iter().all(|byte| is_token(*byte));
                words.push(is_token.then_some(Word::Quoted(content))?);
            }
            _ if is_token(byte) => {
                let mut token = vec![byte];
                while let Some(next) = bytes.next_if(|byte| is_token(*byte)) {
                    token.push(next);
                }
                words.push(Word::Token(token));
            }
            _ => return None,
        }
    }
    Some(words)
}

/// Parses an element of the list. Returns `None` if it does not follow the grammar.
fn extension(words: &[Word]) -> Option<Extension> {
    let mut parts = words.split(|word| *word == Word::Separator(b';'));
    let Some([Word::Token(name)]) = parts.next() else {
        return None;
    };
    let parameter = |part: &[Word]| match part {
        [Word::Token(name)] => Some((name.clone(), None)),
        [
            Word::Token(name),
            Word::Separator(b'='),
            Word::Token(value) | Word::Quoted(value),
        ] => Some((name.clone(), Some(value.clone()))),
        _ => None,
    };
    Some(Extension {
        name: name.clone(),
        parameters: parts.map(parameter).collect::<Option<_>>()?,
    })
}

/// Returns true if a token may have this byte: a visible character that is not a delimiter (RFC
/// 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

impl Parameters {
    /// Reads the parameters of an extension. Returns `None` if one is unknown, occurs twice or has
    /// an invalid value (§7.1).
    pub fn of(extension: &Extension) -> Option<Self> {
        let mut parameters = Self::default();
        let names = extension.parameters.iter().map(|(name, _)| name);
        for (index, (name, value)) in extension.parameters.iter().enumerate() {
            if names.clone().skip(index + 1).any(|other| other == name) {
                return None;
            }
            match (&name[..], value) {
                (b"server_no_context_takeover", None) => parameters.server_forgets = true,
                (b"client_no_context_takeover", None) => parameters.client_forgets = true,
                (b"server_max_window_bits", Some(value)) => {
                    parameters.server_window = Some(window_bits(value)?);
                }
                (b"client_max_window_bits", None) => parameters.client_window = Some(None),
                (b"client_max_window_bits", Some(value)) => {
                    parameters.client_window = Some(Some(window_bits(value)?));
                }
                _ => return None,
            }
        }
        Some(parameters)
    }
}

/// Parses a number from 8 to 15 without leading zeros (§7.1.2.1).
fn window_bits(value: &[u8]) -> Option<u8> {
    (8..=15).find(|bits: &u8| bits.to_string().as_bytes() == value)
}
