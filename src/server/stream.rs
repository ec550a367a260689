//! The stream of an HTTP connection, as hyper reads and writes it.
//!
//! It reports that bytes have come, which hyper does not: the time for the head of a request begins
//! with its first byte. And it writes a 100 (Continue) before a 101, which hyper leaves out. Before
//! that all earlier responses must be written: hyper may still have a part of them in its buffer.

use std::{
    io,
    io::IoSlice,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// A stream whose [`Signals`] the code that answers its requests shares.
#[derive(Debug)]
pub(super) struct HttpStream<S> {
    inner: S,
    signals: Arc<Signals>,
    /// The part of a 100 (Continue) that is still to be written, before anything else.
    interim: &'static [u8],
}

/// Signals between a stream and the code that answers its requests. Atomic only because hyper wants
/// a stream that can be sent to another thread.
#[derive(Debug, Default)]
pub(super) struct Signals {
    has_received: AtomicBool,
    must_continue: AtomicBool,
    /// True from the first write of responses until hyper has written all that it has.
    is_writing: AtomicBool,
    written: Notify,
}

impl Signals {
    /// Returns true if bytes other than empty lines were received since the last call.
    pub(super) fn take_received(&self) -> bool {
        self.has_received.swap(false, Relaxed)
    }

    /// Waits until all earlier responses are written, and makes the stream write a 100 (Continue)
    /// before the next one.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn write_continue(&self) {
        while self.is_writing.load(Relaxed) {
            self.written.notified().await;
        }
        self.must_continue.store(true, Relaxed);
    }
}

impl<S> HttpStream<S> {
    pub(super) fn new(inner: S, signals: Arc<Signals>) -> Self {
        Self {
            inner,
            signals,
            interim: &[],
        }
    }

    pub(super) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncWrite + Unpin> HttpStream<S> {
    /// Becomes ready when no part of a 100 (Continue) is left to be written.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.signals.is_writing.store(true, Relaxed);
        if self.signals.must_continue.load(Relaxed) {
            self.signals.must_continue.store(false, Relaxed);
            self.interim = CONTINUE;
        }
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, self.interim))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim = &self.interim[written..];
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HttpStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        // RFC 9112 §2.2: an empty line, which some clients send behind a body, begins no head.
        let mut received = buf.filled()[before..].iter();
        if received.any(|byte| !b"\r\n".contains(byte)) {
            self.signals.has_received.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HttpStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the stream whenever its own buffer is empty.
        if self.signals.is_writing.swap(false, Relaxed) {
            self.signals.written.notify_one();
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        pin::pin,
    };

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_that_were_received_are_reported_once() {
        let signals = Arc::new(Signals::default());
        let mut stream = HttpStream::new(&b"GET"[..], Arc::clone(&signals));
        assert!(!signals.take_received());
        let mut read = [0; 3];
        stream.read_exact(&mut read).await.unwrap();
        assert!(signals.take_received());
        assert!(!signals.take_received());
        assert_eq!(stream.read(&mut read).await.unwrap(), 0);
        assert!(!signals.take_received(), "the end of the stream is no byte");
    }

    #[tokio::test]
    async fn an_empty_line_begins_no_head() {
        let signals = Arc::new(Signals::default());
        let mut stream = HttpStream::new(&b"\r\n\r\nGET"[..], Arc::clone(&signals));
        let mut read = [0; 4];
        stream.read_exact(&mut read).await.unwrap();
        assert!(!signals.take_received());
        stream.read_u8().await.unwrap();
        assert!(signals.take_received());
    }

    #[tokio::test]
    async fn a_100_waits_until_all_earlier_responses_are_written() {
        let signals = Arc::new(Signals::default());
        let (near, mut far) = tokio::io::duplex(7);
        let mut stream = HttpStream::new(near, Arc::clone(&signals));
        stream.write_all(b"HTTP/1.").await.unwrap();
        let mut waiting = pin!(signals.write_continue());
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
        let mut start = [0; 7];
        far.read_exact(&mut start).await.unwrap();
        stream.write_all(b"1 204\r").await.unwrap();
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
        stream.flush().await.unwrap();
        waiting.await;
    }

    #[tokio::test]
    async fn a_100_is_written_once_before_the_response_however_little_is_taken_at_a_time() {
        let signals = Arc::new(Signals::default());
        let (near, mut far) = tokio::io::duplex(7);
        let mut stream = HttpStream::new(near, Arc::clone(&signals));
        signals.write_continue().await;
        let writing = async {
            stream.write_all(b"HTTP/1.1 101 ").await.unwrap();
            stream.write_all(b"Switching").await.unwrap();
            drop(stream);
        };
        let mut written = Vec::new();
        let (_, read) = tokio::join!(writing, far.read_to_end(&mut written));
        read.unwrap();
        let expected = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching";
        assert_eq!(written, expected);
    }
}
