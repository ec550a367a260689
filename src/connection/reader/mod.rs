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
//! connection is read only up to its first publication, and then waits for a permit to publish it.
//! When it gets the permit it publishes, and may read and publish more, in a turn that is shorter
//! than usual.

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

/// The reader of a connection, which reads in turns.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent, and every idle connection has them"
)]
pub(super) struct Reader {
    /// The future that reads a message on the slow path, or that waits for a permit to publish or
    /// until replies are written. `None` between two messages, unless the connection must wait.
    slow_path: Option<SlowPath>,
    /// Bytes that earlier turns have not read. The next turn reads them first. Boxed, because an
    /// idle connection has none.
    kept: Option<Box<Kept>>,
    /// The ticket of the connection's task in the shard's queue of tasks that wait for another
    /// turn.
    ticket: Ticket,
    /// True if `slow_path` waits for a permit to publish. After that, this future may go on to read
    /// a message.
    is_publishing: bool,
    /// True if the protocol gets fragmented messages frame by frame.
    takes_fragments: bool,
    /// True if the time of each call of the protocol is measured with the clock and charged.
    is_timed: bool,
    /// True if the messages are counted for the log.
    is_counted: bool,
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
    /// The messages to be published together at the end of the turn, with one permit.
    publications: Publications,
    /// The permit to publish, if the connection has waited for one and got it in this turn.
    permit: Option<PublishPermit>,
    /// True if the turn reads no further, because its publications must wait for a permit.
    is_stopped: bool,
    is_timed: bool,
    /// Number of messages that the protocol got.
    messages: u64,
}

