//! The read side of a connection: its turns, in which it reads messages and calls the protocol.
//!
//! A plain message (one frame, not compressed) that has arrived whole is taken in place from the
//! receive buffer: the fast path. For everything else there is the [`slow_path`]: a future that
//! reads one message through the gate and fastwebsockets. An idle connection has no such future,
//! and so no buffer. The reader does not know which protocol it calls.
//!
//! ```text
//!                 ┌─ whole and plain ─► fast path ───────────┐
//!  receive buffer ┤                                          ├─► protocol ─► published at the end
//!                 └─ all else ─► slow path: gate, ───────────┘               of the turn
//!                                fastwebsockets
//! ```
//!
//! All publications of a turn are published together. While the hub has too much to deliver, a
//! connection is read up to its first publication. With that it waits for a permit. When it gets
//! the permit it publishes, and may read and publish more in a short turn.

mod slow_path;

use std::{
    future, mem,
    ops::ControlFlow,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use self::slow_path::{Outcome, SlowPath, WaitingPublications};
use crate::{
    disconnect::Disconnect,
    hub::{
        Held, PublishPermit, Ticket,
        handle::{HandleRef, publications::Publications},
        shard::Shard,
    },
    protocol,
    protocol::{Incoming, Protocol},
};

/// Reads a connection in turns.
pub(super) struct Reader {
    /// Reads a message, or waits. There is none between two messages.
    slow_path: Option<SlowPath>,
    /// Bytes to be read first in the next turn. Boxed, because an idle connection has none.
    kept: Option<Box<Kept>>,
    /// The place of its task in the shard's queue for another turn.
    ticket: Ticket,
    /// `slow_path` waits for a permit, publishes, and then may go on with reading.
    is_publishing: bool,
    /// The protocol gets fragmented messages frame by frame.
    takes_fragments: bool,
    /// Calls of the protocol are charged by the clock.
    is_timed: bool,
}

/// Bytes that were received and not read yet, with their entry in the shard's ledger.
struct Kept {
    bytes: Bytes,
    held: Held,
}

/// The state of one turn.
struct Turn<'a> {
    handle: &'a HandleRef,
    protocol: &'a mut dyn Protocol,
    /// Published together at the end of the turn, with one permit.
    publications: Publications,
    /// The permit for which the connection has waited, and with which it may publish.
    permit: Option<PublishPermit>,
    /// The turn reads no further, because its publications must wait for a permit.
    is_stopped: bool,
    is_timed: bool,
}

impl Reader {
    /// Makes a reader that first publishes `publications`, those of the protocol's `on_open`.
    pub(super) fn new(
        handle: &HandleRef,
        protocol: &dyn Protocol,
        takes_fragments: bool,
        publications: Publications,
    ) -> Self {
        let mut reader = Self {
            slow_path: None,
            kept: None,
            ticket: Ticket::default(),
            is_publishing: false,
            takes_fragments,
            is_timed: !protocol.is_instant(),
        };
        if !publications.is_empty() {
            reader.wait_with(handle, publications, 0, None);
        }
        reader
    }

    /// Has the connection wait for a permit, publish, and then go on with the slow path's `rest`.
    /// It has received `unread` bytes that it reads later.
    fn wait_with(
        &mut self,
        handle: &HandleRef,
        publications: Publications,
        unread: usize,
        rest: Option<SlowPath>,
    ) {
        let waiting = WaitingPublications {
            publications,
            unread,
        };
        self.slow_path = Some(Box::pin(slow_path::publish(handle.clone(), waiting, rest)));
        self.is_publishing = true;
    }

    /// Keeps received bytes, which are read first in the next turn.
    pub(super) fn keep(&mut self, leftover: Bytes, shard: &Shard) {
        if !leftover.is_empty() {
            let held = shard.ledger().hold(leftover.len());
            let bytes = leftover;
            self.kept = Some(Box::new(Kept { bytes, held }));
        }
    }

    /// Keeps the bytes that a turn has not read, in place of those that the turn before had `kept`.
    fn keep_rest(&mut self, kept: Option<Box<Kept>>, rest: Bytes, shard: &Shard) {
        match kept {
            _ if rest.is_empty() => {}
            None => self.keep(rest, shard),
            Some(mut kept) => {
                // `rest` may be a slice of the kept bytes, which stay in memory as a whole.
                kept.held.grow_to(rest.len());
                kept.bytes = rest;
                self.kept = Some(kept);
            }
        }
    }

    /// Drops an unfinished message and all unread bytes, after the end of the connection.
    pub(super) fn drop_unread(&mut self) {
        self.slow_path = None;
        self.kept = None;
    }

