//! The slow path: futures that read a message through the gate and fastwebsockets, that wait while
//! too many replies are unwritten, or that wait for a permit to publish.
//!
//! `read_frame` of fastwebsockets is not cancel safe. So a future of the slow path is polled until
//! it completes, or until the connection has ended.

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
    /// A frame of a fragmented message, and the future that reads the next frames.
    Fragment(OwnedFragment, SlowPath),
    /// No message: all bytes so far are read, and the connection is between two messages.
    Idle,
    /// A permit to publish in this turn.
    Permitted(PublishPermit),
    /// A whole message.
    Message(Kind, Bytes),
    /// The end of the connection.
    Over(Disconnect),
}

/// A frame of a fragmented message.
pub(super) struct OwnedFragment {
    /// `None` unless this is the first frame.
    kind: Option<Kind>,
    is_last: bool,
    payload: Bytes,
}

impl OwnedFragment {
    pub(super) fn as_fragment(&self) -> Fragment<'_> {
        Fragment::new(self.kind, self.is_last, &self.payload)
    }
}

/// Publications of a connection that waits for a permit to publish them.
pub(super) struct WaitingPublications {
    pub(super) publications: Publications,
    /// Number of bytes that the connection has received behind these messages and reads later.
    pub(super) unread: usize,
}

/// Waits until the replies that held the reader up are written.
pub(super) async fn wait_while_behind(handle: HandleRef) -> Outcome {
    wait_while_reader_is_held(&handle).await;
    Outcome::Idle
}

/// Waits until the outbox is no longer so full that reading must wait.
async fn wait_while_reader_is_held(handle: &HandleRef) {
    // No waker is stored here, because the shard wakes the task anyway when the outbox is empty.
    poll_fn(|_| {
        if handle.hold_reader_if_behind() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// Waits for a permit and publishes. After that it goes on with `rest`, the future of the slow path
/// that was interrupted, if there is one.
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
            // `rest` may take long, and other publishers wait for the permit.
            drop(permit);
            rest.await
        }
    }
}

/// Reads a message through the gate and fastwebsockets. If `in_fragments`, a fragmented message is
/// returned frame by frame: first its first frame, with the future that reads the others.
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

/// Reads up to the end of the message, or only the next frame if the protocol wants fragments.
async fn read_on(
    mut engine: Engine<impl FnMut(&[u8]) + Unpin + 'static>,
    handler: FrameHandler,
) -> Outcome {
    loop {
        if handler.handle.hold_reader_if_behind() {
            wait_while_reader_is_held(&handler.handle).await;
        }
        let outcome = match engine.read_frame().await.map_err(Stop::from) {
            Ok(frame) if frame.opcode == OpCode::Close => return Outcome::Over(Disconnect::ByPeer),
            Ok(frame) => handler.on_frame(frame).await,
            Err(Stop::Idle) => return Outcome::Idle,
            Err(Stop::ProtocolError(error)) => Err(error),
            Err(Stop::Lost(_)) => return Outcome::Over(Disconnect::Lost),
        };
        return match outcome {
            Ok(FrameOutcome::Nothing) => continue,
            Ok(FrameOutcome::Message(kind, payload)) => Outcome::Message(kind, payload),
            Ok(FrameOutcome::Fragment(fragment)) => {
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

/// The outcome of a frame that fastwebsockets has read.
enum FrameOutcome {
    Message(Kind, Bytes),
    /// Nothing for the protocol: a control frame, or a frame after the connection's end.
    Nothing,
    Fragment(OwnedFragment),
}

impl FrameHandler {
    /// Handles a frame that fastwebsockets has read: a whole message, or a single fragment if the
    /// protocol wants fragments.
    ///
    /// # Errors
    ///
    /// A compressed message can't be inflated, is too big, or is text and not UTF-8.
    async fn on_frame(
        &self,
        frame: fastwebsockets::Frame<'_>,
    ) -> Result<FrameOutcome, ProtocolError> {
        let info = match frame.opcode {
            OpCode::Text | OpCode::Binary => self.infos.borrow_mut().pop_front(),
            OpCode::Continuation => None,
            OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(FrameOutcome::Nothing),
        };
        if self.handle.is_ended() {
            // Only the peer's Close matters now.
            return Ok(FrameOutcome::Nothing);
        }
        let is_last = !self.in_fragments || self.is_final.get();
        match info {
            Some(info) if is_last => {
                let message = self.inflate(info, frame.payload).await?;
                Ok(FrameOutcome::Message(info.kind, message))
            }
            // Does not happen: fastwebsockets returns whole messages, and the gate has an info for
            // each.
            None if !self.in_fragments => Ok(FrameOutcome::Nothing),
            // Only the first frame of a message has its kind.
            info => Ok(FrameOutcome::Fragment(OwnedFragment {
                kind: info.map(|info| info.kind),
                is_last,
                payload: into_owned(frame.payload),
            })),
        }
    }

    /// Returns the message whose payload fastwebsockets has read. If it is compressed, it is
    /// inflated, which may take several turns.
    async fn inflate(
        &self,
        info: MessageInfo,
        payload: Payload<'_>,
    ) -> Result<Bytes, ProtocolError> {
        if !info.is_deflated {
            return Ok(into_owned(payload));
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

/// Returns the bytes of a payload without a borrow of fastwebsockets' buffers. The payload of a
/// whole message is owned already, and is not copied.
fn into_owned(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
        Payload::BorrowedMut(bytes) => Bytes::copy_from_slice(bytes),
        Payload::Owned(bytes) => bytes.into(),
        Payload::Bytes(bytes) => bytes.freeze(),
    }
}

/// Bytes of memory that an inflater holds by itself.
const INFLATER_BYTES: usize = 64 * 1024;

/// Nanoseconds that a turn is charged for a step of inflating. A few steps take up to 100,000.
const INFLATE: u64 = 10_000;

/// fastwebsockets as it reads a message of a connection. `W` is the callback for its automatic
/// answers to Ping and Close.
type Engine<W> = FragmentCollector<ReadSide<Inbound, W>>;

/// Sets fastwebsockets up to read the bytes from the peer. Its automatic Pongs and Closes go to the
/// outbox.
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

/// The stream of the peer's bytes, which come through the shard's receive buffer. It enters the
/// memory that an unfinished message holds in the shard's ledger.
struct Inbound {
    handle: HandleRef,
    /// The entry in the ledger for the memory that fastwebsockets may hold for the message.
    message: UnfinishedMessage,
    /// Number of bytes that were received for the message so far, control frames included.
    received: usize,
    /// Size of the largest allowed message, in bytes as it is received (compressed or not).
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
        // fastwebsockets' buffers may be twice as large as their contents. `received` counts Pings,
        // too, which are not kept, and so may be larger than any message.
        let message = this.received.min(this.limit);
        this.message.grow_to(ENGINE_BYTES + 2 * message);
        read
    }
}

/// Bytes of memory that fastwebsockets holds before it has read anything.
const ENGINE_BYTES: usize = 20 * 1024;
