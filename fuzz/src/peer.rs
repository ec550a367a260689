//! The other end of a connection: what it sends, and how it lets itself be written to, is
//! scripted.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::input::Turns;

/// A socket; its clones are the same one.
#[derive(Clone)]
pub struct Peer(Rc<RefCell<State>>);

struct State {
    sends: Vec<u8>,
    sent: usize,
    hung_up: bool,
    reads: Turns<4>,
    writes: Turns<3>,
    received: Vec<u8>,
    is_broken: bool,
    /// Told to wait, for something to read and for room to write.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Peer {
    pub fn new(sends: Vec<u8>, reads: Turns<4>, writes: Turns<3>) -> Self {
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

    /// Ends the stream, behind what is still to be sent.
    pub fn hang_up(&self) {
        self.0.borrow_mut().hung_up = true;
    }

    /// Takes nothing any more: writes fail.
    pub fn break_off(&self) {
        self.0.borrow_mut().is_broken = true;
    }

    /// Everything is sent and read, and nothing waits to be written.
    pub fn is_idle(&self) -> bool {
        let state = self.0.borrow();
        state.sent == state.sends.len() && state.writer.is_none()
    }

    /// What it has received, but for the first so many bytes.
    pub fn received_after(&self, skipped: usize) -> Vec<u8> {
        self.0.borrow().received[skipped..].to_vec()
    }

    /// Wakes whoever was told to wait; false if nobody was.
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
        let Some(step) = state.reads.take().filter(|_| !left.is_empty()) else {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let brought = step.min(left.len()).min(buf.remaining());
        buf.put_slice(&left[..brought]);
        state.sent += brought;
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
        let Some(step) = state.writes.take() else {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let offered = slices.iter().map(|slice| slice.len()).sum::<usize>();
        assert!(offered > 0, "a write of nothing");
        let bytes = slices.iter().flat_map(|slice| slice.iter());
        state.received.extend(bytes.take(step));
        Poll::Ready(Ok(step.min(offered)))
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
