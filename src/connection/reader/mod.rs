//! The read side: a connection's turns, in which it reads and reacts.
//!
//! A whole plain message is taken from the receive buffer as it stands there: the fast path. For
//! everything else there is the [`slow_path`]: for each message, a future that reads it
//! through the gate and fastwebsockets. An idle connection has no such future, and so no buffer. Which protocol
//! a message is for, nobody here knows.
//!
//! ```text
//!                 ┌─ whole and plain ─► fast path ───────────┐
//!  receive buffer ┤                                          ├─► protocol ─► published in the end
//!                 └─ anything else ──► slow path: gate ──────┘               of the turn
//!                                      ─► fastwebsockets
//! ```
//!
//! What a turn publishes goes off together. While the hub has too much to deliver, a connection is
//! read up to its first publication. With that it waits to be let through, and then has a short turn
//! in which it publishes.

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
    slow_path: Option<SlowPath>,
    /// Received, and to be read in the next turn. Boxed: an idle connection has nothing.
    kept: Option<Box<Kept>>,
    /// Its place among those that wait for another turn.
    ticket: Ticket,
    /// The future of the slow path waits with something to publish, or goes on after that.
    is_publishing: bool,
    /// Fragmented messages come frame by frame.
    takes_fragments: bool,
    /// The clock charges what the protocol does.
    is_timed: bool,
}

/// Bytes that were received and not yet read, and their account.
struct Kept {
    bytes: Bytes,
    held: Held,
}

/// The state of one turn.
struct Turn<'a> {
    handle: &'a HandleRef,
    protocol: &'a mut dyn Protocol,
    /// Go off together, so that the hub is asked once for all.
    publications: Publications,
    /// The connection was let through, and may publish.
    permit: Option<PublishPermit>,
    /// It reads no further, because it has to wait with what it publishes.
    is_stopped: bool,
    is_timed: bool,
}

impl Reader {
    /// Makes one that first publishes what there is already.
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

    /// Lets the connection wait until it may publish, and then go on with the `rest`. It has received
    /// `unread` bytes that it reads later.
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

    /// Puts what was received before the reader was there in front of everything.
    pub(super) fn keep(&mut self, leftover: Bytes, shard: &Shard) {
        if !leftover.is_empty() {
            let held = shard.ledger().hold(leftover.len());
            let bytes = leftover;
            self.kept = Some(Box::new(Kept { bytes, held }));
        }
    }

    /// Keeps what a turn has left, in place of what the one before had `kept`.
    fn keep_rest(&mut self, kept: Option<Box<Kept>>, rest: Bytes, shard: &Shard) {
        match kept {
            _ if rest.is_empty() => {}
            None => self.keep(rest, shard),
            Some(mut kept) => {
                // It may be a part of what was kept, all of which is then still there.
                kept.held.grow_to(rest.len());
                kept.bytes = rest;
                self.kept = Some(kept);
            }
        }
    }

    /// Forgets what it has begun to read: nobody waits for it any more.
    pub(super) fn forget(&mut self) {
        self.slow_path = None;
        self.kept = None;
    }

