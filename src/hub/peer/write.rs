//! Writing to a peer, and backpressure: nothing is read from a peer that does not take its replies.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;

use crate::{
    hub::{
        bounds::ledger::Ledger,
        measured::in_socket,
        peer::{
            Peer,
            outbox::{DELIVERY_BYTES, Outbox},
            replies::Replies,
            socket::Stream,
            writing::ReaderState,
        },
        publication::{compression::Compressors, segment::Segment},
    },
    metrics::ShardMetrics,
    wire::frame::Frame,
};

/// The outcome of a write that has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::hub) enum Written {
    /// The whole outbox was written, or the socket takes no more bytes now.
    Done,
    /// The peer's share of [`SHARE_BYTES`] was written, and its socket might take more bytes.
    Share,
}

impl Peer {
    /// Writes the replies of the peer's turn directly to the socket, if nothing waits in the
    /// outbox. Bytes that the socket does not take are queued.
    ///
    /// # Errors
    ///
    /// The socket has failed. Nothing can be written any more.
    pub(in crate::hub) fn write_replies(
        &mut self,
        replies: &mut Replies,
        metrics: &ShardMetrics,
        ledger: &Rc<Ledger>,
    ) -> io::Result<()> {
        let mut taken = 0;
        if self.outbox.is_empty()
            && !self.outbox.is_sealed()
            && self.writing.blocked_since.is_none()
            && let (Some(socket), Some(waker)) = (&mut self.socket, &self.waker)
        {
            let mut cx = Context::from_waker(waker);
            match in_socket(|| socket.stream().poll_write(&mut cx, replies.as_bytes())) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    taken = count;
                    if let Some(log) = &mut self.log {
                        log.sent.bytes += count as u64;
                    }
                    self.writing.has_taken = true;
                    metrics.writes.increment();
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {}
            }
        }
        self.queue_replies(replies, taken, ledger);
        Ok(())
    }

    /// Queues the replies of the peer's turn, except the `taken` bytes that the socket has taken.
    pub(in crate::hub) fn queue_replies(
        &mut self,
        replies: &mut Replies,
        taken: usize,
        ledger: &Rc<Ledger>,
    ) {
        if let Some(log) = &mut self.log {
            log.sent.messages += replies.messages();
        }
        let rest = &replies.as_bytes()[taken..];
        if !rest.is_empty() {
            self.writing.reply_bytes += rest.len() + DELIVERY_BYTES;
            ledger.read_clock();
            let rest = Segment::unshared(Bytes::copy_from_slice(rest), ledger);
            if taken > 0 {
                self.outbox.push_rest(rest);
            } else {
                self.outbox.push(rest);
            }
        }
        replies.clear();
    }

    /// Writes the outbox until it is empty, or 256 KiB are written, or the socket takes no more. A
    /// blocked socket wakes the connection's task when it can be written again. One vectored write
    /// has up to 64 segments.
    ///
    /// # Errors
    ///
    /// The socket has failed. Nothing can be written any more.
    pub(in crate::hub) fn write(&mut self, metrics: &ShardMetrics) -> io::Result<Written> {
        let (Some(socket), Some(waker)) = (&mut self.socket, &self.waker) else {
            return Ok(Written::Done); // The connection's task will write when it starts.
        };
        let mut cx = Context::from_waker(waker);
        let mut share = SHARE_BYTES;
        // The task of a connection that has ended waits until the outbox is written, and so must be
        // woken then.
        let must_wake = self.ended.is_some() && !self.outbox.is_empty();
        while !self.outbox.is_empty() {
            if share == 0 {
                return Ok(Written::Share);
            }
            match in_socket(|| poll_write(socket.stream(), &mut cx, &self.outbox)) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.outbox.written(count);
                    if let Some(log) = &mut self.log {
                        log.sent.bytes += count as u64;
                    }
                    share = share.saturating_sub(count);
                    // The socket takes bytes again. If it blocks next, the time for which it is
                    // blocked starts anew.
                    self.writing.blocked_since = None;
                    self.writing.has_taken = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    if self.writing.blocked_since.is_none() {
                        self.writing.blocked_since = Some(Instant::now());
                    }
                    return Ok(Written::Done);
                }
            }
            metrics.writes.increment();
        }
        self.writing.blocked_since = None;
        // A stream may buffer bytes, as TLS does. If it can't be flushed now, it wakes the
        // connection's task, which calls this again.
        if let Poll::Ready(flushed) = socket.stream().poll_flush(&mut cx) {
            flushed?;
        }
        self.writing.reply_bytes = 0;
        if self.writing.reading == ReaderState::HeldByOutbox {
            self.writing.reading = ReaderState::GoesOn;
            waker.wake_by_ref();
        } else if must_wake {
            waker.wake_by_ref();
        }
        Ok(Written::Done)
    }

    /// Adds a reply to `replies`, compressed if that was agreed on with the peer. If the reply does
    /// not fit there, queues the `replies` to the outbox, and then this reply.
    pub(in crate::hub) fn reply(
        &mut self,
        message: Frame,
        replies: &mut Replies,
        compressors: &mut Compressors,
        ledger: &Rc<Ledger>,
    ) {
        let frame = self.compression.compress_reply(message, compressors);
        if replies.fits(frame.wire_len()) {
            return replies.push(&frame);
        }
        self.queue_replies(replies, 0, ledger);
        if let Some(log) = &mut self.log {
            log.sent.messages += u64::from(frame.ends_message());
        }
        self.writing.reply_bytes += frame.wire_len() + DELIVERY_BYTES;
        ledger.read_clock();
        let frame = Segment::unshared(frame.into_bytes(), ledger);
        self.outbox.push(frame);
    }

    /// Holds the peer up, so that nothing is read from it, if more than 256 KiB of replies wait in
    /// the outbox. Otherwise lets reading go on. The connection's task is woken when the whole
    /// outbox is written. Returns true if the peer is held up.
    pub(in crate::hub) fn hold_reader_if_behind(&mut self) -> bool {
        let is_behind = self.writing.reply_bytes > HELD_READER_BYTES;
        self.writing.reading = if is_behind {
            ReaderState::HeldByOutbox
        } else {
            ReaderState::GoesOn
        };
        is_behind
    }

    /// Sets whether the connection waits for a permit to publish, and so is not read.
    pub(in crate::hub) fn wait_for_hub(&mut self, waits: bool) {
        self.writing.reading = if waits {
            ReaderState::HeldByHub
        } else {
            ReaderState::GoesOn
        };
    }

    /// Returns true if the connection waits for a permit to publish, and so is not read.
    pub(in crate::hub) fn is_held_by_hub(&self) -> bool {
        self.writing.reading == ReaderState::HeldByHub
    }

    /// Returns true if the peer's silence means nothing in this sweep, because the connection is
    /// not read: it waits for a permit to publish, or it is held up by its outbox and the socket
    /// has taken bytes since the last sweep.
    pub(in crate::hub) fn excuse_silence(&mut self) -> bool {
        let has_taken = std::mem::take(&mut self.writing.has_taken);
        match self.writing.reading {
            ReaderState::GoesOn => false,
            ReaderState::HeldByHub => true,
            ReaderState::HeldByOutbox => has_taken,
        }
    }
}

