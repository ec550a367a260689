//! One connection of the generator, and what it does with what its socket has for it.
//!
//! [`clients`] are all connections, on sockets from [`dial`]. [`opening`] is the handshake of one, [`frame`]
//! what it sends, [`messages`] what it gets, and [`relay`] what framecast's relay is asked over HTTP.

pub(crate) mod clients;
mod dial;
pub(crate) mod frame;
pub(crate) mod messages;
pub(crate) mod opening;
pub(crate) mod relay;

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

use rustix::event::epoll::EventFlags;
use slotmap::new_key_type;

use crate::{
    client::{
        frame::{Keys, Opcode},
        messages::{Assembly, Said},
    },
    clock::Moment,
    error::Error,
    plan::Scheme,
};

new_key_type! {
    /// Stands for one connection; never for the next one in its place.
    pub struct ClientKey;
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends messages and gets them back.
    Caller(usize),
    /// Comes and goes.
    Guest,
    /// Is just there.
    Holder,
    /// Publishes a stream.
    Publisher(usize),
    Subscriber(usize),
}

/// What has happened on a connection.
#[derive(Debug)]
pub(crate) enum News<'a> {
    /// A request over HTTP was answered with 200.
    Answered,
    /// It is over. A connection that was told to leave has left.
    Ended,
    Message(&'a [u8]),
    /// The opening handshake is done.
    Opened,
}

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum End {
    /// The server has closed it, perhaps with a code.
    Closed(Option<u16>),
    /// It said goodbye, and the server answered.
    Left,
    Failed(Error),
}

/// Takes part in a run: hears what happens, and answers.
pub(crate) trait Hear {
    fn hear(&mut self, news: News<'_>, line: &mut Line<'_>, now: Moment);
}

/// The way back to the connection that something was heard on.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub key: ClientKey,
    pub role: Role,
    /// When the connection was begun, or was to be.
    pub dialed: Moment,
    output: &'a mut Output,
    keys: &'a mut Keys,
    leaves: &'a mut bool,
}

impl Line<'_> {
    /// Sends a message with the payload that `parts` make up together.
    pub(crate) fn send(&mut self, opcode: Opcode, parts: &[&[u8]]) {
        frame::append(&mut self.output.wire, opcode, self.keys, parts);
    }

    /// Begins the closing handshake.
    pub(crate) fn leave(&mut self) {
        self.send(Opcode::Close, &[&NORMAL_CLOSURE]);
        *self.leaves = true;
    }
}

/// §7.4.1: 1000.
const NORMAL_CLOSURE: [u8; 2] = [0x03, 0xE8];

/// What a connection does first when it is there.
#[derive(Debug)]
pub(crate) enum Opening {
    /// Speaks plain HTTP.
    Http,
    /// Sends this request for the opening handshake.
    Upgrade(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: TcpStream,
    pub(super) role: Role,
    pub(super) dialed: Moment,
    pub(super) stage: Stage,
    pub(super) output: Output,
    /// What it waits for.
    pub(super) interest: EventFlags,
    /// Received, but not all there to be understood.
    rest: Vec<u8>,
    assembly: Assembly,
    leaves: bool,
}

/// ```text
/// Connecting ─► Upgrading ─► Open
///         └───────────────► Http
/// ```
#[derive(Debug)]
pub(super) enum Stage {
    Connecting(Opening),
    Http,
    Open,
    Upgrading,
}

impl Client {
    pub(super) fn new(
        socket: TcpStream,
        scheme: Scheme,
        role: Role,
        opening: Opening,
        dialed: Moment,
    ) -> Self {
        Self {
            socket,
            role,
            dialed,
            stage: Stage::Connecting(opening),
            output: Output::default(),
            interest: EventFlags::OUT,
            rest: Vec::new(),
            assembly: Assembly::new(scheme),
            leaves: false,
        }
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Upgrading)
    }

    /// Appends a message; see [`Line::send`].
    pub(super) fn send(&mut self, opcode: Opcode, keys: &mut Keys, parts: &[&[u8]]) {
        frame::append(&mut self.output.wire, opcode, keys, parts);
    }

    /// Begins the closing handshake.
    pub(super) fn leave(&mut self, keys: &mut Keys) {
        self.send(Opcode::Close, keys, &[&NORMAL_CLOSURE]);
        self.leaves = true;
    }

