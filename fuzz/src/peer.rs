//! The other end of a connection, in memory. One script says how many bytes each read from its
//! socket returns, another how many bytes each write takes.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::input::Script;

/// The socket of a connection to a scripted peer. All clones are the same socket.
#[derive(Clone)]
pub struct Peer(Rc<RefCell<State>>);

struct State {
    /// All bytes that the peer sends.
    sends: Vec<u8>,
    /// Number of these bytes that have been read.
    sent: usize,
    /// True if the stream ends after the last byte that the peer sends.
    hung_up: bool,
    reads: Script<4>,
    writes: Script<3>,
    /// All bytes that were written to the socket.
    received: Vec<u8>,
    /// True if all writes fail.
    is_broken: bool,
    /// The waker for a read that is pending.
    reader: Option<Waker>,
    /// The waker for a write that is pending.
    writer: Option<Waker>,
}

impl Peer {
    pub fn new(sends: Vec<u8>, reads: Script<4>, writes: Script<3>) -> Self {
        Self(Rc::new(RefCell::new(State {
            sends,
            sent: 0,
            hung_up: false,
            reads,
            writes,
            received: Vec::new(),
            is_broken: false,
            reader: None,
            writer: None,
        })))
    }

    /// Makes the stream end after the last byte that the peer sends.
    pub fn hang_up(&self) {
        self.0.borrow_mut().hung_up = true;
    }

    /// Breaks the socket: all writes fail from now on.
    pub fn break_socket(&self) {
        self.0.borrow_mut().is_broken = true;
    }

    /// Returns true if everything that the peer sends has been read, and no write is pending.
    pub fn is_idle(&self) -> bool {
        let state = self.0.borrow();
        state.sent == state.sends.len() && state.writer.is_none()
    }

    /// Returns the bytes that were written to the socket, without the first `skipped` of them.
    pub fn received_after(&self, skipped: usize) -> Vec<u8> {
        self.0.borrow().received[skipped..].to_vec()
    }

    /// Wakes the task of a pending read and that of a pending write. Returns false if neither is
    /// pending.
    pub fn wake(&self) -> bool {
        let state = &mut *self.0.borrow_mut();
        let waiting = [state.reader.take(), state.writer.take()];
        let woken = waiting.into_iter().flatten().map(Waker::wake);
        woken.count() > 0
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        let left = &state.sends[state.sent..];
        if left.is_empty() && state.hung_up {
            return Poll::Ready(Ok(()));
        }
        let amount = state.reads.next_amount();
        let Some(amount) = amount.filter(|_| !left.is_empty()) else {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let len = amount.min(left.len()).min(buf.remaining());
        buf.put_slice(&left[..len]);
        state.sent += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.borrow_mut();
        if state.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let Some(amount) = state.writes.next_amount() else {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let offered = slices.iter().map(|slice| slice.len()).sum::<usize>();
        assert!(offered > 0, "a write of nothing");
        let bytes = slices.iter().flat_map(|slice| slice.iter());
        state.received.extend(bytes.take(amount));
        Poll::Ready(Ok(amount.min(offered)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
