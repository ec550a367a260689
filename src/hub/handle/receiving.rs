//! Receiving by a connection, in its turns, through its shard's receive buffer.

use std::{
    future::poll_fn,
    io,
    ops::ControlFlow,
    task::{Context, Poll, ready},
};

use tokio::io::ReadBuf;

use crate::{
    hub::{
        bounds::ledger::Held,
        handle::HandleRef,
        measured::in_socket,
        peer::Unfinished,
        shard::receive::{Receive, Taken},
    },
    wire::frame::Kind,
};

impl HandleRef {
    /// Ready when the shard's receive buffer holds something from the peer; false at the end of
    /// the stream. Pending when the turn is over, and another one is wanted, or memory is exhausted.
    pub(crate) fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut receive = self.shard.receive.borrow_mut();
        if self.shard.is_turn_over() {
            self.shard.want_turn();
            return Poll::Pending;
        }
        if receive.is_empty() && !receive.copy_kept() {
            if !receive.may_receive() {
                self.receive_later(&receive);
                return Poll::Pending;
            }
            let received = ready!(self.poll_receive(cx, receive.space()))?;
            receive.received(received);
        }
        Poll::Ready(Ok(!receive.is_empty()))
    }

    /// Hands every whole plain message that was received to `take`, until that breaks off or the
    /// turn is over. What is left then, if anything is, is something for the gate, or for later.
    pub(crate) fn take_plain(
        &self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Kind, &[u8]) -> ControlFlow<()>,
    ) {
        let limits = self.shard.config().limits.wire();
        let mut uncharged = 0;
        let mut take = |kind, payload: &[u8]| {
            let flow = take(kind, payload);
            uncharged += MESSAGE + payload.len() as u64 / READ_PER_NANOSECOND;
            if uncharged >= CHARGED_TOGETHER {
                self.spend(std::mem::take(&mut uncharged));
                if self.shard.is_turn_over() {
                    return ControlFlow::Break(());
                }
            }
            flow
        };
        let mut receive = self.shard.receive.borrow_mut();
        while let Taken::AllBut { wire_len } = receive.take_plain(limits, &mut take) {
            if !self.try_receive_rest(cx, &mut receive, wire_len) {
                break;
            }
        }
        self.spend(uncharged);
    }

    /// Receives more of a frame, if it is there already. Returns false if nothing was received.
    fn try_receive_rest(
        &self,
        cx: &mut Context<'_>,
        receive: &mut Receive,
        wire_len: usize,
    ) -> bool {
        if !receive.make_room(wire_len) {
            return false;
        }
        if receive.copy_kept() {
            return true;
        }
        if !receive.may_receive() {
            self.receive_later(receive);
            return false;
        }
        match self.poll_receive(cx, receive.space_behind()) {
            Poll::Ready(Ok(len)) => {
                receive.received(len);
                len > 0
            }
            _ => false,
        }
    }

    /// Wants another turn; if memory is exhausted, when it no longer is.
    fn receive_later(&self, receive: &Receive) {
        if receive.has_no_share() {
            self.shard.wait_to_receive(self.key);
        } else {
            self.shard.want_turn();
        }
    }

    /// Takes note that the peer has begun a message, which holds `bytes`, until the token is dropped.
    /// Of all that wait for memory, those go first who have begun one long ago.
    pub(crate) fn begin_message(&self, bytes: usize) -> UnfinishedMessage {
        let ledger = self.shard.ledger();
        ledger.look();
        let begun = Unfinished::new(ledger.now(), bytes);
        self.with(|peer| peer.unfinished = Some(begun));
        UnfinishedMessage {
            handle: self.clone(),
            held: ledger.hold(bytes),
        }
    }

    /// Charges work of this turn that may have taken `nanoseconds`.
    pub(crate) fn spend(&self, nanoseconds: u64) {
        self.shard.spend(nanoseconds);
    }

    /// Returns in the connection's next turn.
    pub(crate) async fn next_turn(&self) {
        let mut is_next = false;
        poll_fn(|_| {
            if std::mem::replace(&mut is_next, true) {
                return Poll::Ready(());
            }
            self.shard.want_turn();
            Poll::Pending
        })
        .await;
    }

    /// Returns how many bytes are received and not read.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.shard.receive.borrow().left()
    }

    /// Nothing of what was received is left.
    pub(crate) fn has_taken_all(&self) -> bool {
        self.shard.receive.borrow().is_empty()
    }

    /// Reads what the peer sent, through the shard's receive buffer; nothing at the end of the
    /// stream.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx))?;
        let before = into.filled().len();
        self.shard.receive.borrow_mut().take(into);
        let taken = (into.filled().len() - before) as u64;
        self.spend(PIECE + taken / READ_PER_NANOSECOND);
        Poll::Ready(Ok(()))
    }

    /// Throws away what the receive buffer holds.
    pub(crate) fn discard_received(&self) {
        self.shard.receive.borrow_mut().clear();
    }

    /// Receives into `space`; how much.
    fn poll_receive(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shard.state.borrow_mut();
        let is_draining = state.draining.is_some();
        let Some(peer) = state.peers.get_mut(self.key) else {
            return Poll::Ready(Ok(0));
        };
        if is_draining && peer.ended.is_none() {
            // Nothing new is taken up; the end of the drain wakes the task.
            return Poll::Pending;
        }
        let Some(socket) = &mut peer.socket else {
            return Poll::Ready(Ok(0));
        };
        let mut buf = ReadBuf::new(space);
        ready!(in_socket(|| socket.stream().poll_read(cx, &mut buf)))?;
        let received = buf.filled().len();
        self.shard
            .spend(RECEIVE + received as u64 / READ_PER_NANOSECOND);
        if received > 0 {
            state.peers.heard(self.key);
        }
        Poll::Ready(Ok(received))
    }
}

/// A message that the peer has begun, and its account.
#[derive(Debug)]
pub(crate) struct UnfinishedMessage {
    handle: HandleRef,
    held: Held,
}

impl UnfinishedMessage {
    /// Charges `bytes` for it at least.
    pub(crate) fn grow_to(&mut self, bytes: usize) {
        if bytes > self.held.bytes() {
            self.held.set(bytes);
            let set = |unfinished: &mut Unfinished| unfinished.set_held(bytes);
            self.handle.with(|peer| peer.unfinished.as_mut().map(set));
        }
    }
}

impl Drop for UnfinishedMessage {
    fn drop(&mut self) {
        self.handle.with(|peer| peer.unfinished = None);
    }
}

/// The cost of a receive, in nanoseconds.
const RECEIVE: u64 = 1_000;

/// The cost of a plain message, in nanoseconds, besides its bytes.
const MESSAGE: u64 = 40;

/// Messages are charged when they have taken so many nanoseconds together.
const CHARGED_TOGETHER: u64 = 2_000;

/// The cost of a piece of a frame on its way through the gate, in nanoseconds, besides its bytes.
const PIECE: u64 = 60;

/// Bytes that are received, unmasked, checked or copied in a nanosecond.
const READ_PER_NANOSECOND: u64 = 4;
