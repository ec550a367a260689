//! The opening handshake of a load client ([RFC 6455 §4.1]).
//!
//! Pure.
//!
//! [RFC 6455 §4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-4.1

use crate::{
    client::http::{Head, Rejection},
    plan::Scheme,
};

/// Returns the request of the opening handshake for `path`, with further `headers`. Each of these
/// is a line without its CRLF.
pub(crate) fn request(authority: &str, path: &str, headers: &[String]) -> Vec<u8> {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// Checks the response to the opening handshake at the start of `bytes`. Returns its length, or
/// `None` if it is not complete yet.
pub(crate) fn check(scheme: Scheme, bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    match scheme {
        Scheme::Tcp => check_echoed(bytes),
        Scheme::Ws => check_upgrade(bytes),
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

/// Checks that the response is a 101 to [`request`], which offers no extension and no subprotocol.
fn check_upgrade(bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    let Some(head) = Head::read(bytes)? else {
        return Ok(None);
    };
    if head.status != 101 {
        return Err(head.rejection());
    }
    if !head.has_token("upgrade", "websocket") {
        return Err(Rejection::NotUpgraded("Upgrade: websocket"));
    }
    if !head.has_token("connection", "upgrade") {
        return Err(Rejection::NotUpgraded("Connection: upgrade"));
    }
    if head.header("sec-websocket-accept").as_deref() != Some(ACCEPT) {
        return Err(Rejection::WrongAccept);
    }
    for name in ["sec-websocket-extensions", "sec-websocket-protocol"] {
        if head.header(name).is_some() {
            return Err(Rejection::Unoffered(name));
        }
    }
    Ok(Some(head.len))
}

/// The example key of RFC 6455 §1.3, and the accept value that belongs to it. A load client needs
/// no random key, and with a constant one it needs no SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const METHOD: &[u8] = b"GET ";

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n";

    /// Returns a response of `status` with `headers`, each of which ends with CRLF.
    fn answer(status: &str, headers: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes()
    }

    /// Checks a 101 with `headers` and, behind them, the right accept value.
    fn check_101(headers: &str) -> Result<Option<usize>, Rejection> {
        let accept = format!("Sec-WebSocket-Accept: {ACCEPT}\r\n");
        check(Scheme::Ws, &answer("101 x", &[headers, &accept].concat()))
    }

    #[test]
    fn the_request_asks_for_the_path_with_all_headers() {
        let request = request("h:1", "/ws?topic=a", &["Origin: http://x".into()]);
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("GET /ws?topic=a HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(request.ends_with("\r\nOrigin: http://x\r\n\r\n"));
    }

    #[test]
    fn only_a_101_with_the_right_accept_value_is_accepted() {
        assert!(check_101(UPGRADE).is_ok_and(|len| len.is_some()));
        let without_accept = UPGRADE;
        // The key of the request, not hashed.
        let wrong = format!("{UPGRADE}Sec-WebSocket-Accept: {KEY}\r\n");
        for headers in [without_accept, &wrong] {
            let checked = check(Scheme::Ws, &answer("101 x", headers));
            assert_eq!(checked, Err(Rejection::WrongAccept));
        }
        let checked = check(Scheme::Ws, &answer("503 Service Unavailable", ""));
        let expected = Rejection::Status("503 Service Unavailable".into());
        assert_eq!(checked, Err(expected));
        let not_http = check(Scheme::Ws, b"SSH-2.0\r\n");
        assert_eq!(not_http, Err(Rejection::NotHttp));
    }

    #[test]
    fn a_101_without_upgrade_and_connection_headers_is_refused() {
        for headers in [
            "",
            "Upgrade: websocket\r\n",
            "Connection: upgrade\r\n",
            "Upgrade: h2c\r\nConnection: upgrade\r\n",
            "Upgrade: websocket\r\nConnection: keep-alive\r\n",
        ] {
            let checked = check_101(headers);
            let is_refused = matches!(checked, Err(Rejection::NotUpgraded(_)));
            assert!(is_refused, "{headers}: {checked:?}");
        }
    }

    #[test]
    fn an_extension_or_subprotocol_that_was_not_offered_is_refused() {
        for name in ["sec-websocket-extensions", "sec-websocket-protocol"] {
            let checked = check_101(&format!("{UPGRADE}{name}: x\r\n"));
            assert_eq!(checked, Err(Rejection::Unoffered(name)));
        }
    }

    #[test]
    fn frames_after_the_response_are_not_consumed() {
        let headers = format!("{UPGRADE}Sec-WebSocket-Accept: {ACCEPT}\r\n");
        let head = answer("101 x", &headers);
        let cut = &head[..head.len() - 1];
        assert_eq!(check(Scheme::Ws, cut), Ok(None));
        // The response and a text frame.
        let both = [head.as_slice(), b"\x81\x02hi"].concat();
        assert_eq!(check(Scheme::Ws, &both), Ok(Some(head.len())));
    }

    #[test]
    fn a_bare_tcp_server_must_send_the_request_back() {
        let request = request("h", "/", &[]);
        let len = request.len();
        // The request and an empty text frame of ours.
        let both = [request.as_slice(), b"\x81\x80\0\0\0\0"].concat();
        assert_eq!(check(Scheme::Tcp, &both), Ok(Some(len)));
        assert_eq!(check(Scheme::Tcp, &both[..len - 1]), Ok(None));
        let answer = b"HTTP/1.1 101 x\r\n\r\n";
        assert_eq!(check(Scheme::Tcp, answer), Err(Rejection::NotBack));
    }
}
