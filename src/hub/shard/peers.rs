//! The connections of one shard, and the ring: the queue of those that wait for a write.

use std::{collections::VecDeque, io, rc::Rc, time::Instant};

use crate::{
    config::HubConfig,
    disconnect::Disconnect,
    hub::{
        bounds::{
            allowance::{Allowance, STEP},
            ledger::Ledger,
        },
        capacity,
        capacity::Table,
        ids::PeerKey,
        measured::Count,
        peer::{
            Offer, Offering, Peer, SlowConsumerLimits,
            heartbeat::{HeartbeatIntervals, Silence},
            ping,
            recipients::Recipients,
            replies::Replies,
            socket::Socket,
            write::{SHARE_BYTES, Written},
        },
        publication::{compression::Compression, segment::Segment},
    },
    metrics::ShardMetrics,
    user::UserId,
};

/// The connections of a shard.
///
/// Invariant: the key of a peer is in `ring` if and only if its `Writing::is_in_ring` is true.
pub(in crate::hub) struct Peers {
    table: Table<PeerKey, Peer>,
    ring: VecDeque<PeerKey>,
    /// Number of sweeps so far: the coarse clock of the heartbeat.
    sweep: u32,
    slow_consumer_limits: SlowConsumerLimits,
    heartbeat_intervals: HeartbeatIntervals,
    pub(in crate::hub) ledger: Rc<Ledger>,
    /// True if memory was exhausted when the last sweep began. No peer is read then, so the silence
    /// of all of them is excused.
    is_exhausted: bool,
    /// Number of times that a fan-out has visited a peer.
    pub(in crate::hub) visits: Count,
}

impl Peers {
    pub(in crate::hub) fn new(config: &HubConfig, ledger: Rc<Ledger>) -> Self {
        Self {
            table: Table::default(),
            ring: VecDeque::new(),
            sweep: 0,
            slow_consumer_limits: SlowConsumerLimits {
                outbox_bytes: config.limits.outbox_bytes(),
                blocked: config.timeouts.blocked,
                behind: config.timeouts.behind,
            },
            heartbeat_intervals: HeartbeatIntervals::new(&config.timeouts),
            ledger,
            is_exhausted: false,
            visits: Count::new(),
        }
    }

    pub(in crate::hub) fn insert(
        &mut self,
        user: Option<UserId>,
        compression: Compression,
    ) -> PeerKey {
        let peer = Peer::new(user, compression, self.sweep);
        self.ledger.enter(peer.base_bytes());
        self.table.insert(peer)
    }

