//! The read side: socket, gate, fastwebsockets, and what a message asks for.
//!
//! A whole plain message is taken from the receive buffer as it stands there: the fast lane. For
//! everything else there is an *episode*, one for each message: a future that reads it through
//! the gate and fastwebsockets, whose `read_frame` is not cancel safe, so it is polled until it
//! completes. An idle connection has no episode, and so no buffer.
//!
//! ```text
//!                 ┌─ whole and plain ─► fast lane ─────────────┐
//!  receive buffer ┤                                            ├─► reaction
//!                 └─ anything else ──► gate ─► fastwebsockets ─┘
//! ```

use std::{
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, OpCode, WebSocket, WebSocketError};
use tokio::io::{AsyncRead, ReadBuf};

use super::Session;
use crate::{
    hub::seat::SeatRef,
    protocol::{Reaction, relay},
    wire::{
        close::Disconnect,
        frame::{self, Frame, Opcode},
        gate::Marks,
        read_side::{ReadSide, Stop, open_message, web_socket},
        violation::Violation,
        walk::Mark,
    },
};

/// Reads a connection in turns.
#[derive(Default)]
pub(super) struct Reader {
    episode: Option<Pin<Box<dyn Future<Output = Episode>>>>,
    /// Received, and to be read in the next turn.
    kept: Vec<u8>,
}

/// What an episode costs, as bytes: echoing that many compressed takes as long. Measured.
const EPISODE_BYTES: usize = 512;

/// How an episode ended.
enum Episode {
    /// Between two messages.
    Idle,
    Over(Disconnect),
}

impl Reader {
    /// Puts what was received before the reader was there in front of everything.
    pub(super) fn keep(&mut self, leftover: Vec<u8>) {
        self.kept = leftover;
    }

    /// Reads, and reacts to what is read, until there is nothing more or the turn has had its
    /// share. Ready when there will be nothing more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        seat: &SeatRef,
        session: &Session,
    ) -> Poll<Disconnect> {
        let shard = seat.shard();
        shard.begin_turn(&std::mem::take(&mut self.kept));
        let read = self.poll_episodes(cx, seat, session);
        self.kept = shard.end_turn();
        read
    }

    fn poll_episodes(
        &mut self,
        cx: &mut Context<'_>,
        seat: &SeatRef,
        session: &Session,
    ) -> Poll<Disconnect> {
        loop {
            let episode = match &mut self.episode {
                Some(episode) => episode,
                // Nothing is received while it could not be worked off.
                None if must_wait(seat) => self.episode.insert(Box::pin(wait(seat.clone()))),
                None => {
                    if !matches!(ready!(seat.poll_fill(cx)), Ok(true)) {
                        return Poll::Ready(Disconnect::Lost);
                    }
                    take_plain(cx, seat, session);
                    if seat.has_taken_all() {
                        continue;
                    }
                    self.episode
                        .insert(Box::pin(read(seat.clone(), session.clone())))
                }
            };
            let ended = ready!(episode.as_mut().poll(cx));
            self.episode = None;
            seat.spend(EPISODE_BYTES);
            if let Episode::Over(reason) = ended {
                return Poll::Ready(reason);
            }
        }
    }
}

/// The fast lane.
fn take_plain(cx: &mut Context<'_>, seat: &SeatRef, session: &Session) {
    // Only the peer's Close still counts.
    let is_ended = seat.is_ended();
    let is_echo = matches!(session, Session::Echo | Session::EchoFrames) && !seat.may_inflate();
    // Published together, so that the hub is asked once for all.
    let mut published = Vec::new();
    seat.take_plain(cx, |kind, payload| match session {
        _ if is_ended => {}
        _ if is_echo => seat.reply_plain(kind, payload),
        _ => match session.react(kind, payload) {
            Reaction::Publish(frame) => published.push(frame),
            reaction => perform(seat, session, reaction),
        },
    });
    publish(seat, session, published);
}

/// Reads a message through the gate and fastwebsockets.
async fn read(seat: SeatRef, session: Session) -> Episode {
    let marks = Marks::default();
    let mut engine = engine(&seat, &session, &marks);
    let listener = Listener {
        seat,
        session,
        marks,
    };
    loop {
        let heard = match engine.read_frame().await.map_err(Stop::from) {
            Ok(frame) if frame.opcode == OpCode::Close => return Episode::Over(Disconnect::ByPeer),
            Ok(frame) => listener.on_frame(&frame),
            Err(Stop::Idle) => return Episode::Idle,
            Err(Stop::Violation(violation)) => Err(violation),
            Err(Stop::Lost(_)) => return Episode::Over(Disconnect::Lost),
        };
        if let Err(violation) = heard {
            return Episode::Over(violation.into());
        }
        if must_wait(&listener.seat) {
            wait_for_room(&listener.seat).await;
        }
    }
}

