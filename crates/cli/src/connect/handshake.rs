//! The opening handshake ([RFC 6455 §4.1]): hyper sends the request, and this file checks the
//! response.
//!
//! The error for a response other than 101 has the first line of its body, in which servers put the
//! reason.
//!
//! [RFC 6455 §4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-4.1

use std::time::Duration;

use bytes::Bytes;
use framecast_wire::extension::{self, Agreement};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Body,
    client::conn::http1,
    header::{
        CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    http::Result as HttpResult,
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::{
    connect::{
        open_error::{OpenError, retry_after},
        target::Target,
    },
    dial::dial,
    display::{reason, redirection},
    header::Headers,
};

/// Time that the connect and the handshake may take together. Arbitrary: longer than a server that
/// works needs.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that the body of a response other than 101 may take after its head. Arbitrary: servers send
/// both together, and a body that never ends must not delay the error message.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

/// Largest number of bytes that are read of the body of a response other than 101. Arbitrary: more
/// than enough for its first line.
const MAX_REASON_BYTES: usize = 8 << 10;

/// An open connection: the socket after the 101, and the compression that both sides have agreed on
/// in the handshake, if any.
pub(super) type Opened = (TokioIo<Upgraded>, Option<Agreement>);

/// Connects to `target` and performs the opening handshake. Offers permessage-deflate if `deflate`
/// is true.
pub(super) async fn open(target: &Target, deflate: bool) -> Result<Opened, OpenError> {
    match timeout(OPEN_TIMEOUT, connect(target, deflate)).await {
        Ok(opened) => opened,
        Err(_) => Err(OpenError::TimedOut(OPEN_TIMEOUT)),
    }
}

async fn connect(target: &Target, deflate: bool) -> Result<Opened, OpenError> {
    let socket = dial(&target.url.host, target.url.port, OPEN_TIMEOUT).await;
    let socket = socket.map_err(OpenError::Unreachable)?;
    // So that a line is sent at once. Nagle's algorithm would hold it while older bytes are not
    // acknowledged.
    socket.set_nodelay(true).map_err(OpenError::Unreachable)?;

    let key = fastwebsockets::handshake::generate_key();
    let request = request(target, &key, deflate).map_err(OpenError::Request)?;
    let (mut sender, connection) = http1::Builder::new()
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(OpenError::Exchange)?;
    // The task ends with the upgrade, or when `sender` is dropped. `send_request` returns its
    // errors.
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await;
    let mut response = response.map_err(OpenError::Exchange)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(OpenError::Refused {
            status: response.status(),
            retry_after: retry_after(response.headers()),
            reason: match redirection(response.status(), response.headers()) {
                Some(target) => target,
                None => read_reason(response.into_body()).await,
            },
        });
    }
    let agreement = check_upgrade(&response, &key, deflate, &target.headers)?;
    let upgraded = upgrade::on(&mut response).await;
    let upgraded = upgraded.map_err(OpenError::Exchange)?;
    Ok((TokioIo::new(upgraded), agreement))
}

fn request(target: &Target, key: &str, deflate: bool) -> HttpResult<Request<Empty<Bytes>>> {
    let mut request = target.headers.add_to(Request::get(&target.path_and_query));
    if deflate {
        request = request.header(SEC_WEBSOCKET_EXTENSIONS, extension::OFFER);
    }
    request
        .header(HOST, target.host().as_bytes())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(Empty::new())
}

/// Reads the first line of the body of a response other than 101, and returns the reason in it.
/// Returns as much as arrives in time, which may be nothing.
async fn read_reason<B>(mut body: B) -> String
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut received = Vec::new();
    let read = async {
        while received.len() < MAX_REASON_BYTES && !has_line(&received) {
            let Some(Ok(frame)) = body.frame().await else {
                return;
            };
            if let Some(data) = frame.data_ref() {
                received.extend_from_slice(data);
            }
        }
    };
    // After the timeout, the bytes received so far are used.
    let _ = timeout(REASON_TIMEOUT, read).await;
    received.truncate(MAX_REASON_BYTES);
    reason(&String::from_utf8_lossy(&received))
}

/// Returns true if `text` has a whole line that is not blank. JSON may take several lines.
fn has_line(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    !text.starts_with(b"{") && text.contains(&b'\n')
}

