//! The slow path: what takes a connection longer than a look at its receive buffer.
//!
//! fastwebsockets' `read_frame` is not cancel safe, so each future of the slow path is polled until it completes.

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
        PublishPermit,
        handle::{HandleRef, publications::Publications, receiving::UnfinishedMessage},
    },
    protocol::Fragment,
    wire::{
        frame,
        frame::Kind,
        gate::{IsFinal, MessageInfos},
        inflate::Inflating,
        protocol_error::ProtocolError,
        read_side::{ReadSide, Reading, Stop, check_message, web_socket},
        validator::MessageInfo,
    },
};

/// A future of the slow path.
pub(super) type SlowPath = Pin<Box<dyn Future<Output = Outcome>>>;

/// The outcome of a future of the slow path.
pub(super) enum Outcome {
    /// A frame of a message, and the future that reads the next ones.
    Fragment(OwnedFragment, SlowPath),
    /// Nothing: it has ended between two messages.
    Idle,
    /// The right to publish in this turn.
    Permitted(PublishPermit),
    /// A whole message.
    Message(Kind, Bytes),
    Over(Disconnect),
}

/// A frame of a message.
pub(super) struct OwnedFragment {
    /// Of the first one.
    kind: Option<Kind>,
    is_last: bool,
    payload: Bytes,
}

impl OwnedFragment {
    pub(super) fn as_fragment(&self) -> Fragment<'_> {
        Fragment::new(self.kind, self.is_last, &self.payload)
    }
}

/// The publications that a connection waits with until it may publish.
pub(super) struct WaitingPublications {
    pub(super) publications: Publications,
    /// Bytes that it has received behind them, and reads later.
    pub(super) unread: usize,
}

/// Waits until the connection owes little enough to be read on.
pub(super) async fn answered(handle: HandleRef) -> Outcome {
    wait_until_answered(&handle).await;
    Outcome::Idle
}

