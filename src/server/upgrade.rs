//! The opening handshake ([RFC 6455 §4.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2)): the
//! checks that fastwebsockets leaves out, and the 101.

use std::{rc::Rc, time::Duration};

use fastwebsockets::upgrade::is_upgrade_request;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Version,
    header::{
        CONTENT_LENGTH, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING,
    },
};
use tokio::{sync::oneshot, task::spawn_local, time::timeout};
use tracing::debug;

use crate::{
    authority::Authority,
    connection::Connection,
    disconnect::Disconnect,
    hub::{Agreed, Hub},
    protocol::Protocol,
    server::{
        host, origin,
        response::{Rejection, Response},
        upgraded::{DetachedSocket, UpgradedSocket, Upgrading},
    },
    user::Identity,
    wire::extension,
};

/// Upgrades an HTTP request to a WebSocket connection of `hub`. Returns the response to the
/// request: 101, or a rejection that says why not. After a 101, `protocol` handles the client's
/// messages.
///
/// The request may come from any server on hyper, such as axum, on any tokio runtime. The
/// connection is handed to one of the hub's shards. When this returns the 101, the connection's
/// subscriptions are in force: it gets every message that is published from then on.
///
/// If a browser has sent the request, the origin of its page must be the server's own or one of the
/// [allowed ones](crate::Access::allowed_origins). The server's own origins are those with the host
/// that the request is for, and that of the hub's [public URL](crate::Access::public_url). The host
/// itself is not checked, because the router that calls this function knows its hosts:
/// [`allowed_hosts`](crate::Access::allowed_hosts) is ignored.
///
/// # Cancel safety
///
/// Cancel safe: if the future is dropped, no connection is made.
///
/// # Panics
///
/// If this is called outside of a tokio runtime.
pub async fn upgrade<B>(
    hub: &Hub,
    request: &mut Request<B>,
    protocol: impl Protocol + Send + 'static,
) -> Response {
    upgrade_as(hub, request, Identity::anonymous(), protocol).await
}

/// Upgrades a request as [`upgrade`] does, to a connection with this identity. The connection of a
/// user also gets messages that are [published to this user](Hub::publish_to_user) alone.
///
/// # Cancel safety
///
/// Cancel safe: if the future is dropped, no connection is made.
///
/// # Panics
///
/// If this is called outside of a tokio runtime.
pub async fn upgrade_as<B>(
    hub: &Hub,
    request: &mut Request<B>,
    identity: impl Into<Identity>,
    protocol: impl Protocol + Send + 'static,
) -> Response {
    let (identity, protocol) = (identity.into(), Box::new(protocol));
    let answered = match check_and_accept(hub, request) {
        Ok(accepted) => open_on_a_shard(hub, identity, protocol, accepted).await,
        Err(rejection) => Err(rejection),
    };
    answered.unwrap_or_else(Response::from)
}

/// A request that will be answered with 101.
struct AcceptedRequest {
    deflate: Option<Agreed>,
    response: Response,
    upgrading: Upgrading,
}

/// Checks everything about a request that does not depend on its protocol, and prepares the 101.
fn check_and_accept<B>(hub: &Hub, request: &mut Request<B>) -> Result<AcceptedRequest, Rejection> {
    check(request)?;
    let host = requested_host(request)?;
    hub.budget().admit(|counts| &counts.refused_connections)?;
    origin::check(request.headers(), host.as_ref(), &hub.config().access)?;
    let deflate = agree(hub, request)?;
    let (response, upgrading) = accept(request, deflate.as_ref())?;
    Ok(AcceptedRequest {
        deflate,
        response,
        upgrading,
    })
}

/// Makes the connection on one of the hub's shards. Returns the 101. When hyper has written it,
/// another task sends the socket to the shard.
async fn open_on_a_shard(
    hub: &Hub,
    identity: Identity,
    protocol: Box<dyn Protocol + Send>,
    accepted: AcceptedRequest,
) -> Result<Response, Rejection> {
    let AcceptedRequest {
        deflate,
        response,
        upgrading,
    } = accepted;
    let (opened, is_open) = oneshot::channel();
    let (send_socket, socket) = oneshot::channel::<DetachedSocket>();
    hub.run_on(hub.next_shard(), move |shard| {
        let here = Rc::clone(shard);
        shard.spawn(async move {
            let connection = match Connection::open(&here, identity, protocol, deflate) {
                Ok(connection) => connection,
                Err(reason) => {
                    let _ = opened.send(Err(reason));
                    return;
                }
            };
            let _ = opened.send(Ok(()));
            // If the upgrade fails, the sender is dropped, and so is the connection.
            if let Ok(detached) = socket.await
                && let Ok(upgraded) = detached.attach()
            {
                let (socket, leftover) = upgraded.into_parts();
                spawn_local(connection.start(socket, leftover));
            }
        });
    });
    is_open.await.unwrap_or(Err(Disconnect::Restarting))?;
    let within = hub.config().timeouts.request;
    tokio::spawn(send_on(upgrading, within, send_socket));
    Ok(response)
}

/// Sends the socket to the connection's shard after the 101 was written. If that takes longer than
/// `within`, the socket is closed.
async fn send_on(
    upgrading: Upgrading,
    within: Duration,
    send_socket: oneshot::Sender<DetachedSocket>,
) {
    // A client that does not read the 101 within this time is given up.
    let upgraded = async { timeout(within, upgrading.finished()).await? };
    match upgraded.await.and_then(UpgradedSocket::detach) {
        Ok(detached) => drop(send_socket.send(detached)),
        Err(error) => debug!(%error, "upgrade failed"),
    }
}

