//! One HTTP connection, from when its shard gets the socket until it ends or becomes a WebSocket.

use std::{cell::Cell, convert::Infallible, pin::pin, rc::Rc, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
};
use tracing::debug;

use crate::{
    hub::{bounds::budget::Charge, shard::Shard},
    server::{head::AwaitedHead, listener::Entrance, site::Site, turns::in_turns},
};

/// The lifetime of a server, as far as its HTTP connections must know it.
#[derive(Clone)]
pub(super) struct Lifetime {
    /// Becomes true when the server drains. A connection then finishes the request that it is
    /// answering, and closes.
    pub(super) is_ending: watch::Receiver<bool>,
    /// Held by every connection, so that the drain can wait until all are closed. Nothing is sent
    /// on it.
    pub(super) _open: mpsc::Sender<Infallible>,
}

/// A client that a listener has accepted.
pub(super) struct Client<S> {
    /// The client's socket, or a stream that wraps it, as TLS does.
    pub(super) stream: S,
    pub(super) entrance: Entrance,
    /// The charge for the memory that the connection needs for HTTP. It is dropped when the
    /// connection becomes a WebSocket connection.
    pub(super) held: Charge,
}

/// Serves the requests of a client. If one of them is answered with 101, this then starts the
/// WebSocket connection that the socket becomes.
pub(super) async fn serve<S>(
    shard: Rc<Shard>,
    client: Client<S>,
    site: Arc<Site>,
    mut lifetime: Lifetime,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Client {
        stream,
        entrance,
        held,
    } = client;
    let pending = Cell::new(None);
    let head = AwaitedHead::awaited();
    let service = service_fn(|request| {
        let (shard, site) = (Rc::clone(&shard), Arc::clone(&site));
        let (pending, head) = (&pending, &head);
        async move {
            let answer = head.answered(site.answer(&shard, request, entrance)).await;
            let (response, next) = answer.into_parts();
            pending.set(next);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shard.config().timeouts.request)
        .max_buf_size(MAX_HEAD_BYTES)
        // A client that has shut down its sending side still gets its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = in_turns(&shard, async {
        tokio::select! {
            // Polled first, so that a client is not given up whose head has just arrived.
            biased;
            served = connection.as_mut() => served,
            () = head.given_up(&shard) => Ok(()),
            _ = lifetime.is_ending.wait_for(|&is_ending| is_ending) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    });
    let served = served.await;
    drop(held);
    if let Err(error) = served {
        debug!(%error, "HTTP connection failed");
    } else if let Some(pending) = pending.take()
        && let Err(error) = pending.start().await
    {
        debug!(%error, "upgrade failed");
    }
}

/// Greatest size of the head of a request, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