    /// Goes on after the socket has connected, or has not.
    pub(super) fn connected(&mut self) -> io::Result<IsOpen> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        self.interest = EventFlags::IN;
        match &mut self.stage {
            Stage::Connecting(Opening::Upgrade(request)) => {
                self.output.wire.append(request);
                self.stage = Stage::Upgrading;
                Ok(IsOpen::NotYet)
            }
            _ => {
                self.stage = Stage::Http;
                Ok(IsOpen::Now)
            }
        }
    }

    /// Reads once, and tells the ear what it says.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, to: Ear<'_>) -> Result<(), End> {
        let kept = self.rest.len();
        if buffer.len() < kept + READ_BYTES {
            buffer.resize(kept + READ_BYTES, 0);
        }
        buffer[..kept].copy_from_slice(&self.rest);
        let read = match self.socket.read(&mut buffer[kept..]) {
            Ok(0) if self.leaves => return Err(End::Left),
            Ok(0) => return Err(End::Closed(None)),
            Ok(read) => read,
            Err(error) if is_temporary(&error) => return Ok(()),
            // However it goes about it.
            Err(_) if self.leaves => return Err(End::Left),
            Err(error) => return Err(End::Failed(Error::Broken(error))),
        };
        let bytes = &buffer[..kept + read];
        let taken = self.understand(bytes, to)?;
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[taken..]);
        if self.rest.is_empty() && self.rest.capacity() > KEPT_BYTES {
            self.rest = Vec::new();
        }
        Ok(())
    }

    /// Takes all that is complete; how many bytes that was.
    fn understand(&mut self, bytes: &[u8], to: Ear<'_>) -> Result<usize, End> {
        let Ear { key, keys, ear } = to;
        // One look at the clock for all that one read has brought.
        let now = Moment::now();
        let mut taken = 0;
        while taken < bytes.len() {
            let mut told = |news: News<'_>, line: &mut Line<'_>| ear.hear(news, line, now);
            let Some(step) = self.step(&bytes[taken..], key, keys, &mut told)? else {
                break;
            };
            taken += step;
        }
        Ok(taken)
    }

    fn step(
        &mut self,
        bytes: &[u8],
        key: ClientKey,
        keys: &mut Keys,
        tell: &mut impl FnMut(News<'_>, &mut Line<'_>),
    ) -> Result<Option<usize>, End> {
        let mut line = Line {
            key,
            role: self.role,
            dialed: self.dialed,
            output: &mut self.output,
            keys,
            leaves: &mut self.leaves,
        };
        match self.stage {
            Stage::Connecting(_) => Ok(None),
            Stage::Upgrading => {
                let refused = |refusal| End::Failed(Error::Refused(refusal));
                let taken = opening::check(self.assembly.scheme(), bytes).map_err(refused)?;
                if taken.is_some() {
                    self.stage = Stage::Open;
                    tell(News::Opened, &mut line);
                }
                Ok(taken)
            }
            Stage::Http => {
                let refused = |refusal| End::Failed(Error::Publish(refusal));
                let answer = relay::take_answer(bytes).map_err(refused)?;
                Ok(answer.map(|(_, end)| {
                    tell(News::Answered, &mut line);
                    end
                }))
            }
            Stage::Open => {
                let mut closed = None;
                let taken = self.assembly.take(bytes, |said| match said {
                    Said::Message(payload) => tell(News::Message(payload), &mut line),
                    Said::Ping(payload) => line.send(Opcode::Pong, &[payload]),
                    Said::Close(code) => closed = Some(code),
                });
                match (taken, closed) {
                    (Err(violation), _) => Err(End::Failed(Error::Violation(violation))),
                    (Ok(_), Some(_)) if self.leaves => Err(End::Left),
                    (Ok(_), Some(code)) => Err(End::Closed(code)),
                    (Ok(taken), None) => Ok(taken),
                }
            }
        }
    }

    /// Tells the ear something that no bytes have said.
    pub(super) fn tell(&mut self, news: News<'_>, to: Ear<'_>) {
        let Ear { key, keys, ear } = to;
        let mut line = Line {
            key,
            role: self.role,
            dialed: self.dialed,
            output: &mut self.output,
            keys,
            leaves: &mut self.leaves,
        };
        ear.hear(news, &mut line, Moment::now());
    }
}

/// Who hears what happens on connection `key`.
pub(super) struct Ear<'a> {
    pub(super) key: ClientKey,
    pub(super) keys: &'a mut Keys,
    pub(super) ear: &'a mut dyn Hear,
}

/// Whether a connection can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IsOpen {
    NotYet,
    Now,
}

/// As much as the kernel usually has for one socket.
const READ_BYTES: usize = 256 << 10;

/// What a connection may keep allocated for the next half message.
const KEPT_BYTES: usize = 64 << 10;

pub(super) fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Bytes that wait for a socket.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) wire: Vec<u8>,
    written: usize,
}

impl Output {
    pub(super) fn len(&self) -> usize {
        self.wire.len() - self.written
    }

    /// Writes once, which is all unless the socket is full.
    pub(super) fn flush(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        if self.len() == 0 {
            return Ok(());
        }
        match socket.write(&self.wire[self.written..]) {
            Ok(written) => self.written += written,
            Err(error) if is_temporary(&error) => {}
            Err(error) => return Err(error),
        }
        if self.len() == 0 {
            self.wire.clear();
            self.written = 0;
            if self.wire.capacity() > KEPT_BYTES {
                self.wire = Vec::new();
            }
        } else if self.written > KEPT_BYTES {
            self.wire.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }
}