async fn wait_until_answered(handle: &HandleRef) {
    // The connection's task is woken when more of its outbox is written.
    poll_fn(|_| {
        if handle.hold_reader_if_behind() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// Waits to be let through, publishes, and goes on with the `rest`, if there is any.
pub(super) async fn publish(
    handle: HandleRef,
    waiting: WaitingPublications,
    rest: Option<SlowPath>,
) -> Outcome {
    let WaitingPublications {
        publications,
        unread,
    } = waiting;
    let permit = handle
        .acquire_permit(publications.held_bytes() + unread)
        .await;
    handle.publish_all(publications);
    match (rest, permit) {
        (None, None) => Outcome::Idle,
        (None, Some(permit)) => Outcome::Permitted(permit),
        (Some(rest), permit) => {
            // It may wait for long.
            drop(permit);
            rest.await
        }
    }
}

/// Reads a message through the gate and fastwebsockets, or only its first frame.
pub(super) async fn read(handle: HandleRef, in_fragments: bool) -> Outcome {
    let infos = MessageInfos::default();
    let is_final = IsFinal::default();
    let engine = engine(&handle, in_fragments, &infos, &is_final);
    let handler = FrameHandler {
        handle,
        in_fragments,
        infos,
        is_final,
    };
    read_on(engine, handler).await
}

/// Reads the next frame, or all that are left of a message.
async fn read_on(
    mut engine: Engine<impl FnMut(&[u8]) + Unpin + 'static>,
    handler: FrameHandler,
) -> Outcome {
    loop {
        if handler.handle.hold_reader_if_behind() {
            wait_until_answered(&handler.handle).await;
        }
        let opened = match engine.read_frame().await.map_err(Stop::from) {
            Ok(frame) if frame.opcode == OpCode::Close => return Outcome::Over(Disconnect::ByPeer),
            Ok(frame) => handler.on_frame(frame).await,
            Err(Stop::Idle) => return Outcome::Idle,
            Err(Stop::ProtocolError(error)) => Err(error),
            Err(Stop::Lost(_)) => return Outcome::Over(Disconnect::Lost),
        };
        return match opened {
            Ok(Opened::Nothing) => continue,
            Ok(Opened::Message(kind, payload)) => Outcome::Message(kind, payload),
            Ok(Opened::Fragment(fragment)) => {
                Outcome::Fragment(fragment, Box::pin(read_on(engine, handler)))
            }
            Err(error) => Outcome::Over(error.into()),
        };
    }
}

/// Handles the frames that a future of the slow path reads.
struct FrameHandler {
    handle: HandleRef,
    in_fragments: bool,
    infos: MessageInfos,
    is_final: IsFinal,
}

/// The outcome of a frame.
enum Opened {
    Message(Kind, Bytes),
    /// Nothing for the protocol.
    Nothing,
    Fragment(OwnedFragment),
}

impl FrameHandler {
    /// Takes a whole message; or a frame, where fragments are wanted, which comes as a message.
    ///
    /// # Errors
    ///
    /// A compressed message that can't be inflated to what it should be.
    async fn on_frame(&self, frame: fastwebsockets::Frame<'_>) -> Result<Opened, ProtocolError> {
        let info = match frame.opcode {
            OpCode::Text | OpCode::Binary => self.infos.borrow_mut().pop_front(),
            OpCode::Continuation => None,
            OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(Opened::Nothing),
        };
        if self.handle.is_ended() {
            // Only the peer's Close still counts.
            return Ok(Opened::Nothing);
        }
        let is_last = !self.in_fragments || self.is_final.get();
        match info {
            Some(info) if is_last => {
                let message = self.open(info, frame.payload).await?;
                Ok(Opened::Message(info.kind, message))
            }
            None if !self.in_fragments => Ok(Opened::Nothing),
            // Only the first frame of a message says what it is.
            info => Ok(Opened::Fragment(OwnedFragment {
                kind: info.map(|info| info.kind),
                is_last,
                payload: kept(frame.payload),
            })),
        }
    }

    /// Returns the message behind a payload. Inflating it may take several turns.
    async fn open(&self, info: MessageInfo, payload: Payload<'_>) -> Result<Bytes, ProtocolError> {
        if !info.is_deflated {
            return Ok(kept(payload));
        }
        let shard = self.handle.shard();
        let mut inflating = Inflating::new(shard.config().limits.message_bytes);
        let mut inflater = shard.take_inflater();
        let mut held = shard.ledger().hold(INFLATER_BYTES);
        let inflated = loop {
            match inflating.step(&mut inflater, &payload) {
                Ok(Some(message)) => break Ok(message),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            held.grow_to(INFLATER_BYTES + inflating.held_bytes());
            self.handle.spend(INFLATE);
            if shard.is_turn_over() {
                self.handle.next_turn().await;
            }
        };
        shard.give_back(inflater);
        let message = inflated?;
        check_message(info, &message)?;
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

/// Bytes that an inflater holds.
const INFLATER_BYTES: usize = 64 * 1024;

/// The cost of a step of inflating, in nanoseconds: up to 100,000, but for few.
const INFLATE: u64 = 10_000;

/// fastwebsockets, with `W` to take what it answers by itself.
type Engine<W> = FragmentCollector<ReadSide<Inbound, W>>;

/// Builds fastwebsockets on what the peer sends, with its auto-pong and auto-close into the outbox.
fn engine(
    handle: &HandleRef,
    in_fragments: bool,
    infos: &MessageInfos,
    is_final: &IsFinal,
) -> Engine<impl FnMut(&[u8]) + Unpin + use<>> {
    let rules = handle.shard().config().rules(handle.may_inflate());
    let inbound = Inbound::new(handle.clone());
    let handle = handle.clone();
    let answer = move |frame: &[u8]| {
        let queued = Bytes::copy_from_slice(frame);
        if frame::is_close(frame) {
            handle.answer_close(queued);
        } else {
            handle.control(queued);
        }
    };
    let reading = if in_fragments {
        Reading::Frames(Rc::clone(is_final))
    } else {
        Reading::Messages
    };
    let web_socket = web_socket(inbound, rules, reading, Rc::clone(infos), answer);
    FragmentCollector::new(web_socket)
}

/// A reader of what the peer sent, by way of the shard's receive buffer.
struct Inbound {
    handle: HandleRef,
    /// With what fastwebsockets may hold of it.
    message: UnfinishedMessage,
    received: usize,
    /// Of the largest message, as it arrives.
    limit: usize,
}

impl Inbound {
    fn new(handle: HandleRef) -> Self {
        let shard = handle.shard();
        Self {
            message: handle.begin_message(ENGINE_BYTES),
            received: 0,
            limit: (shard.config().limits.wire()).received_bytes(handle.may_inflate()),
            handle,
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
        let read = this.handle.poll_read(cx, buf);
        this.received += buf.filled().len() - before;
        // Its buffers are up to twice as large as what is in them; of pings nothing stays.
        let message = this.received.min(this.limit);
        this.message.grow_to(ENGINE_BYTES + 2 * message);
        read
    }
}

/// Bytes that fastwebsockets holds before anything is read.
const ENGINE_BYTES: usize = 20 * 1024;