/// Checks a 101 as §4.1 requires. Returns the compression that the server has agreed on, if any.
fn check_upgrade<B>(
    response: &Response<B>,
    key: &str,
    deflate: bool,
    added: &Headers,
) -> Result<Option<Agreement>, OpenError> {
    let headers = response.headers();
    for (header, value, is_right) in [
        (UPGRADE, "websocket", is_websocket(headers)),
        (
            CONNECTION,
            "upgrade",
            has_token(headers, &CONNECTION, "upgrade"),
        ),
    ] {
        if !is_right {
            return Err(OpenError::NotUpgraded { header, value });
        }
    }
    // §11.3.3 and §11.3.4: at most once each.
    for header in [SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL] {
        if headers.get_all(&header).iter().count() > 1 {
            return Err(OpenError::Repeated { header });
        }
    }
    if headers.get(SEC_WEBSOCKET_ACCEPT) != accept(key).as_ref() {
        return Err(OpenError::WrongAccept);
    }
    let subprotocol = headers.get(SEC_WEBSOCKET_PROTOCOL);
    if subprotocol.is_some_and(|chosen| !added.offer_subprotocol(chosen.as_bytes())) {
        let header = SEC_WEBSOCKET_PROTOCOL;
        return Err(OpenError::Unoffered { header });
    }
    if !deflate && headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        let header = SEC_WEBSOCKET_EXTENSIONS;
        return Err(OpenError::Unoffered { header });
    }
    let answers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    extension::agreed(answers.map(HeaderValue::as_bytes)).map_err(OpenError::Extensions)
}

/// Returns true if `Upgrade` is `websocket`, in upper or lower case, and nothing else (§4.1).
fn is_websocket(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(UPGRADE).iter();
    let value = values.next().map(HeaderValue::as_bytes);
    let is_websocket = value.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    is_websocket && values.next().is_none()
}

/// Returns true if the list in header `name` contains `token`, in upper or lower case. The list may
/// be spread over several headers of this name (RFC 9110 §5.3, §5.6.1).
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut tokens = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tokens.any(|each| each.trim().eq_ignore_ascii_case(token))
}

