//! One connection as its shard keeps it: [`socket`], [`outbox`], and what is known of its health.
//!
//! [`recipients`] are the peers that messages are for, `write` takes the outbox to the socket, and
//! `writing` knows how that stands. [`replies`] are what a turn answers, [`heartbeat`] asks whether a silent peer is alive, and
//! `last_word` what a shard that panics still writes.

pub(in crate::hub) mod heartbeat;
mod last_word;
pub(in crate::hub) mod outbox;
pub(in crate::hub) mod recipients;
pub(in crate::hub) mod replies;
pub(in crate::hub) mod socket;
pub(in crate::hub) mod write;
mod writing;

use std::{
    num::NonZeroU32,
    rc::Rc,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    disconnect::Disconnect,
    hub::{
        bounds::{
            allowance::Allowance,
            ledger::{Ledger, Moment},
        },
        ids::{PeerKey, SubscriptionKey},
        peer::{heartbeat::Heartbeat, outbox::Outbox, socket::Socket, writing::Writing},
        publication::{
            compression::{Compression, CompressionContext, Compressors},
            segment::Segment,
            segments::Segments,
        },
    },
    user::UserId,
    wire::frame::Frame,
};

/// A connection in its shard's table.
///
/// Invariant: once `ended` is set, the outbox is sealed and `subscriptions` is empty.
pub(super) struct Peer {
    /// Absent until the opening handshake is done; the outbox fills already.
    pub(super) socket: Option<Socket>,
    pub(super) outbox: Outbox,
    /// Wakes the connection's task, which has stored it.
    pub(super) waker: Option<Waker>,
    /// One for each topic that it follows.
    pub(super) subscriptions: Vec<SubscriptionKey>,
    pub(super) user: Option<UserId>,
    pub(super) compression: Compression,
    pub(super) ended: Option<Disconnect>,
    pub(super) heartbeat: Heartbeat,
    pub(super) unfinished: Option<Unfinished>,
    /// It stands among the [receivers](crate::hub::shard::receivers).
    pub(super) waits_to_receive: bool,
    /// The mark of the last fan-out that has reached it: one comes by several topics.
    pub(super) reached_by: u64,
    writing: Writing,
}

/// A message of which the peer has not sent the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished {
    pub(super) since: Moment,
    /// The bytes that it holds so far, and one more: so `None` takes no room in a peer.
    held: NonZeroU32,
}

impl Unfinished {
    pub(super) fn new(since: Moment, held_bytes: usize) -> Self {
        let held = NonZeroU32::MIN;
        let mut unfinished = Self { since, held };
        unfinished.set_held(held_bytes);
        unfinished
    }

    /// Returns the bytes that it holds so far.
    pub(super) fn held_bytes(self) -> usize {
        self.held.get() as usize - 1
    }

    pub(super) fn set_held(&mut self, bytes: usize) {
        // A message has at most 64 MiB.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.held = NonZeroU32::MIN.saturating_add(bytes);
    }
}

/// Messages that are offered to one peer after the other.
pub(super) struct Offering<'a> {
    pub(super) segments: &'a mut Segments,
    pub(super) compressors: &'a mut Compressors,
    pub(super) ledger: &'a Rc<Ledger>,
    /// The time that the step has left.
    pub(super) allowance: &'a mut Allowance,
    pub(super) now: Instant,
}

/// The limits beyond which a peer is a slow consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlowConsumerLimits {
    /// Bytes held by the outbox of a peer that has been blocked for `blocked`.
    pub(super) outbox_bytes: usize,
    pub(super) blocked: Duration,
    /// The greatest age of the oldest message that waits.
    pub(super) behind: Duration,
}

/// The outcome of offering segments to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Offer {
    /// Queued; it will be written without further ado.
    Queued,
    /// Queued, and the peer must be put into the shard's ring.
    QueuedFirst,
    /// They are not for this peer.
    NotMeant,
    /// Refused: the peer is a slow consumer.
    Refused,
    /// Not all offered yet: the step was over before they were compressed.
    Unready,
}

