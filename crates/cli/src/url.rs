//! Splits a URL into the parts that a client needs.
//!
//! Pure.

use anyhow::{Context as _, bail, ensure};
use hyper::Uri;

/// Port of `http` (RFC 9110 §4.2.1) and `ws` (RFC 6455 §3) if the URL has none.
const DEFAULT_PORT: u16 = 80;

/// The parts of a URL that a client needs to connect and to send its request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// The name or address to connect to. An IPv6 address is without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as written, for the `Host` header.
    pub(crate) authority: String,
    /// The path, which starts with a slash.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
}

impl Url {
    /// Parses `text`, whose scheme must be `scheme`.
    pub(crate) fn parse(text: &str, scheme: &str) -> anyhow::Result<Self> {
        // RFC 6455 §3: a `ws` URL has no fragment. The parser would drop it silently.
        ensure!(!text.contains('#'), "the URL must not contain `#`");
        let uri: Uri = text
            .parse()
            .with_context(|| format!("`{text}` is not a URL"))?;
        check_scheme(&uri, scheme)?;
        let authority = uri.authority().context("the URL has no host")?;
        let host = authority.host();
        ensure!(!host.is_empty(), "the URL has no host");
        let authority = authority.as_str();
        ensure!(
            !authority.contains('@'),
            "a user name in the URL is not supported"
        );
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port(authority)?,
            authority: authority.to_owned(),
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }
}

fn check_scheme(uri: &Uri, scheme: &str) -> anyhow::Result<()> {
    match uri.scheme_str() {
        Some(written) if written == scheme => Ok(()),
        Some(written) if written.strip_suffix('s') == Some(scheme) => {
            bail!("{written}:// (TLS) is not supported yet, use {scheme}://")
        }
        Some(written) => bail!("the URL must start with {scheme}://, not {written}://"),
        None => bail!("the URL must start with {scheme}://"),
    }
}

fn port(authority: &str) -> anyhow::Result<u16> {
    match authority.rsplit_once(':') {
        // The last colon of an IPv6 address without a port is inside its brackets.
        Some((_, port)) if !port.contains(']') && !port.is_empty() => port
            .parse()
            .with_context(|| format!("`{port}` is not a port")),
        _ => Ok(DEFAULT_PORT),
    }
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
        assert!(error_of("h:80").contains("must start with ws://"));
        assert!(error_of("ws://h/#x").contains('#'));
        assert!(error_of("ws://me:pw@h/").contains("user name"));
        assert!(error_of("ws://h:99999/").contains("99999"));
        assert!(error_of("ws://h /").contains("is not a URL"));
    }
}