/// Returns the `Sec-WebSocket-Accept` for `key`, as fastwebsockets computes it for servers.
fn accept(key: &str) -> Option<HeaderValue> {
    let request = Request::get("/")
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(());
    let (response, _) = fastwebsockets::upgrade::upgrade(request.ok()?).ok()?;
    response.headers().get(SEC_WEBSOCKET_ACCEPT).cloned()
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tokio::net::TcpListener;

    use super::*;

    /// The example key of RFC 6455 §1.3, and the accept value that belongs to it.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    /// Returns a 101 with `headers` alone.
    fn response(headers: &[(HeaderName, &str)]) -> Response<()> {
        let mut response = Response::builder().status(101);
        for (name, value) in headers {
            response = response.header(name, *value);
        }
        response.body(()).unwrap()
    }

    /// Returns a 101 with the two headers that upgrade, and `headers`.
    fn upgrading(headers: &[(HeaderName, &str)]) -> Response<()> {
        let upgrade = [(UPGRADE, "websocket"), (CONNECTION, "Upgrade")];
        response(&[&upgrade[..], headers].concat())
    }

    #[test]
    fn the_accept_header_must_belong_to_the_key() {
        let checked =
            |headers: &[_]| check_upgrade(&upgrading(headers), KEY, false, &Headers::default());
        assert!(checked(&[(SEC_WEBSOCKET_ACCEPT, ACCEPT)]).is_ok());
        for headers in [&[(SEC_WEBSOCKET_ACCEPT, KEY)][..], &[]] {
            assert!(matches!(checked(headers), Err(OpenError::WrongAccept)));
        }
        for second in [ACCEPT, KEY] {
            let twice = [
                (SEC_WEBSOCKET_ACCEPT, ACCEPT),
                (SEC_WEBSOCKET_ACCEPT, second),
            ];
            assert!(matches!(checked(&twice), Err(OpenError::Repeated { .. })));
        }
    }

    #[test]
    fn an_extension_that_was_not_offered_is_refused() {
        let response = upgrading(&[
            (SEC_WEBSOCKET_ACCEPT, ACCEPT),
            (SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate"),
        ]);
        assert!(matches!(
            check_upgrade(&response, KEY, false, &Headers::default()),
            Err(OpenError::Unoffered { .. })
        ));
        // It was offered, but on the condition of `server_no_context_takeover`.
        assert!(matches!(
            check_upgrade(&response, KEY, true, &Headers::default()),
            Err(OpenError::Extensions(_))
        ));
    }

    #[test]
    fn the_tokens_of_a_101_are_found_in_any_case_and_among_others() {
        let checked = |upgrade, connection: &[&'static str]| {
            let mut headers = vec![(SEC_WEBSOCKET_ACCEPT, ACCEPT), (UPGRADE, upgrade)];
            headers.extend(connection.iter().map(|value| (CONNECTION, *value)));
            check_upgrade(&response(&headers), KEY, false, &Headers::default())
        };
        for connection in [
            &["upgrade, keep-alive"][..],
            &["keep-alive", "UPGRADE"],
            &["Upgrade"],
        ] {
            assert!(checked("WebSocket", connection).is_ok(), "{connection:?}");
        }
        // Another protocol, one more protocol, another token, a token that only begins like the
        // right one, and no header.
        for (upgrade, connection) in [
            ("h2c", &["Upgrade"][..]),
            ("websocket, h2c", &["Upgrade"]),
            ("websocket/13", &["Upgrade"]),
            ("", &["Upgrade"]),
            ("websocket", &["keep-alive"]),
            ("websocket", &["upgraded"]),
            ("websocket", &[]),
        ] {
            let checked = checked(upgrade, connection);
            assert!(matches!(checked, Err(OpenError::NotUpgraded { .. })));
        }
        let twice = upgrading(&[(SEC_WEBSOCKET_ACCEPT, ACCEPT), (UPGRADE, "websocket")]);
        let checked = check_upgrade(&twice, KEY, false, &Headers::default());
        assert!(matches!(checked, Err(OpenError::NotUpgraded { .. })));
    }

    #[test]
    fn a_subprotocol_is_accepted_only_if_it_was_offered() {
        let offered = "Sec-WebSocket-Protocol: a, b".parse().unwrap();
        let offered = Headers::new(vec![offered]).unwrap();
        for (chosen, added, is_accepted) in [
            ("b", &offered, true),
            ("B", &offered, false),
            ("a, b", &offered, false),
            ("", &offered, false),
            ("b", &Headers::default(), false),
        ] {
            let headers = [
                (SEC_WEBSOCKET_ACCEPT, ACCEPT),
                (SEC_WEBSOCKET_PROTOCOL, chosen),
            ];
            let checked = check_upgrade(&upgrading(&headers), KEY, false, added);
            assert_eq!(checked.is_ok(), is_accepted, "{chosen}: {checked:?}");
        }
        // A server chooses one subprotocol, and says so once.
        let twice = upgrading(&[
            (SEC_WEBSOCKET_ACCEPT, ACCEPT),
            (SEC_WEBSOCKET_PROTOCOL, "a"),
            (SEC_WEBSOCKET_PROTOCOL, "b"),
        ]);
        let checked = check_upgrade(&twice, KEY, false, &offered);
        assert!(matches!(checked, Err(OpenError::Repeated { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_accepts_the_connection_and_never_answers_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let target = Target::parse(&url, &[], Headers::default()).unwrap();
        let error = open(&target, false).await.err().unwrap();
        assert_eq!(error.to_string(), "no connection within 10 s");
    }

    #[tokio::test]
    async fn the_reason_is_the_first_line_of_the_body_that_is_not_blank_or_its_error() {
        for (body, reason) in [
            ("{\n  \"error\": \"no route\"\n}\n", "no route"),
            ("no\x1broute\r\nmore", "no\\u{1b}route"),
            ("\r\n  \nlate", "late"),
            ("", ""),
        ] {
            assert_eq!(read_reason(Full::from(body)).await, reason);
        }
    }

    #[tokio::test]
    async fn a_long_body_is_cut_off() {
        let body = Full::from(vec![b'x'; 2 * MAX_REASON_BYTES]);
        assert!(read_reason(body).await.ends_with("x…"));
    }
}
