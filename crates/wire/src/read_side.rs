//! fastwebsockets as it is used here: it reads through a gate, and what it writes by itself, its
//! answers to Ping and Close, is handed to somebody who writes.
//!
//! So its auto-pong and auto-close can stay on, and a socket has one writer. Its errors, which come
//! from below and from itself, become reasons here.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use fastwebsockets::{Role as EngineRole, WebSocket, WebSocketError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frame::Kind,
    gate::{self, Gate, IsFinal, MessageInfos},
    inflate::Inflater,
    protocol_error::ProtocolError,
    utf8,
    validator::{MessageInfo, Role, Rules},
};

/// The stream that fastwebsockets is given.
#[derive(Debug)]
pub struct ReadSide<R, W> {
    gate: Gate<R>,
    write: W,
}

/// The reason for which there is no next frame.
#[derive(Debug)]
pub enum Stop {
    /// A message has passed, and no other is under way: go on, or drop the reader.
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

/// Returns the message behind `payload`, which is as `info` says: inflated if it is compressed, to at most
/// `limit` bytes; text is UTF-8.
///
/// # Errors
///
/// It can't be inflated, is too big, or is not UTF-8 (RFC 7692 §6.2: checked when it is inflated).
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

/// Checks a message that was inflated.
///
/// # Errors
///
/// It is text, and is not UTF-8 (RFC 7692 §6.2).
pub fn check_message(info: MessageInfo, message: &[u8]) -> Result<(), ProtocolError> {
    if info.kind == Kind::Text && !utf8::is_valid(message) {
        return Err(ProtocolError::InvalidUtf8);
    }
    Ok(())
}

/// The units in which a reader gets what is sent.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no more to be read")]
pub enum Reading {
    /// Frames as they came to a server; each comes as a message, and here is said whether it ends the one
    /// that it was sent in.
    Frames(IsFinal),
    /// Whole messages: it makes no difference in how many frames they came.
    Messages,
}

/// Reads the peer's frames from `inner`, as `rules` say; `write` takes each answer to a control
/// frame, as one whole encoded frame.
///
/// Every data frame comes as binary; what its message is comes in `infos`, in the same order.
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
        Role::Client => EngineRole::Client,
        Role::Server => EngineRole::Server,
    };
    let mut web_socket = WebSocket::after_handshake(ReadSide { gate, write }, role);
    // A message as large as its limit is refused by it.
    web_socket.set_max_message_size(rules.limits.received_bytes(rules.deflate) + 1);
    // The gate has unmasked already; a client's own frames are masked.
    web_socket.set_auto_apply_mask(rules.role == Role::Client);
    // One write for each frame, whatever its size.
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
    /// Takes one whole control frame: fastwebsockets writes no other, and none in pieces.
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
