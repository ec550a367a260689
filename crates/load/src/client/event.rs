//! Events of connections, and the trait of their handler.

use slotmap::new_key_type;

use crate::{
    client::{
        frame::{self, Keys, Opcode},
        messages::Message,
        output::Output,
    },
    clock::Moment,
    error::Error,
};

new_key_type! {
    /// Identifies one connection. A key is not used again for a later connection.
    pub struct ClientKey;
}

/// The role of a connection in its scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends messages, which the server sends back. The number is its index among the callers of
    /// this process.
    Caller(usize),
    /// Connects and leaves during the run.
    Churner,
    /// Stays open, and sends nothing.
    Holder,
    /// Publishes the messages of the stream with this number.
    Publisher(usize),
    /// Subscribes to a topic for the whole run. The number is its index among the subscribers of
    /// this process.
    Subscriber(usize),
}

/// Something that has happened on a connection.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A request over HTTP was answered with a 2xx status.
    Answered,
    /// The connection has ended, for whatever reason.
    Ended,
    Message(Message<'a>),
    /// The opening handshake is done.
    Opened,
}

/// The reason why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The server closed the connection, with this close code if it sent one, and with this reason,
    /// which is made safe to print and may be empty.
    Closed(Option<u16>, String),
    /// The server ended a connection for HTTP requests between two responses, as it may at any
    /// time.
    Expired,
    Failed(Error),
    /// The client began the closing handshake, and then the server answered it or ended the
    /// connection.
    Left,
}

/// Handles the events of all connections of a run.
pub(crate) trait Handler {
    fn on_event(&mut self, event: Event<'_>, conn: &mut Conn<'_>, now: Moment);
}

/// The connection on which an event happened, with the calls that a handler may make.
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
    /// The time for which the connect was scheduled.
    pub(super) dialed: Moment,
    pub(super) output: Output,
    pub(super) leave: Leave,
}

/// The part of the client in the closing handshake of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Leave {
    /// The Close is sent, or waits for the socket.
    Begun,
    /// The Close was queued since the last [`State::take_leave`].
    Queued,
    /// The client has not begun it.
    #[default]
    Staying,
}

impl State {
    /// Returns true once the client has begun the closing handshake.
    pub(super) fn is_leaving(&self) -> bool {
        self.leave != Leave::Staying
    }

    /// Returns true once, at the first call after the client has begun the closing handshake.
    pub(super) fn take_leave(&mut self) -> bool {
        let is_new = self.leave == Leave::Queued;
        if is_new {
            self.leave = Leave::Begun;
        }
        is_new
    }
}

impl<'a> Conn<'a> {
    pub(super) fn new(key: ClientKey, state: &'a mut State, keys: &'a mut Keys) -> Self {
        Self { key, state, keys }
    }

    pub(crate) fn role(&self) -> Role {
        self.state.role
    }

    /// Returns the time for which the connect was scheduled.
    pub(crate) fn dialed(&self) -> Moment {
        self.state.dialed
    }

    /// Queues a frame. Its payload is `parts`, one after the other.
    pub(crate) fn send(&mut self, opcode: Opcode, parts: &[&[u8]]) {
        frame::append(&mut self.state.output.wire, opcode, self.keys, parts);
    }

    /// Begins the closing handshake, with close code 1000. A second call does nothing.
    pub(crate) fn leave(&mut self) {
        if !self.state.is_leaving() {
            self.send(Opcode::Close, &[&NORMAL_CLOSURE]);
            self.state.leave = Leave::Queued;
        }
    }
}

/// Close code 1000 (RFC 6455 §7.4.1).
pub(super) const NORMAL_CLOSURE: [u8; 2] = [0x03, 0xE8];
