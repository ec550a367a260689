//! The stream of an HTTP connection, as hyper reads and writes it.
//!
//! It reports that bytes have come, which hyper does not: the time for the head of a request begins
//! with its first byte. It bounds the buffer into which hyper reads, and charges it if it has grown.
//! And it writes a 100 (Continue) before a 101, which hyper leaves out. Before that all earlier
//! responses must be written: hyper may still have a part of them in its buffer.

use std::{
    io,
    io::IoSlice,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use crate::hub::bounds::budget::{Budget, Charge};

/// A stream whose [`Signals`] the code that answers its requests shares.
#[derive(Debug)]
pub(super) struct HttpStream<S> {
    inner: S,
    signals: Arc<Signals>,
    /// The part of a 100 (Continue) that is still to be written, before anything else.
    interim: &'static [u8],
    budget: Arc<Budget>,
    /// The charge for hyper's buffer, once it has grown beyond what each connection is charged.
    grown: Option<Charge>,
}

/// Signals between a stream and the code that answers its requests. Atomic only because hyper wants
/// a stream that can be sent to another thread.
#[derive(Debug, Default)]
pub(super) struct Signals {
    has_received: AtomicBool,
    must_continue: AtomicBool,
    /// Number of bytes that the body of the present request has at least and that were not read
    /// since its head. Up to [`HEAD_READ_BYTES`] of them may have come with the head already.
    body_bytes: AtomicU64,
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

    /// Notes that the head of a request has come, whose body has at least `bytes` bytes.
    pub(super) fn begin_body(&self, bytes: u64) {
        self.body_bytes.store(bytes, Relaxed);
    }

    /// Returns how many bytes may be read together. More of a body are read than of a head, but none
    /// of what follows the body.
    fn most_to_read(&self) -> usize {
        let body = usize::try_from(self.body_bytes.load(Relaxed)).unwrap_or(usize::MAX);
        body.clamp(HEAD_READ_BYTES, BODY_READ_BYTES)
    }

    /// Notes that these bytes were received.
    fn receive(&self, bytes: &[u8]) {
        let body = self.body_bytes.load(Relaxed);
        self.body_bytes
            .store(body.saturating_sub(bytes.len() as u64), Relaxed);
        // RFC 9112 §2.2: an empty line, which some clients send behind a body, begins no head.
        if bytes.iter().any(|byte| !b"\r\n".contains(byte)) {
            self.has_received.store(true, Relaxed);
        }
    }
}

impl<S> HttpStream<S> {
    pub(super) fn new(inner: S, signals: Arc<Signals>, budget: Arc<Budget>) -> Self {
        Self {
            inner,
            signals,
            interim: &[],
            budget,
            grown: None,
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
        if buf.remaining() > UNGROWN_BYTES && self.grown.is_none() {
            self.grown = Some(self.budget.charge(GROWN_BYTES));
        }
        let most = self.signals.most_to_read().min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let received = part.filled();
        self.signals.receive(received);
        let received = received.len();
        buf.advance(received);
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

/// Number of bytes that are read together while a head is awaited, or a body in chunks.
///
/// hyper moves to a new buffer together with the bytes that it has read behind a request, and adds
/// 8 KiB. That buffer doubles for a head that does not fit, and so has at most 18 KiB. It doubles
/// again if such a head came behind another request, of which hyper does not reuse the place. From
/// then on every head fits.
const HEAD_READ_BYTES: usize = 1024;

/// Number of bytes of a body that are read together. After a read of 8 KiB hyper would make room for
/// larger ones.
const BODY_READ_BYTES: usize = 8 * 1024 - 1;

/// Number of bytes that is never free in a buffer that has doubled once, and always in one that
/// has doubled twice: there are at least 7 KiB of the first 16 KiB left when it does.
const UNGROWN_BYTES: usize = 20 * 1024;

/// Greatest number of bytes by which a buffer grows when it doubles the second time.
const GROWN_BYTES: usize = 18 * 1024;

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
        let mut stream = HttpStream::new(&b"GET"[..], Arc::clone(&signals), Budget::new(1 << 20));
        assert!(!signals.take_received());
        let mut read = [0; 3];
        stream.read_exact(&mut read).await.unwrap();
        assert!(signals.take_received());
        assert!(!signals.take_received());
        assert_eq!(stream.read(&mut read).await.unwrap(), 0);
        assert!(!signals.take_received(), "the end of the stream is no byte");
    }

    #[tokio::test]
    async fn more_of_a_body_than_of_a_head_is_read_together_and_none_of_the_next_head() {
        let signals = Arc::new(Signals::default());
        let bytes = vec![b'x'; 20_000];
        let mut stream = HttpStream::new(&bytes[..], Arc::clone(&signals), Budget::new(1 << 20));
        let mut read = vec![0; 16_384];
        assert_eq!(stream.read(&mut read).await.unwrap(), HEAD_READ_BYTES);
        signals.begin_body(10_000);
        for expected in [BODY_READ_BYTES, 10_000 - BODY_READ_BYTES, HEAD_READ_BYTES] {
            assert_eq!(stream.read(&mut read).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_buffer_that_has_doubled_twice_is_charged_until_the_stream_is_dropped() {
        let budget = Budget::new(1 << 20);
        let mut stream = HttpStream::new(&b"GET"[..], Arc::default(), Arc::clone(&budget));
        stream.read_exact(&mut [0; 1]).await.unwrap();
        assert_eq!(budget.held(), 0);
        for _ in 0..2 {
            let mut free = Vec::with_capacity(UNGROWN_BYTES + 1);
            stream.read_buf(&mut free).await.unwrap();
            assert_eq!(budget.held(), GROWN_BYTES as u64);
        }
        drop(stream);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn an_empty_line_begins_no_head() {
        let signals = Arc::new(Signals::default());
        let mut stream = HttpStream::new(
            &b"\r\n\r\nGET"[..],
            Arc::clone(&signals),
            Budget::new(1 << 20),
        );
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
        let mut stream = HttpStream::new(near, Arc::clone(&signals), Budget::new(1 << 20));
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
        let mut stream = HttpStream::new(near, Arc::clone(&signals), Budget::new(1 << 20));
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
