//! One HTTP connection, on the shard that has it until it ends or becomes a WebSocket.

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

/// What the HTTP connections of a server have to know of its end.
#[derive(Clone)]
pub(super) struct Lifetime {
    /// Turns true when connections are to finish what they are at.
    pub(super) is_ending: watch::Receiver<bool>,
    /// Held by every connection; never sent on.
    pub(super) _open: mpsc::Sender<Infallible>,
}

/// Somebody who has come by a listener.
pub(super) struct Client<S> {
    /// A socket, or what wraps it.
    pub(super) stream: S,
    pub(super) entrance: Entrance,
    /// What it is charged as HTTP; given back when it becomes a WebSocket connection.
    pub(super) held: Charge,
}

/// Serves the requests of a client, and starts the connection that it becomes if one of them is
/// answered with 101.
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
    let upcoming = Cell::new(None);
    let head = AwaitedHead::awaited();
    let service = service_fn(|request| {
        let (shard, site) = (Rc::clone(&shard), Arc::clone(&site));
        let (upcoming, head) = (&upcoming, &head);
        async move {
            let answer = head.answered(site.answer(&shard, request, entrance)).await;
            let (response, next) = answer.into_parts();
            upcoming.set(next);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shard.config().timeouts.request)
        .max_buf_size(MAX_HEAD_BYTES)
        // A client that has nothing more to say still gets its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = in_turns(&shard, async {
        tokio::select! {
            // First what has come: a head that is there is not given up.
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
    } else if let Some(upcoming) = upcoming.take()
        && let Err(error) = upcoming.start().await
    {
        debug!(%error, "upgrade failed");
    }
}

/// The head of a request.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