impl Peer {
    pub(super) fn new(user: Option<UserId>, compression: Compression, sweep: u32) -> Self {
        Self {
            socket: None,
            outbox: Outbox::default(),
            waker: None,
            subscriptions: Vec::new(),
            user,
            compression,
            ended: None,
            heartbeat: Heartbeat::new(sweep),
            unfinished: None,
            waits_to_receive: false,
            reached_by: 0,
            writing: Writing::default(),
        }
    }

    /// Returns what the connection holds when nothing is under way, in bytes.
    pub(super) fn base_bytes(&self) -> usize {
        match self.compression {
            Compression::Off | Compression::Shared(_) => IDLE_BYTES,
            Compression::Own(_) => IDLE_BYTES + CONTEXT_BYTES,
        }
    }

    /// Queues messages, unless the peer is so far behind that it is given up.
    pub(super) fn offer(
        &mut self,
        key: PeerKey,
        offering: &mut Offering<'_>,
        limits: SlowConsumerLimits,
    ) -> Offer {
        if self.is_too_slow(limits, offering.now) {
            return Offer::Refused;
        }
        let segments = &mut *offering.segments;
        let shared = match &mut self.compression {
            Compression::Off => segments.plain(offering.ledger),
            Compression::Shared(window) => {
                let (compressors, ledger) = (&mut *offering.compressors, offering.ledger);
                match segments.compressed(*window, compressors, ledger, offering.allowance) {
                    Some(shared) => shared,
                    None => return Offer::Unready,
                }
            }
            Compression::Own(context) => {
                if !push_own(&mut self.outbox, key, context, offering) {
                    return Offer::Unready;
                }
                &[]
            }
        };
        for segment in shared {
            self.outbox.push(Rc::clone(segment));
        }
        if self.enter_ring() {
            Offer::QueuedFirst
        } else {
            Offer::Queued
        }
    }

    /// Bytes *and* age: a bound on bytes alone would end healthy peers at every pause.
    pub(super) fn is_too_slow(&self, limits: SlowConsumerLimits, now: Instant) -> bool {
        let bytes = self.outbox.held_bytes();
        let Some(since) = self.writing.blocked_since else {
            // Without a socket nothing is ever blocked: bytes alone decide.
            return self.socket.is_none() && bytes > limits.outbox_bytes;
        };
        let is_over = bytes > limits.outbox_bytes;
        is_over && now.saturating_duration_since(since) >= limits.blocked
            || bytes > limits.outbox_bytes.saturating_mul(HARD_CAP)
    }

    /// Queues the last frame; the end of the stream follows it.
    pub(super) fn seal_to_end(&mut self, close: Rc<Segment>) {
        // Only if both go out at once: what waits would wait for 200 ms longer.
        let is_next = self.outbox.is_empty() && self.writing.blocked_since.is_none();
        if let Some(socket) = self.socket.as_ref().filter(|_| is_next) {
            socket.cork();
        }
        self.outbox.seal(close);
    }

    /// Enters the ring of peers that wait for a write, unless the peer is in it, or its socket is blocked.
    /// Returns true if the caller must put it there.
    pub(super) fn enter_ring(&mut self) -> bool {
        let waits = self.writing.is_in_ring || self.writing.blocked_since.is_some();
        self.writing.is_in_ring |= !waits;
        !waits
    }

    /// Takes note that the peer was taken out of the ring.
    pub(super) fn leave_ring(&mut self) {
        self.writing.is_in_ring = false;
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Queues messages as a context of the peer's own compresses them, until the step is over. Returns true
/// if it has all of them.
fn push_own(
    outbox: &mut Outbox,
    key: PeerKey,
    context: &mut CompressionContext,
    offering: &mut Offering<'_>,
) -> bool {
    let first = offering.segments.given_to(key);
    let messages = offering.segments.messages().iter().enumerate();
    for (index, message) in messages.skip(first) {
        if offering.allowance.is_spent() {
            offering.segments.break_off(key, index);
            return false;
        }
        let frame = context.compress(message.plain());
        offering
            .allowance
            .spend(message.cost_of_form().in_context());
        let (bytes, content) = (frame.into_bytes(), offering.segments.one());
        outbox.push(Segment::published(bytes, content, offering.ledger));
    }
    true
}

/// The frame that asks.
pub(super) fn ping() -> Bytes {
    Frame::ping().into_bytes()
}

/// Bytes that an idle connection holds, its entries in tables included.
const IDLE_BYTES: usize = 2048;

/// Bytes that a compression context of its own holds.
const CONTEXT_BYTES: usize = 165 * 1024;

/// A blocked peer that has this many times its bound waiting is ended at once.
const HARD_CAP: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::HubConfig,
        hub::{
            bounds::allowance::STEP,
            peer::{
                outbox::DELIVERY_BYTES,
                socket::tests::{is_corked, pair},
            },
            publication::segment::tests::segment,
            shard::shared::Shared,
        },
        message::Message,
    };

