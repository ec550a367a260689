//! A peer: one connection as its shard keeps it, with its [`socket`] and its [`outbox`].
//!
//! `write` writes the outbox to the socket, and `writing` has the state of this writing.
//! [`replies`] gathers the replies of a turn, and [`recipients`] decides which peers a message is
//! queued to. [`heartbeat`] decides when a silent peer is pinged, and when it is ended.
//! [`unfinished`] has the message that a peer is sending. [`connection_log`] has the facts about a
//! connection that `lines` logs. `final_close` writes a Close to the peers of a shard that has
//! panicked.

pub(in crate::hub) mod connection_log;
mod final_close;
pub(in crate::hub) mod heartbeat;
mod lines;
pub(in crate::hub) mod outbox;
pub(in crate::hub) mod recipients;
pub(in crate::hub) mod replies;
pub(in crate::hub) mod socket;
pub(in crate::hub) mod unfinished;
pub(in crate::hub) mod write;
mod writing;

use std::{
    rc::Rc,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    disconnect::Disconnect,
    hub::{
        bounds::{allowance::Allowance, ledger::Ledger},
        ids::{PeerKey, SubscriptionKey},
        peer::{
            connection_log::ConnectionLog, heartbeat::Heartbeat, outbox::Outbox, socket::Socket,
            unfinished::Unfinished, writing::Writing,
        },
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
    /// `None` until the opening handshake is done. Messages are queued in the outbox even so.
    pub(super) socket: Option<Socket>,
    pub(super) outbox: Outbox,
    /// The waker of the connection's task. `None` until the task has stored it.
    pub(super) waker: Option<Waker>,
    /// A key for each topic that the connection follows.
    pub(super) subscriptions: Vec<SubscriptionKey>,
    pub(super) user: Option<UserId>,
    pub(super) compression: Compression,
    pub(super) ended: Option<Disconnect>,
    pub(super) heartbeat: Heartbeat,
    pub(super) unfinished: Option<Unfinished>,
    /// True if the peer is in the queue of the [receivers](crate::hub::shard::receivers).
    pub(super) waits_to_receive: bool,
    /// The mark of the last fan-out that has reached the peer, so that a fan-out to several topics
    /// reaches it only once.
    pub(super) reached_by: u64,
    /// `None` unless the end of the connection is to be logged.
    pub(super) log: Option<Box<ConnectionLog>>,
    writing: Writing,
}

/// Messages that are offered to one peer after another, and the state that offering them needs.
pub(super) struct Offering<'a> {
    pub(super) segments: &'a mut Segments,
    pub(super) compressors: &'a mut Compressors,
    pub(super) ledger: &'a Rc<Ledger>,
    /// The time that the step has left.
    pub(super) allowance: &'a mut Allowance,
    /// The time at which the step began.
    pub(super) now: Instant,
}

/// The limits beyond which a peer is a slow consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlowConsumerLimits {
    /// Most bytes that the outbox may hold once the socket has been blocked for the time `blocked`.
    pub(super) outbox_bytes: usize,
    pub(super) blocked: Duration,
    /// Longest time that the oldest message may have waited in the outbox.
    pub(super) behind: Duration,
}

