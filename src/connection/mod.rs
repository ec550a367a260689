//! One connection's life after its opening handshake: read, react, write, close.
//!
//! The connection's task owns its [`Handle`] and its [`Reader`]; what can't go out at
//! once waits in the outbox that the shard keeps. The task reads in turns, and writes at the end of
//! each what the turn's messages were answered with, in one write. What others publish is written
//! by the shard's tick.
//!
//! The task leaves its waker in its handle, and whoever writes to the socket writes with that one:
//!
//! ```text
//!  the socket can be read ──────────────────────────────┐
//!  the socket takes more, after it was blocked ─────────┤
//!  all is written, after reading was held up for it ────┼─► the task's next turn
//!  somebody has ended the connection ───────────────────┘
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

use tracing::debug;

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

/// A connection of a shard.
pub(crate) struct Connection {
    handle: Handle,
    protocol: Box<dyn Protocol>,
    reader: Reader,
}

impl Connection {
    /// Prepares a connection while its opening handshake is under way, in which `deflate` was
    /// agreed on. Its subscriptions are in force from then on: what is published is queued for it.
    ///
    /// # Errors
    ///
    /// If its registration was deleted meanwhile, memory is too short for its topics, or the shard takes no
    /// connections any more.
    pub(crate) fn open(
        shard: &Rc<Shard>,
        identity: Identity,
        mut protocol: Box<dyn Protocol>,
        deflate: Option<Agreed>,
    ) -> Result<Self, Disconnect> {
        if shard.draining().is_some() {
            return Err(Disconnect::Restarting);
        }
        // Compressed messages have no frames of their own.
        let takes_fragments = protocol.wants_fragments() && deflate.is_none();
        let handle = Handle::new(shard, identity.user, deflate);
        let mut publications = Publications::default();
        // Outside all turns, and so behind whatever the last one has left.
        shard.skip_turn();
        protocol.on_open(&mut protocol::Context::new(&handle, &mut publications));
        // There is no socket yet.
        handle.queue_replies();
        match handle.ended() {
            // The client is told by a Close.
            None | Some(Disconnect::Application(_)) => {}
            Some(reason) => return Err(reason),
        }
        Ok(Self {
            reader: Reader::new(&handle, &*protocol, takes_fragments, publications),
            handle,
            protocol,
        })
    }

    /// Starts the connection on its socket; to be spawned on the shard's thread. Completes when it
    /// is closed. `leftover` is what the client sent behind its request: the first of its frames.
    pub(crate) fn start(mut self, socket: Socket, leftover: Vec<u8>) -> Task {
        self.reader.keep(leftover.into(), self.handle.shard());
        self.handle.attach(socket);
        Task::Open(self)
    }

    /// One turn: write, read and react, write the reactions. Ready when the connection has ended.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Disconnect> {
        // Woken by the end: the reason. Woken by a socket that can be written to again: go on.
        if let Some(reason) = self.handle.register_waker(cx) {
            return Poll::Ready(reason);
        }
        self.handle.write_queued();
        let read = self.reader.poll(cx, &self.handle, &mut *self.protocol);
        self.handle.flush();
        let shard = self.handle.shard();
        shard.use_up(shard.turn_time());
        match (read, self.handle.ended()) {
            (Poll::Ready(reason), _) | (Poll::Pending, Some(reason)) => Poll::Ready(reason),
            (Poll::Pending, None) => Poll::Pending,
        }
    }

    async fn close(mut self, reason: Disconnect) {
        self.handle.end(reason);
        // Of several reasons the first one counts.
        let reason = self.handle.ended().unwrap_or(reason);
        let orderly = close::close(&self.handle, self.protocol, &mut self.reader, reason).await;
        debug!(connection = ?*self.handle, %reason, orderly, "closed");
    }
}

/// A connection's task. A future written by hand, because a compiled one would be several times
/// as large, for every idle connection.
pub(crate) enum Task {
    Open(Connection),
    /// Boxed: what only the end needs costs nothing before.
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
        // Otherwise tokio would catch a panic, and nobody would hear of it.
        shard.guard(|| self.poll_life(&shard, cx))
    }
}

impl Task {
    fn poll_life(&mut self, shard: &Rc<Shard>, cx: &mut Context<'_>) -> Poll<()> {
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
