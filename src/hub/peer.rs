//! One connection as its shard keeps it: socket, outbox, and what is known of its health.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use slotmap::new_key_type;

use super::{
    compression::{Compression, Compressors},
    outbox::{ELEMENT_BYTES, Outbox},
    publication::UserId,
    pulse::Pulse,
    replies::Replies,
    segment::Segments,
    socket::{Socket, Stream},
    topic::Place,
};
use crate::{
    metrics::ShardMetrics,
    wire::{close::Disconnect, frame::Frame},
};

new_key_type! {
    /// A connection of this shard; never that of a later one.
    pub(crate) struct PeerKey;
}

/// A connection in its shard's table.
///
/// Invariant: once `ended` is set, the outbox is sealed and `places` is empty.
pub(super) struct Peer {
    /// Absent until the opening handshake is done; the outbox fills already.
    pub(super) socket: Option<Socket>,
    pub(super) outbox: Outbox,
    /// Wakes the connection's task, which has stored it.
    pub(super) waker: Option<Waker>,
    /// Where it stands in the topics that it follows.
    pub(super) places: Vec<Place>,
    pub(super) user: Option<UserId>,
    pub(super) compression: Compression,
    pub(super) ended: Option<Disconnect>,
    pub(super) pulse: Pulse,
    writing: Writing,
}

/// How the writing to a peer stands.
#[derive(Debug, Default)]
struct Writing {
    /// It waits for its turn in the shard's ring.
    is_in_ring: bool,
    /// What it was answered and has not taken, in bytes held; zero again when all is written.
    owed_bytes: usize,
    /// Its task does not read until all of the outbox is written.
    is_reader_held: bool,
    /// The socket took something since the last sweep.
    has_taken: bool,
    /// The socket takes no more, since then; the connection's task is woken when it does.
    blocked_since: Option<Instant>,
}

/// How much may wait for a peer, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Bytes held by the outbox of a peer that has been blocked for `blocked`.
    pub(super) outbox_bytes: usize,
    pub(super) blocked: Duration,
}

/// What became of segments offered to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Offer {
    /// Queued; it will be written without further ado.
    Queued,
    /// Queued, and the peer must be put into the shard's ring.
    QueuedFirst,
    /// Refused: the peer is a slow consumer.
    Refused,
}

impl Peer {
    pub(super) fn new(user: Option<UserId>, compression: Compression, sweep: u32) -> Self {
        Self {
            socket: None,
            outbox: Outbox::default(),
            waker: None,
            places: Vec::new(),
            user,
            compression,
            ended: None,
            pulse: Pulse::new(sweep),
            writing: Writing::default(),
        }
    }

    /// A registered connection may change its topics; every other one has them for life.
    pub(super) fn may_change_topics(&self) -> bool {
        self.user.is_some()
    }

    /// Queues `segments`, unless the peer is so far behind that it is given up.
    pub(super) fn offer(
        &mut self,
        segments: &mut Segments<'_>,
        patience: Patience,
        now: Instant,
    ) -> Offer {
        if self.is_too_slow(patience, now) {
            return Offer::Refused;
        }
        let shared = match &mut self.compression {
            Compression::Off => segments.plain(),
            Compression::Shared(window) => segments.compressed(*window),
            Compression::Own(context) => {
                for message in segments.messages() {
                    let frame = context.compress(message.plain());
                    self.outbox.push(frame.into_bytes());
                }
                &[]
            }
        };
        for segment in shared {
            self.outbox.push(segment.clone());
        }
        if self.joins_ring() {
            Offer::QueuedFirst
        } else {
            Offer::Queued
        }
    }

    /// Bytes *and* age: a bound on bytes alone would end healthy peers at every pause.
    pub(super) fn is_too_slow(&self, patience: Patience, now: Instant) -> bool {
        let bytes = self.outbox.held_bytes();
        let Some(since) = self.writing.blocked_since else {
            // Without a socket nothing is ever blocked: bytes alone decide.
            return self.socket.is_none() && bytes > patience.outbox_bytes;
        };
        let is_over = bytes > patience.outbox_bytes;
        is_over && now.saturating_duration_since(since) >= patience.blocked
            || bytes > patience.outbox_bytes.saturating_mul(HARD_CAP)
    }

