//! Tests of the relief, with peers whose outboxes and messages are made by the test.

use std::{rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;

use super::*;
use crate::{
    config::HubConfig,
    hub::{
        bounds::{
            allowance::{STEP, STEP_NANOSECONDS},
            ledger::Held,
        },
        ids::PeerKey,
        publication::{compression::Compression, segment::Segment},
        shard::shared::Shared,
    },
};

/// The first shard of two, whose clock is set by the test. The memory budget is the smallest that
/// the limits allow. Memory is short (crowded) from 12 sixteenths of the budget on.
struct TestShard {
    state: State,
    started: Instant,
}

impl TestShard {
    fn new() -> Self {
        let mut config = HubConfig {
            shards: 2.try_into().unwrap(),
            ..HubConfig::default()
        };
        config.limits.memory_budget = Some(config.limits.least_memory());
        Self {
            state: State::new(0, Arc::new(Shared::new(&config))),
            started: Instant::now(),
        }
    }

    /// Sets the clock to this time after the start.
    fn set_clock(&self, milliseconds: u64) {
        let now = self.started + Duration::from_millis(milliseconds);
        self.state.ledger.set_now(now);
    }

    /// Adds a peer.
    fn peer(&mut self) -> PeerKey {
        self.state.peers.insert(None, Compression::Off)
    }

    fn push(&mut self, key: PeerKey, segment: &Rc<Segment>) {
        let peer = self.state.peers.get_mut(key).unwrap();
        peer.outbox.push(Rc::clone(segment));
    }

    /// Queues one message, which all of these peers share. The message has `sixteenths` sixteenths
    /// of the bytes of the budget.
    fn push_message(&mut self, keys: &[PeerKey], sixteenths: u64) {
        let segment = self.segment(sixteenths);
        for &key in keys {
            self.push(key, &segment);
        }
    }

    /// Makes a segment whose length is `sixteenths` sixteenths of the bytes of the budget.
    fn segment(&self, sixteenths: u64) -> Rc<Segment> {
        let len = self.state.shared.budget.limit() / 16 * sixteenths;
        let bytes = vec![0; usize::try_from(len).unwrap()];
        Segment::unshared(Bytes::from(bytes), &self.state.ledger)
    }

    /// Adds a peer that has sent a part of a message, for which `sixteenths` sixteenths of the
    /// budget are held. Returns the peer, and the entry of these bytes in the ledger.
    fn begin_message(&mut self, sixteenths: u64) -> (PeerKey, Held) {
        let held_bytes =
            usize::try_from(self.state.shared.budget.limit() / 16 * sixteenths).unwrap();
        let key = self.peer();
        self.state.peers.get_mut(key).unwrap().unfinished =
            Some(Unfinished::new(self.state.ledger.now(), held_bytes));
        (key, self.state.ledger.hold(held_bytes))
    }

    /// Runs one step of the relief.
    fn relieve(&mut self) {
        self.state.relieve(&mut Allowance::new(STEP));
    }

    fn ended(&self, key: PeerKey) -> Option<Disconnect> {
        self.state.peers.get(key).unwrap().ended
    }
}

#[test]
fn the_peer_with_the_oldest_message_is_ended_first_and_no_other_once_memory_suffices() {
    let mut shard = TestShard::new();
    // 1, 5 and 6 sixteenths of the budget: together the 12 from which on memory is short.
    let [small, old, young] = [(); 3].map(|()| shard.peer());
    shard.push_message(&[small], 1);
    shard.set_clock(10);
    shard.push_message(&[old], 5);
    shard.set_clock(20);
    shard.push_message(&[young], 6);
    shard.set_clock(3000);
    shard.relieve();
    assert_eq!(shard.ended(small), Some(Disconnect::SlowConsumer));
    assert_eq!(shard.ended(old), None, "11 sixteenths are left");
    assert_eq!(shard.ended(young), None);
}

#[test]
fn a_message_that_several_peers_wait_for_is_freed_when_all_of_them_are_ended() {
    let mut shard = TestShard::new();
    let old = [(); 5].map(|()| shard.peer());
    let young = shard.peer();
    shard.push_message(&old, 9);
    shard.set_clock(100);
    shard.push_message(&[young], 4);
    shard.set_clock(3000);
    shard.relieve();
    for key in old {
        assert_eq!(shard.ended(key), Some(Disconnect::SlowConsumer));
    }
    assert_eq!(shard.ended(young), None);
    assert_eq!(shard.state.shared.budget.counts.evicted.get(), 5);
}

#[test]
fn relief_that_does_not_fit_into_a_step_continues_in_the_next() {
    let mut shard = TestShard::new();
    let peers: Vec<_> = (0..300).map(|_| shard.peer()).collect();
    shard.push_message(&peers, 13);
    shard.set_clock(2000);
    // 1 ns is left, so the step is over when the clock is first read: after two ends, however fast
    // the machine is.
    let mut relieve = || {
        let mut step = Allowance::new(STEP);
        step.charge_later(STEP_NANOSECONDS - 1);
        shard.state.relieve(&mut step);
        shard.state.is_relieving()
    };
    let mut steps = 0;
    while relieve() {
        steps += 1;
    }
    assert!(!shard.state.shared.budget.is_crowded());
    assert!((1..300).contains(&steps), "{steps}");
}

#[test]
fn a_search_of_many_peers_takes_several_steps_and_finds_the_furthest_behind() {
    let mut shard = TestShard::new();
    let peers: Vec<_> = (0..20_000).map(|_| shard.peer()).collect();
    let (first, last) = (peers[0], peers[19_999]);
    shard.push_message(&[last], 6);
    shard.set_clock(10);
    shard.push_message(&[first], 6);
    shard.set_clock(2000);
    let mut steps = 0;
    while shard.ended(last).is_none() {
        let mut step = Allowance::new(STEP);
        // 1 ns is left, so the step is over when the clock is first read: after 334 checks.
        step.charge_later(STEP_NANOSECONDS - 1);
        shard.state.relieve(&mut step);
        // Connections may leave between the steps of a search.
        shard.state.remove(peers[1000 + steps]);
        steps += 1;
    }
    assert!(steps > 20, "{steps}");
    assert_eq!(shard.ended(first), None);
}

#[test]
fn a_peer_that_pauses_for_less_than_a_second_is_not_ended() {
    let mut shard = TestShard::new();
    let key = shard.peer();
    shard.push_message(&[key], 15);
    // `Timeouts::blocked` is 1 s by default.
    shard.set_clock(999);
    shard.relieve();
    assert_eq!(shard.ended(key), None);
    shard.set_clock(1100);
    shard.relieve();
    assert_eq!(shard.ended(key), Some(Disconnect::SlowConsumer));
}

// Its outbox was held until the time for the closing handshake was over.
#[test]
fn a_peer_that_has_gone_and_reads_nothing_frees_its_outbox() {
    for reason in [Disconnect::Lost, Disconnect::ByPeer] {
        let mut shard = TestShard::new();
        let (gone, reader) = (shard.peer(), shard.peer());
        shard.push_message(&[gone], 10);
        shard.state.end(gone, reason);
        shard.set_clock(500);
        shard.push_message(&[reader], 5);
        let waits = |shard: &TestShard| !shard.state.peers.get(gone).unwrap().outbox.is_empty();
        shard.set_clock(999);
        shard.relieve();
        assert!(waits(&shard), "it may pause for a second");
        shard.set_clock(1100);
        shard.relieve();
        assert!(!waits(&shard), "{reason}");
        assert_eq!(shard.ended(gone), Some(reason));
        assert_eq!(shard.ended(reader), None);
    }
}

#[test]
fn a_peer_that_the_server_has_ended_keeps_the_close_that_says_why() {
    let mut shard = TestShard::new();
    let key = shard.peer();
    shard.push_message(&[key], 13);
    shard.state.end(key, Disconnect::TakenOver);
    shard.set_clock(3000);
    shard.relieve();
    assert!(!shard.state.peers.get(key).unwrap().outbox.is_empty());
}

#[test]
fn an_unfinished_message_is_behind_from_its_first_byte() {
    let mut shard = TestShard::new();
    let (sender, _held) = shard.begin_message(3);
    let reader = shard.peer();
    shard.set_clock(500);
    shard.push_message(&[reader], 10);
    shard.set_clock(2000);
    shard.relieve();
    assert_eq!(shard.ended(sender), Some(Disconnect::Overloaded));
}

// The server of a new user once ended 39 of 39 senders, although 9 would have been enough.
#[test]
fn bytes_that_ended_peers_are_about_to_free_count_as_freed() {
    let mut shard = TestShard::new();
    let mut senders = Vec::new();
    for milliseconds in 1..=7 {
        shard.set_clock(milliseconds);
        senders.push(shard.begin_message(2));
    }
    shard.set_clock(3000);
    for _ in 0..3 {
        shard.relieve();
        let ended = senders
            .iter()
            .filter(|(key, _)| shard.ended(*key).is_some());
        // Of the 14 sixteenths, 12 are left after one end, and 10 after two.
        assert_eq!(ended.count(), 2);
        assert!(shard.state.is_relieving(), "until the bytes are freed");
    }
    // The tasks of the ended peers have had their turns.
    for (key, held) in senders.drain(..2) {
        shard.state.peers.get_mut(key).unwrap().unfinished = None;
        drop(held);
    }
    shard.state.ledger.report();
    shard.relieve();
    assert!(!shard.state.is_relieving());
}

#[test]
fn a_shard_ends_no_peer_for_bytes_that_another_shard_is_about_to_free() {
    let mut shard = TestShard::new();
    let (sender, _held) = shard.begin_message(13);
    shard.set_clock(2000);
    // Another shard is about to free 4 of the 13 sixteenths.
    let another = &shard.state.shared.relief[1];
    another.set(0, shard.state.shared.budget.limit() / 4);
    shard.relieve();
    assert_eq!(shard.ended(sender), None);
    shard.state.shared.relief[1].clear();
    shard.relieve();
    assert_eq!(shard.ended(sender), Some(Disconnect::Overloaded));
}
