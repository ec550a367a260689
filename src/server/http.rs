//! One HTTP connection, from when its shard gets the socket until it ends or becomes a WebSocket.

use std::{
    cell::Cell, convert::Infallible, future::Future, net::SocketAddr, pin::pin, rc::Rc, sync::Arc,
};

use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, StatusCode,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
    task::spawn_local,
    time::timeout,
};
use tracing::debug;

use crate::{
    hub::{bounds::budget::Charge, shard::Shard},
    metrics::incidents::Incident,
    server::{
        answer::Answer,
        body,
        head::{AwaitedHead, WaitLimits},
        listener::Entrance,
        response::{Response, note_refusal},
        site::Site,
        stream::{HttpStream, Signals},
        turns::in_turns,
        underway::Requests,
        upgraded::PendingConnection,
    },
};

/// What a server and its HTTP connections tell each other when the server drains.
#[derive(Clone)]
pub(super) struct Lifetime {
    /// Becomes true when the server drains. A connection then finishes the request that it is
    /// answering, and closes.
    pub(super) is_ending: watch::Receiver<bool>,
    /// The requests of all connections.
    pub(super) requests: Requests,
    /// Held by every connection, so that the drain can wait until all are closed. Nothing is sent
    /// on it.
    pub(super) _open: mpsc::Sender<Infallible>,
}

/// A client that a listener has accepted.
pub(super) struct Client<S> {
    /// The client's socket, or a stream that wraps it, as TLS does.
    pub(super) stream: S,
    pub(super) peer: SocketAddr,
    pub(super) entrance: Entrance,
    /// The charge for the memory that the connection needs for HTTP. It is dropped when the
    /// connection becomes a WebSocket connection.
    pub(super) held: Charge,
}

/// The state that the requests of a connection share.
struct Exchange {
    shard: Rc<Shard>,
    site: Arc<Site>,
    peer: SocketAddr,
    entrance: Entrance,
    requests: Requests,
    signals: Arc<Signals>,
    head: AwaitedHead,
    /// The connection that the socket becomes when the response, a 101, is written.
    pending: Cell<Option<PendingConnection>>,
}

/// Serves the requests of a client. If one of them is answered with 101, this then starts the
/// WebSocket connection that the socket becomes.
pub(super) async fn serve<S>(
    shard: Rc<Shard>,
    client: Client<S>,
    site: Arc<Site>,
    lifetime: Lifetime,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Client {
        stream,
        peer,
        entrance,
        held,
    } = client;
    let signals = Arc::new(Signals::default());
    let limits = WaitLimits::new(&shard.config().timeouts, site.keep_alive_timeout);
    let stream = HttpStream::new(stream, Arc::clone(&signals), Arc::clone(site.hub.budget()));
    let exchange = Rc::new(Exchange {
        head: AwaitedHead::awaited(Arc::clone(&signals), limits),
        shard: Rc::clone(&shard),
        requests: lifetime.requests.clone(),
        pending: Cell::default(),
        site,
        peer,
        entrance,
        signals,
    });
    let is_ending = lifetime.is_ending.clone();
    let served = {
        // Pinned here, because `in_turns` would have room for it twice.
        let http = pin!(serve_http(&exchange, stream, is_ending));
        in_turns(&shard, http).await
    };
    drop(held);
    if let Err(error) = served {
        debug!(%peer, %error, "HTTP connection failed");
        exchange.note_unreadable(&error);
    } else if let Some(pending) = exchange.pending.take()
        && let Err(error) = pending.start().await
    {
        debug!(%peer, %error, "upgrade failed");
    }
}

