//! Connections of the generator. This file has the state of a connection, and reads its socket.
//!
//! [`clients`] has all connections of a process, on sockets from [`dial`], which chooses their local
//! side by [`sources`]; [`closing`] ends them. [`event`] has the events that a scenario handles, and
//! the calls with which it sends. [`handshake`] is the opening handshake. [`frame`] encodes what a
//! client sends, [`messages`] parses what it receives, and [`output`] buffers what its socket does
//! not take. [`http`] parses heads of responses, [`answer`] parses whole responses, and [`requests`]
//! has the requests that wait for a response. [`dialog`] is a blocking connection, over which
//! [`relay`] registers connections at framecast's relay.

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
pub(crate) mod relay;
mod requests;
mod sources;

use std::{
    io::{self, Read as _},
    mem,
    net::{Shutdown, TcpStream},
};

use rustix::event::epoll::EventFlags;

use self::{
    answer::{Answer, Input},
    event::{ClientKey, Conn, End, Event, Handler, Leave, Role, State},
    frame::{Keys, Opcode},
    handshake::{Expected, Handshake},
    messages::{Assembly, Incoming},
    output::Output,
    requests::Requests,
};
use crate::{
    clock::Moment,
    error::Error,
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

    /// Reads the socket once, and passes the events of the received bytes to the handler.
    fn read(&mut self, buffer: &mut Vec<u8>, context: Context<'_>) -> Result<(), End> {
        let kept = self.rest.len();
        if buffer.len() < kept + READ_BYTES {
            buffer.resize(kept + READ_BYTES, 0);
        }
        buffer[..kept].copy_from_slice(&self.rest);
        let read = match self.socket.read(&mut buffer[kept..]) {
            Ok(0) if self.state.is_leaving() => return Err(End::Left),
            Ok(0) => return Err(self.on_end_of_stream(context)),
            Ok(read) => read,
            Err(error) if is_temporary(&error) => return Ok(()),
            // A server may answer the closing handshake by a reset, too.
            Err(_) if self.state.is_leaving() => return Err(End::Left),
            Err(_) if self.is_between_responses() => return Err(End::Expired),
            Err(error) => return Err(End::Failed(Error::Broken(error))),
        };
        let bytes = &buffer[..kept + read];
        let taken = self.process(bytes, context)?;
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[taken..]);
        if self.rest.is_empty() && self.rest.capacity() > KEPT_BYTES {
            self.rest = Vec::new();
        }
        Ok(())
    }

    /// Returns true for a connection for HTTP requests on which no response has begun.
    fn is_between_responses(&self) -> bool {
        matches!(self.stage, Stage::Http) && self.rest.is_empty()
    }

    /// Handles the end of what the server sends, which may be the end of a response, too. Returns
    /// how the connection has ended.
    fn on_end_of_stream(&mut self, context: Context<'_>) -> End {
        if self.is_between_responses() {
            return End::Expired;
        }
        if matches!(self.stage, Stage::Http)
            && let Ok(Some(_)) = Answer::read(&self.rest, Input::Ended)
        {
            self.requests.take_last_answered();
            self.notify(Event::Answered, context);
            return End::Expired;
        }
        End::Closed(None)
    }

    /// Processes all complete frames and responses in `bytes`. Returns how many bytes these take
    /// up.
    fn process(&mut self, bytes: &[u8], context: Context<'_>) -> Result<usize, End> {
        let Context { key, keys, handler } = context;
        // The clock is read only once for all events of one read.
        let now = Moment::now();
        let mut taken = 0;
        while taken < bytes.len() {
            let mut on_event = |event: Event<'_>, conn: &mut Conn<'_>| {
                handler.on_event(event, conn, now);
            };
            let Some(len) = self.process_next(&bytes[taken..], key, keys, &mut on_event)? else {
                break;
            };
            taken += len;
        }
        Ok(taken)
    }

    /// Processes the frame or response at the start of `bytes`. Returns its length, or `None` if it
    /// is not complete yet.
    fn process_next(
        &mut self,
        bytes: &[u8],
        key: ClientKey,
        keys: &mut Keys,
        on_event: &mut impl FnMut(Event<'_>, &mut Conn<'_>),
    ) -> Result<Option<usize>, End> {
        let mut conn = Conn::new(key, &mut self.state, keys);
        match &self.stage {
            Stage::Connecting(_) | Stage::Parked | Stage::Reconnecting => Ok(None),
            // §5.5.1: what follows a Close does not count.
            Stage::Closed => Ok(Some(bytes.len())),
            Stage::Upgrading(expected) => {
                let rejected = |rejection| End::Failed(Error::Rejected(rejection));
                let taken = expected.check(bytes).map_err(rejected)?;
                if taken.is_some() {
                    self.stage = Stage::Open;
                    on_event(Event::Opened, &mut conn);
                }
                Ok(taken)
            }
            Stage::Http => {
                let answer = take_answer(&mut self.requests, bytes)?;
                if answer.is_some() {
                    on_event(Event::Answered, &mut conn);
                }
                match answer {
                    Some(answer) if answer.is_last => Err(End::Expired),
                    answer => {
                        // Those that have waited for this answer, if any.
                        self.requests.send(&mut self.state.output.wire);
                        Ok(answer.map(|answer| answer.len))
                    }
                }
            }
            Stage::Open => {
                // The code of a Close, if one arrives: `Some(None)` for a Close without a code.
                let mut closed = None;
                let greetings = &mut self.greetings;
                let taken = self.assembly.take(bytes, |incoming| match incoming {
                    Incoming::Message(_) if *greetings > 0 => *greetings -= 1,
                    Incoming::Message(message) => on_event(Event::Message(message), &mut conn),
                    Incoming::Ping(payload) => conn.send(Opcode::Pong, &[payload]),
                    Incoming::Close(code) => closed = Some(code),
                });
                match (taken, closed) {
                    (Err(error), _) => Err(End::Failed(Error::Protocol(error))),
                    (Ok(taken), None) => Ok(taken),
                    (Ok(_), Some(code)) if !self.state.is_leaving() => Err(End::Closed(code)),
                    (Ok(_), Some(_)) if self.aborts => Err(End::Left),
                    (Ok(taken), Some(_)) => {
                        self.stage = Stage::Closed;
                        Ok(taken)
                    }
                }
            }
        }
    }

    /// Passes to the handler an event that does not come from received bytes: the connection is
    /// open for plain HTTP, or it has ended.
    fn notify(&mut self, event: Event<'_>, context: Context<'_>) {
        let Context { key, keys, handler } = context;
        handler.on_event(event, &mut self.conn(key, keys), Moment::now());
    }
}

/// Takes the response to the oldest of `requests` off the start of `bytes`. `None` if it is not
/// complete yet.
fn take_answer<'a>(requests: &mut Requests, bytes: &'a [u8]) -> Result<Option<Answer<'a>>, End> {
    // RFC 9112 §9.2: bytes without a request are no response. Some servers send a 408 before they
    // end an idle connection.
    if requests.is_empty() {
        return Err(End::Expired);
    }
    match Answer::take(bytes) {
        Ok(answer) => {
            match &answer {
                Some(answer) if answer.is_last => requests.take_last_answered(),
                Some(_) => requests.take_answered(),
                None => {}
            }
            Ok(answer)
        }
        Err(rejection) if rejection.is_timeout() && requests.may_be_sent_again() => {
            Err(End::Expired)
        }
        Err(rejection) => Err(End::Failed(Error::Publish(rejection))),
    }
}

/// Largest number of bytes of one read: about as many as the kernel usually has for one socket.
const READ_BYTES: usize = 256 << 10;

/// Largest capacity in bytes that an empty buffer of a connection keeps allocated.
const KEPT_BYTES: usize = 64 << 10;

fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
