//! Agreeing on permessage-deflate in the opening handshake ([RFC 6455 §9.1], [RFC 7692 §7.1]).
//!
//! The values of `Sec-WebSocket-Extensions` come in as bytes. A server [`accept`]s an offer and
//! sends [`Agreement::answer`]; a client sends [`OFFER`] and looks at what was [`agreed`].
//!
//! `list` parses the value of such a header.
//!
//! [RFC 6455 §9.1]: https://www.rfc-editor.org/rfc/rfc6455#section-9.1
//! [RFC 7692 §7.1]: https://www.rfc-editor.org/rfc/rfc7692#section-7.1

mod list;

use std::fmt::Write as _;

use self::list::Extension;
pub use self::list::Malformed;

/// What our client offers: nobody keeps a context, and the server may ask for a smaller window.
pub const OFFER: &str = "permessage-deflate; server_no_context_takeover; \
                         client_no_context_takeover; client_max_window_bits";

/// Names are compared byte by byte: neither RFC says that their case is to be ignored.
const NAME: &[u8] = b"permessage-deflate";

/// How this side compresses towards its peer. The peer keeps no context towards us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// How far back a compressed message may refer.
    pub window: WindowBits,
    /// A message may refer to those before it.
    pub keeps_context: bool,
    /// The client asked for a window, even if for the largest one, and is to be told of it.
    tells_window: bool,
}

/// The size of an LZ77 window as the logarithm to base 2 of its bytes, from 8 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowBits(u8);

/// Why a server's answer to [`OFFER`] means that the client must fail the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// The answer lacks the `server_no_context_takeover` that was asked for (§7.1.1.1).
    #[error("the server did not agree to forget its context")]
    KeepsContext,
    /// The answer is not in the grammar.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Something other than one permessage-deflate (RFC 6455 §4.1).
    #[error("the server accepted an extension that was not offered")]
    NotOffered,
    /// §7.1: a parameter that is unknown, comes twice or has an invalid value.
    #[error("invalid parameter of permessage-deflate")]
    Parameter,
}

/// Accepts the first offer that can be met; `None` if there is none. One line of the header is
/// one of `values`.
///
/// # Errors
///
/// [`Malformed`], if anything in the header is not in the grammar.
pub fn accept<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    may_keep_context: bool,
) -> Result<Option<Agreement>, Malformed> {
    let offers = list::parse(values)?;
    let mut ours = offers.iter().filter(|offer| offer.name == NAME);
    let acceptable = ours.find_map(Parameters::of);
    Ok(acceptable.map(|offer| Agreement::accepting(&offer, may_keep_context)))
}

/// What the server's answer to [`OFFER`] agrees to; `None` if it declined.
///
/// # Errors
///
/// [`InvalidAnswer`], if the offer allows no such answer.
pub fn agreed<'a>(
    values: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Agreement>, InvalidAnswer> {
    let answer = match list::parse(values)?.as_slice() {
        [] => return Ok(None),
        [only] if only.name == NAME => Parameters::of(only).ok_or(InvalidAnswer::Parameter)?,
        _ => return Err(InvalidAnswer::NotOffered),
    };
    if !answer.server_forgets {
        return Err(InvalidAnswer::KeepsContext);
    }
    // §7.1.2.1: a server may tell its window even if it was not asked to. §7.1.2.2: ours has a
    // value wherever a server names it.
    let window = match answer.client_window {
        None => WindowBits::MAX,
        Some(value) => value.ok_or(InvalidAnswer::Parameter)?,
    };
    Ok(Some(Agreement {
        window,
        keeps_context: false,
        tells_window: false,
    }))
}

impl Agreement {
    fn accepting(offer: &Parameters, may_keep_context: bool) -> Self {
        let window = offer.server_window.unwrap_or(WindowBits::MAX);
        // The smallest window is kept to by leaving larger messages alone, see `Deflater`.
        let can_keep_context = window != WindowBits::MIN && !offer.server_forgets;
        Self {
            window,
            keeps_context: may_keep_context && can_keep_context,
            tells_window: offer.server_window.is_some(),
        }
    }

    /// The server's `Sec-WebSocket-Extensions`. A client need not have asked for
    /// `client_no_context_takeover` (§7.1.1.2); its window is not limited, because we inflate
    /// with the largest.
    #[must_use]
    pub fn answer(&self) -> String {
        let mut answer = String::from("permessage-deflate");
        if !self.keeps_context {
            answer.push_str("; server_no_context_takeover");
        }
        answer.push_str("; client_no_context_takeover");
        if self.tells_window {
            let window = self.window.bits();
            write!(answer, "; server_max_window_bits={window}").expect("a String takes all");
        }
        answer
    }
}

impl WindowBits {
    /// 256 bytes, which zlib does not compress with.
    pub const MIN: Self = Self(8);
    /// 32 KiB, which holds where nothing else is agreed.
    pub const MAX: Self = Self(15);
    /// Every size, the smallest first; [`index`](Self::index) is the place in it.
    pub const ALL: [Self; 8] = {
        let mut all = [Self::MIN; 8];
        let mut index: u8 = 0;
        while index < 8 {
            all[index as usize] = Self(Self::MIN.0 + index);
            index += 1;
        }
        all
    };

    /// From 8 to 15.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From 0 to 7.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0 - Self::MIN.0)
    }

    /// §7.1.2.1: a decimal integer without leading zeros.
    fn parse(value: &[u8]) -> Option<Self> {
        match value {
            [digit @ b'8'..=b'9'] => Some(Self(digit - b'0')),
            [b'1', digit @ b'0'..=b'5'] => Some(Self(10 + digit - b'0')),
            _ => None,
        }
    }
}

/// The parameters of permessage-deflate (RFC 7692 §7.1), by whom they bind.
#[derive(Clone, Copy, Default)]
struct Parameters {
    server_forgets: bool,
    client_forgets: bool,
    server_window: Option<WindowBits>,
    /// The outer `Option` is whether it is there, the inner one whether it has a value.
    client_window: Option<Option<WindowBits>>,
}

impl Parameters {
    /// `None`, if there is one that is unknown, comes twice or has an invalid value (§7.1).
    fn of(extension: &Extension<'_>) -> Option<Self> {
        let mut all = extension.parameters.iter();
        all.try_fold(Self::default(), |those, (name, value)| {
            those.with(name, value.as_deref())
        })
    }

    /// These with one more; `None` if it is unknown, is there already or has an invalid value.
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        match (name, value) {
            (b"server_no_context_takeover", None) if !self.server_forgets => {
                self.server_forgets = true;
            }
            (b"client_no_context_takeover", None) if !self.client_forgets => {
                self.client_forgets = true;
            }
            (b"server_max_window_bits", Some(bits)) if self.server_window.is_none() => {
                self.server_window = Some(WindowBits::parse(bits)?);
            }
            (b"client_max_window_bits", None) if self.client_window.is_none() => {
                self.client_window = Some(None);
            }
            (b"client_max_window_bits", Some(bits)) if self.client_window.is_none() => {
                self.client_window = Some(Some(WindowBits::parse(bits)?));
            }
            _ => return None,
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests;
