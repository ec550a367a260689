//! The opening handshake of a load client ([RFC 6455 §4.1]).
//!
//! [RFC 6455 §4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-4.1

use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::{
    io,
    rand::{GetRandomFlags, getrandom},
};
use sha1::{Digest, Sha1};

use crate::{
    client::http::{Head, Rejection},
    plan::{Scheme, Target},
};

/// An opening handshake.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub request: Vec<u8>,
    pub expected: Expected,
}

/// The response that a request expects.
#[derive(Debug)]
pub(crate) enum Expected {
    /// The request itself, from a bare TCP server that sends every byte back.
    Echoed,
    /// A 101 with this `Sec-WebSocket-Accept`, and with none or one of these subprotocols.
    Upgrade {
        accept: String,
        subprotocols: Vec<String>,
    },
}

impl Handshake {
    /// Returns the handshake of one connection to `path`, with a random key of its own.
    pub(crate) fn new(target: &Target, path: &str) -> Result<Self, io::Errno> {
        let mut nonce = [0; 16];
        getrandom(&mut nonce, GetRandomFlags::empty())?;
        Ok(Self::with_key(target, path, &STANDARD.encode(nonce)))
    }

    fn with_key(target: &Target, path: &str, key: &str) -> Self {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            target.authority
        );
        for header in &target.headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Self {
            request: request.into_bytes(),
            expected: match target.scheme {
                Scheme::Tcp => Expected::Echoed,
                Scheme::Ws => Expected::Upgrade {
                    accept: accept(key),
                    subprotocols: subprotocols(&target.headers),
                },
            },
        }
    }
}

impl Expected {
    /// Checks the response at the start of `bytes`. Returns its length, or `None` if it is not
    /// complete yet.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<Option<usize>, Rejection> {
        match self {
            Self::Echoed => check_echoed(bytes),
            Self::Upgrade {
                accept,
                subprotocols,
            } => check_upgrade(bytes, accept, subprotocols),
        }
    }
}

/// Checks that a bare TCP server has sent the request back: that `bytes` begin with its method.
/// Returns the length of the request, or `None` if its end has not arrived.
fn check_echoed(bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    let begun = &bytes[..bytes.len().min(METHOD.len())];
    if METHOD.starts_with(begun) {
        let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        Ok(end.map(|end| end + 4))
    } else {
        Err(Rejection::NotBack)
    }
}

/// Checks that the response is a 101 to a request that offers `subprotocols` and no extension.
fn check_upgrade(
    bytes: &[u8],
    accept: &str,
    subprotocols: &[String],
) -> Result<Option<usize>, Rejection> {
    let Some(head) = Head::read(bytes)? else {
        return Ok(None);
    };
    if head.status != 101 {
        return Err(head.rejection(&bytes[head.len..]));
    }
    let mut upgrades = head.values("upgrade");
    // §4.1: this protocol and no other.
    let is_websocket = upgrades
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case("websocket"));
    if !is_websocket || upgrades.next().is_some() {
        return Err(Rejection::NotUpgraded("Upgrade: websocket"));
    }
    if !head.has_token("connection", "upgrade") {
        return Err(Rejection::NotUpgraded("Connection: upgrade"));
    }
    // §11.3.3 and §11.3.4: at most once each.
    for name in [ACCEPT, SUBPROTOCOL] {
        if head.values(name).count() > 1 {
            return Err(Rejection::Repeated(name));
        }
    }
    if head.header(ACCEPT).as_deref() != Some(accept) {
        return Err(Rejection::WrongAccept);
    }
    if head.header(EXTENSIONS).is_some() {
        return Err(Rejection::Unoffered(EXTENSIONS));
    }
    let chosen = head.header(SUBPROTOCOL);
    if chosen.is_some_and(|name| subprotocols.iter().all(|offered| *offered != name)) {
        return Err(Rejection::Unoffered(SUBPROTOCOL));
    }
    Ok(Some(head.len))
}

