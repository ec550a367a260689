//! The opening handshake ([RFC 6455 §4.1]).
//!
//! fastwebsockets asks and checks status, `Upgrade` and `Connection`; what it leaves unchecked is
//! checked here, and its bare errors get the reason a person needs.
//!
//! [RFC 6455 §4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-4.1

use std::{io, time::Duration};

use bytes::Bytes;
use fastwebsockets::WebSocketError;
use framecast_wire::extension::{self, Agreement, InvalidAnswer};
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode,
    header::{
        CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    http::Result as HttpResult,
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};

use super::{link::disconnect::is_final_status, target::Target, transcript::Transcript};

/// How long connecting and the handshake may take together. Arbitrary: a server that needs longer
/// is not one to talk to.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection: what is left of HTTP after the 101, and what was agreed on in it.
pub(super) type Opened = (TokioIo<Upgraded>, Option<Agreement>);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("the server did not answer as a WebSocket server")]
    Handshake(#[source] WebSocketError),
    #[error("the server answered {status}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Refused { status: StatusCode, reason: String },
    #[error("this URL cannot be requested")]
    Request(#[source] hyper::http::Error),
    #[error("no connection within {} s", OPEN_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the server accepted what was not offered ({header})")]
    Unoffered { header: HeaderName },
    #[error("the server's Sec-WebSocket-Extensions does not answer what was offered")]
    Extensions(#[source] InvalidAnswer),
    #[error("cannot connect")]
    Unreachable(#[source] io::Error),
    #[error("the server's answer does not belong to this handshake (wrong Sec-WebSocket-Accept)")]
    WrongAccept,
}

impl OpenError {
    /// Whether trying again is pointless.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Refused { status, .. } => is_final_status(*status),
            Self::Handshake(error) => !is_transport(error),
            Self::Request(_) | Self::Unoffered { .. } | Self::Extensions(_) | Self::WrongAccept => {
                true
            }
            Self::TimedOut | Self::Unreachable(_) => false,
        }
    }
}

fn is_transport(error: &WebSocketError) -> bool {
    match error {
        WebSocketError::HTTPError(error) => !error.is_parse(),
        WebSocketError::IoError(_) => true,
        _ => false,
    }
}

/// Connects to `target` and performs the opening handshake; offers permessage-deflate if wanted.
pub(super) async fn open(target: &Target, deflate: bool) -> Result<Opened, OpenError> {
    match timeout(OPEN_TIMEOUT, connect(target, deflate)).await {
        Ok(opened) => opened,
        Err(_) => Err(OpenError::TimedOut),
    }
}

async fn connect(target: &Target, deflate: bool) -> Result<Opened, OpenError> {
    let address = (target.url.host.as_str(), target.url.port);
    let socket = TcpStream::connect(address).await;
    let socket = socket.map_err(OpenError::Unreachable)?;
    // A line typed is to leave now, not with the next one.
    socket.set_nodelay(true).map_err(OpenError::Unreachable)?;

    let key = fastwebsockets::handshake::generate_key();
    let request = request(target, &key, deflate).map_err(OpenError::Request)?;
    let transcript = Transcript::default();
    let socket = transcript.record(socket);
    let answer = fastwebsockets::handshake::client(&TokioExecutor::new(), request, socket).await;
    let (websocket, response) = answer.map_err(|error| explain(error, &transcript))?;
    let agreement = verify(&response, &key, deflate)?;
    // Nothing was read through it yet, so nothing is lost with it.
    Ok((websocket.into_inner(), agreement))
}

fn request(target: &Target, key: &str, deflate: bool) -> HttpResult<Request<Empty<Bytes>>> {
    let mut request = Request::get(&target.path_and_query);
    if deflate {
        request = request.header(SEC_WEBSOCKET_EXTENSIONS, extension::OFFER);
    }
    request
        .header(HOST, &target.url.authority)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(Empty::new())
}

fn explain(error: WebSocketError, transcript: &Transcript) -> OpenError {
    let WebSocketError::InvalidStatusCode(status) = error else {
        return OpenError::Handshake(error);
    };
    match StatusCode::from_u16(status) {
        Ok(status) => OpenError::Refused {
            status,
            reason: transcript.first_body_line(),
        },
        Err(_) => OpenError::Handshake(error),
    }
}

/// The checks of §4.1 that fastwebsockets does not make; what the server has agreed on.
fn verify<B>(
    response: &Response<B>,
    key: &str,
    deflate: bool,
) -> Result<Option<Agreement>, OpenError> {
    let headers = response.headers();
    if headers.get(SEC_WEBSOCKET_ACCEPT) != accept(key).as_ref() {
        return Err(OpenError::WrongAccept);
    }
    // This client offers no subprotocols, and no extension but one.
    let unoffered = [SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS];
    for header in &unoffered[..if deflate { 1 } else { 2 }] {
        if headers.contains_key(header) {
            let header = header.clone();
            return Err(OpenError::Unoffered { header });
        }
    }
    let answers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    extension::agreed(answers.map(HeaderValue::as_bytes)).map_err(OpenError::Extensions)
}

/// The `Sec-WebSocket-Accept` for `key`: the one fastwebsockets itself would answer as a server.
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
    use super::*;

    /// The example of RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    #[test]
    fn the_accept_header_must_belong_to_the_key() {
        let answer = |accept| {
            let response = Response::builder().header(SEC_WEBSOCKET_ACCEPT, accept);
            verify(&response.body(()).unwrap(), KEY, false)
        };
        assert!(answer(ACCEPT).is_ok());
        assert!(matches!(answer(KEY), Err(OpenError::WrongAccept)));
        let none = verify(&Response::new(()), KEY, false);
        assert!(matches!(none, Err(OpenError::WrongAccept)));
    }

    #[test]
    fn an_extension_that_was_not_offered_is_refused() {
        let response = Response::builder()
            .header(SEC_WEBSOCKET_ACCEPT, ACCEPT)
            .header(SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate")
            .body(())
            .unwrap();
        assert!(matches!(
            verify(&response, KEY, false),
            Err(OpenError::Unoffered { .. })
        ));
        assert!(matches!(
            verify(&response, KEY, true),
            Err(OpenError::Extensions(_))
        ));
    }
}
