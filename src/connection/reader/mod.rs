//! The read side: a connection's turns, in which it reads and reacts.
//!
//! A whole plain message is taken from the receive buffer as it stands there: the fast lane. For
//! everything else there is an [`episode`], one for each message: a future that reads it
//! through the gate and fastwebsockets. An idle connection has no episode, and so no buffer. Which protocol
//! a message is for, nobody here knows.
//!
//! ```text
//!                 ┌─ whole and plain ─► fast lane ───────────┐
//!  receive buffer ┤                                          ├─► protocol ─► published in the end
//!                 └─ anything else ──► episode: gate ────────┘               of the turn
//!                                      ─► fastwebsockets
//! ```
//!
//! What a turn publishes goes off together. While the hub has too much to deliver, a connection is
//! read up to its first publication. With that it waits to be let through, and then has a short turn
//! in which it publishes.

mod episode;

use std::{
    future, mem,
    ops::ControlFlow,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use self::episode::{Episode, Unended, Waiting};
use crate::{
    disconnect::Disconnect,
    hub::{
        Held, Pass, Ticket,
        seat::{SeatRef, publications::Publications},
        shard::Shard,
    },
    protocol,
    protocol::{Incoming, Protocol},
};

/// Reads a connection in turns.
pub(super) struct Reader {
    episode: Option<Unended>,
    /// Received, and to be read in the next turn. Boxed: an idle connection has nothing.
    kept: Option<Box<Kept>>,
    /// Its place among those that wait for another turn.
    ticket: Ticket,
    /// The episode waits with something to publish, or goes on after that.
    is_publishing: bool,
    /// Fragmented messages come frame by frame.
    takes_fragments: bool,
    /// The clock charges what the protocol does.
    is_timed: bool,
}

/// What was received and not yet read, and its account.
struct Kept {
    bytes: Bytes,
    held: Held,
}

/// What one turn has at hand.
struct Turn<'a> {
    seat: &'a SeatRef,
    protocol: &'a mut dyn Protocol,
    /// Go off together, so that the hub is asked once for all.
    publications: Publications,
    /// The connection was let through, and may publish.
    pass: Option<Pass>,
    /// It reads no further, because it has to wait with what it publishes.
    is_stopped: bool,
    is_timed: bool,
}

impl Reader {
    /// Makes one that first publishes what there is already.
    pub(super) fn new(
        seat: &SeatRef,
        protocol: &dyn Protocol,
        takes_fragments: bool,
        publications: Publications,
    ) -> Self {
        let mut reader = Self {
            episode: None,
            kept: None,
            ticket: Ticket::default(),
            is_publishing: false,
            takes_fragments,
            is_timed: !protocol.is_instant(),
        };
        if !publications.is_empty() {
            reader.wait_with(seat, publications, 0, None);
        }
        reader
    }

    /// Lets the connection wait until it may publish, and then go on with the `rest`. It has received
    /// `unread` bytes that it reads later.
    fn wait_with(
        &mut self,
        seat: &SeatRef,
        publications: Publications,
        unread: usize,
        rest: Option<Unended>,
    ) {
        let waiting = Waiting {
            publications,
            unread,
        };
        self.episode = Some(Box::pin(episode::publish(seat.clone(), waiting, rest)));
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
        self.episode = None;
        self.kept = None;
    }

