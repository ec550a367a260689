//! The brief answer to a client whose connection no shard can serve: one response within a second,
//! and then the connection is closed.
//!
//! `/health` is answered as by a shard, for operators and monitoring. All other requests get 503.

use std::{convert::Infallible, io, time::Duration};

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
    response::{Rejection, Response},
    site::Site,
};

/// Answers the one request of a client: `/health` as a shard would answer it, any other with 503
/// and the reason `why`. Then closes the connection.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, site: &Site, why: &str) {
    match timeout(WITHIN, answer_once(stream, site, why)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection could not be turned away"),
        Err(_) => debug!("a connection was too slow to be turned away"),
    }
}

async fn answer_once(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    site: &Site,
    why: &str,
) -> io::Result<()> {
    let service =
        service_fn(|request| async move { Ok::<_, Infallible>(answer(site, &request, why)) });
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
    let admitted = site.admit(request).map(drop);
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
