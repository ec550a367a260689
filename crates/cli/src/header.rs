//! Headers that the user adds to a request: with `--header`, or with an option for one header, such
//! as `--bearer`.
//!
//! Pure.

use std::str::FromStr;

use anyhow::{anyhow, ensure};
use hyper::{
    header::{HeaderName, HeaderValue},
    http::request::Builder,
};

/// A header that the user adds. It is valid in a request, and does not contradict the headers that
/// the request has anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The name, as the user has written it.
    name: String,
    value: String,
}

impl Header {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Adds the header `name` to those of `--header`, for the option `option`. Fails if `--header` has
/// one of this name, or if `value` can't be that of a header. The error does not have the value,
/// which may be secret.
pub(crate) fn add(
    headers: &mut Vec<Header>,
    option: &str,
    name: &str,
    value: &str,
) -> anyhow::Result<()> {
    let is_taken = headers.iter().any(|header| header.is(name));
    ensure!(!is_taken, "{option}: --header has `{name}` already");
    let header = format!("{name}: {value}").parse::<Header>();
    headers.push(header.map_err(|_| anyhow!("{option}: not a value for a header"))?);
    Ok(())
}

/// Adds the `Authorization` for the token of `--bearer` (RFC 6750 §2.1) to the headers of
/// `--header`.
pub(crate) fn add_bearer(headers: &mut Vec<Header>, token: &str) -> anyhow::Result<()> {
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(
        is_token,
        "--bearer: a token is at least one character, all of them ASCII, without spaces"
    );
    add(
        headers,
        "--bearer",
        "Authorization",
        &format!("Bearer {token}"),
    )
}

/// Adds a `Sec-WebSocket-Protocol` that offers the names of `--subprotocol`, if there are any, to
/// the headers of `--header`.
pub(crate) fn add_subprotocols(headers: &mut Vec<Header>, names: &[String]) -> anyhow::Result<()> {
    // RFC 6455 §4.1: the elements are tokens, as names of headers are.
    let wrong = names
        .iter()
        .find(|name| HeaderName::try_from(name.as_str()).is_err());
    if let Some(name) = wrong {
        return Err(anyhow!("--subprotocol: `{name}` is not a name for one"));
    }
    match names {
        [] => Ok(()),
        names => add(
            headers,
            "--subprotocol",
            "Sec-WebSocket-Protocol",
            &names.join(", "),
        ),
    }
}

impl FromStr for Header {
    type Err = InvalidHeader;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let (name, value) = line.split_once(':').ok_or(InvalidHeader::Line)?;
        let value = value.trim_matches([' ', '\t']);
        let is_valid =
            HeaderName::try_from(name).is_ok() && HeaderValue::from_bytes(value.as_bytes()).is_ok();
        if !is_valid {
            return Err(InvalidHeader::Line);
        }
        let header = Self {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        if is_reserved(&header) {
            return Err(InvalidHeader::Reserved(header.name));
        }
        Ok(header)
    }
}

/// Returns true for a header that a request has anyway, or that says where its body ends. A second
/// one would contradict the first, and servers differ in which of two they take.
fn is_reserved(header: &Header) -> bool {
    let name = header.name.to_ascii_lowercase();
    let is_of_handshake = name.starts_with("sec-websocket-") && name != SUBPROTOCOL;
    is_of_handshake || RESERVED.contains(&name.as_str())
}

const RESERVED: [&str; 4] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
];

/// The one header of the handshake that this program never writes itself.
const SUBPROTOCOL: &str = "sec-websocket-protocol";

/// The reason why a line is no header that can be added.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum InvalidHeader {
    #[error("not `Name: value`")]
    Line,
    #[error("`{0}` cannot be added")]
    Reserved(String),
}

/// All headers that the user adds to a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers {
    /// The value of `Host`, which replaces that of the URL.
    pub(crate) host: Option<String>,
    others: Vec<Header>,
}

