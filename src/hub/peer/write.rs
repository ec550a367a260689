//! Writing to a peer, and holding up whoever does not take what it is answered.

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
    /// All was written, or the socket takes no more now.
    Done,
    /// The peer has had its share, and its socket might take more.
    Share,
}

impl Peer {
    /// Writes what the peer was answered during its turn: straight away if nothing waits before
    /// it. What the socket does not take is queued.
    ///
    /// # Errors
    ///
    /// The socket's. Nothing can be written any more.
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

    /// Queues what the peer was answered during its turn, but for what the socket has `taken`.
    pub(in crate::hub) fn queue_replies(
        &mut self,
        replies: &mut Replies,
        taken: usize,
        ledger: &Rc<Ledger>,
    ) {
        let rest = &replies.as_bytes()[taken..];
        if !rest.is_empty() {
            self.writing.owed_bytes += rest.len() + DELIVERY_BYTES;
            ledger.look();
            let rest = Segment::of_its_own(Bytes::copy_from_slice(rest), ledger);
            if taken > 0 {
                self.outbox.push_rest(rest);
            } else {
                self.outbox.push(rest);
            }
        }
        replies.clear();
    }

    /// Writes until the outbox is empty, or the socket takes no more, which then wakes the
    /// connection's task, or it has taken 256 KiB. One vectored write takes up to 64 segments.
    ///
    /// # Errors
    ///
    /// The socket's. Nothing can be written any more.
    pub(in crate::hub) fn write(&mut self, metrics: &ShardMetrics) -> io::Result<Written> {
        let (Some(socket), Some(waker)) = (&mut self.socket, &self.waker) else {
            return Ok(Written::Done); // The connection's task writes when it starts.
        };
        let mut cx = Context::from_waker(waker);
        let mut share = SHARE_BYTES;
        let is_awaited = self.ended.is_some() && !self.outbox.is_empty();
        while !self.outbox.is_empty() {
            if share == 0 {
                return Ok(Written::Share);
            }
            match in_socket(|| poll_write(socket.stream(), &mut cx, &self.outbox)) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.outbox.written(count);
                    share = share.saturating_sub(count);
                    // It takes something: if it is blocked, then from now on.
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
        // A stream may hold back what it has taken, as TLS does; if it can't be flushed now, it
        // wakes the connection's task, which comes back here.
        if let Poll::Ready(flushed) = socket.stream().poll_flush(&mut cx) {
            flushed?;
        }
        self.writing.owed_bytes = 0;
        if self.writing.reading == ReaderState::HeldByOutbox {
            self.writing.reading = ReaderState::GoesOn;
            waker.wake_by_ref();
        } else if is_awaited {
            waker.wake_by_ref();
        }
        Ok(Written::Done)
    }

    /// Queues an answer to what the peer itself said.
    pub(in crate::hub) fn reply(
        &mut self,
        message: Frame,
        replies: &mut Replies,
        compressors: &mut Compressors,
        ledger: &Rc<Ledger>,
    ) {
        let frame = self.compression.form(message, compressors);
        if replies.fits(frame.wire_len()) {
            return replies.push(&frame);
        }
        self.queue_replies(replies, 0, ledger);
        self.writing.owed_bytes += frame.wire_len() + DELIVERY_BYTES;
        ledger.look();
        let frame = Segment::of_its_own(frame.into_bytes(), ledger);
        self.outbox.push(frame);
    }

    /// Holds the reader up if the connection owes too much to be read on: its task is woken when that is
    /// written. Returns true if it is held up.
    pub(in crate::hub) fn hold_reader_if_behind(&mut self) -> bool {
        let is_behind = self.writing.owed_bytes > HELD_READER_BYTES;
        self.writing.reading = if is_behind {
            ReaderState::HeldByOutbox
        } else {
            ReaderState::GoesOn
        };
        is_behind
    }

    /// Takes note of whether the peer waits with a publication for room in the hub.
    pub(in crate::hub) fn wait_for_hub(&mut self, waits: bool) {
        self.writing.reading = if waits {
            ReaderState::HeldByHub
        } else {
            ReaderState::GoesOn
        };
    }

    /// Returns true if the peer is not read until its publication has room in the hub.
    pub(in crate::hub) fn is_held_by_hub(&self) -> bool {
        self.writing.reading == ReaderState::HeldByHub
    }

    /// Decides at a sweep whether the peer's silence is excused, because it is not read: the hub holds it
    /// up, or it has taken some of what it was sent since the last sweep. The next sweep starts anew.
    pub(in crate::hub) fn excuse_silence(&mut self) -> bool {
        let has_taken = std::mem::take(&mut self.writing.has_taken);
        match self.writing.reading {
            ReaderState::GoesOn => false,
            ReaderState::HeldByHub => true,
            ReaderState::HeldByOutbox => has_taken,
        }
    }
}

/// Bytes written to a peer at a time: more than most sockets take, and some 60 us.
pub(in crate::hub) const SHARE_BYTES: usize = 256 * 1024;

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

/// More slices than this never paid (the kernel takes up to 1,024); they live on the stack.
const MAX_SLICES: usize = 64;

/// A peer that was answered this much and does not take it is not read: whoever floods and does
/// not read what it gets back is held up by TCP. What others publish to it does not count. Four
/// times what the kernel takes unsent.
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
    fn only_what_a_peer_was_answered_holds_up_its_reading() {
        let mut peer = new_peer();
        let ledger = Ledger::new(Budget::new(u64::MAX));
        let large = Bytes::from(vec![0; 2 * HELD_READER_BYTES]);
        peer.outbox.push(Segment::of_its_own(large, &ledger));
        assert!(!peer.hold_reader_if_behind());
        let mut compressors = Compressors::new(&HubConfig::default().deflate, ledger.budget());
        let answer = Frame::binary(&vec![0; 2 * HELD_READER_BYTES]);
        peer.reply(answer, &mut Replies::default(), &mut compressors, &ledger);
        assert!(peer.hold_reader_if_behind());
    }

    #[test]
    fn a_peer_that_is_not_read_lives_as_long_as_it_takes_something() {
        let mut peer = new_peer();
        peer.writing.reading = ReaderState::HeldByOutbox;
        assert!(!peer.excuse_silence());
        peer.writing.has_taken = true;
        assert!(peer.excuse_silence());
        assert!(!peer.excuse_silence(), "nothing since");
        peer.wait_for_hub(true);
        assert!(peer.excuse_silence(), "it is not read because of others");
    }
}
