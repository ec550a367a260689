//! One connection as two tasks: one reads the socket, the other one writes it.
//!
//! Each task is one future for the life of the connection, because reads of fastwebsockets are not
//! cancel safe: if a read is dropped inside a frame, its bytes are lost, and the next read starts
//! in the middle. So the session waits on the channels of the [`Link`] instead, which is cancel
//! safe.
//!
//! Replies (Pongs, echoes, the Close) are sent in the order of the frames that they answer. While
//! the socket takes no more bytes, the reader waits and reads no further frame. So no reply is
//! dropped, and few replies are in memory.
//!
//! Invariant: a Close frame is the last frame written.
//!
//! [`frame`] encodes and masks frames, [`pings`] has the Pings that wait for their Pong, and
//! [`disconnect`] the reasons why a connection ends.

pub(crate) mod disconnect;
pub(crate) mod frame;
pub(crate) mod pings;

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::SystemTime,
};

use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload};
use framecast_wire::{
    extension::Agreement,
    frame::{Kind, is_close},
    gate::MessageInfos,
    inflate::Inflater,
    protocol_error::ProtocolError,
    read_side::{Reading, Stop, open_message, web_socket},
    validator::{MessageInfo, MessageLimits, Role, Rules},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use self::{disconnect::Disconnect, frame::Encoder};
use crate::connect::console::{message::Format, queue::MessageQueue};

/// Capacity of the queue of events for the session. Arbitrary: the session takes events whenever it
/// waits, so that few of them are queued.
const QUEUED_EVENTS: usize = 64;

/// Limits of a message from the server. Arbitrary: longer messages than a terminal can show are
/// accepted, but none that would take a notable part of any machine's memory.
const LIMITS: MessageLimits = MessageLimits {
    message_bytes: 16 << 20,
    fragments: 1 << 17,
};

/// An event on the connection, for the session.
#[derive(Debug)]
pub(super) enum Event {
    /// The connection has ended. No event follows.
    Disconnected(Disconnect),
    /// A message has arrived, and was printed or sent back.
    Message,
    /// A Pong with this payload.
    Pong(Vec<u8>),
}

/// The destination of the messages that the server sends.
#[derive(Debug)]
pub(super) enum Messages {
    /// Standard output.
    Print {
        /// The queue of standard output.
        messages: MessageQueue,
        format: Format,
        /// The number of messages that are printed before all others are dropped. `None` if all
        /// are printed.
        left: Option<Rc<Cell<usize>>>,
    },
    /// The server: each message is sent back to it.
    Echo,
}

/// A receiver that completes when a queued frame has been written to the socket. Fails if the frame
/// will never be written.
pub(super) type Written = oneshot::Receiver<()>;

/// An encoded frame, and the sender that completes its [`Written`].
pub(super) type Outgoing = (Vec<u8>, oneshot::Sender<()>);

/// An open connection. Dropping it drops the socket.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) events: mpsc::Receiver<Event>,
    /// The queue of frames for the socket. The queue is closed once no more frames are written:
    /// after a Close frame, or after the socket has failed.
    pub(super) frames: mpsc::Sender<Outgoing>,
    encoder: Encoder,
    /// The tasks that read and write the socket. Dropping the set ends them.
    _tasks: JoinSet<()>,
}

impl Link {
    /// Starts the two tasks on `socket`, after the opening handshake. `deflate` is the compression
    /// that was agreed on in the handshake, if any. `messages` is the destination of messages.
    pub(super) fn new<S>(socket: S, deflate: Option<Agreement>, messages: Messages) -> Self
    where
        S: AsyncRead + AsyncWrite + 'static,
    {
        let (read_half, write_half) = tokio::io::split(socket);
        let (event_sender, events) = mpsc::channel(QUEUED_EVENTS);
        let (frames, frame_receiver) = mpsc::channel(1);
        let (replies, reply_receiver) = mpsc::channel(1);
        let reader = Reader {
            infos: MessageInfos::default(),
            inflater: Inflater::default(),
            messages,
            encoder: Encoder::new(deflate),
            replies,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn_local(reader.read(read_half, deflate.is_some(), event_sender));
        tasks.spawn_local(write(write_half, frame_receiver, reply_receiver));
        Self {
            events,
            frames,
            encoder: Encoder::new(deflate),
            _tasks: tasks,
        }
    }

    /// Queues an encoded frame. Waits while another frame is queued already. Returns a receiver
    /// that completes once the frame is written.
    pub(super) async fn send(&self, wire: Vec<u8>) -> Written {
        let (sender, written) = oneshot::channel();
        // If the writer has ended, this drops the frame with the sender, so that `written` fails.
        let _ = self.frames.send((wire, sender)).await;
        written
    }

    /// Encodes a message.
    pub(super) fn message(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        self.encoder.message(kind, payload)
    }
}

/// The task that reads the socket.
struct Reader {
    infos: MessageInfos,
    inflater: Inflater,
    messages: Messages,
    encoder: Encoder,
    replies: mpsc::Sender<Vec<u8>>,
}

impl Reader {
    /// Reads frames, and passes messages to their destination and events to the session, until the
    /// connection ends.
    async fn read<S: AsyncRead>(
        mut self,
        socket: ReadHalf<S>,
        deflate: bool,
        events: mpsc::Sender<Event>,
    ) {
        let rules = Rules {
            role: Role::Client,
            deflate,
            limits: LIMITS,
        };
        // The reply of fastwebsockets to a Close. It is kept here, and queued after the event
        // below.
        let close_reply = RefCell::new(Vec::new());
        let keep_reply = |frame: &[u8]| drop(close_reply.replace(frame.to_vec()));
        // The gate reads in small pieces, which cost no system call if they come from this buffer.
        let socket = BufReader::new(socket);
        let mut engine = web_socket(
            socket,
            rules,
            Reading::Messages,
            Rc::clone(&self.infos),
            keep_reply,
        );
        // `on_frame` sends the Pongs, because it can wait for the queue of replies. The engine
        // still replies to a Close, of which there is only one.
        engine.set_auto_pong(false);
        let mut engine = FragmentCollector::new(engine);
        let disconnect = loop {
            let received = match engine.read_frame().await.map_err(Stop::from) {
                // The payload of the reply is the server's. The frame may have a stand-in for a
                // code that fastwebsockets does not know.
                Ok(frame) if frame.opcode == OpCode::Close => {
                    Err(by_server(&frame::payload(&close_reply.borrow())))
                }
                Ok(frame) => self.on_frame(&frame).await,
                // The gate reports `Idle` after each message. The next call of `read_frame` reads
                // on.
                Err(Stop::Idle) => continue,
                Err(stop) => Err(reason_of(stop)),
            };
            let event = match received {
                Ok(Some(event)) => event,
                Ok(None) => continue,
                Err(disconnect) => break disconnect,
            };
            if events.send(event).await.is_err() {
                return;
            }
        };
        let close = match &disconnect {
            Disconnect::ByServer { .. } => Some(close_reply.take()),
            Disconnect::ProtocolError(error) => Some(frame::close(error.close_code(), "")),
            Disconnect::Lost(_) => None,
        };
        // The event comes first, so that the session can limit the wait for the Close to be
        // written.
        let _ = events.send(Event::Disconnected(disconnect)).await;
        if let Some(close) = close {
            self.reply(close).await;
        }
    }

