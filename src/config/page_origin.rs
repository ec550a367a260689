//! The origin of a web page or of an application that shows web pages, as a setting names it and
//! as a browser sends it ([RFC 6454 §6.2](https://www.rfc-editor.org/rfc/rfc6454#section-6.2)).
//!
//! Pages of HTTP and HTTPS have a host, whose spellings are compared by meaning, and a port.
//! Applications and extensions have schemes of their own, such as `capacitor`, `tauri`, `ionic`,
//! `chrome-extension` and `moz-extension`. What stands for the host there is compared to the
//! letter, because only the scheme's owner knows what it means.

use std::fmt;

use crate::authority::{Authority, Origin, Scheme};

/// An origin with a scheme, a host, and a port if that is not the default one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageOrigin {
    /// An origin of HTTP or HTTPS.
    Web(Origin),
    /// An origin of any other scheme, which is in lower case.
    Other { scheme: String, host: String },
}

/// The reason why text is no origin that a browser sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidOrigin {
    #[error("is the origin of every sandboxed page; * allows all pages")]
    Null,
    #[error("has no scheme; https://{0} is meant")]
    NoScheme(Authority),
    #[error("is where a page connects to; the page's own {} is meant", .0.escape_debug())]
    WebSocket(String),
    #[error("has more than scheme, host and port; {} is meant", .0.escape_debug())]
    Path(String),
    #[error("has a user, which no origin has")]
    User,
    #[error("has a wildcard; name each origin, or allow all pages with *")]
    Wildcard,
    #[error("has an IPv6 address without brackets; {0} is meant")]
    Brackets(String),
    #[error("has letters that browsers send as xn--…")]
    Letters,
    #[error("names no valid host")]
    Host,
    #[error("names no valid port")]
    Port,
    #[error("begins with no scheme, as https://app.example does")]
    Scheme,
}

impl PageOrigin {
    /// Parses an origin, in upper or lower case, with or without the default port.
    ///
    /// # Errors
    ///
    /// The reason why no browser sends it, and what was probably meant.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        if text.eq_ignore_ascii_case("null") {
            return Err(InvalidOrigin::Null);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            let authority = Authority::parse(text);
            return Err(authority.map_or(InvalidOrigin::Scheme, InvalidOrigin::NoScheme));
        };
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "ws" | "wss" => {
                let page = scheme.replacen("ws", "http", 1);
                Err(InvalidOrigin::WebSocket(format!("{page}://{rest}")))
            }
            "http" => web(Scheme::Http, &scheme, rest).map(Self::Web),
            "https" => web(Scheme::Https, &scheme, rest).map(Self::Web),
            _ => other(scheme, rest),
        }
    }
}

fn web(scheme: Scheme, name: &str, rest: &str) -> Result<Origin, InvalidOrigin> {
    check_letters(name, rest)?;
    if rest.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(InvalidOrigin::Brackets(format!("{name}://[{rest}]")));
    }
    let mut authority = Authority::parse(rest).ok_or_else(|| {
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
        let is_host = Authority::parse(host).is_some_and(|host| host.port.is_none());
        if host != rest && is_host {
            InvalidOrigin::Port
        } else {
            InvalidOrigin::Host
        }
    })?;
    if !authority.host.is_plain() {
        return Err(InvalidOrigin::Host);
    }
    if authority.port == Some(0) {
        return Err(InvalidOrigin::Port);
    }
    authority.port = authority.port.filter(|&port| port != scheme.port());
    Ok(Origin { scheme, authority })
}

fn other(scheme: String, host: &str) -> Result<PageOrigin, InvalidOrigin> {
    let mut letters = scheme.bytes();
    let is_scheme = letters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return Err(InvalidOrigin::Scheme);
    }
    check_letters(&scheme, host)?;
    // Some applications that show pages from files send file:// with nothing behind it.
    if host.is_empty() && scheme != "file" {
        return Err(InvalidOrigin::Host);
    }
    let host = host.to_owned();
    Ok(PageOrigin::Other { scheme, host })
}

