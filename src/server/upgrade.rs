//! The opening handshake: what fastwebsockets does not check of it, and its 101
//! ([RFC 6455 §4.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2)).

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
        upgraded::{Arrived, Detached, Upgrading},
    },
    user::Identity,
    wire::extension,
};

/// Answers an HTTP request that wants to become a WebSocket connection of `hub`: with 101, or
/// with a rejection that says why. From then on its client speaks this `protocol`.
///
/// The request may have been accepted by any server on hyper and any tokio runtime, such as axum;
/// the connection is handed to one of the hub's shards. When the response is there, the
/// connection's subscriptions are in force: whatever is published from then on reaches it. The
/// origin of a browser's page must be the server's own, which is that of the host that the request
/// is for and of the hub's [public URL](crate::Access::public_url), or one of the
/// [allowed ones](crate::Access::allowed_origins). For which hosts it is called is for its router
/// to say: [`allowed_hosts`](crate::Access::allowed_hosts) is not looked at.
///
/// # Cancel safety
///
/// Cancel safe: the connection is then not made.
///
/// # Panics
///
/// If it is not called within a tokio runtime.
pub async fn upgrade<B>(
    hub: &Hub,
    request: &mut Request<B>,
    protocol: impl Protocol + Send + 'static,
) -> Response {
    upgrade_as(hub, request, Identity::anonymous(), protocol).await
}

/// Answers as [`upgrade`] does; the connection is that of this user, and gets what is
/// [published to it](Hub::publish_to_user).
///
/// # Cancel safety
///
/// Cancel safe: the connection is then not made.
///
/// # Panics
///
/// If it is not called within a tokio runtime.
pub async fn upgrade_as<B>(
    hub: &Hub,
    request: &mut Request<B>,
    identity: impl Into<Identity>,
    protocol: impl Protocol + Send + 'static,
) -> Response {
    let (identity, protocol) = (identity.into(), Box::new(protocol));
    let answered = match take_up(hub, request) {
        Ok(taken) => hand_over(hub, identity, protocol, taken).await,
        Err(rejection) => Err(rejection),
    };
    answered.unwrap_or_else(Response::from)
}

/// A request that is answered with 101.
struct AcceptedRequest {
    deflate: Option<Agreed>,
    response: Response,
    upgrading: Upgrading,
}

/// Checks everything about a request that does not depend on what the connection is for.
fn take_up<B>(hub: &Hub, request: &mut Request<B>) -> Result<AcceptedRequest, Rejection> {
    check(request)?;
    let asked = asked(request)?;
    hub.budget().take_in(|counts| &counts.refused_connections)?;
    origin::check(request.headers(), asked.as_ref(), &hub.config().access)?;
    let deflate = agree(hub, request)?;
    let (response, upgrading) = accept(request, deflate.as_ref())?;
    Ok(AcceptedRequest {
        deflate,
        response,
        upgrading,
    })
}

/// Makes the connection on one of the hub's shards, to which the socket follows when the 101 is out.
async fn hand_over(
    hub: &Hub,
    identity: Identity,
    protocol: Box<dyn Protocol + Send>,
    taken: AcceptedRequest,
) -> Result<Response, Rejection> {
    let AcceptedRequest {
        deflate,
        response,
        upgrading,
    } = taken;
    let (opened, is_open) = oneshot::channel();
    let (arrival, socket) = oneshot::channel::<Detached>();
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
            // An upgrade that fails drops its end: the connection is given up.
            if let Ok(detached) = socket.await
                && let Ok(arrived) = detached.attach()
            {
                let (socket, leftover) = arrived.into_parts();
                spawn_local(connection.start(socket, leftover));
            }
        });
    });
    is_open.await.unwrap_or(Err(Disconnect::Restarting))?;
    let within = hub.config().timeouts.request;
    tokio::spawn(send_on(upgrading, within, arrival));
    Ok(response)
}

/// Sends a socket to its shard when the 101 is out.
async fn send_on(upgrading: Upgrading, within: Duration, arrival: oneshot::Sender<Detached>) {
    // A client that does not take the 101 is given up.
    let arrived = async { timeout(within, upgrading.arrived()).await? };
    match arrived.await.and_then(Arrived::detach) {
        Ok(detached) => drop(arrival.send(detached)),
        Err(error) => debug!(%error, "upgrade failed"),
    }
}

/// Checks that a request is an opening handshake (§4.2.1), as far as that does not depend on what
/// is asked for.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Rejection> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Rejection::Method("GET"));
    }
    if request.version() != Version::HTTP_11 || !is_upgrade_request(request) {
        return Err(Rejection::UpgradeRequired);
    }
    if headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING) {
        // What follows the request must be frames.
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

/// Which host a request is for; `None` if it names none, and may.
pub(crate) fn asked<B>(request: &Request<B>) -> Result<Option<Authority>, Rejection> {
    let hosts = request.headers().get_all(HOST).iter();
    let target = request.uri().authority().map(|asked| asked.as_str());
    let may_be_absent = request.version() < Version::HTTP_11;
    host::asked(target, hosts.map(HeaderValue::as_bytes), may_be_absent)
        .map_err(|error| Rejection::bad_request(&error))
}

fn single(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// 16 bytes in base64: 22 characters and two of padding.
fn is_key(key: &HeaderValue) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digits = key.as_bytes().strip_suffix(b"==");
    digits.is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_base64))
}

/// Agrees on permessage-deflate, if the client offers what the hub can do (RFC 7692 §5.1).
pub(crate) fn agree<B>(hub: &Hub, request: &Request<B>) -> Result<Option<Agreed>, Rejection> {
    let offers = request.headers().get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let deflate = &hub.config().deflate;
    // Also where it is off: what is not in the grammar is refused.
    let agreement = extension::accept(offers.map(HeaderValue::as_bytes), deflate.contexts > 0)
        .map_err(|error| Rejection::bad_request(&error))?;
    let agreement = agreement.filter(|_| deflate.enabled);
    Ok(agreement.map(|agreement| hub.grant(agreement)))
}

/// Answers a request that was [checked](check) with 101.
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

    fn request(change: impl FnOnce(&mut Request<()>)) -> Result<(), Rejection> {
        let mut request = Request::get("/ws")
            .header("host", "a.example")
            .header("upgrade", "WebSocket")
            .header("connection", "keep-alive, Upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        change(&mut request);
        check(&request).and_then(|()| asked(&request).map(drop))
    }

    fn with(name: &'static str, values: &[&'static str]) -> Result<(), Rejection> {
        request(|request| {
            request.headers_mut().remove(name);
            for value in values {
                request
                    .headers_mut()
                    .append(name, HeaderValue::from_static(value));
            }
        })
    }

    #[test]
    fn a_handshake_passes() {
        assert_eq!(request(|_| {}), Ok(()));
    }

    #[test]
    fn what_does_not_ask_for_a_web_socket_is_told_to() {
        assert_eq!(
            request(|r| *r.method_mut() = Method::POST),
            Err(Rejection::Method("GET"))
        );
        assert_eq!(
            request(|r| *r.version_mut() = Version::HTTP_10),
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
