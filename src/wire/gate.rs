//! The gate: the stream that fastwebsockets reads from, between it and the socket.
//!
//! It adds what fastwebsockets 0.10.0 leaves out (see [`walk`](super::walk)) and two things that
//! only the stream below can do: valid frames before a violation are still delivered, and a
//! socket that has run dry between two messages reads as [idle](is_idle), so that the reader
//! above, with its buffer of 8 KiB, can be dropped and lose nothing.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{
    violation::Violation,
    walk::{Mark, Role, Rules, Walk},
};

/// The marks of the messages that have passed the gate and were not yet taken by the reader.
pub type Marks = Rc<RefCell<VecDeque<Mark>>>;

/// A reader of the peer's frames, judged and unmasked.
#[derive(Debug)]
pub struct Gate<R> {
    inner: R,
    walk: Walk,
    marks: Marks,
    role: Role,
    refused: Option<Violation>,
}

impl<R> Gate<R> {
    /// Puts a gate before `inner`, which stands between two messages.
    pub fn new(inner: R, rules: Rules, marks: Marks) -> Self {
        Self {
            inner,
            walk: Walk::new(rules),
            marks,
            role: rules.role,
            refused: None,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Gate<R> {
    /// Reads what the peer sent, up to the first violation.
    ///
    /// # Errors
    ///
    /// Those of the inner reader; a [violation], of kind `InvalidData`; [idle](is_idle), of kind
    /// `WouldBlock`, when nothing is to be read and no message is under way. A client, which has
    /// no thousands of connections, waits instead.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(violation) = this.refused {
            return Poll::Ready(Err(refusal(violation)));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        if read.is_pending() && this.role == Role::Server && this.walk.is_between_messages() {
            return Poll::Ready(Err(io::ErrorKind::WouldBlock.into()));
        }
        ready!(read)?;
        let fresh = &mut buf.filled_mut()[before..];
        if let Err(refused) = this.walk.walk(fresh, &mut this.marks.borrow_mut()) {
            this.refused = Some(refused.violation);
            buf.set_filled(before + refused.at);
            if refused.at == 0 {
                return Poll::Ready(Err(refusal(refused.violation)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The socket has nothing to say and no message is under way: the reader may be dropped.
#[must_use]
pub fn is_idle(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// The violation behind an error that came up through fastwebsockets, if it was one.
#[must_use]
pub fn violation(error: &io::Error) -> Option<Violation> {
    error.get_ref()?.downcast_ref().copied()
}

fn refusal(violation: Violation) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, violation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::walk::Limits;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const RULES: Rules = Rules {
        role: Role::Server,
        deflate: false,
        limits: Limits {
            message_bytes: 100,
            fragments: 10,
        },
    };

    #[tokio::test]
    async fn frames_before_a_violation_are_read_and_the_violation_comes_after_them() {
        let masked_hi = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
        let unmasked = [0x81, 0x01, b'x'];
        let wire = [&masked_hi[..], &unmasked].concat();
        let mut gate = Gate::new(&wire[..], RULES, Marks::default());
        let mut read = Vec::new();
        let error = gate.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(read, [0x82, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(violation(&error), Some(Violation::Unmasked));
        assert_eq!(
            violation(&gate.read_u8().await.unwrap_err()),
            Some(Violation::Unmasked)
        );
    }

    #[tokio::test]
    async fn a_dry_socket_is_idle_between_messages_and_pending_inside_one() {
        let (mut peer, socket) = tokio::io::duplex(64);
        let mut gate = Gate::new(socket, RULES, Marks::default());
        assert!(is_idle(&gate.read_u8().await.unwrap_err()));
        peer.write_all(&[0x81]).await.unwrap();
        assert_eq!(gate.read_u8().await.unwrap(), 0x82);
        let read = std::future::poll_fn(|cx| {
            let mut byte = [0];
            Poll::Ready(Pin::new(&mut gate).poll_read(cx, &mut ReadBuf::new(&mut byte)))
        });
        assert!(read.await.is_pending());
    }
}