    pub(in crate::hub) fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        let peer = self.table.remove(key)?;
        self.ledger.remove(peer.base_bytes());
        Some(peer)
    }

    pub(in crate::hub) fn get(&self, key: PeerKey) -> Option<&Peer> {
        self.table.get(key)
    }

    pub(in crate::hub) fn get_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.table.get_mut(key)
    }

    /// Returns the peers in part `at` of the table, at most 32, or `None` if there is no such part.
    pub(in crate::hub) fn part(&self, at: usize) -> Option<impl Iterator<Item = (PeerKey, &Peer)>> {
        self.table.chunk(at)
    }

    pub(in crate::hub) fn len(&self) -> usize {
        self.table.len()
    }

    /// Records that bytes were received from a peer.
    pub(in crate::hub) fn heard(&mut self, key: PeerKey) {
        if let Some(peer) = self.table.get_mut(key) {
            peer.heartbeat.heard(self.sweep);
        }
    }

    /// Offers messages to a peer, if it is one of the recipients.
    pub(in crate::hub) fn offer(
        &mut self,
        key: PeerKey,
        recipients: &Recipients,
        offering: &mut Offering<'_>,
    ) -> Offer {
        self.visits.add(1);
        let peer = self.table.get_mut(key);
        let Some(peer) = peer.filter(|peer| recipients.include(key, peer)) else {
            return Offer::NotMeant;
        };
        let offer = peer.offer(key, offering, self.slow_consumer_limits);
        match offer {
            Offer::QueuedFirst => self.ring.push_back(key),
            // The rest of the messages must still be offered, so the peer gets no mark yet.
            Offer::Unready => return offer,
            _ => {}
        }
        recipients.mark(peer);
        offer
    }

    pub(in crate::hub) fn ring_len(&self) -> usize {
        self.ring.len()
    }

    /// Writes to at most 64 peers of the ring, and begins no more writes after half a millisecond.
    /// Returns the number of writes, and the keys of the peers whose sockets have failed.
    pub(in crate::hub) fn write_some(&mut self, metrics: &ShardMetrics) -> (usize, Vec<PeerKey>) {
        let mut allowance = Allowance::since(Instant::now(), STEP);
        let (mut writes, mut lost) = (0, Vec::new());
        while writes < WRITES_PER_STEP && !allowance.is_spent() {
            let Some(key) = self.ring.pop_front() else {
                break;
            };
            writes += 1;
            if let Some(peer) = self.table.get_mut(key) {
                let bytes = peer.outbox.held_bytes().min(SHARE_BYTES);
                allowance.spend(WRITE + bytes as u64 / WRITTEN_PER_NANOSECOND);
                peer.leave_ring();
            }
            if self.write(key, &mut Replies::default(), metrics).is_err() {
                lost.push(key);
            }
        }
        (writes, lost)
    }

    /// Writes the outbox of a peer and, behind it, the `replies`, until the socket takes no more or
    /// the peer has had its share. In the latter case, puts the peer into the ring and returns
    /// true. The `replies` are empty afterwards in any case, because the next peer uses the same
    /// buffer. If the socket has failed, returns its error.
    pub(in crate::hub) fn write(
        &mut self,
        key: PeerKey,
        replies: &mut Replies,
        metrics: &ShardMetrics,
    ) -> io::Result<bool> {
        let written = self.write_out(key, replies, metrics);
        replies.clear();
        written
    }

    /// Does the work of [`write`](Self::write), but may leave the `replies` that are written in their
    /// buffer: the caller clears it.
    fn write_out(
        &mut self,
        key: PeerKey,
        replies: &mut Replies,
        metrics: &ShardMetrics,
    ) -> io::Result<bool> {
        let Some(peer) = self.table.get_mut(key) else {
            return Ok(false);
        };
        let written = if replies.is_empty() {
            peer.write(metrics)
        } else {
            let replied = peer.write_replies(replies, metrics, &self.ledger);
            replied.and_then(|()| peer.write(metrics))
        };
        match written {
            Ok(Written::Done) => Ok(false),
            Ok(Written::Share) => {
                if peer.enter_ring() {
                    self.ring.push_back(key);
                }
                Ok(true)
            }
            Err(error) => {
                peer.abandon();
                Err(error)
            }
        }
    }

    /// Writes `close` to each peer whose socket takes it without waiting, and closes the sockets of
    /// all peers. Returns the number of peers that had not ended.
    pub(in crate::hub) fn close_all(&mut self, close: &[u8]) -> u64 {
        let mut not_ended = 0;
        for peer in self.table.values_mut() {
            not_ended += u64::from(peer.ended.is_none());
            peer.close_with(close);
        }
        not_ended
    }

    /// Begins a sweep, which checks every peer.
    pub(in crate::hub) fn begin_sweep(&mut self) {
        self.sweep += 1;
        self.ledger.set_now(Instant::now());
        self.is_exhausted = self.ledger.budget().is_exhausted();
    }

    /// Checks a peer: frees the memory of an empty outbox, and queues a Ping if the peer is silent.
    /// Returns the reason for which the peer must be ended, if there is one.
    pub(in crate::hub) fn sweep(&mut self, key: PeerKey) -> Option<Disconnect> {
        let peer = self.table.get_mut(key)?;
        peer.outbox.release();
        if peer.ended.is_some() || peer.socket.is_none() {
            return None;
        }
        if peer.is_too_slow(self.slow_consumer_limits, Instant::now()) {
            return Some(Disconnect::SlowConsumer);
        }
        let now = self.ledger.now();
        let oldest = peer.outbox.oldest();
        if oldest.is_some_and(|oldest| now.since(oldest) > self.slow_consumer_limits.behind) {
            return Some(Disconnect::TooFarBehind);
        }
        // A pipe leads to a subscription of this process itself, which needs no heartbeat.
        let is_pipe = matches!(peer.socket, Some(Socket::Pipe(_)));
        if is_pipe || peer.excuse_silence() || self.is_exhausted {
            peer.heartbeat.heard(self.sweep);
        }
        match peer.heartbeat.check(self.sweep, self.heartbeat_intervals) {
            Silence::Short => None,
            Silence::Unanswered => Some(Disconnect::NoPong),
            Silence::Ping => {
                let ping = Segment::unshared(ping(), &self.ledger);
                peer.outbox.push_control(ping);
                if peer.enter_ring() {
                    self.ring.push_back(key);
                }
                None
            }
        }
    }

    /// Shrinks the ring if it is mostly empty.
    pub(in crate::hub) fn shrink(&mut self) {
        if let Some(kept) = capacity::excess(self.ring.len(), self.ring.capacity()) {
            self.ring.shrink_to(kept);
        }
    }
}

/// Number of peers that are written to in a step, at most. Measured: fewer or more are not cheaper.
/// A step takes 0.2 ms, or 0.7 ms with 9,000 connections. Meanwhile reads and timers wait.
const WRITES_PER_STEP: usize = 64;

/// The fixed cost of a write to a socket, in nanoseconds. The bytes written are charged besides.
pub(in crate::hub) const WRITE: u64 = 2_000;

/// Number of bytes that a socket is assumed to take in a nanosecond.
pub(in crate::hub) const WRITTEN_PER_NANOSECOND: u64 = 4;

#[cfg(test)]
impl Peers {
    /// Returns the number of peers that the table and the ring have memory for.
    pub(in crate::hub) fn capacity(&self) -> usize {
        self.table.capacity() + self.ring.capacity()
    }
}
