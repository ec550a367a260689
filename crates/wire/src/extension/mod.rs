//! Negotiates permessage-deflate in the opening handshake ([RFC 6455 §9.1], [RFC 7692 §7.1]).
//!
//! This module gets the values of `Sec-WebSocket-Extensions` as bytes. A server [`accept`]s an
//! offer of the client and sends [`Agreement::answer`]. A client sends [`OFFER`] and checks the
//! server's answer with [`agreed`].
//!
//! `list` parses the value of such a header.
//!
//! [RFC 6455 §9.1]: https://www.rfc-editor.org/rfc/rfc6455#section-9.1
//! [RFC 7692 §7.1]: https://www.rfc-editor.org/rfc/rfc7692#section-7.1

mod list;

use std::fmt::Write as _;

use self::list::Extension;
pub use self::list::Malformed;

/// The offer of our client: neither side keeps a compression context, and the server may ask the
/// client to use a smaller window.
pub const OFFER: &str = "permessage-deflate; server_no_context_takeover; \
                         client_no_context_takeover; client_max_window_bits";

/// Name of the extension. It is compared with case, because neither RFC says that case is ignored.
const NAME: &[u8] = b"permessage-deflate";

/// The agreed way in which this side compresses its messages. The peer always compresses without a
/// context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Size of the window: the distance up to which a compressed message may refer back.
    pub window: WindowBits,
    /// True if a message of this side may refer to its earlier messages.
    pub keeps_context: bool,
    /// True if the answer must name the window, because the client asked for one (even for the
    /// largest).
    names_window: bool,
}

/// Size of an LZ77 window, as the base-2 logarithm of its bytes, from 8 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowBits(u8);

/// The reason why the client must fail the connection because of a server's answer to [`OFFER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// The answer lacks the `server_no_context_takeover` that the client asked for (§7.1.1.1).
    #[error("the server did not agree to forget its context")]
    KeepsContext,
    /// The answer does not follow the grammar.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The answer is not a single permessage-deflate (RFC 6455 §4.1).
    #[error("the server accepted an extension that was not offered")]
    NotOffered,
    /// A parameter is unknown, occurs twice or has an invalid value (§7.1).
    #[error("invalid parameter of permessage-deflate")]
    Parameter,
}

/// Accepts the first offer of permessage-deflate that the server can meet. Returns `None` if there
/// is no such offer. `values` are the lines of the header. If `may_keep_context`, the server may
/// compress with a context.
///
/// # Errors
///
/// [`Malformed`] if anything in the header does not follow the grammar.
pub fn accept<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    may_keep_context: bool,
) -> Result<Option<Agreement>, Malformed> {
    let offers = list::parse(values)?;
    let mut ours = offers.iter().filter(|offer| offer.name == NAME);
    let acceptable = ours.find_map(Parameters::of);
    Ok(acceptable.map(|offer| Agreement::accepting(&offer, may_keep_context)))
}

/// Returns the agreement in a server's answer to [`OFFER`], or `None` if the server declined.
///
/// # Errors
///
/// [`InvalidAnswer`] if the offer does not allow this answer.
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
    // §7.1.2.1: a server may name its own window without being asked. §7.1.2.2: if it names the
    // client's window, a value must follow.
    let window = match answer.client_window {
        None => WindowBits::MAX,
        Some(value) => value.ok_or(InvalidAnswer::Parameter)?,
    };
    Ok(Some(Agreement {
        window,
        keeps_context: false,
        names_window: false,
    }))
}

impl Agreement {
    /// Returns the agreement to which this offer leads on the server.
    fn accepting(offer: &Parameters, may_keep_context: bool) -> Self {
        let window = offer.server_window.unwrap_or(WindowBits::MAX);
        // With the smallest window, `Deflater` compresses without a context.
        let can_keep_context = window != WindowBits::MIN && !offer.server_forgets;
        Self {
            window,
            keeps_context: may_keep_context && can_keep_context,
            names_window: offer.server_window.is_some(),
        }
    }

    /// Returns the value of the server's `Sec-WebSocket-Extensions`. It has
    /// `client_no_context_takeover` even if the client did not ask for that (§7.1.1.2). It does not
    /// limit the window of the client, because we inflate with the largest.
    #[must_use]
    pub fn answer(&self) -> String {
        let mut answer = String::from("permessage-deflate");
        if !self.keeps_context {
            answer.push_str("; server_no_context_takeover");
        }
        answer.push_str("; client_no_context_takeover");
        if self.names_window {
            let window = self.window.bits();
            write!(answer, "; server_max_window_bits={window}")
                .expect("writing to a String cannot fail");
        }
        answer
    }
}

impl WindowBits {
    /// The smallest window, 256 bytes. zlib does not support it.
    pub const MIN: Self = Self(8);
    /// The largest window, 32 KiB. It is used if none is agreed.
    pub const MAX: Self = Self(15);
    /// Every size, smallest first. [`index`](Self::index) is a size's position in this array.
    pub const ALL: [Self; 8] = {
        let mut all = [Self::MIN; 8];
        let mut index: u8 = 0;
        while index < 8 {
            all[index as usize] = Self(Self::MIN.0 + index);
            index += 1;
        }
        all
    };

    /// Returns the base-2 logarithm of the window's size in bytes, from 8 to 15.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Returns the position in [`ALL`](Self::ALL), from 0 to 7.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0 - Self::MIN.0)
    }

    /// Parses the value of a parameter: a decimal integer without leading zeros (§7.1.2.1), from 8
    /// to 15.
    fn parse(value: &[u8]) -> Option<Self> {
        match value {
            [digit @ b'8'..=b'9'] => Some(Self(digit - b'0')),
            [b'1', digit @ b'0'..=b'5'] => Some(Self(10 + digit - b'0')),
            _ => None,
        }
    }
}

/// The parameters of permessage-deflate in an offer or an answer (RFC 7692 §7.1). Those of the
/// server are about the messages that it sends, and those of the client about the client's.
#[derive(Clone, Copy, Default)]
struct Parameters {
    /// `server_no_context_takeover`.
    server_forgets: bool,
    /// `client_no_context_takeover`.
    client_forgets: bool,
    /// The value of `server_max_window_bits`.
    server_window: Option<WindowBits>,
    /// `client_max_window_bits`: `None` if the parameter is absent, `Some(None)` if it has no
    /// value.
    client_window: Option<Option<WindowBits>>,
}

impl Parameters {
    /// Reads the parameters of an extension. Returns `None` if one is unknown, occurs twice or has
    /// an invalid value (§7.1).
    fn of(extension: &Extension<'_>) -> Option<Self> {
        let mut all = extension.parameters.iter();
        all.try_fold(Self::default(), |parameters, (name, value)| {
            parameters.with(name, value.as_deref())
        })
    }

    /// Adds one parameter. Returns `None` if it is unknown, already present or has an invalid
    /// value.
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
