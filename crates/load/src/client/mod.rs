//! One connection of the generator: its state, and the reading of its socket.
//!
//! [`clients`] are all connections of a process, on sockets from [`dial`]. [`event`] has the events of which a scenario is
//! told, and its answers. [`handshake`] opens a WebSocket, [`frame`] is what it sends, [`messages`] what it gets,
//! and [`output`] what waits for its socket. [`http`] reads answers; [`dialog`] is a connection that waits for
//! each, and [`relay`] what framecast's relay is asked.

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

/// One connection.
#[derive(Debug)]
struct Client {
    socket: TcpStream,
    stage: Stage,
    /// The readiness of the socket that is waited for.
    interest: EventFlags,
    state: State,
    /// Received, but not all there to be understood.
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
    /// With the request for the opening handshake; without one, it is to speak plain HTTP.
    Connecting(Option<Vec<u8>>),
    Http,
    Open,
    Upgrading,
}

/// The handler, and all else that it takes to tell it of an event on a connection.
struct Context<'a> {
    key: ClientKey,
    keys: &'a mut Keys,
    handler: &'a mut dyn Handler,
}

impl Client {
    /// Returns a connection that is not open yet; `request` is that for the opening handshake.
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

    /// Returns true until the connection can be used.
    fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Upgrading)
    }

    fn conn<'a>(&'a mut self, key: ClientKey, keys: &'a mut Keys) -> Conn<'a> {
        Conn::new(key, &mut self.state, keys)
    }

    /// Goes on after the socket has connected, or has failed to. A connection for plain HTTP is
    /// open then.
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

    /// Reads once, and tells the handler what that has brought.
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
            // A server may end a connection that leaves by a reset, too.
            Err(_) if self.state.is_leaving => return Err(End::Left),
            Err(error) => return Err(End::Failed(Error::Broken(error))),
        };
        let bytes = &buffer[..kept + read];
        let taken = self.understand(bytes, context)?;
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[taken..]);
        if self.rest.is_empty() && self.rest.capacity() > KEPT_BYTES {
            self.rest = Vec::new();
        }
        Ok(())
    }

    /// Takes all that is complete, and returns how many bytes that was.
    fn understand(&mut self, bytes: &[u8], context: Context<'_>) -> Result<usize, End> {
        let Context { key, keys, handler } = context;
        // The clock is read once for all that one read has brought.
        let now = Moment::now();
        let mut taken = 0;
        while taken < bytes.len() {
            let mut on_event = |event: Event<'_>, conn: &mut Conn<'_>| {
                handler.on_event(event, conn, now);
            };
            let Some(step) = self.step(&bytes[taken..], key, keys, &mut on_event)? else {
                break;
            };
            taken += step;
        }
        Ok(taken)
    }

    /// Takes the next thing that `bytes` begin with, and returns how many of them that was, or `None`
    /// if it is not all there.
    fn step(
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

    /// Tells the handler of an event that no bytes have brought.
    fn notify(&mut self, event: Event<'_>, context: Context<'_>) {
        let Context { key, keys, handler } = context;
        handler.on_event(event, &mut self.conn(key, keys), Moment::now());
    }
}

/// As much as the kernel usually has for one socket.
const READ_BYTES: usize = 256 << 10;

/// Bytes that a connection may keep allocated for the next half message.
const KEPT_BYTES: usize = 64 << 10;

fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