/// Serves requests until the connection ends, is given up, or is upgraded.
fn serve_http<S>(
    exchange: &Rc<Exchange>,
    stream: HttpStream<S>,
    mut is_ending: watch::Receiver<bool>,
) -> impl Future<Output = hyper::Result<()>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let answer = exchange.begin(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        // It would also limit the time between two requests. `AwaitedHead` has the time for each.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        // A client that has shut down its sending side still gets its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // Boxed, because each of the futures around it would have room for it twice.
    let mut connection = Box::pin(connection);
    async move {
        let hub = &exchange.site.hub;
        let note_unfinished = || {
            let incidents = hub.incidents();
            incidents.note_peer(Incident::Unfinished, Some(exchange.peer));
        };
        let mut given_up = pin!(exchange.head.given_up(hub.budget(), note_unfinished));
        tokio::select! {
            // Polled first, so that a head that has arrived is not given up.
            biased;
            served = connection.as_mut() => return served,
            () = given_up.as_mut() => return Ok(()),
            _ = is_ending.wait_for(|&is_ending| is_ending) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            served = connection => served,
            () = given_up => Ok(()),
        }
    }
}

impl Exchange {
    /// Begins to answer a request, whose head has just come. The request is charged until it is
    /// answered if it has a body. All others are answered at once.
    fn begin(
        self: &Rc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + use<> {
        // hyper has read nothing since the head.
        let body_bytes = request.body().size_hint().lower();
        self.signals.begin_body(body_bytes);
        let has_body = !request.body().is_end_stream();
        let ledger = self.shard.ledger();
        let held = has_body.then(|| ledger.hold(held_bytes(request.headers())));
        // Boxed, so that a connection has no memory for it while it is idle.
        let answer = Box::pin(Rc::clone(self).answer(request));
        async move {
            let response = answer.await;
            drop(held);
            response
        }
    }

    /// Answers a request, and has the rest of its body read.
    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Response {
        let Answer {
            response,
            upgrade,
            unread,
            must_continue,
        } = self.head.answered(self.answered(request)).await;
        note_refusal(&response, self.site.hub.incidents(), self.peer);
        self.pending.set(upgrade);
        if must_continue {
            self.signals.write_continue().await;
        }
        if let Some(body) = unread {
            spawn_local(self.discard(body));
        }
        response
    }

    async fn answered(&self, mut request: Request<Incoming>) -> Answer {
        let Some(underway) = self.requests.begin() else {
            return self.site.answer_late(request);
        };
        request.extensions_mut().insert(underway);
        let (shard, entrance) = (&self.shard, self.entrance);
        self.site.answer(shard, request, entrance).await
    }

    /// Notes that bytes were refused that are no head of a request. hyper has answered them.
    fn note_unreadable(&self, error: &hyper::Error) {
        let status = if error.is_parse_too_large() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        } else if error.is_parse() {
            StatusCode::BAD_REQUEST
        } else {
            return;
        };
        let incident = Incident::Refused(status.as_u16());
        let incidents = self.site.hub.incidents();
        incidents.note(incident, Some(self.peer), "the head can't be read");
    }

    /// Reads the rest of the body of a request that was answered. Otherwise the connection could
    /// carry no further request, and a client that reads the answer only after it has sent the body
    /// would lose the answer to a reset (RFC 9112 §9.6).
    async fn discard(self: Rc<Self>, mut body: Incoming) {
        let _held = self.shard.ledger().hold(body::trailer_bytes(&body));
        let rest = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = timeout(self.shard.config().timeouts.request, rest).await;
        self.head.restart();
    }
}

/// Returns the memory that a request holds until it is answered, in bytes: the table of its
/// `headers`, their names, and what does not depend on them. The values are in the buffer into which
/// the head was read. It is held, too, and so hyper reads the body into a new one.
fn held_bytes(headers: &HeaderMap) -> usize {
    let names: usize = headers.keys().map(|name| name.as_str().len()).sum();
    headers.capacity() * PLACE_BYTES + headers.len() * VALUE_BYTES + names + REQUEST_BYTES
}

/// Size of a place for a name and a value in the table of headers, in bytes.
const PLACE_BYTES: usize = 112;

/// Size of two places for values of names that the table has already, in bytes.
const VALUE_BYTES: usize = 160;

/// Memory that the code that answers a request takes, and the buffer for what follows its head, in
/// bytes.
const REQUEST_BYTES: usize = 14 * 1024;

/// Greatest size of the head of a request, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
