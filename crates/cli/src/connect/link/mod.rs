//! One connection as two tasks, one that reads the socket and one that writes it.
//!
//! Each is one future for the life of the connection. fastwebsockets reads are not cancel safe: a
//! read dropped inside a frame loses what it has read, and the next one starts in the middle. So
//! nobody waits for a frame directly; the [`Link`] is channels, and waiting on those can be given up
//! at any time.
//!
//! Answers leave in the order of what they answer, and a server that does not take them is not read
//! on, so none is left out and few are held.
//!
//! Invariant: a Close frame is the last frame written.
//!
//! [`frame`] encodes and masks what is sent, [`pings`] are those that wait for their Pong, and [`disconnect`] is
//! why a connection ended.

pub(crate) mod disconnect;
pub(crate) mod frame;
pub(crate) mod pings;

use std::{cell::RefCell, io, rc::Rc};

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
use crate::connect::console::message;

/// Events not yet looked at. Arbitrary; they are looked at between any two waits.
const QUEUED_EVENTS: usize = 64;

/// Limits of what a server may send. Arbitrary: more than a terminal can show, little enough for any
/// machine to hold.
const LIMITS: MessageLimits = MessageLimits {
    message_bytes: 16 << 20,
    fragments: 1 << 17,
};

/// Something that the server did.
#[derive(Debug)]
pub(super) enum Event {
    /// The connection has ended; no event follows.
    Disconnected(Disconnect),
    /// A message has come and is on its way to where messages go.
    Message,
    /// A Pong with this payload.
    Pong(Vec<u8>),
}

/// The destination of messages.
#[derive(Debug)]
pub(super) enum Messages {
    /// To standard output, as lines.
    Print(mpsc::Sender<String>),
    /// Back to the server.
    Echo,
}

/// Resolves once the frame is written; fails if it never will be.
pub(super) type Written = oneshot::Receiver<()>;

/// An encoded frame, and whom to tell that it is written.
pub(super) type Outgoing = (Vec<u8>, oneshot::Sender<()>);

/// An open connection. Dropping it drops the socket.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) events: mpsc::Receiver<Event>,
    /// Closed when nothing more will be written: after a Close frame, or because the socket failed.
    pub(super) frames: mpsc::Sender<Outgoing>,
    encoder: Encoder,
    /// Reader and writer; dropping the set ends them.
    _tasks: JoinSet<()>,
}

impl Link {
    /// Takes over `socket` after the opening handshake, in which `deflate` was agreed on.
    pub(super) fn new<S>(socket: S, deflate: Option<Agreement>, messages: Messages) -> Self
    where
        S: AsyncRead + AsyncWrite + 'static,
    {
        let (read_half, write_half) = tokio::io::split(socket);
        let (event_sender, events) = mpsc::channel(QUEUED_EVENTS);
        let (frames, frame_receiver) = mpsc::channel(1);
        let (answers, answer_receiver) = mpsc::channel(1);
        let reader = Reader {
            infos: MessageInfos::default(),
            inflater: Inflater::default(),
            messages,
            encoder: Encoder::new(deflate),
            answers,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn_local(reader.read(read_half, deflate.is_some(), event_sender));
        tasks.spawn_local(write(write_half, frame_receiver, answer_receiver));
        Self {
            events,
            frames,
            encoder: Encoder::new(deflate),
            _tasks: tasks,
        }
    }

    /// Queues an encoded frame behind at most one other.
    pub(super) async fn send(&self, wire: Vec<u8>) -> Written {
        let (sender, written) = oneshot::channel();
        // If the writer has ended, the sender is dropped with the frame, and `written` says so.
        let _ = self.frames.send((wire, sender)).await;
        written
    }

    /// Encodes a text message.
    pub(super) fn text(&mut self, text: &str) -> Vec<u8> {
        self.encoder.message(Kind::Text, text.as_bytes())
    }
}

/// The reading half of a link.
struct Reader {
    infos: MessageInfos,
    inflater: Inflater,
    messages: Messages,
    encoder: Encoder,
    answers: mpsc::Sender<Vec<u8>>,
}

impl Reader {
    /// Socket to messages and events, until the connection ends.
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
        let reply = RefCell::new(Vec::new());
        let keep = |frame: &[u8]| drop(reply.replace(frame.to_vec()));
        // The gate reads in pieces, which the buffer makes cheap.
        let socket = BufReader::new(socket);
        let mut engine = web_socket(
            socket,
            rules,
            Reading::Messages,
            Rc::clone(&self.infos),
            keep,
        );
        // Its Pongs would not wait until there is room for them; its reply to a Close is only one.
        engine.set_auto_pong(false);
        let mut engine = FragmentCollector::new(engine);
        let disconnect = loop {
            let received = match engine.read_frame().await.map_err(Stop::from) {
                Ok(frame) => self.on_frame(&frame).await,
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
            Disconnect::ByServer { .. } => Some(reply.take()),
            Disconnect::ProtocolError(error) => Some(frame::close(error.close_code(), "")),
            Disconnect::Lost(_) => None,
        };
        // Said first: a Close that cannot get out is not waited for without end.
        let _ = events.send(Event::Disconnected(disconnect)).await;
        if let Some(close) = close {
            self.answer(close).await;
        }
    }

    /// Takes a control frame or a whole message.
    async fn on_frame(&mut self, frame: &Frame<'_>) -> Result<Option<Event>, Disconnect> {
        match frame.opcode {
            OpCode::Close => Err(by_server(&frame.payload)),
            OpCode::Pong => Ok(Some(Event::Pong(frame.payload.to_vec()))),
            OpCode::Ping => {
                self.answer(frame::pong(&frame.payload)).await;
                Ok(None)
            }
            OpCode::Continuation => Ok(None),
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
            // When nobody reads standard output the session ends by itself; until then, read on.
            Messages::Print(lines) => {
                let _ = lines.send(message::line(info.kind, &message)).await;
            }
            Messages::Echo => {
                let wire = self.encoder.message(info.kind, &message);
                self.answer(wire).await;
            }
        }
        Ok(())
    }

    /// Queues a frame behind at most one other.
    async fn answer(&self, wire: Vec<u8>) {
        // If the writer has ended, so has the connection, or it is about to.
        let _ = self.answers.send(wire).await;
    }
}

/// §5.5.1: two bytes of code and then the reason, or nothing; fastwebsockets has validated both.
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

fn reason_of(stop: Stop) -> Disconnect {
    match stop {
        Stop::ProtocolError(error) => error.into(),
        Stop::Lost(error) => Disconnect::Lost(error),
        _ => Disconnect::Lost(io::ErrorKind::WouldBlock.into()),
    }
}

/// Frames to the socket, in order, until a Close frame is written or the socket fails.
async fn write<S: AsyncWrite>(
    mut socket: WriteHalf<S>,
    mut frames: mpsc::Receiver<Outgoing>,
    mut answers: mpsc::Receiver<Vec<u8>>,
) {
    loop {
        let (wire, written) = tokio::select! {
            Some(wire) = answers.recv() => (wire, None),
            Some((wire, written)) = frames.recv() => (wire, Some(written)),
            else => return,
        };
        if socket.write_all(&wire).await.is_err() || socket.flush().await.is_err() {
            return;
        }
        if let Some(written) = written {
            // Whoever sent it may have left.
            let _ = written.send(());
        }
        if is_close(&wire) {
            return;
        }
    }
}