    /// Reads, and reacts to what is read, until there is nothing more or the turn is over. Ready
    /// when there will be nothing more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        seat: &SeatRef,
        protocol: &mut dyn Protocol,
    ) -> Poll<Disconnect> {
        let shard = seat.shard();
        if shard.is_queued(self.ticket) {
            shard.skip_turn();
            return Poll::Pending;
        }
        let mut kept = self.kept.take();
        let bytes = kept.as_mut().map(|kept| mem::take(&mut kept.bytes));
        shard.begin_turn(bytes.unwrap_or_default());
        let mut turn = Turn {
            seat,
            protocol,
            publications: Publications::default(),
            pass: None,
            is_stopped: false,
            is_timed: self.is_timed,
        };
        if self.is_timed {
            // What the first message costs is known only if the clock was looked at before it.
            shard.look_at_clock();
        }
        let read = self.poll_episodes(cx, &mut turn);
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
        if let Some(episode) = self.episode.as_mut().filter(|_| self.is_publishing) {
            shard.begin_no_turn();
            if let Poll::Ready(ended) = episode.as_mut().poll(cx) {
                let is_over = matches!(ended, Episode::Over(_));
                self.episode = is_over.then(|| Box::pin(future::ready(ended)) as _);
            }
        }
        self.is_publishing = false;
    }

    fn poll_episodes(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Poll<Disconnect> {
        let seat = turn.seat;
        loop {
            let episode = match &mut self.episode {
                Some(episode) => episode,
                // Nothing is received that could not be answered.
                None if !seat.may_read() => self
                    .episode
                    .insert(Box::pin(episode::answered(seat.clone()))),
                None => {
                    if !matches!(ready!(seat.poll_fill(cx)), Ok(true)) {
                        return Poll::Ready(Disconnect::Lost);
                    }
                    turn.take_plain(cx);
                    if turn.must_stop() {
                        return Poll::Pending;
                    }
                    if seat.has_taken_all() || seat.shard().is_turn_over() {
                        continue;
                    }
                    let read = episode::read(seat.clone(), self.takes_fragments);
                    self.episode.insert(Box::pin(read))
                }
            };
            let ended = ready!(episode.as_mut().poll(cx));
            self.episode = None;
            self.is_publishing = false;
            seat.spend(EPISODE);
            match ended {
                Episode::Idle => {}
                Episode::LetThrough(pass) => turn.pass = Some(pass),
                Episode::Over(reason) => return Poll::Ready(reason),
                Episode::Message(kind, payload) => {
                    turn.call(|to, cx| to.on_message(Incoming::new(kind, &payload), cx));
                }
                Episode::Fragment(part, rest) => {
                    turn.call(|to, cx| to.on_fragment(part.as_fragment(), cx));
                    self.episode = Some(rest);
                }
            }
            if turn.must_stop() {
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
            turn.seat.publish_all(turn.publications);
            if turn.is_stopped {
                // Meanwhile there is room.
                turn.seat.shard().want_turn();
            }
            return read;
        }
        let rest = match read {
            Poll::Ready(reason) => Some(Box::pin(future::ready(Episode::Over(reason))) as _),
            Poll::Pending => self.episode.take(),
        };
        let unread = turn.seat.unread_bytes().max(pinned);
        self.wait_with(turn.seat, turn.publications, unread, rest);
        // It begins to wait with its next turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Turn<'_> {
    /// The fast lane.
    fn take_plain(&mut self, cx: &mut Context<'_>) {
        let (seat, protocol) = (self.seat, &mut *self.protocol);
        let must_wait = self.pass.is_none() && seat.must_wait_to_publish();
        let mut called = protocol::Context::new(seat, &mut self.publications);
        let is_timed = self.is_timed;
        seat.take_plain(cx, |kind, payload| {
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
        let mut called = protocol::Context::new(self.seat, &mut self.publications);
        if !called.is_ended() {
            call(self.protocol, &mut called);
            called.settle(self.is_timed);
        }
    }

    /// Returns true if it reads no further, because it must wait with what it publishes.
    fn must_stop(&mut self) -> bool {
        self.is_stopped |= self.must_wait();
        self.is_stopped
    }

    /// There is something to be published, and the hub has too much to deliver.
    fn must_wait(&self) -> bool {
        !self.publications.is_empty() && self.pass.is_none() && self.seat.must_wait_to_publish()
    }
}

/// What an episode takes, in nanoseconds, besides what it reads.
const EPISODE: u64 = 500;