/// Checks that what follows `://` is no more than a host and a port, and has no characters that
/// are in no host ([URL §3.1](https://url.spec.whatwg.org/#forbidden-host-code-point)).
fn check_letters(scheme: &str, rest: &str) -> Result<(), InvalidOrigin> {
    if let Some(end) = rest.find(['/', '?', '#', '\\']) {
        return Err(InvalidOrigin::Path(format!("{scheme}://{}", &rest[..end])));
    }
    if rest.contains('@') {
        return Err(InvalidOrigin::User);
    }
    if rest.contains('*') {
        return Err(InvalidOrigin::Wildcard);
    }
    let is_forbidden = |c: char| c.is_control() || c.is_whitespace() || "<>^|\"".contains(c);
    if rest.contains(is_forbidden) {
        return Err(InvalidOrigin::Host);
    }
    if rest.is_ascii() {
        Ok(())
    } else {
        Err(InvalidOrigin::Letters)
    }
}

impl fmt::Display for PageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(Origin { scheme, authority }) => {
                let scheme = match scheme {
                    Scheme::Http => "http",
                    Scheme::Https => "https",
                };
                write!(f, "{scheme}://{authority}")
            }
            Self::Other { scheme, host } => write!(f, "{scheme}://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_any_scheme_with_host_and_port_in_the_form_in_which_browsers_send_it() {
        for (text, sent) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("https://app.example:8443", "https://app.example:8443"),
            ("https://xn--9ca.example", "https://xn--9ca.example"),
            ("https://app.example.", "https://app.example."),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://tauri.localhost", "http://tauri.localhost"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("Ionic://localhost", "ionic://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("app://obsidian.md", "app://obsidian.md"),
            ("app://localhost:8080", "app://localhost:8080"),
            ("app://.", "app://."),
            ("file://", "file://"),
            (
                "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai",
                "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai",
            ),
            (
                "moz-extension://4f5c2b3e-0b1a-4c4d-9e0f-1a2b3c4d5e6f",
                "moz-extension://4f5c2b3e-0b1a-4c4d-9e0f-1a2b3c4d5e6f",
            ),
            (
                "safari-web-extension://7A3C0D3E-61F5-4B9A-9C8E-0F1D2C3B4A59",
                "safari-web-extension://7A3C0D3E-61F5-4B9A-9C8E-0F1D2C3B4A59",
            ),
        ] {
            let origin = PageOrigin::parse(text).map(|origin| origin.to_string());
            assert_eq!(origin.as_deref(), Ok(sent), "{text}");
        }
    }

    #[test]
    fn the_error_of_a_wrong_origin_says_what_was_meant() {
        for (text, reason) in [
            ("", "begins with no scheme"),
            ("a\nb", "begins with no scheme"),
            ("null", "is the origin of every sandboxed page"),
            ("app.example", "has no scheme; https://app.example is meant"),
            (
                "app.example:443",
                "has no scheme; https://app.example:443 is meant",
            ),
            ("https:app.example", "begins with no scheme"),
            (
                "wss://a",
                "is where a page connects to; the page's own https://a is meant",
            ),
            (
                "ws://a:80",
                "is where a page connects to; the page's own http://a:80 is meant",
            ),
            (
                "https://a/",
                "has more than scheme, host and port; https://a is meant",
            ),
            (
                "HTTPS://a/b?c",
                "has more than scheme, host and port; https://a is meant",
            ),
            (
                "capacitor://localhost/",
                "has more than scheme, host and port; capacitor://localhost is meant",
            ),
            ("file:///home", "has more than scheme"),
            ("https://me@a", "has a user"),
            ("https://*.a", "has a wildcard"),
            ("app://*", "has a wildcard"),
            (
                "http://::1",
                "has an IPv6 address without brackets; http://[::1] is meant",
            ),
            (
                "https://é.example",
                "has letters that browsers send as xn--",
            ),
            ("https://a:abc", "names no valid port"),
            ("https://a:65536", "names no valid port"),
            ("https://a:0", "names no valid port"),
            ("https://:443", "names no valid host"),
            ("https://:abc", "names no valid host"),
            ("https://", "names no valid host"),
            ("app://", "names no valid host"),
            ("https://a b", "names no valid host"),
            (" https://a", "begins with no scheme"),
            ("https://a\n", "names no valid host"),
            ("https://127.1", "names no valid host"),
            ("https://[::1", "names no valid host"),
            ("://a", "begins with no scheme"),
            ("1a://b", "begins with no scheme"),
            ("a b://c", "begins with no scheme"),
        ] {
            let error = PageOrigin::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }
}
