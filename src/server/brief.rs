//! The brief answer to a client whose connection no shard can serve: one response within a second,
//! and then the connection is closed.
//!
//! `/health` is answered as by a shard, for operators and monitoring. All other requests get 503.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use hyper::{Method, Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tracing::debug;

use crate::server::{
    api,
    http::MAX_HEAD_BYTES,
    origin,
    response::{Rejection, Response, note_refusal},
    site::Site,
};

/// Answers the one request of a client: `/health` as a shard would answer it, any other with 503
/// and the reason `why`. Then closes the connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    site: &Site,
    why: &str,
) {
    match timeout(WITHIN, answer_once(stream, peer, site, why)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%peer, %error, "a connection could not be turned away"),
        Err(_) => debug!(%peer, "a connection was too slow to be turned away"),
    }
}

async fn answer_once(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    site: &Site,
    why: &str,
) -> io::Result<()> {
    let service = service_fn(|request| async move {
        let response = answer(site, &request, why);
        note_refusal(&response, site.hub.incidents(), peer);
        Ok::<_, Infallible>(response)
    });
    let served = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown()
        .await;
    let mut stream = served.map_err(io::Error::other)?.io.into_inner();
    stream.shutdown().await?;
    // Closing with unread bytes would cause a reset, and the client could lose the answer
    // (RFC 9112 §9.6).
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

fn answer(site: &Site, request: &Request<Incoming>, why: &str) -> Response {
    let is_health = request.uri().path() == "/health"
        && matches!(*request.method(), Method::GET | Method::HEAD);
    let admitted = site.check_host_and_origin(request).map(drop);
    let may_read = admitted.is_ok();
    let mut response = match admitted {
        Ok(()) if is_health => api::health(site),
        Err(rejection) if is_health => rejection.into(),
        _ => Rejection::Overloaded(why.into()).into(),
    };
    if may_read {
        origin::allow(request.headers(), response.headers_mut());
    }
    response
}

/// Time in which the request must arrive, its answer must be written, and the client must close its
/// side.
const WITHIN: Duration = Duration::from_secs(1);