impl Reader {
    /// Makes a reader. It first publishes `publications`, which the protocol has made in `on_open`.
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
            is_counted: handle.is_logged(),
        };
        if !publications.is_empty() {
            reader.wait_with(handle, publications, 0, None);
        }
        reader
    }

    /// Makes the connection wait for a permit, publish `publications`, and then go on with `rest`:
    /// the future of the slow path that was interrupted, if there is one. `unread` is the number of
    /// bytes that the connection has received and reads only after the wait. While it waits, they
    /// do not count toward the level of memory at which publishers wait, because they are freed
    /// only after the wait.
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

    /// Keeps `rest`, the bytes that this turn has not read, for the next turn. `kept` has the
    /// ledger's entry for the bytes that the turn before had kept for this one.
    fn keep_rest(&mut self, kept: Option<Box<Kept>>, rest: Bytes, shard: &Shard) {
        match kept {
            _ if rest.is_empty() => {}
            None => self.keep(rest, shard),
            Some(mut kept) => {
                // `rest` may be a slice of the kept bytes, which then stay in memory as a whole, so
                // the entry does not shrink.
                kept.held.grow_to(rest.len());
                kept.bytes = rest;
                self.kept = Some(kept);
            }
        }
    }

    /// Drops an unfinished message and all unread bytes, because the connection has ended.
    pub(super) fn drop_unread(&mut self) {
        self.slow_path = None;
        self.kept = None;
    }

    /// Reads messages and calls the protocol with them, until no bytes are left or the turn is
    /// over. Ready with the reason when the peer sends nothing more. While this is pending, no
    /// wake-up is lost: the task waits in the shard's queue for another turn, or the event that it
    /// waits for will wake it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        handle: &HandleRef,
        protocol: &mut dyn Protocol,
    ) -> Poll<Disconnect> {
        let shard = handle.shard();
        if shard.is_queued(self.ticket) {
            // Something other than the shard's queue has woken the task before its turn. The
            // shard's buffer may hold replies to another connection, which the caller would write
            // to this one.
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
            messages: 0,
        };
        if self.is_timed {
            // The clock is read here, so that only the time from here on is charged to the first
            // call.
            shard.charge_elapsed();
        }
        let read = self.poll_messages(cx, &mut turn);
        if self.is_counted {
            handle.count_received(turn.messages);
        }
        let pinned = kept.as_ref().map_or(0, |kept| kept.held.bytes());
        let read = self.publish(cx, turn, pinned, read);
        self.keep_rest(kept, shard.end_turn(), shard);
        shard.queue_if_wanted(&mut self.ticket, cx);
        read
    }

    /// Called once the connection has ended: publishes its messages that still wait for a permit,
    /// now without one. Reads nothing more. An unfinished message is dropped, like all messages
    /// that come after the end of the connection. But if the peer's Close was read already, the
    /// reader remembers that, so that the closing handshake does not wait for another Close.
    pub(super) fn publish_after_end(&mut self, cx: &mut Context<'_>, shard: &Shard) {
        if let Some(slow_path) = self.slow_path.as_mut().filter(|_| self.is_publishing) {
            // In this turn nothing can be received, so the future publishes and ends, unless it is
            // inside a message.
            shard.begin_empty_turn();
            if let Poll::Ready(outcome) = slow_path.as_mut().poll(cx) {
                // `Over` means that the peer's Close was read. A future that returns it at once
                // takes the place of the one that has ended.
                let is_over = matches!(outcome, Outcome::Over(_));
                self.slow_path = is_over.then(|| Box::pin(future::ready(outcome)) as _);
            }
        }
        self.is_publishing = false;
    }

    /// Reads messages and calls the protocol with them. Ready with the reason when the peer sends
    /// nothing more.
    fn poll_messages(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Poll<Disconnect> {
        let handle = turn.handle;
        loop {
            let slow_path = match &mut self.slow_path {
                Some(slow_path) => slow_path,
                // While too many replies wait in the outbox, nothing is read.
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
                    // The next `poll_fill` receives more, or ends the turn.
                    if handle.has_taken_all() || handle.shard().is_turn_over() {
                        continue;
                    }
                    // The next message cannot take the fast path.
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
                    turn.messages += 1;
                    turn.call(|handler, cx| handler.on_message(Incoming::new(kind, &payload), cx));
                }
                Outcome::Fragment(fragment, rest) => {
                    turn.messages += u64::from(fragment.as_fragment().is_last());
                    turn.call(|handler, cx| handler.on_fragment(fragment.as_fragment(), cx));
                    self.slow_path = Some(rest);
                }
            }
            if turn.stop_if_it_must_wait() {
                return Poll::Pending;
            }
        }
    }

    /// Publishes the publications of the turn, or makes the connection wait for a permit. While it
    /// waits, nothing is read. `read` is the result of reading in this turn: if the connection has
    /// ended, the reason is returned only after the wait. `pinned` is the size, in bytes, of the
    /// buffer that the turn before has kept for this one: all of it stays in memory, however few of
    /// its bytes are still unread.
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
                // The turn was stopped while the hub had too much to deliver. Now it has not, so
                // the connection reads on in another turn.
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
    /// Calls the protocol with the messages at the beginning of the receive buffer that can take
    /// the fast path, until the turn is over or must wait for a permit.
    fn take_plain(&mut self, cx: &mut Context<'_>) {
        let (handle, protocol) = (self.handle, &mut *self.protocol);
        let must_wait = self.permit.is_none() && handle.must_wait_to_publish();
        let mut context = protocol::Context::new(handle, &mut self.publications);
        let (is_timed, messages) = (self.is_timed, &mut self.messages);
        handle.take_plain(cx, |kind, payload| {
            // After the connection's end only the peer's Close matters, so messages are skipped.
            if context.is_ended() {
                return ControlFlow::Continue(());
            }
            *messages += 1;
            protocol.on_message(Incoming::new(kind, payload), &mut context);
            let is_turn_over = context.settle(is_timed);
            // After a publication that needs a permit, no further message is read without it.
            if is_turn_over || must_wait && context.has_published() {
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
    /// stopped, now or before.
    fn stop_if_it_must_wait(&mut self) -> bool {
        self.is_stopped |= self.must_wait();
        self.is_stopped
    }

    /// Returns true if the turn has publications but no permit, and needs one to publish them.
    fn must_wait(&self) -> bool {
        !self.publications.is_empty() && self.permit.is_none() && self.handle.must_wait_to_publish()
    }
}

/// Nanoseconds that a turn is charged for each future of the slow path, besides the cost of the
/// bytes that the future reads.
const SLOW_PATH: u64 = 500;
