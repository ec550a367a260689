//! Episodes: what takes a connection longer than a look at its receive buffer.
//!
//! fastwebsockets' `read_frame` is not cancel safe, so an episode is polled until it completes.

use std::{
    borrow::Cow,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, OpCode};
use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    connection::reader::{Session, charge_reaction, perform},
    disconnect::Disconnect,
    hub::{Held, Message, Pass, seat::SeatRef},
    protocol::Reaction,
    topic::TopicName,
    wire::{
        frame,
        frame::{Frame, Opcode},
        gate::{IsFinal, Marks},
        inflate::Inflating,
        read_side::{ReadSide, Reading, Stop, check_message, web_socket},
        violation::Violation,
        walk::Mark,
    },
};

/// How an episode ended.
pub(super) enum Episode {
    /// Between two messages.
    Idle,
    /// With the right to publish in this turn.
    LetThrough(Pass),
    Over(Disconnect),
    /// With a message that is to be published.
    Publish(Frame),
}

/// What a connection waits with until it may publish.
pub(super) struct Waiting {
    pub(super) messages: Vec<Message>,
    /// Bytes that it has received behind them, and reads later.
    pub(super) unread: usize,
}

/// Waits until the connection owes little enough to be read on.
pub(super) async fn answered(seat: SeatRef) -> Episode {
    wait_until_answered(&seat).await;
    Episode::Idle
}

