//! Splits a URL into the parts that a client needs.
//!
//! Pure.

use ::url::Host;
use anyhow::{Context as _, bail, ensure};

/// Port of `http` (RFC 9110 §4.2.1) and `ws` (RFC 6455 §3) if the URL has none.
const DEFAULT_PORT: u16 = 80;

/// The parts of a URL that a client needs to connect and to send its request. They are encoded as
/// by a browser ([WHATWG URL]): the host's name in punycode, path and query percent-encoded.
///
/// [WHATWG URL]: https://url.spec.whatwg.org/
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// The name or address to connect to. An IPv6 address is without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host, and port if it is not the default one, for the `Host` header.
    pub(crate) authority: String,
    /// The path, which starts with a slash.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
}

impl Url {
    /// Parses `text`, whose scheme must be `scheme`.
    pub(crate) fn parse(text: &str, scheme: &str) -> anyhow::Result<Self> {
        // The parser would drop them silently.
        ensure!(
            !text.contains(char::is_control),
            "the URL must not contain control characters"
        );
        ensure!(!text.ends_with(' '), "the URL must not end with a space");
        // RFC 6455 §3: a `ws` URL has no fragment.
        ensure!(!text.contains('#'), "the URL must not contain `#`");
        let rest = without_scheme(text, scheme)?;
        let authority = rest.split(['/', '\\', '?']).next().unwrap_or_default();
        ensure!(!authority.is_empty(), "the URL has no host");
        ensure!(
            !authority.contains('@'),
            "a user name in the URL is not supported"
        );
        // The parser does not know `tcp`. All other schemes are for it like `ws`.
        let url = ::url::Url::parse(&format!("ws://{rest}"));
        let url = url.with_context(|| format!("`{text}` is not a URL"))?;
        Ok(Self {
            host: match url.host().context("the URL has no host")? {
                Host::Domain(name) => name.to_owned(),
                Host::Ipv4(address) => address.to_string(),
                Host::Ipv6(address) => address.to_string(),
            },
            port: url.port().unwrap_or(DEFAULT_PORT),
            authority: url.authority().to_owned(),
            path: url.path().to_owned(),
            query: url.query().map(str::to_owned),
        })
    }
}

/// Returns what follows `scheme` and `://` in `text`. A scheme may be in upper or lower case (RFC
/// 3986 §3.1).
fn without_scheme<'a>(text: &'a str, scheme: &str) -> anyhow::Result<&'a str> {
    let Some((written, rest)) = text.split_once("://") else {
        let rest = text.trim_start_matches('/');
        bail!("the URL must start with {scheme}://, write {scheme}://{rest}");
    };
    let written = written.to_ascii_lowercase();
    if written == scheme {
        return Ok(rest);
    }
    if written.strip_suffix('s') == Some(scheme) {
        bail!("{written}:// (TLS) is not supported yet, use {scheme}://");
    }
    bail!("the URL must start with {scheme}://, not {written}://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Url {
        Url::parse(text, "ws").unwrap()
    }

    fn error_of(text: &str) -> String {
        format!("{:#}", Url::parse(text, "ws").unwrap_err())
    }

    #[test]
    fn a_url_is_split_into_its_parts() {
        let url = parse("ws://example.org:8080/ws?token=1");
        assert_eq!((url.host.as_str(), url.port), ("example.org", 8080));
        assert_eq!(url.authority, "example.org:8080");
        assert_eq!(
            (url.path.as_str(), url.query.as_deref()),
            ("/ws", Some("token=1"))
        );
    }

    #[test]
    fn a_scheme_may_be_in_upper_case() {
        assert_eq!(parse("WS://h/"), parse("ws://h/"));
        let tcp = |text| Url::parse(text, "tcp").unwrap();
        assert_eq!(tcp("Tcp://h:1/"), tcp("tcp://h:1/"));
        assert_eq!(error_of("WSS://h/"), error_of("wss://h/"));
        assert!(error_of("HTTP://h/").ends_with("not http://"));
    }

    #[test]
    fn host_path_and_query_are_encoded_as_by_a_browser() {
        let url = parse("ws://Bücher.example:81/é/%C3%A9?topic=日本&a=b c");
        assert_eq!(url.host, "xn--bcher-kva.example");
        assert_eq!(url.authority, "xn--bcher-kva.example:81");
        assert_eq!(url.path, "/%C3%A9/%C3%A9");
        assert_eq!(
            url.query.as_deref(),
            Some("topic=%E6%97%A5%E6%9C%AC&a=b%20c")
        );
    }

    #[test]
    fn what_is_encoded_already_stays_as_it_is() {
        let url = parse("ws://xn--bcher-kva.example/a%2Fb?x=%26+%3D&y=[1]");
        assert_eq!(url.host, "xn--bcher-kva.example");
        assert_eq!(url.path, "/a%2Fb");
        assert_eq!(url.query.as_deref(), Some("x=%26+%3D&y=[1]"));
    }

    #[test]
    fn path_and_port_have_defaults() {
        let url = parse("ws://example.org");
        assert_eq!(url.port, 80);
        assert_eq!((url.path.as_str(), url.query), ("/", None));
    }

    #[test]
    fn an_ipv6_address_has_brackets_in_the_authority_only() {
        let url = parse("ws://[::1]:8080/");
        assert_eq!((url.host.as_str(), url.port), ("::1", 8080));
        assert_eq!(url.authority, "[::1]:8080");
        assert_eq!(parse("ws://[::1]/").port, 80);
    }

    #[test]
    fn the_error_of_a_wrong_url_says_why() {
        assert_eq!(
            error_of("wss://h/"),
            "wss:// (TLS) is not supported yet, use ws://"
        );
        assert!(error_of("http://h/").ends_with("not http://"));
        for text in ["127.0.0.1:8080/ws", "//127.0.0.1:8080/ws"] {
            assert_eq!(
                error_of(text),
                "the URL must start with ws://, write ws://127.0.0.1:8080/ws"
            );
        }
        assert!(error_of("ws://h/#x").contains('#'));
        assert!(error_of("ws://me:pw@h/").contains("user name"));
        assert!(error_of("ws://h:99999/").contains("99999"));
        assert!(error_of("ws://h\r\nx: y/").contains("control characters"));
        assert!(error_of("ws://h/a ").contains("end with a space"));
        assert!(error_of(" ws://h/a").contains("must start with ws://"));
        for wrong in ["ws://h /", "ws://[::1/", "ws://:80/", "ws://\u{ad}/"] {
            assert!(error_of(wrong).contains("is not a URL"), "{wrong}");
        }
        for nothing in ["ws://", "ws:///path", "ws://?x"] {
            assert!(error_of(nothing).contains("no host"), "{nothing}");
        }
    }
}
