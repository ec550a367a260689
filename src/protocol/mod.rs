//! Meanings of messages: each connection has a [`Protocol`], which is chosen where its request is
//! answered.
//!
//! A connection's task calls its protocol with what the client has sent (in [`incoming`]), and hands it
//! a [`Context`] (in [`context`]), by which it acts: replies, publishes, subscribes, closes. [`echo`],
//! [`chat`] and [`relay`] are the server's own; [`json`] writes what they answer. There is no I/O in
//! here.

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

/// The meaning of what one client sends: a value for each connection, with a state of its own.
///
/// All calls come on the thread of the shard that the connection belongs to, one after the other, and
/// that shard's other connections wait meanwhile: a call must not block. Its time is charged to the
/// connection. A connection that has used up its turn waits for the next one, and one that publishes
/// too much waits until that is delivered; the protocol need not care for either. If a call panics, its
/// shard ends, with every connection that it has.
pub trait Protocol {
    /// The connection is made, and its client does not know yet. What is subscribed to here is in force when
    /// it gets its 101; what is published here is published after that.
    ///
    /// If it [closes](Context::close) the connection, the client gets its 101 and then the Close. If memory
    /// is too short for its topics, the request is refused with 503: what was published here is dropped,
    /// and [`on_close`](Self::on_close) does not come.
    fn on_open(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// The client has sent a message. It is complete, inflated, and within the limits; text is UTF-8.
    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>);

    /// The connection has ended, for this reason: it has left its topics, and gets nothing more. It may
    /// still publish.
    ///
    /// Called once, unless the client has gone before it got its 101, or the hub ends before the
    /// connection does: what must be released in any case is for `Drop`.
    fn on_close(&mut self, reason: Disconnect, cx: &mut Context<'_>) {
        let _ = (reason, cx);
    }

    /// Returns true if a call takes less time than a look at the clock (25 ns), besides what it does by its
    /// context, which is charged in any case: the clock is then not looked at. Asked once, before all else.
    fn is_instant(&self) -> bool {
        false
    }

    /// Returns true if fragmented messages are to come by [`on_fragment`](Self::on_fragment), frame by frame.
    /// Asked once, before all else. Where compression was agreed on, messages come whole all the same: a
    /// compressed message has no frames of its own.
    fn wants_fragments(&self) -> bool {
        false
    }

    /// The client has sent a frame of a fragmented message. By itself no frame of a text need be UTF-8.
    fn on_fragment(&mut self, fragment: Fragment<'_>, cx: &mut Context<'_>) {
        let _ = (fragment, cx);
    }
}
