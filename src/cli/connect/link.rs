//! One connection as two tasks, one that reads the socket and one that writes it.
//!
//! Each is one future for the life of the connection. fastwebsockets reads are not cancel safe: a
//! read dropped inside a frame loses what it has read, and the next one starts in the middle. So
//! nobody waits for a frame directly; the [`Link`] is channels, and waiting on those can be given up
//! at any time.
//!
//! Invariant: a Close frame is the last frame written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use fastwebsockets::{Frame, OpCode, Role, WebSocket, WebSocketError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::assembly::{Assembly, MAX_MESSAGE_BYTES, Violation};
use super::disconnect::Disconnect;
use super::frame;

/// Events not yet looked at. Arbitrary; they are looked at between any two waits.
const QUEUED_EVENTS: usize = 64;

/// What the server did.
#[derive(Debug)]
pub(super) enum Event {
    /// The connection has ended; no event follows.
    Disconnected(Disconnect),
    /// A message has come and is on its way to standard output.
    Message,
    /// A Pong with this payload.
    Pong(Vec<u8>),
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
    /// Reader and writer; dropping the set ends them.
    _tasks: JoinSet<()>,
}

impl Link {
    /// Takes over `socket` after the opening handshake. Messages go to `lines`.
    pub(super) fn new<S>(socket: S, lines: mpsc::Sender<String>) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read_half, write_half) = tokio::io::split(socket);
        let (event_sender, events) = mpsc::channel(QUEUED_EVENTS);
        let (frames, frame_receiver) = mpsc::channel(1);
        let (replies, reply_receiver) = watch::channel(Vec::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(read(ReadSide { read_half, replies }, lines, event_sender));
        tasks.spawn(write(write_half, frame_receiver, reply_receiver));
        Self {
            events,
            frames,
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
}

/// Socket to standard output and events, until the connection ends.
async fn read<S>(socket: ReadSide<S>, lines: mpsc::Sender<String>, events: mpsc::Sender<Event>)
where
    S: AsyncRead + Send,
{
    let replies = socket.replies.clone();
    let mut websocket = WebSocket::after_handshake(socket, Role::Client);
    // Off by one in fastwebsockets: a payload of exactly the limit is refused.
    websocket.set_max_message_size(MAX_MESSAGE_BYTES + 1);
    // One write per frame: what `ReadSide` relies on.
    websocket.set_writev(false);
    let mut assembly = Assembly::default();
    let disconnect = loop {
        let received = match websocket.read_frame().await {
            Ok(frame) => on_frame(&frame, &mut assembly),
            Err(error) => Err(on_error(error)),
        };
        let event = match received {
            Ok(Received::Event(event)) => event,
            Ok(Received::Line(line)) => {
                // When nobody reads standard output the session ends by itself; until then, read on.
                let _ = lines.send(line).await;
                Event::Message
            }
            Ok(Received::Nothing) => continue,
            Err(disconnect) => break disconnect,
        };
        if events.send(event).await.is_err() {
            return;
        }
    };
    if let Disconnect::Violation(violation) = &disconnect {
        replies.send_replace(frame::close(violation.close_code(), ""));
    }
    let _ = events.send(Event::Disconnected(disconnect)).await;
}

/// What a frame amounts to.
enum Received {
    Event(Event),
    Line(String),
    Nothing,
}

fn on_frame(frame: &Frame<'_>, assembly: &mut Assembly) -> Result<Received, Disconnect> {
    match frame.opcode {
        OpCode::Close => Err(by_server(&frame.payload)),
        OpCode::Ping => Ok(Received::Nothing),
        OpCode::Pong => Ok(Received::Event(Event::Pong(frame.payload.to_vec()))),
        OpCode::Text | OpCode::Binary | OpCode::Continuation => {
            let message = assembly.on_frame(frame.opcode, frame.fin, &frame.payload)?;
            Ok(message.map_or(Received::Nothing, |message| Received::Line(message.line())))
        }
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

fn on_error(error: WebSocketError) -> Disconnect {
    match error {
        WebSocketError::IoError(error) => Disconnect::Lost(error),
        WebSocketError::UnexpectedEOF => Disconnect::Lost(io::ErrorKind::UnexpectedEof.into()),
        WebSocketError::InvalidUTF8 => Violation::NotUtf8.into(),
        WebSocketError::FrameTooLarge => Violation::MessageTooBig.into(),
        _ => Violation::Malformed.into(),
    }
}

/// Frames to the socket, in order, until a Close frame is written or the socket fails.
async fn write<S: AsyncWrite>(
    mut socket: WriteHalf<S>,
    mut frames: mpsc::Receiver<Outgoing>,
    mut replies: watch::Receiver<Vec<u8>>,
) {
    loop {
        let (wire, written) = tokio::select! {
            // A reply first: the server waits for it.
            biased;
            Ok(()) = replies.changed() => (replies.borrow_and_update().clone(), None),
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
        if frame::is_close(&wire) {
            return;
        }
    }
}

/// What fastwebsockets sees as its stream: it reads the socket, and its automatic Pongs and Close
/// replies, each one whole frame in one write, go to the writer.
///
/// Only the latest reply waits there, so a flood of Pings costs no memory: §5.5.3 allows answering
/// the latest Ping only, and a Close reply makes every Pong before it needless.
struct ReadSide<S> {
    read_half: ReadHalf<S>,
    replies: watch::Sender<Vec<u8>>,
}

impl<S: AsyncRead> AsyncRead for ReadSide<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read_half).poll_read(cx, buf)
    }
}

impl<S> AsyncWrite for ReadSide<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frame: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.replies.send_replace(frame.to_vec());
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
