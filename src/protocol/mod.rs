//! Protocols: the meaning of the messages of a connection. Each connection has one [`Protocol`].
//! The code that answers the upgrade request chooses it.
//!
//! A connection's task calls its protocol with the messages of the client (in [`incoming`]) and
//! with a [`Context`] (in [`context`]), through which the protocol replies, publishes, subscribes
//! and closes. [`echo`], [`chat`] and [`relay`] are the server's own protocols. [`json`] writes
//! JSON for clients. Nothing in this folder does I/O.

pub(crate) mod chat;
pub(crate) mod context;
pub(crate) mod echo;
mod incoming;
pub(crate) mod json;
pub(crate) mod relay;

pub use self::{
    context::Context,
    incoming::{Fragment, Incoming},
};
use crate::disconnect::Disconnect;

/// A handler of the messages of one connection. Each connection has a handler of its own, which may
/// have a state.
///
/// All calls are made on the thread of the shard that the connection belongs to, one after the
/// other. The shard's other connections wait meanwhile, so a call must not block. The time of a
/// call is charged to the connection. A connection that has used up its turn is not read until its
/// next turn, and a connection that publishes more than the hub can deliver is not read until it
/// may publish again. The protocol need not care about these two limits. If a call panics, the
/// shard ends with all of its connections.
pub trait Protocol {
    /// Handles a new connection, before its client gets the 101. Subscriptions that this call makes
    /// are in force when the client gets the 101. Messages that this call publishes are published
    /// after the 101.
    ///
    /// If this call [closes](Context::close) the connection, the client gets the 101 and then the
    /// Close. If memory is too short for the topics, the request is refused with 503: the messages
    /// that this call has published are dropped, and [`on_close`](Self::on_close) is not called.
    fn on_open(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Handles a message from the client. The message is complete, inflated, and within the limits.
    /// If it is text, it is valid UTF-8.
    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>);

    /// Handles the end of the connection, for this `reason`. The connection has left its topics and
    /// gets nothing more, but may still publish.
    ///
    /// This is called once. It is not called if the client left before it got the 101, nor if the
    /// hub ends before the connection does. Release in `Drop` what must be released in any case.
    fn on_close(&mut self, reason: Disconnect, cx: &mut Context<'_>) {
        let _ = (reason, cx);
    }

    /// Returns true if each call of the protocol takes less time than reading the clock (25 ns).
    /// Work that a call does through its context does not count: it is charged in any case. The
    /// time of instant calls is not measured by the clock. This method is called once, before all
    /// others.
    fn is_instant(&self) -> bool {
        false
    }

    /// Returns true if [`on_fragment`](Self::on_fragment) is to handle fragmented messages, frame
    /// by frame. If compression was agreed on, all messages go to `on_message` nevertheless: a
    /// compressed message can only be inflated as a whole. This method is called once, before all
    /// others.
    fn wants_fragments(&self) -> bool {
        false
    }

    /// Handles a frame of a fragmented message, if the protocol [wants](Self::wants_fragments) to.
    /// A frame of a text need not be valid UTF-8 by itself.
    fn on_fragment(&mut self, fragment: Fragment<'_>, cx: &mut Context<'_>) {
        let _ = (fragment, cx);
    }
}