    /// True if the peer has something to write and must be put into the ring for that.
    pub(super) fn joins_ring(&mut self) -> bool {
        let waits = self.writing.is_in_ring || self.writing.blocked_since.is_some();
        self.writing.is_in_ring |= !waits;
        !waits
    }

    pub(super) fn leaves_ring(&mut self) {
        self.writing.is_in_ring = false;
    }

    /// Writes what the peer was answered during its turn: straight away if nothing waits before
    /// it. What the socket does not take is queued.
    ///
    /// # Errors
    ///
    /// The socket's. Nothing can be written any more.
    pub(super) fn write_replies(
        &mut self,
        replies: &mut Replies,
        metrics: &ShardMetrics,
    ) -> io::Result<()> {
        let mut taken = 0;
        if self.outbox.is_empty()
            && !self.outbox.is_sealed()
            && self.writing.blocked_since.is_none()
            && let (Some(socket), Some(waker)) = (&mut self.socket, &self.waker)
        {
            let mut cx = Context::from_waker(waker);
            match socket.stream().poll_write(&mut cx, replies.as_bytes()) {
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
        self.queue_replies(replies, taken);
        Ok(())
    }

    /// Queues what the peer was answered during its turn, but for what the socket has `taken`.
    pub(super) fn queue_replies(&mut self, replies: &mut Replies, taken: usize) {
        let rest = &replies.as_bytes()[taken..];
        if !rest.is_empty() {
            self.writing.owed_bytes += rest.len() + ELEMENT_BYTES;
            let rest = Bytes::copy_from_slice(rest);
            if taken > 0 {
                self.outbox.push_rest(rest);
            } else {
                self.outbox.push(rest);
            }
        }
        replies.clear();
    }

    /// Writes until the outbox is empty or the socket takes no more, which then wakes the
    /// connection's task. One vectored write takes up to 64 segments.
    ///
    /// # Errors
    ///
    /// The socket's. Nothing can be written any more.
    pub(super) fn write(&mut self, metrics: &ShardMetrics) -> io::Result<()> {
        let (Some(socket), Some(waker)) = (&mut self.socket, &self.waker) else {
            return Ok(()); // The connection's task writes when it starts.
        };
        let mut cx = Context::from_waker(waker);
        while !self.outbox.is_empty() {
            match poll_write(socket.stream(), &mut cx, &self.outbox) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.outbox.written(count);
                    // It takes something: if it is blocked, then from now on.
                    self.writing.blocked_since = None;
                    self.writing.has_taken = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    if self.writing.blocked_since.is_none() {
                        self.writing.blocked_since = Some(Instant::now());
                    }
                    return Ok(());
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
        if std::mem::take(&mut self.writing.is_reader_held) {
            waker.wake_by_ref();
        }
        Ok(())
    }

    /// Queues an answer to what the peer itself said.
    pub(super) fn reply(
        &mut self,
        message: Frame,
        replies: &mut Replies,
        compressors: &mut Compressors,
    ) {
        let frame = self.compression.form(message, compressors);
        if replies.has_room_for(frame.wire_len()) {
            return replies.push(&frame);
        }
        self.queue_replies(replies, 0);
        self.writing.owed_bytes += frame.wire_len() + ELEMENT_BYTES;
        self.outbox.push(frame.into_bytes());
    }

    /// Queues the last frame; the end of the stream follows it.
    pub(super) fn seal_to_end(&mut self, close: Bytes) {
        if let Some(socket) = &self.socket {
            socket.await_end();
        }
        self.outbox.seal(close);
    }

    /// Whether the connection may read on; if not, its task is woken when it may.
    pub(super) fn may_read(&mut self) -> bool {
        self.writing.is_reader_held = self.writing.owed_bytes > HELD_READER_BYTES;
        !self.writing.is_reader_held
    }

    /// A peer that is not read can't be heard; it lives if it takes what it gets.
    pub(super) fn takes_unheard(&mut self) -> bool {
        std::mem::take(&mut self.writing.has_taken) && self.writing.is_reader_held
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

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

/// The frame that asks.
pub(super) fn ping() -> Bytes {
    Frame::ping().into_bytes()
}

/// A blocked peer that has this many times its bound waiting is ended at once.
const HARD_CAP: usize = 8;

/// More slices than this never paid (the kernel takes up to 1,024); they live on the stack.
const MAX_SLICES: usize = 64;

/// A peer that was answered this much and does not take it is not read: whoever floods and does
/// not read what it gets back is held up by TCP. What others publish to it does not count. Four
/// times what the kernel takes unsent.
const HELD_READER_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::{config::Config, hub::message::Message};

    const PATIENCE: Patience = Patience {
        outbox_bytes: 1000,
        blocked: Duration::from_secs(1),
    };

    fn new_peer() -> Peer {
        Peer::new(None, Compression::Off, 0)
    }

    /// Offers a message of `bytes`.
    fn offer(peer: &mut Peer, bytes: usize) -> Offer {
        let config = Config::default().deflate;
        let message = Message::new(Frame::binary(&vec![0; bytes]), &config);
        let mut compressors = Compressors::new(&config);
        let mut segments = Segments::new(slice::from_ref(&message), &mut compressors);
        peer.offer(&mut segments, PATIENCE, Instant::now())
    }

    fn blocked_peer(held: usize, now: Instant) -> Peer {
        let mut peer = new_peer();
        peer.socket = Some(Socket::Other(Box::new(tokio::io::empty())));
        peer.outbox.push(Bytes::from(vec![0; held - ELEMENT_BYTES]));
        peer.writing.blocked_since = Some(now);
        peer
    }

    #[test]
    fn a_peer_is_too_slow_by_bytes_and_age_together_or_at_the_hard_cap() {
        let now = Instant::now();
        let later = now + PATIENCE.blocked;
        assert!(
            !blocked_peer(1000, now).is_too_slow(PATIENCE, later),
            "within its bytes"
        );
        assert!(
            !blocked_peer(8000, now).is_too_slow(PATIENCE, now),
            "blocked just now"
        );
        assert!(blocked_peer(1001, now).is_too_slow(PATIENCE, later));
        assert!(blocked_peer(8001, now).is_too_slow(PATIENCE, now));
    }

    #[test]
    fn a_peer_that_takes_what_it_gets_is_never_too_slow() {
        let mut peer = new_peer();
        peer.socket = Some(Socket::Other(Box::new(tokio::io::empty())));
        assert_eq!(offer(&mut peer, 10_000), Offer::QueuedFirst);
        assert_eq!(offer(&mut peer, 10_000), Offer::Queued);
    }

    #[test]
    fn a_blocked_peer_stays_out_of_the_ring() {
        let mut peer = blocked_peer(ELEMENT_BYTES, Instant::now());
        assert_eq!(offer(&mut peer, 1), Offer::Queued);
    }

    #[test]
    fn what_waits_for_a_peer_in_its_handshake_is_bounded_by_bytes_alone() {
        let mut peer = blocked_peer(1001, Instant::now());
        peer.writing.blocked_since = None;
        peer.socket = None;
        assert!(peer.is_too_slow(PATIENCE, Instant::now()));
    }

    #[test]
    fn only_what_a_peer_was_answered_holds_up_its_reading() {
        let mut peer = new_peer();
        peer.outbox
            .push(Bytes::from(vec![0; 2 * HELD_READER_BYTES]));
        assert!(peer.may_read());
        let mut compressors = Compressors::new(&Config::default().deflate);
        let answer = Frame::binary(&vec![0; 2 * HELD_READER_BYTES]);
        peer.reply(answer, &mut Replies::default(), &mut compressors);
        assert!(!peer.may_read());
    }

    #[test]
    fn a_peer_that_is_not_read_lives_as_long_as_it_takes_something() {
        let mut peer = new_peer();
        peer.writing.is_reader_held = true;
        assert!(!peer.takes_unheard());
        peer.writing.has_taken = true;
        assert!(peer.takes_unheard());
        assert!(!peer.takes_unheard(), "nothing since");
    }
}
