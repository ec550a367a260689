//! Relief, with peers whose outboxes and messages a test has made.

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

/// A shard that was started some seconds ago.
struct Scene {
    state: State,
    started: Instant,
}

impl Scene {
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

    fn wait(&self, milliseconds: u64) {
        let now = self.started + Duration::from_millis(milliseconds);
        self.state.ledger.look_at_clock(now);
    }

    fn peer(&mut self) -> PeerKey {
        self.state.peers.insert(None, Compression::Off)
    }

    fn push(&mut self, key: PeerKey, segment: &Rc<Segment>) {
        let peer = self.state.peers.get_mut(key).unwrap();
        peer.outbox.push(Rc::clone(segment));
    }

    /// Lets all of these wait for one message, of so many sixteenths of the budget.
    fn wait_for_message(&mut self, keys: &[PeerKey], sixteenths: u64) {
        let segment = self.segment(sixteenths);
        for &key in keys {
            self.push(key, &segment);
        }
    }

    fn segment(&self, sixteenths: u64) -> Rc<Segment> {
        let len = self.state.shared.budget.limit() / 16 * sixteenths;
        let bytes = vec![0; usize::try_from(len).unwrap()];
        Segment::of_its_own(Bytes::from(bytes), &self.state.ledger)
    }

    /// Begins a message of so many sixteenths of the budget, of which the end does not come.
    fn begin_message(&mut self, sixteenths: u64) -> (PeerKey, Held) {
        let held_bytes =
            usize::try_from(self.state.shared.budget.limit() / 16 * sixteenths).unwrap();
        let key = self.peer();
        self.state.peers.get_mut(key).unwrap().unfinished =
            Some(Unfinished::new(self.state.ledger.now(), held_bytes));
        (key, self.state.ledger.hold(held_bytes))
    }

    fn relieve(&mut self) {
        self.state.relieve(&mut Allowance::new(STEP));
    }

    fn ended(&self, key: PeerKey) -> Option<Disconnect> {
        self.state.peers.get(key).unwrap().ended
    }
}

#[test]
fn whoever_waits_for_the_oldest_message_goes_first_and_nobody_once_there_is_room() {
    let mut scene = Scene::new();
    let [small, old, young] = [(); 3].map(|()| scene.peer());
    scene.wait_for_message(&[small], 1);
    scene.wait(10);
    scene.wait_for_message(&[old], 5);
    scene.wait(20);
    scene.wait_for_message(&[young], 6);
    scene.wait(3000);
    scene.relieve();
    assert_eq!(scene.ended(small), Some(Disconnect::SlowConsumer));
    assert_eq!(scene.ended(old), None, "that was enough");
    assert_eq!(scene.ended(young), None);
}

#[test]
fn what_several_wait_for_is_freed_when_the_last_of_them_is_gone() {
    let mut scene = Scene::new();
    let old = [(); 5].map(|()| scene.peer());
    let young = scene.peer();
    scene.wait_for_message(&old, 9);
    scene.wait(100);
    scene.wait_for_message(&[young], 4);
    scene.wait(3000);
    scene.relieve();
    for key in old {
        assert_eq!(scene.ended(key), Some(Disconnect::SlowConsumer));
    }
    assert_eq!(scene.ended(young), None);
    assert_eq!(scene.state.shared.budget.counts.evicted.get(), 5);
}

#[test]
fn a_step_that_is_over_is_gone_on_with() {
    let mut scene = Scene::new();
    let peers: Vec<_> = (0..300).map(|_| scene.peer()).collect();
    scene.wait_for_message(&peers, 13);
    scene.wait(2000);
    // Over after a connection or two, however fast the machine is.
    let mut relieve = || {
        let mut step = Allowance::new(STEP);
        step.cause(STEP_NANOSECONDS - 1);
        scene.state.relieve(&mut step);
        scene.state.is_relieving()
    };
    let mut steps = 0;
    while relieve() {
        steps += 1;
    }
    assert!(!scene.state.shared.budget.is_crowded());
    assert!((1..300).contains(&steps), "{steps}");
}

#[test]
fn a_look_at_many_takes_several_steps_and_finds_who_is_furthest_behind() {
    let mut scene = Scene::new();
    let peers: Vec<_> = (0..20_000).map(|_| scene.peer()).collect();
    let (first, last) = (peers[0], peers[19_999]);
    scene.wait_for_message(&[last], 6);
    scene.wait(10);
    scene.wait_for_message(&[first], 6);
    scene.wait(2000);
    let mut steps = 0;
    while scene.ended(last).is_none() {
        let mut step = Allowance::new(STEP);
        step.cause(STEP_NANOSECONDS - 1);
        scene.state.relieve(&mut step);
        scene.state.remove(peers[1000 + steps]);
        steps += 1;
    }
    assert!(steps > 20, "{steps}");
    assert_eq!(scene.ended(first), None);
}

#[test]
fn a_pause_of_a_second_is_nobodys_end() {
    let mut scene = Scene::new();
    let key = scene.peer();
    scene.wait_for_message(&[key], 15);
    scene.wait(999);
    scene.relieve();
    assert_eq!(scene.ended(key), None);
    scene.wait(1100);
    scene.relieve();
    assert_eq!(scene.ended(key), Some(Disconnect::SlowConsumer));
}

#[test]
fn an_unfinished_message_is_behind_from_its_first_byte() {
    let mut scene = Scene::new();
    let (sender, _held) = scene.begin_message(3);
    let reader = scene.peer();
    scene.wait(500);
    scene.wait_for_message(&[reader], 10);
    scene.wait(2000);
    scene.relieve();
    assert_eq!(scene.ended(sender), Some(Disconnect::Overloaded));
}

// A new user's server ended 39 of 39 where 9 were enough.
#[test]
fn what_the_ended_are_about_to_give_back_counts_as_given_back() {
    let mut scene = Scene::new();
    let mut senders = Vec::new();
    for milliseconds in 1..=7 {
        scene.wait(milliseconds);
        senders.push(scene.begin_message(2));
    }
    scene.wait(3000);
    for _ in 0..3 {
        scene.relieve();
        let ended = senders
            .iter()
            .filter(|(key, _)| scene.ended(*key).is_some());
        assert_eq!(
            ended.count(),
            2,
            "of seven with an eighth of the budget each"
        );
        assert!(scene.state.is_relieving(), "until it is given back");
    }
    // The tasks of those who were ended have had their turns.
    for (key, held) in senders.drain(..2) {
        scene.state.peers.get_mut(key).unwrap().unfinished = None;
        drop(held);
    }
    scene.state.ledger.tell();
    scene.relieve();
    assert!(!scene.state.is_relieving());
}

#[test]
fn a_shard_ends_nobody_for_what_another_one_is_about_to_give_back() {
    let mut scene = Scene::new();
    let (sender, _held) = scene.begin_message(13);
    scene.wait(2000);
    let another = &scene.state.shared.relief[1];
    another.tell(0, scene.state.shared.budget.limit() / 4);
    scene.relieve();
    assert_eq!(scene.ended(sender), None);
    scene.state.shared.relief[1].clear();
    scene.relieve();
    assert_eq!(scene.ended(sender), Some(Disconnect::Overloaded));
}