/// Greatest number of bytes that are written to a peer before other peers get a write. Writing them
/// takes some 60 us. Most sockets take fewer bytes.
pub(in crate::hub) const SHARE_BYTES: usize = 256 * 1024;

/// Writes from the outbox: its only segment by a plain write, or several by a vectored write.
fn poll_write(
    socket: Pin<&mut dyn Stream>,
    cx: &mut Context<'_>,
    outbox: &Outbox,
) -> Poll<io::Result<usize>> {
    if let Some(segment) = outbox.only() {
        return socket.poll_write(cx, segment);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = outbox.fill(&mut slices);
    socket.poll_write_vectored(cx, &slices[..count])
}

/// Greatest number of slices in a vectored write. The slices are in an array on the stack. The
/// kernel takes up to 1,024, but more than 64 were never faster.
const MAX_SLICES: usize = 64;

/// Bytes of replies in the outbox beyond which a peer is not read, so that TCP flow control stops a
/// client that floods the server and does not read the replies. Messages that were published to the
/// peer do not count. This is four times the unsent bytes that the kernel takes
/// (`TCP_NOTSENT_LOWAT`).
const HELD_READER_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::HubConfig,
        hub::{bounds::budget::Budget, publication::compression::Compression},
    };

    fn new_peer() -> Peer {
        Peer::new(None, Compression::Off, 0)
    }

    #[test]
    fn replies_in_the_outbox_hold_the_reader_up_and_publications_do_not() {
        let mut peer = new_peer();
        let ledger = Ledger::new(Budget::new(u64::MAX));
        let large = Bytes::from(vec![0; 2 * HELD_READER_BYTES]);
        // As a fan-out queues publications: they are not counted in `reply_bytes`.
        peer.outbox.push(Segment::unshared(large, &ledger));
        assert!(!peer.hold_reader_if_behind());
        let mut compressors = Compressors::new(&HubConfig::default().deflate, ledger.budget());
        let reply = Frame::binary(&vec![0; 2 * HELD_READER_BYTES]);
        peer.reply(reply, &mut Replies::default(), &mut compressors, &ledger);
        assert!(peer.hold_reader_if_behind());
    }

    #[test]
    fn the_silence_of_a_peer_that_is_not_read_is_excused_while_its_socket_takes_bytes() {
        let mut peer = new_peer();
        peer.writing.reading = ReaderState::HeldByOutbox;
        assert!(!peer.excuse_silence());
        peer.writing.has_taken = true;
        assert!(peer.excuse_silence());
        assert!(!peer.excuse_silence(), "no bytes since the last sweep");
        peer.wait_for_hub(true);
        assert!(peer.excuse_silence(), "it waits for a permit");
    }
}