impl Headers {
    /// Sorts the headers of the command line. Fails if there is more than one `Host`, with which no
    /// request is valid (RFC 9112 §3.2).
    pub(crate) fn new(given: Vec<Header>) -> anyhow::Result<Self> {
        let (mut hosts, others): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|header| header.is("host"));
        let host = hosts.pop().map(|header| header.value);
        ensure!(hosts.is_empty(), "--header: there is more than one `Host`");
        Ok(Self { host, others })
    }

    /// Returns true if there is a header of this name, other than `Host`.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.others.iter().any(|header| header.is(name))
    }

    /// Adds the headers, without `Host`, to a request.
    pub(crate) fn add_to(&self, request: Builder) -> Builder {
        self.others.iter().fold(request, |request, header| {
            request.header(&header.name, header.value.as_bytes())
        })
    }

    /// Returns the headers, without `Host`, as lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let headers = self.others.iter();
        headers
            .map(|Header { name, value }| format!("{name}: {value}"))
            .collect()
    }

    /// Returns true if the headers offer this subprotocol. An empty one is never offered: empty
    /// elements of a list do not count (RFC 9110 §5.6.1).
    pub(crate) fn offer_subprotocol(&self, subprotocol: &[u8]) -> bool {
        let headers = self.others.iter().filter(|header| header.is(SUBPROTOCOL));
        let mut offered = headers.flat_map(|header| header.value.split(','));
        !subprotocol.is_empty() && offered.any(|each| each.trim().as_bytes() == subprotocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> anyhow::Result<Headers> {
        let parsed = lines.iter().map(|line| line.parse());
        Headers::new(parsed.collect::<Result<_, _>>()?)
    }

    fn error_of(line: &str) -> InvalidHeader {
        line.parse::<Header>().unwrap_err()
    }

    #[test]
    fn a_header_is_a_name_and_a_value_without_line_breaks() {
        let lines = ["Origin:  http://x ", "x-empty:", "cookie: a=b; c=é\td:"];
        let expected = ["Origin: http://x", "x-empty: ", "cookie: a=b; c=é\td:"];
        assert_eq!(headers(&lines).unwrap().lines(), expected);
        for line in [
            "",
            "x",
            ": x",
            "a b: c",
            "a : b",
            " a: b",
            "é: x",
            "a: b\r\nc: d",
            "a: b\n",
            "a: \0",
            "a: \x7f",
        ] {
            assert_eq!(error_of(line), InvalidHeader::Line, "{line:?}");
        }
    }

    #[test]
    fn a_host_replaces_that_of_the_url() {
        let headers = headers(&["hOST: a.example:8080", "Origin: http://x"]).unwrap();
        assert_eq!(headers.host.as_deref(), Some("a.example:8080"));
        assert_eq!(headers.lines(), ["Origin: http://x"]);
    }

    #[test]
    fn two_hosts_are_refused() {
        let error = headers(&["Host: a", "Host: a"]).unwrap_err();
        assert_eq!(error.to_string(), "--header: there is more than one `Host`");
    }

    #[test]
    fn headers_that_a_request_has_anyway_are_refused() {
        for name in [
            "Connection",
            "content-length",
            "Sec-WebSocket-Accept",
            "sec-websocket-extensions",
            "SEC-WEBSOCKET-KEY",
            "Sec-WebSocket-Version",
            "Transfer-Encoding",
            "upgrade",
        ] {
            let error = error_of(&format!("{name}: x"));
            assert_eq!(error, InvalidHeader::Reserved(name.into()));
        }
        // Neighbours that no request has anyway.
        let lines = ["Keep-Alive: x", "Upgrade-Insecure-Requests: 1", "Origin: x"];
        assert_eq!(headers(&lines).unwrap().lines(), lines);
    }

    #[test]
    fn an_option_for_one_header_adds_it_unless_it_is_there_already() {
        let mut added = Vec::new();
        add_bearer(&mut added, "a.b~c+d/e=").unwrap();
        add(&mut added, "--origin", "Origin", "https://app.example").unwrap();
        add_subprotocols(&mut added, &["chat".into(), "v1.json".into()]).unwrap();
        add_subprotocols(&mut added, &[]).unwrap();
        for (option, name) in [("--bearer", "authorization"), ("--origin", "ORIGIN")] {
            let error = add(&mut added, option, name, "x").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{option}: --header has `{name}` already")
            );
        }
        let lines = Headers::new(added).unwrap().lines();
        let expected = [
            "Authorization: Bearer a.b~c+d/e=",
            "Origin: https://app.example",
            "Sec-WebSocket-Protocol: chat, v1.json",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_value_that_would_change_the_request_is_refused_without_being_shown() {
        let mut added = Vec::new();
        for token in ["", "se cret", "secret\r\nHost: x", "sécret"] {
            let error = add_bearer(&mut added, token).unwrap_err().to_string();
            assert!(!error.contains("cret"), "{error}");
        }
        assert!(add(&mut added, "--origin", "Origin", "a\nb").is_err());
        for name in ["", "a, b", "a b", "é"] {
            assert!(
                add_subprotocols(&mut added, &[name.into()]).is_err(),
                "{name}"
            );
        }
        assert_eq!(added, []);
    }

    #[test]
    fn subprotocols_are_offered_by_any_number_of_headers() {
        let headers = headers(&[
            "Sec-WebSocket-Protocol: a",
            "sec-websocket-protocol: b ,, c,",
            "x: d",
        ]);
        let headers = headers.unwrap();
        for (subprotocol, is_offered) in [
            ("a", true),
            ("b", true),
            ("c", true),
            ("C", false),
            ("d", false),
            ("", false),
        ] {
            let offered = headers.offer_subprotocol(subprotocol.as_bytes());
            assert_eq!(offered, is_offered, "{subprotocol}");
        }
    }
}