/// Checks that a request is an opening handshake (RFC 6455 §4.2.1). Its path, host, origin and
/// extensions are not checked here.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Rejection> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Rejection::Method("GET"));
    }
    if request.version() != Version::HTTP_11 || !is_upgrade_request(request) {
        return Err(Rejection::UpgradeRequired);
    }
    if headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING) {
        // The bytes behind the head must be frames.
        return Err(Rejection::bad_request(&"a WebSocket handshake has no body"));
    }
    if single(headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Rejection::VersionRequired);
    }
    if !single(headers, SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        return Err(Rejection::bad_request(
            &"Sec-WebSocket-Key: exactly one key of 16 bytes is required",
        ));
    }
    Ok(())
}

/// Returns the host that a request is for, or `None` if it names no host and need not name one.
pub(crate) fn requested_host<B>(request: &Request<B>) -> Result<Option<Authority>, Rejection> {
    let hosts = request.headers().get_all(HOST).iter();
    let target = request.uri().authority().map(|host| host.as_str());
    let may_be_absent = request.version() < Version::HTTP_11;
    host::requested(target, hosts.map(HeaderValue::as_bytes), may_be_absent)
        .map_err(|error| Rejection::bad_request(&error))
}

/// Returns the value of a header that occurs exactly once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Returns true if `key` is 16 bytes in base64: 22 characters and two of padding.
fn is_key(key: &HeaderValue) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digits = key.as_bytes().strip_suffix(b"==");
    digits.is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_base64))
}

/// Returns the agreement on permessage-deflate, if the client offers it and the hub has it enabled
/// (RFC 7692 §5.1).
pub(crate) fn agree<B>(hub: &Hub, request: &Request<B>) -> Result<Option<Agreed>, Rejection> {
    let offers = request.headers().get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let deflate = &hub.config().deflate;
    // The offers are parsed even if compression is off: malformed ones are refused.
    let agreement = extension::accept(offers.map(HeaderValue::as_bytes), deflate.contexts > 0)
        .map_err(|error| Rejection::bad_request(&error))?;
    let agreement = agreement.filter(|_| deflate.enabled);
    Ok(agreement.map(|agreement| hub.grant(agreement)))
}

/// Returns the 101 for a request that was [checked](check), and the socket, which can be taken when
/// the 101 is written.
pub(crate) fn accept<B>(
    request: &mut Request<B>,
    deflate: Option<&Agreed>,
) -> Result<(Response, Upgrading), Rejection> {
    let (mut response, upgrade) = fastwebsockets::upgrade::upgrade(request)
        .map_err(|error| Rejection::bad_request(&error))?;
    if let Some(agreed) = deflate {
        let answer = agreed.agreement.answer();
        let answer =
            HeaderValue::try_from(answer).map_err(|error| Rejection::bad_request(&error))?;
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_EXTENSIONS, answer);
    }
    Ok((response.map(|_| Full::default()), Upgrading(upgrade)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks an opening handshake that is valid but for this `change`.
    fn verdict(change: impl FnOnce(&mut Request<()>)) -> Result<(), Rejection> {
        let mut request = Request::get("/ws")
            .header("host", "a.example")
            .header("upgrade", "WebSocket")
            .header("connection", "keep-alive, Upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        change(&mut request);
        check(&request).and_then(|()| requested_host(&request).map(drop))
    }

    /// Checks an opening handshake that is valid but for these values of the header `name`.
    fn with(name: &'static str, values: &[&'static str]) -> Result<(), Rejection> {
        verdict(|request| {
            request.headers_mut().remove(name);
            for value in values {
                request
                    .headers_mut()
                    .append(name, HeaderValue::from_static(value));
            }
        })
    }

    #[test]
    fn a_valid_opening_handshake_is_accepted() {
        assert_eq!(verdict(|_| {}), Ok(()));
    }

    #[test]
    fn a_request_that_is_no_upgrade_is_answered_with_what_is_required() {
        assert_eq!(
            verdict(|r| *r.method_mut() = Method::POST),
            Err(Rejection::Method("GET"))
        );
        assert_eq!(
            verdict(|r| *r.version_mut() = Version::HTTP_10),
            Err(Rejection::UpgradeRequired)
        );
        assert_eq!(with("upgrade", &[]), Err(Rejection::UpgradeRequired));
        assert_eq!(with("upgrade", &["h2c"]), Err(Rejection::UpgradeRequired));
        assert_eq!(
            with("connection", &["keep-alive"]),
            Err(Rejection::UpgradeRequired)
        );
        for versions in [&[][..], &["8"], &["13", "13"], &["13, 8"]] {
            assert_eq!(
                with("sec-websocket-version", versions),
                Err(Rejection::VersionRequired)
            );
        }
    }

    #[test]
    fn a_bad_key_a_body_and_a_missing_host_are_bad_requests() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        for keys in [
            &[][..],
            &["abc"],
            &[""],
            &[key, key],
            &["dGhlIHNhbXBsZSBub25jZQ__"],
            &["dGhlIHNhbXBsZSBub25j!Q=="],
        ] {
            assert!(
                matches!(
                    with("sec-websocket-key", keys),
                    Err(Rejection::BadRequest(_))
                ),
                "{keys:?}"
            );
        }
        for hosts in [&[][..], &["a.example", "a.example"], &["me@a.example"]] {
            assert!(
                matches!(with("host", hosts), Err(Rejection::BadRequest(_))),
                "{hosts:?}"
            );
        }
        assert!(matches!(
            with("content-length", &["3"]),
            Err(Rejection::BadRequest(_))
        ));
        assert!(matches!(
            with("transfer-encoding", &["chunked"]),
            Err(Rejection::BadRequest(_))
        ));
    }
}