    /// Has a turn: reads messages and calls the protocol with them, until no bytes are left or the
    /// turn is over. Ready when the peer sends nothing more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        handle: &HandleRef,
        protocol: &mut dyn Protocol,
    ) -> Poll<Disconnect> {
        let shard = handle.shard();
        if shard.is_queued(self.ticket) {
            shard.clear_replies();
            return Poll::Pending;
        }
        let mut kept = self.kept.take();
        let bytes = kept.as_mut().map(|kept| mem::take(&mut kept.bytes));
        shard.begin_turn(bytes.unwrap_or_default());
        let mut turn = Turn {
            handle,
            protocol,
            publications: Publications::default(),
            permit: None,
            is_stopped: false,
            is_timed: self.is_timed,
        };
        if self.is_timed {
            // The first message is charged from here.
            shard.charge_elapsed();
        }
        let read = self.poll_messages(cx, &mut turn);
        let pinned = kept.as_ref().map_or(0, |kept| kept.held.bytes());
        let read = self.publish(cx, turn, pinned, read);
        self.keep_rest(kept, shard.end_turn(), shard);
        shard.queue_if_wanted(&mut self.ticket, cx);
        read
    }

    /// Publishes, after the end of the connection, the publications that wait for a permit, and
    /// reads nothing behind them. An unfinished message is dropped, like all that come after the
    /// end; its sender gets our Close. If the peer's Close was read already, the reader keeps that,
    /// so that the closing handshake does not wait for another one.
    pub(super) fn publish_after_end(&mut self, cx: &mut Context<'_>, shard: &Shard) {
        if let Some(slow_path) = self.slow_path.as_mut().filter(|_| self.is_publishing) {
            shard.begin_empty_turn();
            if let Poll::Ready(outcome) = slow_path.as_mut().poll(cx) {
                let is_over = matches!(outcome, Outcome::Over(_));
                self.slow_path = is_over.then(|| Box::pin(future::ready(outcome)) as _);
            }
        }
        self.is_publishing = false;
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Poll<Disconnect> {
        let handle = turn.handle;
        loop {
            let slow_path = match &mut self.slow_path {
                Some(slow_path) => slow_path,
                // While too many replies wait in the outbox, nothing is received.
                None if handle.hold_reader_if_behind() => self
                    .slow_path
                    .insert(Box::pin(slow_path::wait_while_behind(handle.clone()))),
                None => {
                    if !matches!(ready!(handle.poll_fill(cx)), Ok(true)) {
                        return Poll::Ready(Disconnect::Lost);
                    }
                    turn.take_plain(cx);
                    if turn.stop_if_it_must_wait() {
                        return Poll::Pending;
                    }
                    if handle.has_taken_all() || handle.shard().is_turn_over() {
                        continue;
                    }
                    let read = slow_path::read(handle.clone(), self.takes_fragments);
                    self.slow_path.insert(Box::pin(read))
                }
            };
            let outcome = ready!(slow_path.as_mut().poll(cx));
            self.slow_path = None;
            self.is_publishing = false;
            handle.spend(SLOW_PATH);
            match outcome {
                Outcome::Idle => {}
                Outcome::Permitted(permit) => turn.permit = Some(permit),
                Outcome::Over(reason) => return Poll::Ready(reason),
                Outcome::Message(kind, payload) => {
                    turn.call(|handler, cx| handler.on_message(Incoming::new(kind, &payload), cx));
                }
                Outcome::Fragment(fragment, rest) => {
                    turn.call(|handler, cx| handler.on_fragment(fragment.as_fragment(), cx));
                    self.slow_path = Some(rest);
                }
            }
            if turn.stop_if_it_must_wait() {
                return Poll::Pending;
            }
        }
    }

    /// Publishes the publications of the turn, or has the connection wait for a permit. While it
    /// waits it is not read any further; if the turn has `read` the connection's end, that comes
    /// afterwards. The bytes that were kept from the last turn hold `pinned` bytes, however few of
    /// them are left.
    fn publish(
        &mut self,
        cx: &Context<'_>,
        turn: Turn<'_>,
        pinned: usize,
        read: Poll<Disconnect>,
    ) -> Poll<Disconnect> {
        if turn.publications.is_empty() {
            return read;
        }
        if !turn.must_wait() {
            turn.handle.publish_all(turn.publications);
            if turn.is_stopped {
                // The hub no longer has too much to deliver, so the connection reads on.
                turn.handle.shard().request_turn();
            }
            return read;
        }
        let rest = match read {
            Poll::Ready(reason) => Some(Box::pin(future::ready(Outcome::Over(reason))) as _),
            Poll::Pending => self.slow_path.take(),
        };
        let unread = turn.handle.unread_bytes().max(pinned);
        self.wait_with(turn.handle, turn.publications, unread, rest);
        // The wait for the permit begins in the next turn, which polls the slow path.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Turn<'_> {
    /// Calls the protocol with every message that can take the fast path.
    fn take_plain(&mut self, cx: &mut Context<'_>) {
        let (handle, protocol) = (self.handle, &mut *self.protocol);
        let must_wait = self.permit.is_none() && handle.must_wait_to_publish();
        let mut context = protocol::Context::new(handle, &mut self.publications);
        let is_timed = self.is_timed;
        handle.take_plain(cx, |kind, payload| {
            // After the end only the peer's Close matters: other messages are skipped.
            if context.is_ended() {
                return ControlFlow::Continue(());
            }
            protocol.on_message(Incoming::new(kind, payload), &mut context);
            if context.settle(is_timed) || must_wait && context.has_published() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
    }

    /// Calls the protocol, unless the connection has ended.
    fn call(&mut self, call: impl FnOnce(&mut dyn Protocol, &mut protocol::Context<'_>)) {
        let mut context = protocol::Context::new(self.handle, &mut self.publications);
        if !context.is_ended() {
            call(self.protocol, &mut context);
            context.settle(self.is_timed);
        }
    }

    /// Stops the turn if its publications must wait for a permit. Returns true if the turn is
    /// stopped.
    fn stop_if_it_must_wait(&mut self) -> bool {
        self.is_stopped |= self.must_wait();
        self.is_stopped
    }

    /// Returns true if the turn has publications but no permit, and needs one to publish them.
    fn must_wait(&self) -> bool {
        !self.publications.is_empty() && self.permit.is_none() && self.handle.must_wait_to_publish()
    }
}

/// The cost of a future of the slow path, in nanoseconds, besides the bytes that it reads.
const SLOW_PATH: u64 = 500;