    const LIMITS: SlowConsumerLimits = SlowConsumerLimits {
        outbox_bytes: 1000,
        blocked: Duration::from_secs(1),
        behind: Duration::from_secs(30),
    };

    fn new_peer() -> Peer {
        Peer::new(None, Compression::Off, 0)
    }

    /// Offers a message of `bytes`.
    fn offer(peer: &mut Peer, bytes: usize) -> Offer {
        let shared = Shared::new(&HubConfig::default());
        let message = shared.encode(Message::binary(&vec![0; bytes]));
        let mut compressors = Compressors::new(&shared.config.deflate, &shared.budget);
        let mut offering = Offering {
            segments: &mut Segments::new(vec![message], None),
            compressors: &mut compressors,
            ledger: &Ledger::new(shared.budget),
            allowance: &mut Allowance::new(STEP),
            now: Instant::now(),
        };
        peer.offer(PeerKey::default(), &mut offering, LIMITS)
    }

    fn blocked_peer(held: usize, now: Instant) -> Peer {
        let mut peer = new_peer();
        peer.socket = Some(Socket::Other(Box::new(tokio::io::empty())));
        peer.outbox.push(segment(&vec![0; held - DELIVERY_BYTES]));
        peer.writing.blocked_since = Some(now);
        peer
    }

    #[test]
    fn a_peer_is_no_larger_than_it_must_be() {
        assert_eq!(size_of::<Option<Unfinished>>(), 8);
        assert_eq!(size_of::<Peer>(), 240);
    }

    #[test]
    fn a_peer_is_too_slow_by_bytes_and_age_together_or_at_the_hard_cap() {
        let now = Instant::now();
        let later = now + LIMITS.blocked;
        assert!(
            !blocked_peer(1000, now).is_too_slow(LIMITS, later),
            "within its bytes"
        );
        assert!(
            !blocked_peer(8000, now).is_too_slow(LIMITS, now),
            "blocked just now"
        );
        assert!(blocked_peer(1001, now).is_too_slow(LIMITS, later));
        assert!(blocked_peer(8001, now).is_too_slow(LIMITS, now));
    }

    #[test]
    fn a_peer_that_takes_what_it_gets_is_never_too_slow() {
        let mut peer = new_peer();
        peer.socket = Some(Socket::Other(Box::new(tokio::io::empty())));
        assert_eq!(offer(&mut peer, 10_000), Offer::QueuedFirst);
        assert_eq!(offer(&mut peer, 10_000), Offer::Queued);
    }

    #[tokio::test]
    async fn only_a_close_that_goes_out_at_once_waits_for_the_end_of_the_stream() {
        for (queued, must_cork) in [(0, true), (1, false)] {
            let (near, _far) = pair().await;
            let mut peer = new_peer();
            peer.socket = Some(near);
            for _ in 0..queued {
                peer.outbox.push(segment(b"before"));
            }
            peer.seal_to_end(segment(Frame::close(1000, "").as_bytes()));
            assert_eq!(peer.socket.as_ref().map(is_corked), Some(must_cork));
        }
    }

    #[test]
    fn a_blocked_peer_stays_out_of_the_ring() {
        let mut peer = blocked_peer(DELIVERY_BYTES, Instant::now());
        assert_eq!(offer(&mut peer, 1), Offer::Queued);
    }

    #[test]
    fn what_waits_for_a_peer_in_its_handshake_is_bounded_by_bytes_alone() {
        let mut peer = blocked_peer(1001, Instant::now());
        peer.writing.blocked_since = None;
        peer.socket = None;
        assert!(peer.is_too_slow(LIMITS, Instant::now()));
    }
}
