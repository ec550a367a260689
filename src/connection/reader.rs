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
use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, WebSocketError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Session;
use crate::{
    hub::seat::SeatRef,
    protocol::{Reaction, relay},
    topic_name::TopicName,
    wire::{
        close::Disconnect,
        frame::{Frame, Opcode},
        gate::{self, Gate, Kinds},
        violation::Violation,
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
    let kinds = Kinds::default();
    let publisher = Rc::new(Publisher::new(&seat, &session));
    let mut engine = Engine::new(&seat, &session, &kinds, &publisher);
    let listener = Listener {
        seat,
        session,
        kinds,
        publisher,
    };
    let reason = loop {
        match engine.read_frame().await {
            Ok(frame) if frame.opcode == OpCode::Close => break Some(Disconnect::ByPeer),
            Ok(frame) => listener.on_frame(&frame),
            Err(error) => break reason_of(error),
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
    kinds: Kinds,
    publisher: Rc<Publisher>,
}

impl Listener {
    /// Takes a frame, or, of all but the raw echo, a whole message.
    fn on_frame(&self, frame: &fastwebsockets::Frame<'_>) {
        let kind = match frame.opcode {
            OpCode::Text | OpCode::Binary => self.kinds.borrow_mut().pop_front(),
            OpCode::Continuation => None,
            OpCode::Close | OpCode::Ping | OpCode::Pong => return,
        };
        if self.seat.is_ended() {
            // Only the peer's Close still counts.
            return;
        }
        match (&self.session, kind) {
            (Session::EchoFrames, kind) => {
                let opcode = kind.map_or(Opcode::Continuation, Opcode::from);
                let fragment = Frame::fragment(opcode, frame.fin, &frame.payload);
                self.seat.reply(fragment);
            }
            (session, Some(kind)) => self.perform(session.react(kind, &frame.payload)),
            (_, None) => {}
        }
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
enum Engine {
    Frames(WebSocket<ReadSide>),
    Messages(FragmentCollector<ReadSide>),
}

impl Engine {
    fn new(seat: &SeatRef, session: &Session, kinds: &Kinds, publisher: &Rc<Publisher>) -> Self {
        let limits = seat.shard().config().limits.wire();
        let read_side = ReadSide {
            gate: Gate::new(Inbound(seat.clone()), limits, Rc::clone(kinds)),
            seat: seat.clone(),
            publisher: Rc::clone(publisher),
        };
        let mut web_socket = WebSocket::after_handshake(read_side, Role::Server);
        // A message as large as its limit is refused by it; the gate has unmasked already.
        web_socket.set_max_message_size(limits.message_bytes + 1);
        web_socket.set_auto_apply_mask(false);
        match session {
            Session::EchoFrames => Self::Frames(web_socket),
            _ => Self::Messages(FragmentCollector::new(web_socket)),
        }
    }

    async fn read_frame(&mut self) -> Result<fastwebsockets::Frame<'static>, WebSocketError> {
        match self {
            Self::Frames(engine) => engine.read_frame().await,
            Self::Messages(engine) => engine.read_frame().await,
        }
    }
}

/// Why reading ended, or `None` if it is only idle.
fn reason_of(error: WebSocketError) -> Option<Disconnect> {
    Some(match error {
        WebSocketError::IoError(error) if gate::is_idle(&error) => return None,
        WebSocketError::IoError(error) => match gate::violation(&error) {
            Some(violation) => Disconnect::Violation(violation),
            None => Disconnect::Lost,
        },
        WebSocketError::UnexpectedEOF => Disconnect::Lost,
        WebSocketError::ConnectionClosed => Disconnect::ByPeer,
        WebSocketError::InvalidCloseCode | WebSocketError::InvalidCloseFrame => {
            Disconnect::Violation(Violation::InvalidClose)
        }
        WebSocketError::InvalidUTF8 => Disconnect::Violation(Violation::InvalidUtf8),
        WebSocketError::FrameTooLarge => Disconnect::Violation(Violation::MessageTooBig),
        _ => Disconnect::Violation(Violation::Malformed),
    })
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
            self.seat.publish(topics, frames.into());
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

/// What fastwebsockets takes for its stream: the gate to read from, and to write to the outbox,
/// so that its auto-pong and auto-close stay on and the socket has one writer.
struct ReadSide {
    gate: Gate<Inbound>,
    seat: SeatRef,
    publisher: Rc<Publisher>,
}

impl AsyncRead for ReadSide {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // What was read is worked off: this is where a batch ends.
        this.publisher.flush();
        Pin::new(&mut this.gate).poll_read(cx, buf)
    }
}

impl AsyncWrite for ReadSide {
    /// Takes one whole control frame: fastwebsockets writes no other, and none in pieces.
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frame: &[u8],
    ) -> Poll<io::Result<usize>> {
        let is_close = frame
            .first()
            .is_some_and(|first| first & 0x0F == Opcode::Close as u8);
        let queued = Bytes::copy_from_slice(frame);
        if is_close {
            self.seat.answer_close(queued);
        } else {
            self.seat.control(queued);
        }
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
