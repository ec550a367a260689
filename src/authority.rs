//! Authorities: the host and the port in a URL, or in the header `Host` or `Origin` of a request
//! ([RFC 3986 §3.2]). They are parsed strictly, and different spellings of a host are equal.
//!
//! [RFC 3986 §3.2]: https://www.rfc-editor.org/rfc/rfc3986#section-3.2

use std::{
    fmt::{self, Write},
    net::{Ipv4Addr, Ipv6Addr},
};

/// A host, and a port if one is named. An authority with a user (`user@host`) is refused
/// ([RFC 9110 §4.2.4](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

/// The host that an authority names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// A name in lower case. Escapes (`%41`) of characters that need none are decoded.
    Name(String),
}

/// The origin of a web page ([RFC 6454 §4](https://www.rfc-editor.org/rfc/rfc6454#section-4)) that
/// was loaded over HTTP or HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

/// The scheme of a URL: HTTP without TLS or with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Authority {
    /// Parses `host [":" port]`. Returns `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                // An address with a zone (`fe80::1%eth0`) is refused: the zone means something only
                // on the client's machine (RFC 6874 §4).
                let (address, port) = rest.split_once(']')?;
                (Host::V6(address.parse().ok()?), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Host::parse(name)?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            Some("") => None,
            Some(digits) => Some(parse_port(digits)?),
        };
        Some(Self { host, port })
    }
}

/// Parses a port, which must have digits only: the parser of `u16` would also accept a sign.
fn parse_port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

impl Host {
    /// Parses a name or an IPv4 address. Only four decimal numbers count as an address: a browser
    /// turns every other spelling of an address into this one before it sends the address.
    fn parse(text: &str) -> Option<Self> {
        if !(1..=MAX_NAME_BYTES).contains(&text.len()) {
            return None;
        }
        if let Ok(address) = text.parse() {
            return Some(Self::V4(address));
        }
        let mut name = String::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'%' => {
                    let escaped = 16 * hex_digit(bytes.next()?)? + hex_digit(bytes.next()?)?;
                    if is_unreserved(escaped) {
                        name.push(escaped.to_ascii_lowercase().into());
                    } else {
                        let _ = write!(name, "%{escaped:02X}");
                    }
                }
                byte if is_unreserved(byte) || SUB_DELIMS.contains(&byte) => {
                    name.push(byte.to_ascii_lowercase().into());
                }
                _ => return None,
            }
        }
        Some(Self::Name(name))
    }

    /// Returns true if a browser can send this host: an address, or a name of letters, digits,
    /// hyphens and underscores between dots. A browser sends a name with other letters as `xn--…`,
    /// and takes a name that ends in a number for an address ([URL
    /// §3.5](https://url.spec.whatwg.org/#host-parsing)).
    pub(crate) fn is_plain(&self) -> bool {
        let Self::Name(name) = self else {
            return true;
        };
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let mut labels = without_dot(name).split('.');
        let last = labels.clone().next_back().unwrap_or_default();
        let is_number = match last.strip_prefix("0x") {
            Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            None => last.bytes().all(|byte| byte.is_ascii_digit()),
        };
        !is_number && labels.all(|label| !label.is_empty() && label.bytes().all(is_letter))
    }
}

/// Returns `name` without a dot at its end, which only says that the name is complete.
pub(crate) fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl Origin {
    /// Parses `scheme://host[:port]`. Returns `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = Scheme::split(text)?;
        let authority = Authority::parse(authority)?;
        Some(Self { scheme, authority })
    }

    /// Returns true if the origin has the host and the port of `authority`. The default port of the
    /// origin's scheme stands in for the port that the origin or `authority` does not name.
    pub(crate) fn is_at(&self, authority: &Authority) -> bool {
        let port = |authority: &Authority| authority.port.unwrap_or_else(|| self.scheme.port());
        self.authority.host == authority.host && port(&self.authority) == port(authority)
    }
}

impl Scheme {
    /// Splits a URL into its scheme, in upper or lower case, and the rest behind `://`. Returns
    /// `None` for any other scheme than `http` and `https`.
    pub(crate) fn split(url: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            _ => return None,
        };
        Some((scheme, rest))
    }

    /// Returns the default port, for a URL that names none.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Returns true if `byte` is never escaped in a URL (`unreserved` in RFC 3986 §2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Characters besides the [unreserved](is_unreserved) ones that a host may have unescaped
/// (`sub-delims` in RFC 3986 §2.2).
const SUB_DELIMS: &[u8] = b"!$&'()*+,;=";

