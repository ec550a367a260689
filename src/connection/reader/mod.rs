//! The read side: a connection's turns, in which it reads and reacts.
//!
//! A whole plain message is taken from the receive buffer as it stands there: the fast lane. For
//! everything else there is an [`episode`], one for each message: a future that reads it
//! through the gate and fastwebsockets. An idle connection has no episode, and so no buffer.
//!
//! ```text
//!                 ┌─ whole and plain ─► fast lane ───────────┐
//!  receive buffer ┤                                          ├─► reaction ─► published in the end
//!                 └─ anything else ──► episode: gate ────────┘               of the turn
//!                                      ─► fastwebsockets
//! ```
//!
//! What a turn publishes goes off together. While the hub has too much to deliver, a connection is
//! read up to its first publication. With that it waits to be let through, and then has a short turn
//! in which it publishes.

mod episode;

use std::{
    future::{self, Future},
    mem,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use self::episode::{Episode, Waiting};
use crate::{
    connection::Session,
    disconnect::Disconnect,
    hub::{Held, Message, Pass, Ticket, seat::SeatRef, shard::Shard},
    protocol::{Reaction, relay},
    wire::frame::{Frame, Kind},
};

/// Reads a connection in turns.
#[derive(Default)]
pub(super) struct Reader {
    episode: Option<Pin<Box<dyn Future<Output = Episode>>>>,
    /// Received, and to be read in the next turn. Boxed: an idle connection has nothing.
    kept: Option<Box<Kept>>,
    /// Its place among those that wait for another turn.
    ticket: Ticket,
    /// The episode waits with something to publish, or goes on after that.
    is_publishing: bool,
}

/// What was received and not yet read, and its account.
struct Kept {
    bytes: Bytes,
    held: Held,
}

/// What one turn has at hand.
struct Turn<'a> {
    seat: &'a SeatRef,
    session: &'a Session,
    /// Published together, so that the hub is asked once for all.
    published: Vec<Message>,
    /// To how many each of them goes.
    audience: usize,
    /// The connection was let through, and may publish.
    pass: Option<Pass>,
    /// It reads no further, because it has to wait with what it publishes.
    is_stopped: bool,
}

impl Reader {
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
        session: &Session,
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
            session,
            published: Vec::new(),
            audience: 0,
            pass: None,
            is_stopped: false,
        };
        let read = self.poll_episodes(cx, &mut turn);
        let pinned = kept.as_ref().map_or(0, |kept| kept.held.bytes());
        let read = self.publish(cx, turn, pinned, read);
        self.keep_rest(kept, shard.end_turn(), shard);
        shard.queue_if_wanted(&mut self.ticket, cx);
        read
    }

    /// Publishes what the connection, which has ended, still waits with, and reads nothing behind it.
    pub(super) fn publish_at_last(&mut self, cx: &mut Context<'_>, shard: &Shard) {
        if let Some(episode) = self.episode.as_mut().filter(|_| self.is_publishing) {
            shard.begin_no_turn();
            if episode.as_mut().poll(cx).is_ready() {
                self.episode = None;
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
                    let read = episode::read(seat.clone(), turn.session.clone());
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
                Episode::Publish(frame) => {
                    turn.publish(frame);
                    if turn.must_stop() {
                        return Poll::Pending;
                    }
                }
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
        let Session::Chat(topics) = turn.session else {
            return read;
        };
        if turn.published.is_empty() {
            return read;
        }
        if !turn.must_wait() {
            turn.seat.publish(topics, turn.published);
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
        let messages = Waiting {
            messages: turn.published,
            unread,
        };
        let publishing = episode::publish(turn.seat.clone(), topics.clone(), messages, rest);
        self.episode = Some(Box::pin(publishing));
        self.is_publishing = true;
        // It begins to wait with its next turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Turn<'_> {
    /// The fast lane.
    fn take_plain(&mut self, cx: &mut Context<'_>) {
        let (seat, session) = (self.seat, self.session);
        // Only the peer's Close still counts.
        let is_ended = seat.is_ended();
        let is_echo = matches!(session, Session::Echo | Session::EchoFrames) && !seat.may_inflate();
        let must_wait = self.pass.is_none() && seat.must_wait_to_publish();
        seat.take_plain(cx, |kind, payload| {
            match session {
                _ if is_ended => {}
                _ if is_echo => seat.reply_plain(kind, payload),
                _ => return self.react(kind, payload, must_wait),
            }
            ControlFlow::Continue(())
        });
    }

    fn react(&mut self, kind: Kind, payload: &[u8], must_wait: bool) -> ControlFlow<()> {
        charge_reaction(self.seat, self.session, payload);
        match self.session.react(kind, payload) {
            Reaction::Publish(frame) => {
                self.publish(frame);
                if must_wait {
                    return ControlFlow::Break(());
                }
            }
            reaction => perform(self.seat, self.session, reaction),
        }
        if self.seat.shard().is_turn_over() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Takes a message that is to be published in the end of the turn.
    fn publish(&mut self, frame: Frame) {
        if self.published.is_empty() {
            self.audience = self.seat.audience();
        }
        let message = self.seat.message(frame);
        self.seat.charge_delivery(self.audience, &message);
        self.published.push(message);
    }

    /// Returns true if it reads no further, because it must wait with what it publishes.
    fn must_stop(&mut self) -> bool {
        self.is_stopped |= self.must_wait();
        self.is_stopped
    }

    /// There is something to be published, and the hub has too much to deliver.
    fn must_wait(&self) -> bool {
        !self.published.is_empty() && self.pass.is_none() && self.seat.must_wait_to_publish()
    }
}

/// Charges the turn for looking into a message.
fn charge_reaction(seat: &SeatRef, session: &Session, payload: &[u8]) {
    if let Session::Relay(_) = session {
        seat.spend(RELAY + payload.len() as u64 * RELAY_BYTE);
    }
}

/// Does what a message asked for, unless it is to be published.
fn perform(seat: &SeatRef, session: &Session, reaction: Reaction) {
    match reaction {
        Reaction::Publish(_) => {}
        Reaction::Reply(frame) => seat.reply(frame),
        Reaction::SetTopics(topics) if seat.is_too_much(&topics) => seat.refuse(),
        Reaction::SetTopics(topics) => {
            seat.set_topics(&topics);
            if let Session::Relay(claim) = session {
                claim.set_topics(&topics);
            }
            seat.reply(relay::topics_in_force(&topics));
        }
    }
}

/// What a message to the relay takes, in nanoseconds: most of it is the answer.
const RELAY: u64 = 1_000;

/// What parsing a byte of it takes, in nanoseconds.
const RELAY_BYTE: u64 = 4;

/// What an episode takes, in nanoseconds, besides what it reads.
const EPISODE: u64 = 500;
