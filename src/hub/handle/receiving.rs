//! Receiving by a connection, in its turns, into the receive buffer of its shard.

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
        peer::unfinished::Unfinished,
        shard::receive::{Receive, Taken},
    },
    wire::frame::Kind,
};

impl HandleRef {
    /// Receives from the socket, unless the shard's receive buffer has bytes from the peer already.
    /// Ready with true if the buffer now has bytes, and with false at the end of the stream.
    /// Pending if the socket has no bytes, and then the socket wakes the task. Also pending if the
    /// turn is over or memory is exhausted, and then the connection gets another turn later.
    pub(crate) fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut receive = self.shard.receive.borrow_mut();
        if self.shard.is_turn_over() {
            self.shard.request_turn();
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

    /// Passes every whole plain message (of one frame, and not compressed) that was received to
    /// `take`, until `take` breaks off or the turn is over. The slow path or a later turn reads the
    /// bytes that are left.
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
        // While only a part of a frame is left in the buffer, more of it may have arrived by now.
        while let Taken::AllBut { wire_len } = receive.take_plain(limits, &mut take) {
            if !self.try_receive_rest(cx, &mut receive, wire_len) {
                break;
            }
        }
        self.spend(uncharged);
    }

    /// Adds bytes to the buffer, which holds the begin of a frame of `wire_len` bytes, if more of
    /// the frame has arrived already. Returns false if no bytes were added.
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

    /// Asks for another turn, in which the connection may receive. If memory is exhausted, the turn
    /// comes when memory is no longer exhausted.
    fn receive_later(&self, receive: &Receive) {
        // A turn that was begun while memory was exhausted has no share of bytes to receive.
        if receive.has_no_share() {
            self.shard.wait_to_receive(self.key);
        } else {
            self.shard.request_turn();
        }
    }

    /// Marks the peer as one that has begun a message, for which `bytes` are held, until the
    /// returned token is dropped. While memory is short, the peers that began their messages first
    /// are ended first.
    pub(crate) fn begin_message(&self, bytes: usize) -> UnfinishedMessage {
        let ledger = self.shard.ledger();
        ledger.read_clock();
        let begun = Unfinished::new(ledger.now(), bytes);
        self.with(|peer| peer.unfinished = Some(begun));
        UnfinishedMessage {
            handle: self.clone(),
            held: ledger.hold(bytes),
        }
    }

    /// Charges the turn for work that is estimated to take `nanoseconds`.
    pub(crate) fn spend(&self, nanoseconds: u64) {
        self.shard.spend(nanoseconds);
    }

    /// Waits until the connection's next turn.
    pub(crate) async fn next_turn(&self) {
        // The first poll is in this turn. The task is polled again in its next turn only.
        let mut is_next_turn = false;
        poll_fn(|_| {
            if std::mem::replace(&mut is_next_turn, true) {
                return Poll::Ready(());
            }
            self.shard.request_turn();
            Poll::Pending
        })
        .await;
    }

    /// Returns how many bytes the connection has received and not yet read.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.shard.receive.borrow().left()
    }

    /// Returns true if the receive buffer has no unread bytes.
    pub(crate) fn has_taken_all(&self) -> bool {
        self.shard.receive.borrow().is_empty()
    }

    /// Reads bytes from the peer, by way of the shard's receive buffer, and charges the turn for it.
    /// At the end of the stream it is ready, and `into` has got no bytes.
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

    /// Discards the content of the receive buffer.
    pub(crate) fn discard_received(&self) {
        self.shard.receive.borrow_mut().clear();
    }

    /// Receives from the socket into `space`. Ready with the number of bytes received, which is 0
    /// at the end of the stream, or if the connection has no socket.
    fn poll_receive(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shard.state.borrow_mut();
        let is_draining = state.draining.is_some();
        let Some(peer) = state.peers.get_mut(self.key) else {
            return Poll::Ready(Ok(0));
        };
        if is_draining && peer.ended.is_none() {
            // A draining shard reads no new messages. The end of the connection wakes the task.
            return Poll::Pending;
        }
        let Some(socket) = &mut peer.socket else {
            return Poll::Ready(Ok(0));
        };
        let mut buf = ReadBuf::new(space);
        ready!(in_socket(|| socket.stream().poll_read(cx, &mut buf)))?;
        let received = buf.filled().len();
        if let Some(log) = &mut peer.log {
            log.received.bytes += received as u64;
        }
        self.shard
            .spend(RECEIVE + received as u64 / READ_PER_NANOSECOND);
        if received > 0 {
            state.peers.heard(self.key);
        }
        Poll::Ready(Ok(received))
    }
}

/// A message that the peer has begun and not ended, with its entry in the shard's ledger.
#[derive(Debug)]
pub(crate) struct UnfinishedMessage {
    handle: HandleRef,
    held: Held,
}

impl UnfinishedMessage {
    /// Raises the message's entry in the ledger to `bytes`, unless the entry is larger already.
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

/// The fixed cost of receiving from a socket once, in nanoseconds. The bytes received are charged
/// besides.
const RECEIVE: u64 = 1_000;

/// The fixed cost of a plain message, in nanoseconds. The bytes of its payload are charged besides.
const MESSAGE: u64 = 40;

/// Work for plain messages, in nanoseconds, that is added up before its sum is charged to the turn.
const CHARGED_TOGETHER: u64 = 2_000;

/// The fixed cost of one read through the gate, in nanoseconds. The bytes read are charged besides.
const PIECE: u64 = 60;

/// Number of bytes that are received, unmasked, checked or copied in a nanosecond.
const READ_PER_NANOSECOND: u64 = 4;