/// Returns the `Sec-WebSocket-Accept` that answers `key`. The hash protects nothing: it shows that
/// the server has read the key.
fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

/// Returns the subprotocols that `headers`, each of which is a whole line, offer.
fn subprotocols(headers: &[String]) -> Vec<String> {
    let lines = headers.iter().filter_map(|line| line.split_once(':'));
    lines
        .filter(|(name, _)| name.eq_ignore_ascii_case(SUBPROTOCOL))
        .flat_map(|(_, names)| names.split(','))
        .map(|name| name.trim().to_owned())
        // RFC 9110 §5.6.1: empty elements of a list do not count.
        .filter(|name| !name.is_empty())
        .collect()
}

/// The UUID that a server appends to the key (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const ACCEPT: &str = "sec-websocket-accept";
const EXTENSIONS: &str = "sec-websocket-extensions";
const SUBPROTOCOL: &str = "sec-websocket-protocol";

const METHOD: &[u8] = b"GET ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    /// The example of RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT_VALUE: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    const UPGRADE: &str = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n";

    fn target(scheme: Scheme, headers: &[&str]) -> Target {
        Target {
            scheme,
            authority: "h:1".into(),
            headers: headers.iter().map(|&header| header.into()).collect(),
            ..plan::tests::target()
        }
    }

    /// Returns a response of `status` with `headers`, each of which ends with CRLF.
    fn answer(status: &str, headers: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes()
    }

    /// Calls [`Expected::check`] with `bytes`, the response to a request without further headers.
    fn check(bytes: &[u8]) -> Result<Option<usize>, Rejection> {
        let target = target(Scheme::Ws, &[]);
        Handshake::with_key(&target, "/", KEY).expected.check(bytes)
    }

    /// Calls [`Expected::check`] with a 101 that has `headers` and, after them, the right accept
    /// value. The request has the headers `offered`.
    fn check_101(offered: &[&str], headers: &str) -> Result<Option<usize>, Rejection> {
        let accept = format!("Sec-WebSocket-Accept: {ACCEPT_VALUE}\r\n");
        let handshake = Handshake::with_key(&target(Scheme::Ws, offered), "/", KEY);
        let answer = answer("101 x", &[headers, &accept].concat());
        handshake.expected.check(&answer)
    }

    #[test]
    fn the_request_asks_for_the_path_with_all_headers() {
        let target = target(Scheme::Ws, &["Origin: http://x"]);
        let request = Handshake::with_key(&target, "/ws?topic=a", KEY).request;
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("GET /ws?topic=a HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(request.contains(&format!("\r\nSec-WebSocket-Key: {KEY}\r\n")));
        assert!(request.ends_with("\r\nOrigin: http://x\r\n\r\n"));
    }

    #[test]
    fn every_connection_has_a_random_key_of_16_bytes() {
        let target = target(Scheme::Ws, &[]);
        let request = || Handshake::new(&target, "/").unwrap().request;
        let (one, other) = (request(), request());
        assert_eq!(one.len(), other.len());
        assert_ne!(one, other);
        let text = String::from_utf8(one).unwrap();
        let (_, key) = text.split_once("Sec-WebSocket-Key: ").unwrap();
        let (key, _) = key.split_once("\r\n").unwrap();
        // 16 bytes in base64 (RFC 4648 §4).
        assert_eq!(key.len(), 24);
        assert!(key.ends_with("=="));
    }

    #[test]
    fn only_a_101_with_the_right_accept_value_is_accepted() {
        assert!(check_101(&[], UPGRADE).is_ok_and(|len| len.is_some()));
        let without_accept = UPGRADE;
        // The key of the request, not hashed.
        let wrong = format!("{UPGRADE}Sec-WebSocket-Accept: {KEY}\r\n");
        for headers in [without_accept, &wrong] {
            let checked = check(&answer("101 x", headers));
            assert_eq!(checked, Err(Rejection::WrongAccept));
        }
        let refused = check(&answer("503 Service Unavailable", ""));
        let expected = "the server answered 503 Service Unavailable";
        assert_eq!(refused.unwrap_err().to_string(), expected);
        let not_http = check(b"SSH-2.0\r\n");
        assert_eq!(not_http, Err(Rejection::NotHttp));
    }

    #[test]
    fn a_101_without_upgrade_and_connection_headers_is_refused() {
        for headers in [
            "",
            "Upgrade: websocket\r\n",
            "Connection: upgrade\r\n",
            "Upgrade: h2c\r\nConnection: upgrade\r\n",
            "Upgrade: websocket, h2c\r\nConnection: upgrade\r\n",
            "Upgrade: websocket\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
            "Upgrade:\r\nConnection: upgrade\r\n",
            "Upgrade: websocket\r\nConnection: keep-alive\r\n",
        ] {
            let checked = check_101(&[], headers);
            let is_refused = matches!(checked, Err(Rejection::NotUpgraded(_)));
            assert!(is_refused, "{headers}: {checked:?}");
        }
    }

    #[test]
    fn an_extension_or_subprotocol_that_was_not_offered_is_refused() {
        for name in [EXTENSIONS, SUBPROTOCOL] {
            let checked = check_101(&[], &format!("{UPGRADE}{name}: x\r\n"));
            assert_eq!(checked, Err(Rejection::Unoffered(name)));
        }
    }

    #[test]
    fn a_subprotocol_that_was_offered_is_accepted() {
        let offered = ["sec-websocket-protocol:a,", "Sec-WebSocket-Protocol: b, c"];
        for (headers, is_accepted) in [
            ("", true),
            ("Sec-WebSocket-Protocol: a\r\n", true),
            ("Sec-WebSocket-Protocol: c\r\n", true),
            ("Sec-WebSocket-Protocol: C\r\n", false),
            ("Sec-WebSocket-Protocol: b, c\r\n", false),
            ("Sec-WebSocket-Protocol:\r\n", false),
        ] {
            let checked = check_101(&offered, &format!("{UPGRADE}{headers}"));
            assert_eq!(checked.is_ok(), is_accepted, "{headers}: {checked:?}");
        }
    }

    #[test]
    fn a_header_that_a_101_has_once_is_refused_if_it_has_two() {
        let offered = ["Sec-WebSocket-Protocol: a, b"];
        let accept = format!("{ACCEPT}: {ACCEPT_VALUE}\r\n");
        let subprotocols = format!("{SUBPROTOCOL}: a\r\n{SUBPROTOCOL}: b\r\n");
        for (name, headers) in [(ACCEPT, accept), (SUBPROTOCOL, subprotocols)] {
            // With the accept value that `check_101` adds.
            let checked = check_101(&offered, &format!("{UPGRADE}{headers}"));
            assert_eq!(checked, Err(Rejection::Repeated(name)));
        }
    }

    #[test]
    fn frames_after_the_response_are_not_consumed() {
        let headers = format!("{UPGRADE}Sec-WebSocket-Accept: {ACCEPT_VALUE}\r\n");
        let head = answer("101 x", &headers);
        let cut = &head[..head.len() - 1];
        assert_eq!(check(cut), Ok(None));
        // The response and a text frame.
        let both = [head.as_slice(), b"\x81\x02hi"].concat();
        assert_eq!(check(&both), Ok(Some(head.len())));
    }

    #[test]
    fn a_bare_tcp_server_must_send_the_request_back() {
        let Handshake { request, expected } =
            Handshake::with_key(&target(Scheme::Tcp, &[]), "/", KEY);
        let len = request.len();
        // The request and an empty text frame of ours.
        let both = [request.as_slice(), b"\x81\x80\0\0\0\0"].concat();
        assert_eq!(expected.check(&both), Ok(Some(len)));
        assert_eq!(expected.check(&both[..len - 1]), Ok(None));
        let answer = b"HTTP/1.1 101 x\r\n\r\n";
        assert_eq!(expected.check(answer), Err(Rejection::NotBack));
    }
}