/// The outcome of offering messages to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Offer {
    /// Queued. The peer is in the shard's ring already, or need not be: its socket is blocked.
    Queued,
    /// Queued, and the caller must put the peer into the shard's ring.
    QueuedFirst,
    /// Not queued: the messages are not for this peer, or it has them already.
    NotMeant,
    /// Not queued: the peer is a slow consumer, and the caller must end it.
    Refused,
    /// Queued in part or not at all: the step was over before all messages were compressed.
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
            log: None,
            writing: Writing::default(),
        }
    }

    /// Returns how many bytes of memory the connection holds when no message is under way.
    pub(super) fn base_bytes(&self) -> usize {
        match self.compression {
            Compression::Off | Compression::Shared(_) => IDLE_BYTES,
            Compression::Own(_) => IDLE_BYTES + CONTEXT_BYTES,
        }
    }

    /// Queues messages, unless the peer is a slow consumer.
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
                &[] // All segments are queued already.
            }
        };
        for segment in shared {
            self.outbox.push(Rc::clone(segment));
        }
        if let Some(log) = &mut self.log {
            log.sent.messages += offering.segments.messages().len() as u64;
        }
        if self.enter_ring() {
            Offer::QueuedFirst
        } else {
            Offer::Queued
        }
    }

    /// Returns true if the peer is a slow consumer: its outbox holds too much *and* its socket has
    /// been blocked for too long. A limit on bytes alone would end healthy peers that pause.
    /// But a peer that is blocked and holds more than [`HARD_CAP`] times the limit is always too
    /// slow.
    pub(super) fn is_too_slow(&self, limits: SlowConsumerLimits, now: Instant) -> bool {
        let bytes = self.outbox.held_bytes();
        let Some(since) = self.writing.blocked_since else {
            // Before the opening handshake is done there is no socket, so only bytes count.
            return self.socket.is_none() && bytes > limits.outbox_bytes;
        };
        let is_over = bytes > limits.outbox_bytes;
        is_over && now.saturating_duration_since(since) >= limits.blocked
            || bytes > limits.outbox_bytes.saturating_mul(HARD_CAP)
    }

    /// Queues a Close as the last frame. No Close of the peer is awaited, so the FIN is sent right
    /// after this Close, and the two can share a TCP segment.
    pub(super) fn seal_to_end(&mut self, close: Rc<Segment>) {
        // Corked only if the Close is written next: Linux would hold back bytes that are written
        // before it for up to 200 ms.
        let is_next = self.outbox.is_empty() && self.writing.blocked_since.is_none();
        if let Some(socket) = self.socket.as_ref().filter(|_| is_next) {
            socket.cork();
        }
        self.outbox.seal(close);
    }

    /// Marks the peer as one in the ring of peers that wait for a write, unless it is in the ring
    /// already or its socket is blocked. Returns true if the caller must add it to the ring.
    pub(super) fn enter_ring(&mut self) -> bool {
        let waits = self.writing.is_in_ring || self.writing.blocked_since.is_some();
        self.writing.is_in_ring |= !waits;
        !waits
    }

    /// Marks the peer as one that the caller has taken out of the ring.
    pub(super) fn leave_ring(&mut self) {
        self.writing.is_in_ring = false;
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Compresses messages in the peer's own context and queues them, until the step is over. Returns
/// true if all of them are queued.
fn push_own(
    outbox: &mut Outbox,
    key: PeerKey,
    context: &mut CompressionContext,
    offering: &mut Offering<'_>,
) -> bool {
    let first = offering.segments.served(key);
    let messages = offering.segments.messages().iter().enumerate();
    for (index, message) in messages.skip(first) {
        if offering.allowance.is_spent() {
            offering.segments.set_served(key, index);
            return false;
        }
        let frame = context.compress(message.plain());
        offering
            .allowance
            .spend(message.compression_cost().in_context());
        let (bytes, content) = (frame.into_bytes(), offering.segments.content_of_one());
        outbox.push(Segment::published(bytes, content, offering.ledger));
    }
    true
}

/// Returns the Ping frame that a silent peer is sent.
pub(super) fn ping() -> Bytes {
    Frame::ping().into_bytes()
}

/// Bytes of memory that an idle connection holds, its entries in tables included.
const IDLE_BYTES: usize = 2048;

/// Bytes of memory that the compression context of one connection holds.
const CONTEXT_BYTES: usize = 165 * 1024;

/// Multiple of the outbox's limit beyond which a blocked peer is ended, however short the time is
/// for which it has been blocked.
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

    /// Offers a peer a message whose payload has `bytes` bytes.
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

    /// Returns a peer whose socket is blocked since `now`, and whose outbox holds `held` bytes.
    fn blocked_peer(held: usize, now: Instant) -> Peer {
        let mut peer = new_peer();
        peer.socket = Some(Socket::Other(Box::new(tokio::io::empty())));
        // The outbox counts each segment with `DELIVERY_BYTES` besides its length.
        peer.outbox.push(segment(&vec![0; held - DELIVERY_BYTES]));
        peer.writing.blocked_since = Some(now);
        peer
    }

    #[test]
    fn a_peer_is_no_larger_than_it_must_be() {
        // In bytes. A larger `Peer` would cost memory for every connection.
        assert_eq!(size_of::<Option<Unfinished>>(), 8);
        assert_eq!(size_of::<Peer>(), 248);
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
        assert!(
            blocked_peer(8001, now).is_too_slow(LIMITS, now),
            "over 8 times its bytes"
        );
    }

    #[test]
    fn a_peer_whose_socket_is_not_blocked_is_never_too_slow() {
        let mut peer = new_peer();
        peer.socket = Some(Socket::Other(Box::new(tokio::io::empty())));
        assert_eq!(offer(&mut peer, 10_000), Offer::QueuedFirst);
        assert_eq!(offer(&mut peer, 10_000), Offer::Queued);
    }

    #[tokio::test]
    async fn only_a_close_that_is_written_at_once_is_corked() {
        for (segments_before, must_cork) in [(0, true), (1, false)] {
            let (near, _far) = pair().await;
            let mut peer = new_peer();
            peer.socket = Some(near);
            for _ in 0..segments_before {
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
    fn a_peer_without_a_socket_is_too_slow_by_bytes_alone() {
        let mut peer = blocked_peer(1001, Instant::now());
        peer.writing.blocked_since = None;
        peer.socket = None;
        assert!(peer.is_too_slow(LIMITS, Instant::now()));
    }
}