/// Length of the longest name, in bytes: the limit of RFC 3986 §3.2.2, a little above that of the
/// DNS.
const MAX_NAME_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses an authority. Returns its normal spelling, or `None` if it is refused.
    fn normalized(text: &str) -> Option<String> {
        Authority::parse(text).map(|authority| authority.to_string())
    }

    #[test]
    fn different_spellings_of_the_same_authority_are_equal() {
        for (text, normal) in [
            ("a.example", "a.example"),
            // Case, and the port.
            ("A.Example:8080", "a.example:8080"),
            ("a.example:00080", "a.example:80"),
            ("a:", "a"),
            ("a:0", "a:0"),
            ("a:65535", "a:65535"),
            // Characters and escapes of names.
            ("a_b", "a_b"),
            ("a.example.", "a.example."),
            ("xn--9ca.example", "xn--9ca.example"),
            ("a%41.b", "aa.b"),
            ("%6c%6F%63alhost", "localhost"),
            ("%2f%C3%a9", "%2F%C3%A9"),
            ("!$&'()*+,;=~", "!$&'()*+,;=~"),
            // Addresses.
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[::FFFF:127.0.0.1]", "[::ffff:127.0.0.1]"),
            ("[2001:DB8::1]:", "[2001:db8::1]"),
        ] {
            assert_eq!(normalized(text).as_deref(), Some(normal), "{text}");
        }
        let longest = "x".repeat(MAX_NAME_BYTES);
        assert_eq!(normalized(&longest), Some(longest));
    }

    #[test]
    fn anything_but_a_host_with_an_optional_port_is_refused() {
        for text in [
            // No host.
            "",
            ":80",
            // More than a host and a port.
            "user@a.example",
            "user:secret@a.example",
            "a.example/x",
            "a.example?x=y",
            "a.example#x",
            "a.example\\x",
            // Characters that must be escaped, and wrong escapes.
            "a b",
            " a",
            "a,b c",
            "a\u{7f}",
            "é.example",
            "a%4",
            "a%4g",
            "a%",
            // Ports.
            "a:65536",
            "a:99999999999",
            "a:http",
            "a:+80",
            "a:-1",
            "a:80:80",
            "a:80 ",
            // Addresses in brackets.
            "::1",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:x",
            "[]",
            "[127.0.0.1]",
            "[localhost]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[v1.x]",
            // Other brackets, and a URL.
            "<a>",
            "\"a\"",
            "{a}",
            "http://a",
        ] {
            assert_eq!(normalized(text), None, "{text}");
        }
        assert_eq!(normalized(&"x".repeat(MAX_NAME_BYTES + 1)), None);
    }

    #[test]
    fn only_a_host_that_a_browser_can_send_is_plain() {
        let is_plain = |text: &str| Authority::parse(text).unwrap().host.is_plain();
        for text in [
            "a",
            "app.example",
            "a_b.c-d",
            "xn--9ca.example.",
            "127.0.0.1",
            "[::1]",
            // The last label looks like a number, or another label is one.
            "0xa.example",
            "1.example",
            "0xyz",
        ] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            // Empty labels.
            ".example",
            "a..b",
            ".",
            "a.example..",
            // Other characters than letters, digits, hyphens and underscores.
            "*.example",
            "a%2Fb",
            "a~b",
            // A browser takes names that end in a number for addresses.
            "2130706433",
            "127.1",
            "127.0.0.1.",
            "0x7f.1",
            "a.0x7f",
            "a.0x",
            "0177.0.0.01",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }

    #[test]
    fn an_origin_is_at_an_authority_with_its_host_and_port() {
        let is_at = |origin: &str, authority: &str| {
            let authority = Authority::parse(authority).unwrap();
            Origin::parse(origin).is_some_and(|origin| origin.is_at(&authority))
        };
        for (origin, authority) in [
            // The default port of the scheme.
            ("http://a", "a"),
            ("http://a", "a:80"),
            ("https://a", "A:443"),
            ("https://a:443", "a"),
            // Another port, and other spellings.
            ("HTTP://a:8080", "a:8080"),
            ("http://[::1]:8080", "[0::1]:8080"),
        ] {
            assert!(is_at(origin, authority), "{origin} {authority}");
        }
        for (origin, authority) in [
            // Another host or another port.
            ("http://a", "b"),
            ("http://a", "a:443"),
            ("https://a", "a:80"),
            ("http://a:8080", "a"),
            ("http://a.", "a"),
            // No origin of a web page.
            ("ftp://a", "a"),
            ("http:a", "a"),
            ("a", "a"),
            ("null", "null"),
            ("http://a/", "a"),
        ] {
            assert!(!is_at(origin, authority), "{origin} {authority}");
        }
    }
}
