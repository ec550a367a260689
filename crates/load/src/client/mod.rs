//! Connections of the generator. This file has the state of a connection.
//!
//! [`clients`] has all connections of a process, on sockets from [`dial`], which chooses their local
//! side by [`sources`]; [`receiving`] reads them, and [`closing`] ends them. [`event`] has the events
//! that a scenario handles, and the calls with which it sends. [`handshake`] is the opening handshake.
//! [`frame`] encodes what a client sends, [`messages`] parses what it receives, and [`output`] buffers
//! what its socket does not take. [`http`] parses heads of responses, [`answer`] parses whole
//! responses, and [`requests`] has the requests that wait for a response. [`dialog`] is a blocking
//! connection, over which [`relay`] registers connections at framecast's relay.

mod answer;
pub(crate) mod clients;
mod closing;
mod dial;
pub(crate) mod dialog;
pub(crate) mod event;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod http;
pub(crate) mod messages;
mod output;
mod receiving;
pub(crate) mod relay;
mod requests;
mod sources;

use std::{
    io, mem,
    net::{Shutdown, TcpStream},
};

use rustix::event::epoll::EventFlags;

use self::{
    event::{ClientKey, Conn, End, Event, Handler, Leave, Role, State},
    frame::Keys,
    handshake::{Expected, Handshake},
    messages::Assembly,
    output::Output,
    requests::Requests,
};
use crate::{
    clock::Moment,
    plan::{Scheme, Target},
};

/// One connection of the generator to the server.
#[derive(Debug)]
struct Client {
    socket: TcpStream,
    stage: Stage,
    /// The readiness for which epoll waits.
    interest: EventFlags,
    state: State,
    /// The received part of a frame or response that is not complete yet.
    rest: Vec<u8>,
    assembly: Assembly,
    /// True if the connection ends by a reset, as soon as the server has answered the closing
    /// handshake. A bare TCP server does not end a connection.
    aborts: bool,
    /// Number of messages from the server that are still to be skipped.
    greetings: u32,
    /// The requests that are not answered yet, if it is used for plain HTTP.
    requests: Requests,
}

/// The stage of a connection.
///
/// ```text
/// Connecting ─► Upgrading ─► Open ─► Closed
///         └───────────────► Http ─► Parked ─► Reconnecting ─► Http
/// ```
#[derive(Debug)]
enum Stage {
    /// Both sides have sent a Close, this one first. The server ends the connection (RFC 6455
    /// §7.1.1).
    Closed,
    /// The socket connects. Then the client begins this opening handshake; if there is none, the
    /// connection is used for plain HTTP.
    Connecting(Option<Handshake>),
    /// HTTP requests can be sent.
    Http,
    /// WebSocket messages can be sent.
    Open,
    /// The server has ended the connection between two responses. The next request opens another.
    Parked,
    /// The socket connects anew, for HTTP requests.
    Reconnecting,
    /// The request for the opening handshake is sent, this response is awaited.
    Upgrading(Expected),
}

/// The event handler of a run, with the key of the connection whose events are passed to it.
struct Context<'a> {
    key: ClientKey,
    keys: &'a mut Keys,
    handler: &'a mut dyn Handler,
}

impl Client {
    /// Returns a connection whose socket is still connecting. Without a `handshake` it is for plain
    /// HTTP. `dialed` is the time for which the connect was scheduled.
    fn new(
        socket: TcpStream,
        target: &Target,
        role: Role,
        handshake: Option<Handshake>,
        dialed: Moment,
    ) -> Self {
        Self {
            socket,
            stage: Stage::Connecting(handshake),
            interest: EventFlags::OUT,
            state: State {
                role,
                dialed,
                output: Output::default(),
                leave: Leave::Staying,
            },
            rest: Vec::new(),
            assembly: Assembly::new(target.scheme),
            aborts: target.aborts || target.scheme == Scheme::Tcp,
            greetings: target.greetings,
            requests: Requests::default(),
        }
    }

    /// Returns true until the connection is open for the first time, for WebSocket messages or for
    /// HTTP requests.
    fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Upgrading(_))
    }

    /// Returns true while the socket connects.
    fn is_connecting(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Reconnecting)
    }

    /// Returns true if the connection is used for HTTP requests.
    fn is_http(&self) -> bool {
        matches!(
            self.stage,
            Stage::Http | Stage::Parked | Stage::Reconnecting
        )
    }

    /// Returns how many bytes wait for the socket, or for an answer of the server.
    fn backlog(&self) -> usize {
        self.state.output.len().max(self.requests.len())
    }

    /// Queues an HTTP request.
    fn post(&mut self, request: Vec<u8>) {
        self.requests.push(request);
        // A parked client sends all that is not answered over its next connection.
        if !matches!(self.stage, Stage::Parked) {
            self.requests.send(&mut self.state.output.wire);
        }
    }

    /// Returns true if the client can go on over another connection after this end.
    fn may_reconnect(&self, end: &End) -> bool {
        matches!(end, End::Expired) && self.requests.may_be_sent_again()
    }

    /// Ends the connection on this side, too, until there is another request to send.
    fn park(&mut self) {
        // Fails if the server has reset the connection.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.stage = Stage::Parked;
        self.rest.clear();
        self.state.output = Output::default();
    }

    /// Sends the requests that are not answered over `socket`, once it is connected.
    fn reconnect(&mut self, socket: TcpStream) {
        self.socket = socket;
        self.stage = Stage::Reconnecting;
        self.interest = EventFlags::OUT;
        self.requests.replace_connection();
        self.requests.send(&mut self.state.output.wire);
    }

    fn conn<'a>(&'a mut self, key: ClientKey, keys: &'a mut Keys) -> Conn<'a> {
        Conn::new(key, &mut self.state, keys)
    }

    /// Handles the end of the TCP connect. For a WebSocket, queues the request of the opening
    /// handshake. Otherwise the connection is for plain HTTP, and is now open.
    ///
    /// # Errors
    ///
    /// The connect failed.
    fn on_connected(&mut self, context: Context<'_>) -> io::Result<()> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        self.interest = EventFlags::IN;
        match mem::replace(&mut self.stage, Stage::Http) {
            Stage::Connecting(Some(Handshake { request, expected })) => {
                self.state.output.wire.extend(request);
                self.stage = Stage::Upgrading(expected);
            }
            Stage::Connecting(None) => self.notify(Event::Opened, context),
            _ => {}
        }
        Ok(())
    }

    /// Passes to the handler an event that does not come from received bytes: the connection is
    /// open for plain HTTP, or it has ended.
    fn notify(&mut self, event: Event<'_>, context: Context<'_>) {
        let Context { key, keys, handler } = context;
        handler.on_event(event, &mut self.conn(key, keys), Moment::now());
    }
}

/// Largest capacity in bytes that an empty buffer of a connection keeps allocated.
const KEPT_BYTES: usize = 64 << 10;

fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
