//! Events of a connection, and their handler.

use slotmap::new_key_type;

use crate::{
    client::{
        frame::{self, Keys, Opcode},
        output::Output,
    },
    clock::Moment,
    error::Error,
};

new_key_type! {
    /// Stands for one connection; never for the next one in its place.
    pub struct ClientKey;
}

/// The part that a connection has in its scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends messages and gets them back.
    Caller(usize),
    /// Comes and goes.
    Churner,
    /// Is held open, and does nothing.
    Holder,
    /// Publishes a stream.
    Publisher(usize),
    Subscriber(usize),
}

/// Something that has happened on a connection.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A request over HTTP was answered with 200.
    Answered,
    /// The connection is over. One that was to leave has left.
    Ended,
    Message(&'a [u8]),
    /// The opening handshake is done.
    Opened,
}

/// The end of a connection.
#[derive(Debug)]
pub(crate) enum End {
    /// The server has closed it, perhaps with a code.
    Closed(Option<u16>),
    Failed(Error),
    /// It began the closing handshake, and the server answered.
    Left,
}

/// Handles what happens on all connections of a run.
pub(crate) trait Handler {
    fn on_event(&mut self, event: Event<'_>, conn: &mut Conn<'_>, now: Moment);
}

/// The connection of an event, as far as a handler may use it.
#[derive(Debug)]
pub(crate) struct Conn<'a> {
    pub key: ClientKey,
    state: &'a mut State,
    keys: &'a mut Keys,
}

/// The part of a connection that a handler may see and change.
#[derive(Debug)]
pub(super) struct State {
    pub(super) role: Role,
    /// The moment at which the connection was begun, or was to be.
    pub(super) dialed: Moment,
    pub(super) output: Output,
    /// True once this side has begun the closing handshake.
    pub(super) is_leaving: bool,
}

impl<'a> Conn<'a> {
    pub(super) fn new(key: ClientKey, state: &'a mut State, keys: &'a mut Keys) -> Self {
        Self { key, state, keys }
    }

    pub(crate) fn role(&self) -> Role {
        self.state.role
    }

    /// Returns when the connection was begun, or was to be.
    pub(crate) fn dialed(&self) -> Moment {
        self.state.dialed
    }

    /// Appends a message to what the connection sends, with the payload that `parts` make up together.
    pub(crate) fn send(&mut self, opcode: Opcode, parts: &[&[u8]]) {
        frame::append(&mut self.state.output.wire, opcode, self.keys, parts);
    }

    /// Begins the closing handshake.
    pub(crate) fn leave(&mut self) {
        self.send(Opcode::Close, &[&NORMAL_CLOSURE]);
        self.state.is_leaving = true;
    }
}

/// RFC 6455 §7.4.1: 1000.
const NORMAL_CLOSURE: [u8; 2] = [0x03, 0xE8];
