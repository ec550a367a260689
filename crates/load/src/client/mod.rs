//! Connections of the generator. This file has the state of one, and reads its socket.
//!
//! [`clients`] has all connections of a process, on sockets from [`dial`]. [`event`] has the events
//! that a scenario handles, and the calls with which it sends. [`handshake`] is the opening
//! handshake, [`frame`] encodes what a client sends, [`messages`] parses what it receives, and
//! [`output`] buffers what its socket does not take. [`http`] parses responses. [`dialog`] is a
//! blocking connection, over which [`relay`] registers connections at framecast's relay.

pub(crate) mod clients;
mod dial;
pub(crate) mod dialog;
pub(crate) mod event;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod http;
pub(crate) mod messages;
mod output;
pub(crate) mod relay;

use std::{
    io::{self, Read as _},
    net::TcpStream,
};

use rustix::event::epoll::EventFlags;

use self::{
    event::{ClientKey, Conn, End, Event, Handler, Role, State},
    frame::{Keys, Opcode},
    http::Answer,
    messages::{Assembly, Incoming},
    output::Output,
};
use crate::{clock::Moment, error::Error, plan::Scheme};

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
}

/// The stage of a connection.
///
/// ```text
/// Connecting ─► Upgrading ─► Open
///         └───────────────► Http
/// ```
#[derive(Debug)]
enum Stage {
    /// The socket connects. Then the client sends this request for the opening handshake; if there
    /// is none, the connection is used for plain HTTP.
    Connecting(Option<Vec<u8>>),
    /// HTTP requests can be sent.
    Http,
    /// WebSocket messages can be sent.
    Open,
    /// The request for the opening handshake is sent, the response is awaited.
    Upgrading,
}

/// The event handler of a run, with the key of the connection whose events it is to handle.
struct Context<'a> {
    key: ClientKey,
    keys: &'a mut Keys,
    handler: &'a mut dyn Handler,
}

impl Client {
    /// Returns a connection whose socket is still connecting. `request` is that of the opening
    /// handshake, or `None` for a connection for plain HTTP. `dialed` is the time for which the
    /// connect was scheduled.
    fn new(
        socket: TcpStream,
        scheme: Scheme,
        role: Role,
        request: Option<Vec<u8>>,
        dialed: Moment,
    ) -> Self {
        Self {
            socket,
            stage: Stage::Connecting(request),
            interest: EventFlags::OUT,
            state: State {
                role,
                dialed,
                output: Output::default(),
                is_leaving: false,
            },
            rest: Vec::new(),
            assembly: Assembly::new(scheme),
        }
    }

    /// Returns true until the connection is open, for WebSocket messages or for HTTP requests.
    fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Upgrading)
    }

    fn conn<'a>(&'a mut self, key: ClientKey, keys: &'a mut Keys) -> Conn<'a> {
        Conn::new(key, &mut self.state, keys)
    }

    /// Handles the end of the TCP connect. A connection for plain HTTP is open then. For a
    /// WebSocket, queues the request of the opening handshake.
    ///
    /// # Errors
    ///
    /// The connect failed.
    fn on_connected(&mut self, context: Context<'_>) -> io::Result<()> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        self.interest = EventFlags::IN;
        if let Stage::Connecting(Some(request)) = &mut self.stage {
            self.state.output.wire.append(request);
            self.stage = Stage::Upgrading;
        } else {
            self.stage = Stage::Http;
            self.notify(Event::Opened, context);
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
            Ok(0) if self.state.is_leaving => return Err(End::Left),
            Ok(0) => return Err(End::Closed(None)),
            Ok(read) => read,
            Err(error) if is_temporary(&error) => return Ok(()),
            // A server may answer the closing handshake by a reset, too.
            Err(_) if self.state.is_leaving => return Err(End::Left),
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
        match self.stage {
            Stage::Connecting(_) => Ok(None),
            Stage::Upgrading => {
                let rejected = |rejection| End::Failed(Error::Rejected(rejection));
                let taken = handshake::check(self.assembly.scheme(), bytes).map_err(rejected)?;
                if taken.is_some() {
                    self.stage = Stage::Open;
                    on_event(Event::Opened, &mut conn);
                }
                Ok(taken)
            }
            Stage::Http => {
                let rejected = |rejection| End::Failed(Error::Publish(rejection));
                let answer = Answer::take(bytes).map_err(rejected)?;
                Ok(answer.map(|answer| {
                    on_event(Event::Answered, &mut conn);
                    answer.len
                }))
            }
            Stage::Open => {
                // The code of a Close, if one arrives: `Some(None)` for a Close without a code.
                let mut closed = None;
                let taken = self.assembly.take(bytes, |incoming| match incoming {
                    Incoming::Message(payload) => on_event(Event::Message(payload), &mut conn),
                    Incoming::Ping(payload) => conn.send(Opcode::Pong, &[payload]),
                    Incoming::Close(code) => closed = Some(code),
                });
                match (taken, closed) {
                    (Err(error), _) => Err(End::Failed(Error::Protocol(error))),
                    (Ok(_), Some(_)) if self.state.is_leaving => Err(End::Left),
                    (Ok(_), Some(code)) => Err(End::Closed(code)),
                    (Ok(taken), None) => Ok(taken),
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

/// Most bytes of one read: about as many as the kernel usually has for one socket.
const READ_BYTES: usize = 256 << 10;

/// Most bytes that an empty buffer of a connection keeps allocated.
const KEPT_BYTES: usize = 64 << 10;

fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
