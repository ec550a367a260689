//! The handle by which a connection's task reaches the connection's entry in its shard.
//!
//! [`receiving`] has the functions to read, [`subscribing`] those to change topics, and
//! [`publishing`] those to publish the [`publications`] that a turn has gathered. [`logging`] logs
//! the begin and the end of the connection.

mod logging;
pub(crate) mod publications;
mod publishing;
pub(crate) mod receiving;
pub(crate) mod subscribing;

use std::{
    fmt, io,
    ops::Deref,
    rc::Rc,
    task::{Context, Poll},
    thread,
};

use bytes::Bytes;

use crate::{
    disconnect::Disconnect,
    hub::{
        ids::{ConnectionId, PeerKey},
        peer::{Peer, replies::Replies, socket::Socket},
        publication::{
            compression::{Agreed, Compression},
            segment::Segment,
        },
        shard::{
            Shard,
            peers::{WRITE, WRITTEN_PER_NANOSECOND},
        },
    },
    metrics::incidents::Incident,
    user::UserId,
    wire::{
        close::CloseCode,
        frame::{Frame, Kind},
    },
};

/// The handle that owns a connection's entry in its shard. Dropping it removes the entry: the
/// connection leaves its topics, its socket is closed and nothing more is delivered to it.
///
/// Not `Clone`, because a connection ends once. A `Handle` dereferences to a [`HandleRef`], which
/// can be cloned.
#[derive(Debug)]
pub(crate) struct Handle(HandleRef);

/// A handle that does not own the entry. Once the entry is removed, the connection counts as ended.
#[derive(Clone)]
pub(crate) struct HandleRef {
    shard: Rc<Shard>,
    key: PeerKey,
}

impl Handle {
    /// Adds a connection to its shard, while its opening handshake is still under way.
    pub(crate) fn new(shard: &Rc<Shard>, user: Option<UserId>, deflate: Option<Agreed>) -> Self {
        let compression = Compression::new(deflate, &shard.config().deflate);
        let mut state = shard.state.borrow_mut();
        let key = state.insert(user, compression);
        state.count_connections();
        let handle = HandleRef {
            shard: Rc::clone(shard),
            key,
        };
        drop(state);
        handle.add_log();
        Self(handle)
    }
}

impl Deref for Handle {
    type Target = HandleRef;

    fn deref(&self) -> &HandleRef {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // After a panic the state may be inconsistent, so it is not changed any more. It must also
        // keep every peer, because each peer is still sent a Close.
        if self.shard.has_panicked() || thread::panicking() {
            return;
        }
        let removed = self.shard.state.borrow_mut().remove(self.key);
        if let Some(peer) = removed {
            peer.log_end(self.id());
        }
        self.shard.departure.notify_waiters();
    }
}

impl HandleRef {
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    pub(crate) fn id(&self) -> ConnectionId {
        ConnectionId {
            shard: self.shard.index,
            key: self.key,
        }
    }

    /// Gives the connection its socket, to which its outbox can be written from now on.
    pub(crate) fn attach(&self, socket: Socket) {
        self.with(|peer| peer.socket = Some(socket));
    }

