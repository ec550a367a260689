//! Sets up fastwebsockets for reading. It reads through a gate, and its automatic answers to Ping
//! and Close go to a callback.
//!
//! The callback queues these answers together with everything else that is written. So
//! fastwebsockets' auto-pong and auto-close can stay on, and the socket still has only one writer.
//! Errors of fastwebsockets, of the gate and of the socket become a [`Stop`].

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use fastwebsockets::{WebSocket, WebSocketError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frame::Kind,
    gate::{self, Gate, IsFinal, MessageInfos},
    inflate::Inflater,
    protocol_error::ProtocolError,
    utf8,
    validator::{MessageInfo, Role, Rules},
};

/// The stream that fastwebsockets reads from and writes to: its reads come from the gate, its
/// writes go to the callback.
#[derive(Debug)]
pub struct ReadSide<R, W> {
    gate: Gate<R>,
    write: W,
}

/// The reason why fastwebsockets has returned no frame.
#[derive(Debug)]
pub enum Stop {
    /// The last message has been read whole, and no byte of the next message. The caller may read
    /// on, or drop the reader.
    Idle,
    /// The stream has ended or failed.
    Lost(io::Error),
    /// The peer broke the protocol or a limit.
    ProtocolError(ProtocolError),
}

impl From<WebSocketError> for Stop {
    fn from(error: WebSocketError) -> Self {
        Self::ProtocolError(match error {
            WebSocketError::IoError(error) if gate::is_idle(&error) => return Self::Idle,
            WebSocketError::IoError(error) => match gate::protocol_error(&error) {
                Some(error) => error,
                None => return Self::Lost(error),
            },
            WebSocketError::UnexpectedEOF | WebSocketError::ConnectionClosed => {
                return Self::Lost(io::ErrorKind::UnexpectedEof.into());
            }
            WebSocketError::InvalidCloseCode | WebSocketError::InvalidCloseFrame => {
                ProtocolError::InvalidClose
            }
            WebSocketError::InvalidUTF8 => ProtocolError::InvalidUtf8,
            WebSocketError::FrameTooLarge => ProtocolError::MessageTooBig,
            _ => ProtocolError::Malformed,
        })
    }
}

/// Returns the message whose payload on the wire is `payload`. If it is compressed, it is inflated
/// to at most `limit` bytes and, if it is text, checked for UTF-8 (RFC 7692 §6.2). If it is not
/// compressed, `payload` is the message: the validator has checked its size and its UTF-8 while it
/// arrived.
///
/// # Errors
///
/// The message cannot be inflated, is too big, or is text and not UTF-8.
pub fn open_message<'a>(
    info: MessageInfo,
    payload: &'a [u8],
    inflater: &mut Inflater,
    limit: usize,
) -> Result<Cow<'a, [u8]>, ProtocolError> {
    if !info.is_deflated {
        return Ok(payload.into());
    }
    let message = inflater.inflate(payload, limit)?;
    check_message(info, &message)?;
    Ok(message.into())
}

/// Checks an inflated message for UTF-8, if it is text.
///
/// # Errors
///
/// [`ProtocolError::InvalidUtf8`] (RFC 7692 §6.2).
pub fn check_message(info: MessageInfo, message: &[u8]) -> Result<(), ProtocolError> {
    if info.kind == Kind::Text && !utf8::is_valid(message) {
        return Err(ProtocolError::InvalidUtf8);
    }
    Ok(())
}

/// The units in which a reader gets the peer's messages.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "WebSocket has no other unit")]
pub enum Reading {
    /// The single frames that a client sent. fastwebsockets returns each of them as a whole
    /// message. The flag tells, for the frame that was read last, whether it ends the message that
    /// the client sent.
    Frames(IsFinal),
    /// Whole messages, in however many frames they were sent.
    Messages,
}

/// Returns a `WebSocket` that reads the peer's frames from `inner` and checks them by `rules`.
/// `write` is called with each answer to a control frame, as one whole encoded frame.
///
/// fastwebsockets returns every message as binary, because the gate rewrites text to binary.
/// `infos` gets the real kind of each message, in the order of the messages.
pub fn web_socket<R, W>(
    inner: R,
    rules: Rules,
    reading: Reading,
    infos: MessageInfos,
    write: W,
) -> WebSocket<ReadSide<R, W>>
where
    R: AsyncRead + Unpin,
    W: FnMut(&[u8]) + Unpin,
{
    let gate = Gate::new(inner, rules, infos);
    let gate = match reading {
        Reading::Frames(is_final) => gate.in_frames(is_final),
        Reading::Messages if rules.role == Role::Server => gate.in_parts(),
        Reading::Messages => gate,
    };
    let role = match rules.role {
        Role::Client => fastwebsockets::Role::Client,
        Role::Server => fastwebsockets::Role::Server,
    };
    let mut web_socket = WebSocket::after_handshake(ReadSide { gate, write }, role);
    // fastwebsockets refuses a message that is exactly as large as its limit.
    web_socket.set_max_message_size(rules.limits.received_bytes(rules.deflate) + 1);
    // On the server, the gate has unmasked the frames already. A client must mask the frames that
    // it sends.
    web_socket.set_auto_apply_mask(rules.role == Role::Client);
    // `poll_write` below wants each frame in one write, whatever its size.
    web_socket.set_writev(false);
    web_socket
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for ReadSide<R, W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().gate).poll_read(cx, buf)
    }
}

impl<R: Unpin, W: FnMut(&[u8]) + Unpin> AsyncWrite for ReadSide<R, W> {
    /// Passes `frame` to the callback. It is one whole encoded frame: fastwebsockets writes nothing
    /// but its answers to Ping and Close here, each in one call.
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frame: &[u8],
    ) -> Poll<io::Result<usize>> {
        (self.get_mut().write)(frame);
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
