//! The read side: socket, gate, fastwebsockets, and what a message asks for.
//!
//! fastwebsockets' `read_frame` is not cancel safe: a dropped one loses the header that it has
//! read. So reading goes in *episodes*: a future that is built when there is something to read,
//! polled until it completes, and dropped only between two messages, when it says so itself. An
//! idle connection has no episode, and so no buffer.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, OpCode, WebSocket, WebSocketError};
use tokio::io::{AsyncRead, ReadBuf};

use super::Session;
use crate::{
    hub::seat::SeatRef,
    protocol::{Reaction, relay},
    topic_name::TopicName,
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

/// How an episode ended.
enum Episode {
    /// Between two messages, with a socket that had nothing more to say.
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
                None => {
                    // Nothing is received while it could not be worked off: the episode waits.
                    if !must_wait(seat) && !matches!(ready!(seat.poll_fill(cx)), Ok(true)) {
                        return Poll::Ready(Disconnect::Lost);
                    }
                    self.episode
                        .insert(Box::pin(read(seat.clone(), session.clone())))
                }
            };
            let ended = ready!(episode.as_mut().poll(cx));
            self.episode = None;
            if let Episode::Over(reason) = ended {
                return Poll::Ready(reason);
            }
        }
    }
}

/// Reads until the connection is idle or over.
async fn read(seat: SeatRef, session: Session) -> Episode {
    wait_for_room(&seat).await;
    let marks = Marks::default();
    let publisher = Rc::new(Publisher::new(&seat, &session));
    let mut engine = engine(&seat, &session, &marks, &publisher);
    let listener = Listener {
        seat,
        session,
        marks,
        publisher,
    };
    let reason = loop {
        let heard = match engine.read_frame().await {
            Ok(frame) if frame.opcode == OpCode::Close => break Some(Disconnect::ByPeer),
            Ok(frame) => listener.on_frame(&frame),
            Err(error) => break reason_of(error),
        };
        if let Err(violation) = heard {
            break Some(violation.into());
        }
        if must_wait(&listener.seat) {
            listener.publisher.flush();
            wait_for_room(&listener.seat).await;
        }
    };
    listener.publisher.flush();
    reason.map_or(Episode::Idle, Episode::Over)
}

/// Does what the frames of an episode ask for.
struct Listener {
    seat: SeatRef,
    session: Session,
    marks: Marks,
    publisher: Rc<Publisher>,
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
            (_, Some(mark)) => self.perform(self.react(mark, &frame.payload)?),
            (_, None) => {}
        }
        Ok(())
    }

    fn react(&self, mark: Mark, payload: &[u8]) -> Result<Reaction, Violation> {
        let shard = self.seat.shard();
        let limit = shard.config().limits.message_bytes;
        let message = open_message(mark, payload, &mut shard.inflater(), limit)?;
        Ok(self.session.react(mark.kind, &message))
    }

    /// Does what a message asked for.
    fn perform(&self, reaction: Reaction) {
        match reaction {
            Reaction::Publish(frame) => self.publisher.add(frame),
            Reaction::Reply(frame) => self.seat.reply(frame),
            Reaction::SetTopics(topics) => {
                self.seat.set_topics(&topics);
                if let Session::Relay(claim) = &self.session {
                    claim.set_topics(&topics);
                }
                self.seat.reply(relay::topics_in_force(&topics));
            }
        }
    }
}

/// The connection is not to be read now: it owes too much, or the hub has too much to deliver.
fn must_wait(seat: &SeatRef) -> bool {
    !seat.may_read() || seat.is_hub_full()
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
    publisher: &Rc<Publisher>,
) -> Engine<impl FnMut(&[u8]) + Unpin + use<>> {
    let rules = seat.shard().config().rules(seat.may_inflate());
    let inbound = Inbound {
        seat: seat.clone(),
        publisher: Rc::clone(publisher),
    };
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

/// Why reading ended, or `None` if it is only idle.
fn reason_of(error: WebSocketError) -> Option<Disconnect> {
    match error.into() {
        Stop::Idle => None,
        Stop::Lost(_) => Some(Disconnect::Lost),
        Stop::Violation(violation) => Some(violation.into()),
    }
}

/// Gathers what one read brought, so that the hub is asked once for all of it.
struct Publisher {
    seat: SeatRef,
    topics: Option<Arc<[TopicName]>>,
    frames: RefCell<Vec<Frame>>,
}

impl Publisher {
    fn new(seat: &SeatRef, session: &Session) -> Self {
        let topics = match session {
            Session::Chat(topics) => Some(Arc::clone(topics)),
            _ => None,
        };
        Self {
            seat: seat.clone(),
            topics,
            frames: RefCell::default(),
        }
    }

    fn add(&self, frame: Frame) {
        self.frames.borrow_mut().push(frame);
    }

    fn flush(&self) {
        let frames = self.frames.take();
        if let Some(topics) = &self.topics
            && !frames.is_empty()
        {
            self.seat.publish(topics, frames);
        }
    }
}

/// What the peer sent, by way of the shard's receive buffer.
struct Inbound {
    seat: SeatRef,
    publisher: Rc<Publisher>,
}

impl AsyncRead for Inbound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What was read is worked off: this is where a batch ends.
        self.publisher.flush();
        self.seat.poll_read(cx, buf)
    }
}
