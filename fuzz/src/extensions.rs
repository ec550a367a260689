//! A reading of `Sec-WebSocket-Extensions` in two steps: words, then what they make (RFC 6455
//! §9.1, RFC 7692 §7.1).

/// An element of the list, with its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extension {
    pub name: Vec<u8>,
    pub parameters: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The parameters of permessage-deflate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    pub server_forgets: bool,
    pub client_forgets: bool,
    pub server_window: Option<u8>,
    /// Whether it is there, and its value.
    pub client_window: Option<Option<u8>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Token(Vec<u8>),
    /// What is in the quotes, which has to be a token, too.
    Quoted(Vec<u8>),
    Separator(u8),
}

/// More elements than this are refused, empty ones counted; a limit of the server.
const MAX_ELEMENTS: usize = 64;

/// The elements of all lines; `None` if the header is not in the grammar.
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

/// RFC 9110 §5.6.2: all that can be seen but the delimiters.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

impl Terms {
    /// `None`, if a parameter is unknown, comes twice, or has a value that it can't have (§7.1).
    pub fn of(extension: &Extension) -> Option<Self> {
        let mut terms = Self::default();
        let names = extension.parameters.iter().map(|(name, _)| name);
        for (index, (name, value)) in extension.parameters.iter().enumerate() {
            if names.clone().skip(index + 1).any(|other| other == name) {
                return None;
            }
            match (&name[..], value) {
                (b"server_no_context_takeover", None) => terms.server_forgets = true,
                (b"client_no_context_takeover", None) => terms.client_forgets = true,
                (b"server_max_window_bits", Some(value)) => {
                    terms.server_window = Some(window_bits(value)?);
                }
                (b"client_max_window_bits", None) => terms.client_window = Some(None),
                (b"client_max_window_bits", Some(value)) => {
                    terms.client_window = Some(Some(window_bits(value)?));
                }
                _ => return None,
            }
        }
        Some(terms)
    }
}

/// §7.1.2.1: from 8 to 15, without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    (8..=15).find(|bits: &u8| bits.to_string().as_bytes() == value)
}
