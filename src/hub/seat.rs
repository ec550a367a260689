//! A connection's seat in its shard's table: how the connection's task reaches what the shard
//! keeps of it.

use std::{
    fmt,
    future::poll_fn,
    io,
    ops::{ControlFlow, Deref},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::{
    ConnectionId,
    compression::{Agreed, Compression},
    peer::{Peer, PeerKey},
    publication::{Publication, UserId, delivered},
    receive::{Receive, Taken},
    replies::Replies,
    shard::Shard,
    socket::Socket,
    turnstile::Pass,
};
use crate::{
    topic_name::TopicName,
    wire::{
        close::Disconnect,
        frame::{Frame, Kind},
    },
};

/// A seat taken. Dropping it gives it up: the connection leaves its topics, its socket is closed
/// and nothing more is delivered to it.
///
/// Not `Clone`: a connection ends once. Others use the [`SeatRef`] that it dereferences to.
#[derive(Debug)]
pub(crate) struct Seat(SeatRef);

/// A reference to a seat, which may have been given up.
#[derive(Clone)]
pub(crate) struct SeatRef {
    shard: Rc<Shard>,
    key: PeerKey,
}

impl Seat {
    /// Takes a seat for a connection whose opening handshake is under way.
    pub(crate) fn take(shard: &Rc<Shard>, user: Option<UserId>, deflate: Option<Agreed>) -> Self {
        let compression = Compression::new(deflate, &shard.config().deflate);
        let mut state = shard.state.borrow_mut();
        let key = state.peers.insert(user, compression);
        state.update_gauges();
        Self(SeatRef {
            shard: Rc::clone(shard),
            key,
        })
    }
}

impl Deref for Seat {
    type Target = SeatRef;

    fn deref(&self) -> &SeatRef {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shard.state.borrow_mut().remove(self.key);
        self.shard.departure.notify_waiters();
    }
}

impl SeatRef {
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    pub(crate) fn id(&self) -> ConnectionId {
        ConnectionId {
            shard: self.shard.index,
            key: self.key,
        }
    }

    /// Follows exactly `topics`, each named once, from now on: whatever is published to them after
    /// this returns reaches the connection.
    ///
    /// Nobody has to wait for that: each topic's home knows when this returns.
    pub(crate) fn set_topics(&self, topics: &[TopicName]) {
        let mut state = self.shard.state.borrow_mut();
        let left = state
            .peers
            .get(self.key)
            .map_or(0, |peer| peer.places.len());
        state.set_topics(self.key, topics);
        drop(state);
        self.spend((left + topics.len()) as u64 * TOPIC_CHANGE);
    }

    /// Publishes `frames` to every one of `topics`: in this order, after what this connection
    /// published before. Who has to [wait](Self::must_wait_to_publish) must have a pass.
    pub(crate) fn publish(&self, topics: &[TopicName], frames: impl IntoIterator<Item = Frame>) {
        let links = &self.shard.links;
        links.publish(topics, &Publication::new(&links.config.deflate, frames));
    }

    /// Returns to about how many connections a message goes that is published to the topics that
    /// this one follows: as many on each shard as on this one.
    pub(crate) fn audience(&self) -> usize {
        let state = self.shard.state.borrow();
        let places = state
            .peers
            .get(self.key)
            .map_or(&[][..], |peer| &peer.places);
        let topics = places
            .iter()
            .filter_map(|place| state.topics.get(place.topic));
        let here: usize = topics.map(|topic| topic.subscribers.len()).sum();
        here * self.shard.links.inboxes.len()
    }

    /// Charges the turn for a message that will be delivered to so many.
    pub(crate) fn charge_delivery(&self, audience: usize, len: usize) {
        self.shard.cause(delivered(audience, 1, len));
    }

    /// Returns true if some shard has more to deliver than it should, or others wait to publish:
    /// whoever publishes now needs a [pass](Self::pass).
    pub(crate) fn must_wait_to_publish(&self) -> bool {
        self.shard.links.must_wait()
    }

    /// Waits until it is this connection's turn to publish. Meanwhile it is not read, and not
    /// expected to say anything.
    ///
    /// # Cancel safety
    ///
    /// Not to be cancelled unless the connection ends.
    pub(crate) async fn pass(&self) -> Pass {
        self.with(|peer| peer.wait_for_hub(true));
        let pass = self.shard.links.pass().await;
        self.with(|peer| peer.wait_for_hub(false));
        pass
    }

    /// Gives the connection its socket; what has waited in the outbox can be written.
    pub(crate) fn attach(&self, socket: Socket) {
        self.with(|peer| peer.socket = Some(socket));
    }

    /// Why the connection ended, if it has. Stores the waker of the connection's task, which is
    /// woken by a readable or writable socket and by the end.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<Disconnect> {
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
        match ended.unwrap_or(Some(Disconnect::Lost)) {
            Some(reason) => Poll::Ready(reason),
            None => Poll::Pending,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.with(|peer| peer.ended.is_some()).unwrap_or(true)
    }

    /// Ends the connection; of several reasons the first one counts.
    pub(crate) fn end(&self, reason: Disconnect) {
        self.shard.state.borrow_mut().end(self.key, reason);
    }

    /// Replies, behind what is queued already, when the turn [is flushed](Self::flush).
    pub(crate) fn reply(&self, frame: Frame) {
        let replies = &mut self.shard.replies.borrow_mut();
        self.shard
            .state
            .borrow_mut()
            .reply(self.key, frame, replies);
    }

    /// Replies with a message as it is, which is not compressed.
    pub(crate) fn reply_plain(&self, kind: Kind, payload: &[u8]) {
        let mut replies = self.shard.replies.borrow_mut();
        if !replies.has_room_for(payload.len()) {
            drop(replies);
            self.flush();
            replies = self.shard.replies.borrow_mut();
        }
        if replies.has_room_for(payload.len()) {
            replies.push_message(kind, payload);
        } else {
            drop(replies);
            self.reply(Frame::message(kind, payload));
        }
    }

    /// Queues a Ping or Pong before all messages.
    pub(crate) fn control(&self, frame: Bytes) {
        self.with(|peer| peer.outbox.push_control(frame));
    }

    /// Queues the Close that answers the peer's, behind everything, and nothing after it.
    pub(crate) fn answer_close(&self, close: Bytes) {
        let replies = &mut self.shard.replies.borrow_mut();
        self.with(|peer| {
            peer.queue_replies(replies, 0);
            peer.seal_to_end(close);
        });
    }

    /// Writes what is queued, as far as the socket takes it now.
    pub(crate) fn write_queued(&self) {
        let mut state = self.shard.state.borrow_mut();
        state.write(self.key, &mut Replies::default());
    }

    /// Writes what is queued and what the turn's messages were answered with, as far as the
    /// socket takes it now.
    pub(crate) fn flush(&self) {
        let replies = &mut self.shard.replies.borrow_mut();
        self.shard.state.borrow_mut().write(self.key, replies);
    }

    /// Ready when everything queued is written, or can't be any more.
    pub(crate) fn poll_flushed(&self) -> Poll<()> {
        self.write_queued();
        match self.with(|peer| peer.outbox.is_empty()) {
            Some(false) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// permessage-deflate was agreed on with the peer.
    pub(crate) fn may_inflate(&self) -> bool {
        self.with(|peer| !peer.compression.is_off())
            .unwrap_or(false)
    }

    /// Whether the connection owes little enough to be read on; if not, its task is woken when
    /// it does.
    pub(crate) fn may_read(&self) -> bool {
        self.with(Peer::may_read).unwrap_or(true)
    }

    /// Ready when the shard's receive buffer holds something from the peer; false at the end of
    /// the stream. Pending when the turn is over, and the task will have another one.
    pub(crate) fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut receive = self.shard.receive.borrow_mut();
        if self.shard.is_turn_over() {
            self.shard.go_on_later(cx);
            return Poll::Pending;
        }
        if receive.is_empty() {
            if !receive.may_receive() {
                self.shard.go_on_later(cx);
                return Poll::Pending;
            }
            let received = ready!(self.poll_receive(cx, receive.space()))?;
            receive.received(received);
        }
        Poll::Ready(Ok(!receive.is_empty()))
    }

    /// Hands every whole plain message that was received to `take`, until that breaks off or the
    /// turn is over. What is left then, if anything is, is something for the gate, or for later.
    pub(crate) fn take_plain(
        &self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Kind, &[u8]) -> ControlFlow<()>,
    ) {
        let limits = self.shard.config().limits.wire();
        let mut take = |kind, payload: &[u8]| {
            let flow = take(kind, payload);
            self.spend(MESSAGE + payload.len() as u64 / BYTES_PER_NANOSECOND);
            if self.shard.is_turn_over() {
                return ControlFlow::Break(());
            }
            flow
        };
        let mut receive = self.shard.receive.borrow_mut();
        while let Taken::AllBut { wire_len } = receive.take_plain(limits, &mut take) {
            if !self.receives_rest(cx, &mut receive, wire_len) {
                return;
            }
        }
    }

    /// Receives more of a frame, if it is there already.
    fn receives_rest(&self, cx: &mut Context<'_>, receive: &mut Receive, wire_len: usize) -> bool {
        if !receive.may_receive() {
            self.shard.go_on_later(cx);
            return false;
        }
        let space = receive.space_behind(wire_len);
        let received = space.map(|space| self.poll_receive(cx, space));
        match received {
            Some(Poll::Ready(Ok(len))) => {
                receive.received(len);
                len > 0
            }
            _ => false,
        }
    }

    /// Charges work of this turn that may have taken `nanoseconds`.
    pub(crate) fn spend(&self, nanoseconds: u64) {
        self.shard.spend(nanoseconds);
    }

    /// Returns when the connection has its next turn.
    pub(crate) async fn next_turn(&self) {
        let mut is_next = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut is_next, true) {
                return Poll::Ready(());
            }
            self.shard.go_on_later(cx);
            Poll::Pending
        })
        .await;
    }

    /// Nothing of what was received is left.
    pub(crate) fn has_taken_all(&self) -> bool {
        self.shard.receive.borrow().is_empty()
    }

    /// Reads what the peer sent, through the shard's receive buffer; nothing at the end of the
    /// stream.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx))?;
        let before = into.filled().len();
        self.shard.receive.borrow_mut().take(into);
        let taken = (into.filled().len() - before) as u64;
        self.spend(PIECE + taken / BYTES_PER_NANOSECOND);
        Poll::Ready(Ok(()))
    }

    /// Throws away what the receive buffer holds.
    pub(crate) fn discard_received(&self) {
        self.shard.receive.borrow_mut().clear();
    }

    /// Receives into `space`; how much.
    fn poll_receive(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shard.state.borrow_mut();
        let is_draining = state.is_draining;
        let Some(peer) = state.peers.get_mut(self.key) else {
            return Poll::Ready(Ok(0));
        };
        if is_draining && peer.ended.is_none() {
            // Nothing new is taken up; the end of the drain wakes the task.
            return Poll::Pending;
        }
        let Some(socket) = &mut peer.socket else {
            return Poll::Ready(Ok(0));
        };
        let mut buf = ReadBuf::new(space);
        ready!(socket.stream().poll_read(cx, &mut buf))?;
        let received = buf.filled().len();
        self.shard
            .spend(RECEIVE + received as u64 / BYTES_PER_NANOSECOND);
        if received > 0 {
            state.peers.heard(self.key);
        }
        Poll::Ready(Ok(received))
    }

    /// Closes the socket for writing.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = self.with(|peer| {
            peer.socket
                .as_mut()
                .map(|socket| socket.stream().poll_shutdown(cx))
        });
        shutdown.flatten().unwrap_or(Poll::Ready(Ok(())))
    }

    /// Does something with what the shard keeps of this connection, if it still does.
    fn with<T>(&self, action: impl FnOnce(&mut Peer) -> T) -> Option<T> {
        self.shard
            .state
            .borrow_mut()
            .peers
            .get_mut(self.key)
            .map(action)
    }
}

impl fmt::Debug for SeatRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id(), f)
    }
}

/// What a receive takes, in nanoseconds.
const RECEIVE: u64 = 1_000;

/// What a plain message takes, in nanoseconds, besides its bytes.
const MESSAGE: u64 = 40;

/// What a piece of a frame takes on its way through the gate, in nanoseconds, besides its bytes.
const PIECE: u64 = 60;

/// Bytes that are received, unmasked, checked or copied in a nanosecond.
const BYTES_PER_NANOSECOND: u64 = 4;

/// What following a topic or leaving one takes, in nanoseconds.
const TOPIC_CHANGE: u64 = 300;