async fn wait_until_answered(seat: &SeatRef) {
    // The connection's task is woken when more of its outbox is written.
    poll_fn(|_| {
        if seat.may_read() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Waits to be let through, publishes the messages, and goes on with the `rest`, if there is any.
pub(super) async fn publish(
    seat: SeatRef,
    topics: Arc<[TopicName]>,
    waiting: Waiting,
    rest: Option<Pin<Box<dyn Future<Output = Episode>>>>,
) -> Episode {
    let held = waiting.messages.iter().map(Message::held_bytes);
    let pass = seat.pass(held.sum::<usize>() + waiting.unread).await;
    seat.publish(&topics, waiting.messages);
    match (rest, pass) {
        (None, None) => Episode::Idle,
        (None, Some(pass)) => Episode::LetThrough(pass),
        (Some(rest), pass) => {
            // It may wait for long.
            drop(pass);
            rest.await
        }
    }
}

/// Reads a message through the gate and fastwebsockets.
pub(super) async fn read(seat: SeatRef, session: Session) -> Episode {
    let marks = Marks::default();
    let is_final = IsFinal::default();
    let mut engine = engine(&seat, &session, &marks, &is_final);
    let _unfinished = seat.begin_message();
    let handler = Handler {
        seat,
        session,
        marks,
        is_final,
    };
    loop {
        let heard = match engine.read_frame().await.map_err(Stop::from) {
            Ok(frame) if frame.opcode == OpCode::Close => return Episode::Over(Disconnect::ByPeer),
            Ok(frame) => handler.on_frame(&frame).await,
            Err(Stop::Idle) => return Episode::Idle,
            Err(Stop::Violation(violation)) => Err(violation),
            Err(Stop::Lost(_)) => return Episode::Over(Disconnect::Lost),
        };
        match heard {
            Ok(None) => {}
            Ok(Some(published)) => return Episode::Publish(published),
            Err(violation) => return Episode::Over(violation.into()),
        }
        if !handler.seat.may_read() {
            wait_until_answered(&handler.seat).await;
        }
    }
}

/// Does what the frames of an episode ask for.
struct Handler {
    seat: SeatRef,
    session: Session,
    marks: Marks,
    is_final: IsFinal,
}

impl Handler {
    /// Takes a whole message; of the raw echo a whole frame, which comes as a message. Returns what
    /// is to be published.
    ///
    /// # Errors
    ///
    /// A compressed message that can't be inflated to what it should be.
    async fn on_frame(
        &self,
        frame: &fastwebsockets::Frame<'_>,
    ) -> Result<Option<Frame>, Violation> {
        let mark = match frame.opcode {
            OpCode::Text | OpCode::Binary => self.marks.borrow_mut().pop_front(),
            OpCode::Continuation => None,
            OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(None),
        };
        if self.seat.is_ended() {
            // Only the peer's Close still counts.
            return Ok(None);
        }
        match (&self.session, mark) {
            (Session::EchoFrames, mark) => {
                // Only the first frame of a message has one.
                let opcode = mark.map_or(Opcode::Continuation, |mark| mark.kind.into());
                let fragment = Frame::fragment(opcode, self.is_final.get(), &frame.payload);
                self.seat.reply(fragment);
            }
            (session, Some(mark)) => {
                let message = self.open(mark, &frame.payload).await?;
                charge_reaction(&self.seat, session, &message);
                match session.react(mark.kind, &message) {
                    Reaction::Publish(frame) => return Ok(Some(frame)),
                    reaction => perform(&self.seat, session, reaction),
                }
            }
            (_, None) => {}
        }
        Ok(None)
    }

    /// The message behind a payload. Inflating it may take several turns.
    async fn open<'a>(&self, mark: Mark, payload: &'a [u8]) -> Result<Cow<'a, [u8]>, Violation> {
        if !mark.is_deflated {
            return Ok(payload.into());
        }
        let shard = self.seat.shard();
        let mut inflating = Inflating::new(shard.config().limits.message_bytes);
        let mut inflater = shard.take_inflater();
        let mut held = shard.ledger().hold(INFLATER_BYTES);
        let inflated = loop {
            match inflating.step(&mut inflater, payload) {
                Ok(Some(message)) => break Ok(message),
                Ok(None) => {}
                Err(violation) => break Err(violation),
            }
            held.grow_to(INFLATER_BYTES + inflating.held_bytes());
            self.seat.spend(INFLATE);
            if shard.is_turn_over() {
                self.seat.next_turn().await;
            }
        };
        shard.give_back(inflater);
        let message = inflated?;
        check_message(mark, &message)?;
        Ok(message.into())
    }
}

/// What an inflater takes, in bytes.
const INFLATER_BYTES: usize = 64 * 1024;

/// What a step of inflating takes, in nanoseconds: up to 100,000, but for few.
const INFLATE: u64 = 10_000;

/// Builds fastwebsockets on what the peer sends, with its auto-pong and auto-close into the outbox.
fn engine(
    seat: &SeatRef,
    session: &Session,
    marks: &Marks,
    is_final: &IsFinal,
) -> FragmentCollector<ReadSide<Inbound, impl FnMut(&[u8]) + Unpin + use<>>> {
    let rules = seat.shard().config().rules(seat.may_inflate());
    let inbound = Inbound::new(seat.clone());
    let seat = seat.clone();
    let answer = move |frame: &[u8]| {
        let queued = Bytes::copy_from_slice(frame);
        if frame::is_close(frame) {
            seat.answer_close(queued);
        } else {
            seat.control(queued);
        }
    };
    let reading = match session {
        Session::EchoFrames => Reading::Frames(Rc::clone(is_final)),
        _ => Reading::Messages,
    };
    let web_socket = web_socket(inbound, rules, reading, Rc::clone(marks), answer);
    FragmentCollector::new(web_socket)
}

/// What the peer sent, by way of the shard's receive buffer.
struct Inbound {
    seat: SeatRef,
    /// What fastwebsockets may hold of it.
    held: Held,
    received: usize,
    /// Of the largest message, as it arrives.
    limit: usize,
}

impl Inbound {
    fn new(seat: SeatRef) -> Self {
        let shard = seat.shard();
        Self {
            held: shard.ledger().hold(ENGINE_BYTES),
            received: 0,
            limit: (shard.config().limits.wire()).received_bytes(seat.may_inflate()),
            seat,
        }
    }
}

impl AsyncRead for Inbound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = this.seat.poll_read(cx, buf);
        this.received += buf.filled().len() - before;
        // Its buffers are up to twice as large as what is in them; of pings nothing stays.
        let message = this.received.min(this.limit);
        this.held.grow_to(ENGINE_BYTES + 2 * message);
        read
    }
}

/// What fastwebsockets takes before anything is read, in bytes.
const ENGINE_BYTES: usize = 20 * 1024;