    /// Handles a Ping, a Pong or a whole message. Returns an event for the session, if there is
    /// one.
    async fn on_frame(&mut self, frame: &Frame<'_>) -> Result<Option<Event>, Disconnect> {
        match frame.opcode {
            OpCode::Pong => Ok(Some(Event::Pong(frame.payload.to_vec()))),
            OpCode::Ping => {
                self.reply(frame::pong(&frame.payload)).await;
                Ok(None)
            }
            // The caller has handled a Close. The collector puts fragments together, and returns
            // none.
            OpCode::Close | OpCode::Continuation => Ok(None),
            OpCode::Text | OpCode::Binary => {
                let info = self.infos.borrow_mut().pop_front();
                let info = info.ok_or(ProtocolError::Malformed)?;
                self.on_message(info, &frame.payload).await?;
                Ok(Some(Event::Message))
            }
        }
    }

    async fn on_message(
        &mut self,
        info: MessageInfo,
        payload: &Payload<'_>,
    ) -> Result<(), ProtocolError> {
        let limit = LIMITS.message_bytes;
        let message = open_message(info, payload, &mut self.inflater, limit)?;
        match &self.messages {
            Messages::Print {
                messages,
                format,
                left,
            } => {
                let left = left.as_deref();
                if left.is_some_and(|left| left.get() == 0) {
                    return Ok(());
                }
                let line = format.message(info.kind, &message, SystemTime::now());
                messages.send(line).await;
                // Counted only now, so that the session does not end before the line is queued.
                if let Some(left) = left {
                    left.set(left.get() - 1);
                }
            }
            Messages::Echo => {
                let wire = self.encoder.message(info.kind, &message);
                self.reply(wire).await;
            }
        }
        Ok(())
    }

    /// Queues a reply to the server. Waits while another reply is queued already.
    async fn reply(&self, wire: Vec<u8>) {
        // Fails if the writer has ended. Then the connection ends, too.
        let _ = self.replies.send(wire).await;
    }
}

/// Parses the payload of a Close (RFC 6455 §5.5.1): nothing, or two bytes of code and then the
/// reason. Both were validated.
fn by_server(payload: &[u8]) -> Disconnect {
    let (code, reason) = match payload {
        [high, low, reason @ ..] => (Some(u16::from_be_bytes([*high, *low])), reason),
        _ => (None, &[][..]),
    };
    Disconnect::ByServer {
        code,
        reason: String::from_utf8_lossy(reason).into_owned(),
    }
}

/// Converts the reason why reading has stopped to the reason why the connection has ended.
fn reason_of(stop: Stop) -> Disconnect {
    match stop {
        Stop::ProtocolError(error) => error.into(),
        Stop::Lost(error) => Disconnect::Lost(error),
        // Does not occur: after `Idle` the caller reads on, and does not end the connection.
        Stop::Idle => Disconnect::Lost(io::ErrorKind::WouldBlock.into()),
    }
}

/// Writes frames and replies to the socket, until a Close frame is written or the socket fails.
async fn write<S: AsyncWrite>(
    mut socket: WriteHalf<S>,
    mut frames: mpsc::Receiver<Outgoing>,
    mut replies: mpsc::Receiver<Vec<u8>>,
) {
    loop {
        let (wire, written) = tokio::select! {
            Some(wire) = replies.recv() => (wire, None),
            Some((wire, written)) = frames.recv() => (wire, Some(written)),
            else => return,
        };
        if socket.write_all(&wire).await.is_err() || socket.flush().await.is_err() {
            return;
        }
        if let Some(written) = written {
            // Fails if the session does not wait for this frame any more.
            let _ = written.send(());
        }
        if is_close(&wire) {
            return;
        }
    }
}