/// Does what the frames of an episode ask for.
struct Listener {
    seat: SeatRef,
    session: Session,
    marks: Marks,
}

impl Listener {
    /// Takes a frame, or, of all but the raw echo, a whole message.
    ///
    /// # Errors
    ///
    /// A compressed message that can't be inflated to what it should be.
    fn on_frame(&self, frame: &fastwebsockets::Frame<'_>) -> Result<(), Violation> {
        let mark = match frame.opcode {
            OpCode::Text | OpCode::Binary => self.marks.borrow_mut().pop_front(),
            OpCode::Continuation => None,
            OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(()),
        };
        if self.seat.is_ended() {
            // Only the peer's Close still counts.
            return Ok(());
        }
        match (&self.session, mark) {
            (Session::EchoFrames, mark) => {
                let opcode = mark.map_or(Opcode::Continuation, |mark| mark.kind.into());
                let fragment = Frame::fragment(opcode, frame.fin, &frame.payload);
                self.seat.reply(fragment);
            }
            (session, Some(mark)) => {
                let reaction = self.react(mark, &frame.payload)?;
                perform(&self.seat, session, reaction);
            }
            (_, None) => {}
        }
        Ok(())
    }

    fn react(&self, mark: Mark, payload: &[u8]) -> Result<Reaction, Violation> {
        let shard = self.seat.shard();
        let limit = shard.config().limits.message_bytes;
        let message = open_message(mark, payload, &mut shard.inflater(), limit)?;
        if mark.is_deflated {
            self.seat.spend(message.len());
        }
        Ok(self.session.react(mark.kind, &message))
    }
}

/// Does what a message asked for.
fn perform(seat: &SeatRef, session: &Session, reaction: Reaction) {
    match reaction {
        Reaction::Publish(frame) => publish(seat, session, vec![frame]),
        Reaction::Reply(frame) => seat.reply(frame),
        Reaction::SetTopics(topics) => {
            seat.set_topics(&topics);
            if let Session::Relay(claim) = session {
                claim.set_topics(&topics);
            }
            seat.reply(relay::topics_in_force(&topics));
        }
    }
}

fn publish(seat: &SeatRef, session: &Session, frames: Vec<Frame>) {
    if let Session::Chat(topics) = session
        && !frames.is_empty()
    {
        seat.publish(topics, frames);
    }
}

/// The connection is not to be read now: it owes too much, or the hub has too much to deliver.
fn must_wait(seat: &SeatRef) -> bool {
    !seat.may_read() || seat.is_hub_full()
}

async fn wait(seat: SeatRef) -> Episode {
    wait_for_room(&seat).await;
    Episode::Idle
}

async fn wait_for_room(seat: &SeatRef) {
    // The connection's task is woken when more of its outbox is written.
    std::future::poll_fn(|_| {
        if seat.may_read() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    seat.hub_has_room().await;
}

/// fastwebsockets, by what is asked of it.
enum Engine<W> {
    Frames(WebSocket<ReadSide<Inbound, W>>),
    Messages(FragmentCollector<ReadSide<Inbound, W>>),
}

/// Builds it on what the peer sends, with its auto-pong and auto-close into the outbox.
fn engine(
    seat: &SeatRef,
    session: &Session,
    marks: &Marks,
) -> Engine<impl FnMut(&[u8]) + Unpin + use<>> {
    let rules = seat.shard().config().rules(seat.may_inflate());
    let inbound = Inbound(seat.clone());
    let seat = seat.clone();
    let answer = move |frame: &[u8]| {
        let queued = Bytes::copy_from_slice(frame);
        if frame::is_close(frame) {
            seat.answer_close(queued);
        } else {
            seat.control(queued);
        }
    };
    let web_socket = web_socket(inbound, rules, Rc::clone(marks), answer);
    match session {
        Session::EchoFrames => Engine::Frames(web_socket),
        _ => Engine::Messages(FragmentCollector::new(web_socket)),
    }
}

impl<W: FnMut(&[u8]) + Unpin> Engine<W> {
    async fn read_frame(&mut self) -> Result<fastwebsockets::Frame<'static>, WebSocketError> {
        match self {
            Self::Frames(engine) => engine.read_frame().await,
            Self::Messages(engine) => engine.read_frame().await,
        }
    }
}

/// What the peer sent, by way of the shard's receive buffer.
struct Inbound(SeatRef);

impl AsyncRead for Inbound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}
