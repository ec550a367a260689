//! What the server said during the opening handshake.
//!
//! `fastwebsockets::handshake::client` reports a refusal as a bare status and drops the response.
//! The reason a person needs is in its body, so the bytes are kept as they pass by.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::display::first_line;

/// How much is kept. Arbitrary: ample for the head of a response and the start of its body.
const KEPT_BYTES: usize = 8 << 10;

/// The first bytes that the server sent. Dropping it ends the recording.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    received: Arc<Mutex<Vec<u8>>>,
}

impl Transcript {
    /// `socket`, with what it receives written down here.
    pub(super) fn record<S>(&self, socket: S) -> Recorded<S> {
        Recorded {
            socket,
            received: Arc::downgrade(&self.received),
        }
    }

    /// The first line of the response's body, fit to be shown; empty if there is none.
    pub(super) fn first_body_line(&self) -> String {
        let received = self.received.lock();
        first_body_line(&received.unwrap_or_else(PoisonError::into_inner))
    }
}

fn first_body_line(response: &[u8]) -> String {
    let response = String::from_utf8_lossy(response);
    let Some((head, body)) = response.split_once("\r\n\r\n") else {
        return String::new();
    };
    let is_chunked = head.lines().any(|header| {
        let header = header.to_ascii_lowercase();
        header.starts_with("transfer-encoding:") && header.ends_with("chunked")
    });
    match body.split_once("\r\n") {
        // The first line of a chunked body is the size of its first chunk (RFC 9112 §7.1).
        Some((_, body)) if is_chunked => first_line(body),
        _ => first_line(body),
    }
}

/// A socket that is being recorded.
#[derive(Debug)]
pub(super) struct Recorded<S> {
    socket: S,
    received: Weak<Mutex<Vec<u8>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if let Some(received) = self.received.upgrade() {
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
            let room = KEPT_BYTES - received.len();
            let new = &buf.filled()[before..];
            received.extend_from_slice(&new[..new.len().min(room)]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_first_line_of_the_body() {
        let response = b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nno\x1broute\r\nmore";
        assert_eq!(first_body_line(response), "no\\u{1b}route");
    }

    #[test]
    fn the_size_of_a_chunk_is_not_the_reason() {
        let response = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nnope\r\n";
        assert_eq!(first_body_line(response), "nope");
    }

    #[test]
    fn a_response_without_a_body_has_no_reason() {
        assert_eq!(first_body_line(b"HTTP/1.1 404 Not Found\r\n\r\n"), "");
        assert_eq!(first_body_line(b"HTTP/1.1 404 Not Fo"), "");
    }
}
