//! The task of one connection after its opening handshake: it reads, calls the protocol, writes,
//! and closes.
//!
//! The task owns its [`Handle`], its protocol and its [`Reader`]. It reads in turns, and at the end
//! of each turn writes all replies of the turn in one write. Bytes that the socket does not take
//! wait in the outbox, which the shard keeps. Publications are written to their subscribers by the
//! shard's tick.
//!
//! The task stores its waker with the shard. The tick writes to the socket with this waker, too. So
//! a socket that was blocked wakes the task, and not the tick. These events wake the task for its
//! next turn:
//!
//! ```text
//!  the socket can be read ───────────────────────────────┐
//!  the socket can be written, after it was blocked ──────┤
//!  the outbox that held the reader up is written ────────┤
//!  a permit to publish is granted ───────────────────────┼─► the task's next turn
//!  memory is no longer exhausted ────────────────────────┤
//!  a round begins, after a turn that left bytes unread ──┤
//!  the connection is ended ──────────────────────────────┘
//! ```
//!
//! [`reader`] has the turns, and `close` the closing handshake.

mod close;
mod reader;

use std::{
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use self::reader::Reader;
use crate::{
    disconnect::Disconnect,
    hub::{
        Agreed, Socket,
        handle::{Handle, publications::Publications},
        shard::Shard,
    },
    protocol,
    protocol::Protocol,
    user::Identity,
};

/// An open connection, with everything that its task needs.
pub(crate) struct Connection {
    handle: Handle,
    protocol: Box<dyn Protocol>,
    reader: Reader,
}

impl Connection {
    /// Makes a connection before its 101 is sent, so that its subscriptions are in force when the
    /// client gets the 101: from now on, publications are queued for the connection. `deflate` is
    /// the agreement of the opening handshake on permessage-deflate.
    ///
    /// # Errors
    ///
    /// The registration of the connection was deleted since the connection claimed it, memory is
    /// too short for its topics, or the shard drains and takes no new connections.
    pub(crate) fn open(
        shard: &Rc<Shard>,
        identity: Identity,
        mut protocol: Box<dyn Protocol>,
        deflate: Option<Agreed>,
    ) -> Result<Self, Disconnect> {
        if shard.draining().is_some() {
            return Err(Disconnect::Restarting);
        }
        // A compressed message is inflated as a whole, so the protocol can't get its fragments.
        let takes_fragments = protocol.wants_fragments() && deflate.is_none();
        let handle = Handle::new(shard, identity.user, deflate);
        let mut publications = Publications::default();
        // All connections of the shard gather their replies in one buffer. It may still hold
        // replies that the last turn made to another connection. A turn clears the buffer when it
        // begins, but `on_open` is called outside of a turn.
        shard.clear_replies();
        protocol.on_open(&mut protocol::Context::new(&handle, &mut publications));
        // There is no socket yet to write the replies to.
        handle.queue_replies();
        match handle.ended() {
            // The client gets its 101, and then the Close.
            None | Some(Disconnect::Application(_)) => {}
            Some(reason) => return Err(reason),
        }
        Ok(Self {
            reader: Reader::new(&handle, &*protocol, takes_fragments, publications),
            handle,
            protocol,
        })
    }

    /// Notes the pattern of the path that the client has requested, for the log.
    pub(crate) fn note_path(&self, path: &'static str) {
        self.handle.note_path(path);
    }

    /// Returns the connection's task, to be spawned on the shard's thread. It completes when the
    /// connection is closed. `leftover` has the bytes that the client sent right behind its
    /// request: its first frames.
    pub(crate) fn start(mut self, socket: Socket, leftover: Vec<u8>) -> Task {
        self.handle.attach(socket);
        self.handle.log_begin(leftover.len());
        self.reader.keep(leftover.into(), self.handle.shard());
        Task::Open(self)
    }

    /// Runs one turn of the connection: writes the outbox, reads, calls the protocol, and writes
    /// the replies. Ready with the reason when the connection has ended. Otherwise pending: then
    /// one of the events in the picture at the head of this file wakes the task for its next turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Disconnect> {
        // The task may have been woken because the connection was ended.
        if let Some(reason) = self.handle.register_waker(cx) {
            return Poll::Ready(reason);
        }
        self.handle.write_queued();
        let read = self.reader.poll(cx, &self.handle, &mut *self.protocol);
        self.handle.flush();
        let shard = self.handle.shard();
        shard.charge_round(shard.turn_time());
        match (read, self.handle.ended()) {
            (Poll::Ready(reason), _) | (Poll::Pending, Some(reason)) => Poll::Ready(reason),
            (Poll::Pending, None) => Poll::Pending,
        }
    }

    /// Ends the connection for `reason` and completes the closing handshake.
    async fn close(self, reason: Disconnect) {
        let Self {
            handle,
            protocol,
            mut reader,
        } = self;
        let until = close::deadline(&handle);
        if reason == Disconnect::Lost {
            close::await_deliveries(&handle, until).await;
        }
        handle.end(reason);
        // The connection may have ended before, for another reason. The first reason counts.
        let reason = handle.ended().unwrap_or(reason);
        let orderly = close::close(&handle, protocol, &mut reader, reason, until).await;
        handle.note_closed(orderly);
    }
}

/// The task of a connection. It is written by hand, because the future of an `async fn` would be
/// several times as large, for every idle connection.
pub(crate) enum Task {
    Open(Connection),
    /// The closing handshake. It is boxed, so that an open connection takes no memory for it.
    Closing(Rc<Shard>, Pin<Box<dyn Future<Output = ()>>>),
    Closed,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shard = match &*self {
            Self::Open(connection) => Rc::clone(connection.handle.shard()),
            Self::Closing(shard, _) => Rc::clone(shard),
            Self::Closed => return Poll::Ready(()),
        };
        // The guard ends the shard if this panics. Without it, tokio would catch the panic, and the
        // shard would go on.
        shard.guard(|| self.poll_open_or_closing(&shard, cx))
    }
}

impl Task {
    /// Polls the open connection. When it has ended, polls its closing handshake.
    fn poll_open_or_closing(&mut self, shard: &Rc<Shard>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Open(connection) = self {
            let reason = ready!(shard.measure(|| connection.poll_turn(cx)));
            if let Self::Open(connection) = mem::replace(self, Self::Closed) {
                *self = Self::Closing(Rc::clone(shard), Box::pin(connection.close(reason)));
            }
        }
        if let Self::Closing(_, closing) = self {
            ready!(shard.measure(|| closing.as_mut().poll(cx)));
            *self = Self::Closed;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests;