    /// Reads, and reacts to what is read, until there is nothing more or the turn is over. Ready
    /// when there will be nothing more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        handle: &HandleRef,
        protocol: &mut dyn Protocol,
    ) -> Poll<Disconnect> {
        let shard = handle.shard();
        if shard.is_queued(self.ticket) {
            shard.skip_turn();
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
            // What the first message costs is known only if the clock was looked at before it.
            shard.look_at_clock();
        }
        let read = self.poll_messages(cx, &mut turn);
        let pinned = kept.as_ref().map_or(0, |kept| kept.held.bytes());
        let read = self.publish(cx, turn, pinned, read);
        self.keep_rest(kept, shard.end_turn(), shard);
        shard.queue_if_wanted(&mut self.ticket, cx);
        read
    }

    /// Publishes what the connection, which has ended, still waits with, and reads nothing behind it.
    /// A message that it was reading then is dropped, as all that come after the end: the Close tells
    /// its sender. The peer's own Close is not waited for again.
    pub(super) fn publish_at_last(&mut self, cx: &mut Context<'_>, shard: &Shard) {
        if let Some(slow_path) = self.slow_path.as_mut().filter(|_| self.is_publishing) {
            shard.begin_no_turn();
            if let Poll::Ready(ended) = slow_path.as_mut().poll(cx) {
                let is_over = matches!(ended, Outcome::Over(_));
                self.slow_path = is_over.then(|| Box::pin(future::ready(ended)) as _);
            }
        }
        self.is_publishing = false;
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Poll<Disconnect> {
        let handle = turn.handle;
        loop {
            let slow_path = match &mut self.slow_path {
                Some(slow_path) => slow_path,
                // Nothing is received that could not be answered.
                None if handle.hold_reader_if_behind() => self
                    .slow_path
                    .insert(Box::pin(slow_path::answered(handle.clone()))),
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
            let ended = ready!(slow_path.as_mut().poll(cx));
            self.slow_path = None;
            self.is_publishing = false;
            handle.spend(SLOW_PATH);
            match ended {
                Outcome::Idle => {}
                Outcome::Permitted(permit) => turn.permit = Some(permit),
                Outcome::Over(reason) => return Poll::Ready(reason),
                Outcome::Message(kind, payload) => {
                    turn.call(|to, cx| to.on_message(Incoming::new(kind, &payload), cx));
                }
                Outcome::Fragment(fragment, rest) => {
                    turn.call(|to, cx| to.on_fragment(fragment.as_fragment(), cx));
                    self.slow_path = Some(rest);
                }
            }
            if turn.stop_if_it_must_wait() {
                return Poll::Pending;
            }
        }
    }

    /// Publishes what the turn has brought, or lets the connection wait with it. Until then it is
    /// not `read` any further, and does not end. What was kept from the last turn holds `pinned` bytes,
    /// however little of it is left.
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
                // Meanwhile there is room.
                turn.handle.shard().want_turn();
            }
            return read;
        }
        let rest = match read {
            Poll::Ready(reason) => Some(Box::pin(future::ready(Outcome::Over(reason))) as _),
            Poll::Pending => self.slow_path.take(),
        };
        let unread = turn.handle.unread_bytes().max(pinned);
        self.wait_with(turn.handle, turn.publications, unread, rest);
        // It begins to wait with its next turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Turn<'_> {
    /// Takes what can take the fast path.
    fn take_plain(&mut self, cx: &mut Context<'_>) {
        let (handle, protocol) = (self.handle, &mut *self.protocol);
        let must_wait = self.permit.is_none() && handle.must_wait_to_publish();
        let mut called = protocol::Context::new(handle, &mut self.publications);
        let is_timed = self.is_timed;
        handle.take_plain(cx, |kind, payload| {
            // Only the peer's Close still counts.
            if called.is_ended() {
                return ControlFlow::Continue(());
            }
            protocol.on_message(Incoming::new(kind, payload), &mut called);
            if called.settle(is_timed) || must_wait && called.has_published() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
    }

    /// Calls the protocol, unless only the peer's Close still counts.
    fn call(&mut self, call: impl FnOnce(&mut dyn Protocol, &mut protocol::Context<'_>)) {
        let mut called = protocol::Context::new(self.handle, &mut self.publications);
        if !called.is_ended() {
            call(self.protocol, &mut called);
            called.settle(self.is_timed);
        }
    }

    /// Stops the turn if it must wait with what it publishes. Returns true if it reads no further.
    fn stop_if_it_must_wait(&mut self) -> bool {
        self.is_stopped |= self.must_wait();
        self.is_stopped
    }

    /// There is something to be published, and the hub has too much to deliver.
    fn must_wait(&self) -> bool {
        !self.publications.is_empty() && self.permit.is_none() && self.handle.must_wait_to_publish()
    }
}

/// The time that a future of the slow path takes, in nanoseconds, besides what it reads.
const SLOW_PATH: u64 = 500;