    /// Stores the waker of the connection's task, which is woken when the socket can be read or
    /// written, and when the connection is ended. Returns the reason why the connection ended, if
    /// it has.
    pub(crate) fn register_waker(&self, cx: &Context<'_>) -> Option<Disconnect> {
        let ended = self.with(|peer| {
            if !peer
                .waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                peer.waker = Some(cx.waker().clone());
            }
            peer.ended
        });
        ended.unwrap_or(Some(Disconnect::Lost))
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.with(|peer| peer.ended.is_some()).unwrap_or(true)
    }

    /// Ends the connection, unless it has ended already: the first reason counts.
    pub(crate) fn end(&self, reason: Disconnect) {
        self.shard.state.borrow_mut().end(self.key, reason);
    }

    /// Ends another connection, if it still exists.
    pub(crate) fn end_other(&self, connection: ConnectionId, reason: Disconnect) {
        self.shard.links.end(connection, reason);
    }

    /// Returns the reason why the connection ended, if it has.
    pub(crate) fn ended(&self) -> Option<Disconnect> {
        self.with(|peer| peer.ended)
            .unwrap_or(Some(Disconnect::Lost))
    }

    /// Returns the user of the connection, or `None` if it is anonymous.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.with(|peer| peer.user.clone()).flatten()
    }

    /// Ends the connection with a Close whose code and reason its protocol has chosen. The Close
    /// follows all replies.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        self.queue_replies();
        let frame = Frame::close(code.get(), reason);
        let mut state = self.shard.state.borrow_mut();
        state.end_with(self.key, Disconnect::Application(code), Some(frame));
    }

    /// Ends the connection, because memory is too short for the topics that the client wants to
    /// follow.
    pub(crate) fn refuse(&self) {
        let counts = &self.shard.ledger().budget().counts;
        let mut state = self.shard.state.borrow_mut();
        state.end_for_memory(self.key, Disconnect::Overloaded, Incident::RefusedTopics);
        counts.refused_topics.increment();
    }

    /// Adds a reply behind the earlier replies of this turn. All of them are written at the next
    /// [`flush`](Self::flush).
    pub(crate) fn reply(&self, frame: Frame) {
        self.spend(self.cost_of_reply(frame.payload().len()));
        let replies = &mut self.shard.replies.borrow_mut();
        self.shard
            .state
            .borrow_mut()
            .reply(self.key, frame, replies);
    }

    /// Returns the cost of a reply of `bytes`, in nanoseconds: the cost of compressing it, but at
    /// least 1 ns for each byte.
    fn cost_of_reply(&self, bytes: usize) -> u64 {
        let is_large_enough = bytes >= self.shard.config().deflate.min_bytes;
        let cost = self.with(|peer| peer.compression.cost_of_reply(bytes));
        let compressing = cost.filter(|_| is_large_enough);
        compressing.unwrap_or(0).max(bytes as u64)
    }

    /// Replies with a message that is not compressed.
    #[inline]
    pub(crate) fn reply_plain(&self, kind: Kind, payload: &[u8]) {
        if !self.shard.replies.borrow_mut().push_message(kind, payload) {
            self.flush_and_reply(kind, payload);
        }
    }

    /// Writes the gathered replies first, because this reply does not fit behind them, and then
    /// adds this reply.
    #[cold]
    fn flush_and_reply(&self, kind: Kind, payload: &[u8]) {
        self.flush();
        let fits = self.shard.replies.borrow_mut().push_message(kind, payload);
        if !fits {
            // The reply alone is too large to be gathered, and is queued to the outbox.
            self.reply(Frame::message(kind, payload));
        }
    }

    /// Queues a Ping or Pong ahead of all messages.
    pub(crate) fn control(&self, frame: Bytes) {
        let ledger = self.shard.ledger();
        ledger.read_clock();
        let frame = Segment::unshared(frame, ledger);
        self.with(|peer| peer.outbox.push_control(frame));
    }

    /// Moves the gathered replies to the outbox without writing them. This is for a connection that
    /// has no socket yet, and for a caller that queues another frame next, which must follow the
    /// replies.
    pub(crate) fn queue_replies(&self) {
        let replies = &mut self.shard.replies.borrow_mut();
        let taken_by_socket = 0;
        self.with(|peer| peer.queue_replies(replies, taken_by_socket, self.shard.ledger()));
    }

    /// Queues the Close that answers the peer's Close, as the last frame of the connection.
    pub(crate) fn answer_close(&self, close: Bytes) {
        self.queue_replies();
        let ledger = self.shard.ledger();
        self.with(|peer| peer.seal_to_end(Segment::unshared(close, ledger)));
    }

    /// Writes the outbox, as far as the socket takes it now.
    pub(crate) fn write_queued(&self) {
        self.shard.write(self.key, &mut Replies::default());
    }

    /// Writes the outbox and the replies of the turn, as far as the socket takes them now.
    pub(crate) fn flush(&self) {
        let replies = &mut self.shard.replies.borrow_mut();
        if !replies.is_empty() {
            self.spend(WRITE + replies.as_bytes().len() as u64 / WRITTEN_PER_NANOSECOND);
        }
        self.shard.write(self.key, replies);
    }

    /// Writes the outbox of a connection that has ended. Ready when the whole outbox is written, or
    /// the socket has failed. While this is pending, the waker that the task has
    /// [registered](Self::register_waker) is woken when the socket takes bytes again, or when the
    /// shard's tick has written the rest of the outbox.
    pub(crate) fn poll_flushed(&self) -> Poll<()> {
        self.write_queued();
        match self.with(|peer| peer.outbox.is_empty()) {
            Some(false) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Returns true if permessage-deflate was agreed on with the peer.
    pub(crate) fn may_inflate(&self) -> bool {
        self.with(|peer| !peer.compression.is_off())
            .unwrap_or(false)
    }

    /// Holds the peer up, so that nothing is read from it, if too many bytes of replies wait in the
    /// outbox. The connection's task is woken when the whole outbox is written. Returns true if the
    /// peer is held up.
    pub(crate) fn hold_reader_if_behind(&self) -> bool {
        self.with(Peer::hold_reader_if_behind).unwrap_or(false)
    }

    /// Shuts the socket down for writing.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = self.with(|peer| {
            peer.socket
                .as_mut()
                .map(|socket| socket.stream().poll_shutdown(cx))
        });
        shutdown.flatten().unwrap_or(Poll::Ready(Ok(())))
    }

    /// Calls `action` with the connection's entry. Returns `None` if the entry is removed.
    fn with<T>(&self, action: impl FnOnce(&mut Peer) -> T) -> Option<T> {
        self.shard
            .state
            .borrow_mut()
            .peers
            .get_mut(self.key)
            .map(action)
    }
}

impl fmt::Debug for HandleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id(), f)
    }
}
