//! Episodes: what takes a connection longer than a look at its receive buffer.
//!
//! fastwebsockets' `read_frame` is not cancel safe, so an episode is polled until it completes.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, OpCode, Payload};
use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    disconnect::Disconnect,
    hub::{
        Pass,
        seat::{SeatRef, publications::Publications, receiving::UnfinishedMessage},
    },
    protocol::Fragment,
    wire::{
        frame,
        frame::Kind,
        gate::{IsFinal, Marks},
        inflate::Inflating,
        read_side::{ReadSide, Reading, Stop, check_message, web_socket},
        violation::Violation,
        walk::Mark,
    },
};

/// An episode that is under way.
pub(super) type Unended = Pin<Box<dyn Future<Output = Episode>>>;

/// How an episode ended.
pub(super) enum Episode {
    /// With a frame of a message, and an episode that reads the next ones.
    Fragment(Part, Unended),
    /// Between two messages.
    Idle,
    /// With the right to publish in this turn.
    LetThrough(Pass),
    /// With a whole message.
    Message(Kind, Bytes),
    Over(Disconnect),
}

/// A frame of a message.
pub(super) struct Part {
    /// Of the first one.
    kind: Option<Kind>,
    is_last: bool,
    payload: Bytes,
}

impl Part {
    pub(super) fn as_fragment(&self) -> Fragment<'_> {
        Fragment::new(self.kind, self.is_last, &self.payload)
    }
}

/// What a connection waits with until it may publish.
pub(super) struct Waiting {
    pub(super) publications: Publications,
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

/// Waits to be let through, publishes, and goes on with the `rest`, if there is any.
pub(super) async fn publish(seat: SeatRef, waiting: Waiting, rest: Option<Unended>) -> Episode {
    let Waiting {
        publications,
        unread,
    } = waiting;
    let pass = seat.pass(publications.held_bytes() + unread).await;
    seat.publish_all(publications);
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

/// Reads a message through the gate and fastwebsockets, or only its first frame.
pub(super) async fn read(seat: SeatRef, in_fragments: bool) -> Episode {
    let marks = Marks::default();
    let is_final = IsFinal::default();
    let engine = engine(&seat, in_fragments, &marks, &is_final);
    let handler = Handler {
        seat,
        in_fragments,
        marks,
        is_final,
    };
    read_on(engine, handler).await
}

/// Reads the next frame, or all that are left of a message.
async fn read_on(
    mut engine: Engine<impl FnMut(&[u8]) + Unpin + 'static>,
    handler: Handler,
) -> Episode {
    loop {
        if !handler.seat.may_read() {
            wait_until_answered(&handler.seat).await;
        }
        let opened = match engine.read_frame().await.map_err(Stop::from) {
            Ok(frame) if frame.opcode == OpCode::Close => return Episode::Over(Disconnect::ByPeer),
            Ok(frame) => handler.on_frame(frame).await,
            Err(Stop::Idle) => return Episode::Idle,
            Err(Stop::Violation(violation)) => Err(violation),
            Err(Stop::Lost(_)) => return Episode::Over(Disconnect::Lost),
        };
        return match opened {
            Ok(Opened::Nothing) => continue,
            Ok(Opened::Message(kind, payload)) => Episode::Message(kind, payload),
            Ok(Opened::Part(part)) => Episode::Fragment(part, Box::pin(read_on(engine, handler))),
            Err(violation) => Episode::Over(violation.into()),
        };
    }
}

/// Opens the frames of an episode.
struct Handler {
    seat: SeatRef,
    in_fragments: bool,
    marks: Marks,
    is_final: IsFinal,
}

/// The outcome of a frame.
enum Opened {
    Message(Kind, Bytes),
    /// Nothing for the protocol.
    Nothing,
    Part(Part),
}

impl Handler {
    /// Takes a whole message; or a frame, where fragments are wanted, which comes as a message.
    ///
    /// # Errors
    ///
    /// A compressed message that can't be inflated to what it should be.
    async fn on_frame(&self, frame: fastwebsockets::Frame<'_>) -> Result<Opened, Violation> {
        let mark = match frame.opcode {
            OpCode::Text | OpCode::Binary => self.marks.borrow_mut().pop_front(),
            OpCode::Continuation => None,
            OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(Opened::Nothing),
        };
        if self.seat.is_ended() {
            // Only the peer's Close still counts.
            return Ok(Opened::Nothing);
        }
        let is_last = !self.in_fragments || self.is_final.get();
        match mark {
            Some(mark) if is_last => {
                let message = self.open(mark, frame.payload).await?;
                Ok(Opened::Message(mark.kind, message))
            }
            None if !self.in_fragments => Ok(Opened::Nothing),
            // Only the first frame of a message has a mark.
            mark => Ok(Opened::Part(Part {
                kind: mark.map(|mark| mark.kind),
                is_last,
                payload: kept(frame.payload),
            })),
        }
    }

    /// Returns the message behind a payload. Inflating it may take several turns.
    async fn open(&self, mark: Mark, payload: Payload<'_>) -> Result<Bytes, Violation> {
        if !mark.is_deflated {
            return Ok(kept(payload));
        }
        let shard = self.seat.shard();
        let mut inflating = Inflating::new(shard.config().limits.message_bytes);
        let mut inflater = shard.take_inflater();
        let mut held = shard.ledger().hold(INFLATER_BYTES);
        let inflated = loop {
            match inflating.step(&mut inflater, &payload) {
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

/// Returns a payload that outlives what has read it. Those of whole messages are not copied.
fn kept(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
        Payload::BorrowedMut(bytes) => Bytes::copy_from_slice(bytes),
        Payload::Owned(bytes) => bytes.into(),
        Payload::Bytes(bytes) => bytes.freeze(),
    }
}

/// What an inflater takes, in bytes.
const INFLATER_BYTES: usize = 64 * 1024;

/// What a step of inflating takes, in nanoseconds: up to 100,000, but for few.
const INFLATE: u64 = 10_000;

/// fastwebsockets, with `W` to take what it answers by itself.
type Engine<W> = FragmentCollector<ReadSide<Inbound, W>>;

/// Builds fastwebsockets on what the peer sends, with its auto-pong and auto-close into the outbox.
fn engine(
    seat: &SeatRef,
    in_fragments: bool,
    marks: &Marks,
    is_final: &IsFinal,
) -> Engine<impl FnMut(&[u8]) + Unpin + use<>> {
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
    let reading = if in_fragments {
        Reading::Frames(Rc::clone(is_final))
    } else {
        Reading::Messages
    };
    let web_socket = web_socket(inbound, rules, reading, Rc::clone(marks), answer);
    FragmentCollector::new(web_socket)
}

/// What the peer sent, by way of the shard's receive buffer.
struct Inbound {
    seat: SeatRef,
    /// With what fastwebsockets may hold of it.
    message: UnfinishedMessage,
    received: usize,
    /// Of the largest message, as it arrives.
    limit: usize,
}

impl Inbound {
    fn new(seat: SeatRef) -> Self {
        let shard = seat.shard();
        Self {
            message: seat.begin_message(ENGINE_BYTES),
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
        this.message.grow_to(ENGINE_BYTES + 2 * message);
        read
    }
}

/// What fastwebsockets takes before anything is read, in bytes.
const ENGINE_BYTES: usize = 20 * 1024;
