//! The URL by which clients outside reach the server. It may differ in host and path from the
//! address that the server listens on, if a proxy is in front of it.

use crate::authority::{Authority, Origin, Scheme};

/// An `http` or `https` URL that stands for the server's `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    /// Scheme, host and port of this URL. Web pages from this origin count as the server's own.
    pub(crate) origin: Origin,
    /// Path of the URL, without a slash at its end.
    path: String,
}

impl PublicUrl {
    /// Parses `text`.
    ///
    /// # Errors
    ///
    /// The reason why `text` is no public URL, as the end of a sentence: "has a user".
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) =
            Scheme::split(text).ok_or("begins with neither http:// nor https://")?;
        if rest.contains(['?', '#']) {
            return Err("has a query or a fragment");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("has a user");
        }
        let mut authority = Authority::parse(authority)
            .filter(|authority| authority.host.is_plain() && authority.port != Some(0))
            .ok_or("names no valid host, or no valid port")?;
        if !is_path(path) {
            return Err("has a path that must be escaped");
        }
        authority.port = authority.port.filter(|&port| port != scheme.port());
        Ok(Self {
            origin: Origin { scheme, authority },
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Returns the same URL with the scheme for WebSockets, such as `wss://app.example/rt`.
    pub(crate) fn web_socket(&self) -> String {
        let scheme = match self.origin.scheme {
            Scheme::Http => "ws",
            Scheme::Https => "wss",
        };
        format!("{scheme}://{}{}", self.origin.authority, self.path)
    }
}

/// Returns true if `text` is a path in which everything that needs an escape has one (RFC 3986
/// §3.3).
fn is_path(text: &str) -> bool {
    let is_escape = |escape: &str| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    text.bytes().all(is_plain) && text.split('%').skip(1).all(is_escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_turned_into_one_for_web_sockets() {
        for (text, web_socket) in [
            ("https://app.example", "wss://app.example"),
            ("https://app.example/", "wss://app.example"),
            ("https://app.example/rt", "wss://app.example/rt"),
            ("http://app.example/a/b//", "ws://app.example/a/b"),
            ("HTTPS://App.Example:443/RT/", "wss://app.example/RT"),
            ("https://app.example:8443", "wss://app.example:8443"),
            ("http://app.example:443", "ws://app.example:443"),
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080"),
            ("https://[0::1]:80/x", "wss://[::1]:80/x"),
            ("https://a/%C3%a9;b=c:d@e", "wss://a/%C3%a9;b=c:d@e"),
        ] {
            let url = PublicUrl::parse(text).map(|url| url.web_socket());
            assert_eq!(url.as_deref(), Ok(web_socket), "{text}");
        }
    }

    #[test]
    fn the_error_of_a_wrong_public_url_says_why() {
        for (text, reason) in [
            ("", "begins with"),
            ("app.example", "begins with"),
            ("//app.example", "begins with"),
            ("wss://app.example", "begins with"),
            ("http:/app.example", "begins with"),
            (" https://app.example", "begins with"),
            ("https://", "names no valid host"),
            ("https:///rt", "names no valid host"),
            ("https://:443", "names no valid host"),
            ("https://a:0", "names no valid host"),
            ("https://a:65536", "names no valid host"),
            ("https://a:x", "names no valid host"),
            ("https://*.example", "names no valid host"),
            ("https://é.example", "names no valid host"),
            ("https://a b", "names no valid host"),
            ("https://127.1", "names no valid host"),
            ("https://::1", "names no valid host"),
            ("https://me@a", "has a user"),
            ("https://me:pw@a/", "has a user"),
            ("https://a?", "has a query"),
            ("https://a/x?y", "has a query"),
            ("https://a/#x", "has a query"),
            ("https://a/x y", "has a path"),
            ("https://a/é", "has a path"),
            ("https://a/%", "has a path"),
            ("https://a/%zz", "has a path"),
            ("https://a/\\", "has a path"),
            ("https://a/\"", "has a path"),
            ("https://a/x\n", "has a path"),
        ] {
            let error = PublicUrl::parse(text).expect_err(text);
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }
}
