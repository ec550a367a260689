//! Relief while memory is short: whoever is furthest behind is ended first.
//!
//! Messages are shared, and freed when nobody waits for them any more. So what is held is mostly held
//! for those who wait for the oldest messages, and ending the largest outbox might free nothing. A
//! message that has begun and not ended counts as behind from its first byte.
//!
//! Nobody is ended who is behind for less than a slow consumer may be blocked: that is what a pause
//! of a healthy client looks like, and publishers wait meanwhile.

use std::{collections::BinaryHeap, sync::atomic::Ordering::Relaxed, time::Duration};

use crate::{
    disconnect::Disconnect,
    hub::{
        bounds::{
            allowance::{Allowance, END},
            ledger::Moment,
        },
        ids::PeerKey,
        peer::Peer,
        shard::state::State,
    },
};

/// Those who are to be ended if memory stays short.
#[derive(Debug, Default)]
pub(in crate::hub) struct Relief {
    /// How far each is behind, in milliseconds, the furthest first. With 250,000 of them, no step takes
    /// more than 0.2 ms to grow it.
    behind: BinaryHeap<(u32, PeerKey)>,
    /// When the last look at all began.
    looked: Option<Moment>,
    /// The next part of the table to be looked at, while a look is under way.
    next_part: Option<usize>,
}

impl Relief {
    /// Returns true if it is time to look at all connections again.
    fn must_look(&self, now: Moment) -> bool {
        let is_over = |looked| now.since(looked) >= BETWEEN_LOOKS;
        self.behind.is_empty() && self.looked.is_none_or(is_over)
    }

    /// Returns true if there is more to be done at once.
    fn is_under_way(&self) -> bool {
        self.next_part.is_some() || !self.behind.is_empty()
    }
}

impl Peer {
    /// Returns how far the peer is behind with what it reads or sends, and what it is to be ended for.
    fn behind(&self, now: Moment) -> Option<(Duration, Disconnect)> {
        if self.ended.is_some() {
            return None;
        }
        let behind = |since: Option<Moment>| since.map_or(Duration::ZERO, |since| now.since(since));
        // Whoever is not read can't send the end.
        let unfinished = self.unfinished.filter(|_| !self.is_held_by_hub());
        let (reading, sending) = (behind(self.outbox.oldest()), behind(unfinished));
        Some(if reading >= sending {
            (reading, Disconnect::SlowConsumer)
        } else {
            (sending, Disconnect::Overloaded)
        })
    }
}

impl State {
    /// Looks at all connections, and ends those who are furthest behind, one after the other, until
    /// memory is no longer short or the step is over.
    pub(in crate::hub) fn relieve(&mut self, allowance: &mut Allowance) {
        let now = self.ledger.now();
        if self.relief.next_part.is_none() && self.relief.must_look(now) {
            self.relief.looked = Some(now);
            self.relief.next_part = Some(0);
        }
        if !self.look_for_behind(allowance) {
            return;
        }
        let least = self.least_behind();
        while self.links.budget.is_crowded() {
            if allowance.is_spent() {
                return;
            }
            let Some((_, key)) = self.relief.behind.pop() else {
                return;
            };
            // It may have caught up.
            let behind = self.peers.get(key).and_then(|peer| peer.behind(now));
            if let Some((_, reason)) = behind.filter(|(behind, _)| *behind >= least) {
                self.end(key, reason);
                self.count_relief(reason);
                self.ledger.tell();
            }
            allowance.spend(END);
        }
        self.stop_relieving();
    }

    /// Forgets who is behind: there is room.
    pub(in crate::hub) fn stop_relieving(&mut self) {
        if self.relief.is_under_way() {
            self.relief.behind = BinaryHeap::new();
            self.relief.next_part = None;
        }
        let told = &self.links.furthest[self.index];
        if told.load(Relaxed) != 0 {
            told.store(0, Relaxed);
        }
    }

    /// Returns true if the next step goes on with it.
    pub(in crate::hub) fn is_relieving(&self) -> bool {
        self.links.budget.is_crowded() && self.relief.is_under_way()
    }

    /// Returns how far behind one must be to be ended: shards that have somebody further behind
    /// come first.
    fn least_behind(&self) -> Duration {
        let furthest = self.links.furthest.iter().map(|each| each.load(Relaxed));
        let furthest = Duration::from_millis(furthest.max().unwrap_or(0));
        self.links.config.timeouts.blocked.max(furthest / 2)
    }

    /// Goes on with the look at all connections, if one is under way, until the step is over. Returns
    /// true if none is left to be looked at.
    fn look_for_behind(&mut self, allowance: &mut Allowance) -> bool {
        let (Some(mut at), Some(now)) = (self.relief.next_part, self.relief.looked) else {
            return true;
        };
        let least = self.links.config.timeouts.blocked;
        while let Some(part) = self.peers.part(at) {
            if allowance.is_spent() {
                self.relief.next_part = Some(at);
                return false;
            }
            let behind = part.filter_map(|(key, peer)| {
                allowance.spend(LOOK);
                let (behind, _) = peer.behind(now)?;
                (behind >= least).then_some((milliseconds(behind), key))
            });
            self.relief.behind.extend(behind);
            at += 1;
        }
        self.relief.next_part = None;
        self.tell_furthest();
        true
    }

    /// Tells the other shards how far behind somebody is here.
    fn tell_furthest(&self) {
        let furthest = self.relief.behind.peek();
        let furthest = furthest.map_or(0, |(behind, _)| *behind);
        self.links.furthest[self.index].store(furthest.into(), Relaxed);
    }

    fn count_relief(&self, reason: Disconnect) {
        let counts = &self.links.budget.counts;
        match reason {
            Disconnect::Overloaded => counts.unfinished.increment(),
            _ => counts.evicted.increment(),
        }
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// How often all are looked at: 10,000 connections take half a millisecond.
pub(in crate::hub) const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What a look at a connection takes, in nanoseconds.
const LOOK: u64 = 60;

#[cfg(test)]
mod tests {
    use std::{rc::Rc, sync::Arc, time::Instant};

    use bytes::Bytes;

    use super::*;
    use crate::{
        config::Config,
        hub::{
            bounds::allowance::{STEP, STEP_NANOSECONDS},
            publication::{compression::Compression, segment::Segment},
            shard::links::Links,
        },
    };

    /// A shard that was started some seconds ago.
    struct Scene {
        state: State,
        started: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let mut config = Config::default();
            config.limits.memory_budget = Some(config.limits.least_memory());
            Self {
                state: State::new(0, Arc::new(Links::new(&config))),
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
            let len = self.state.links.budget.limit() / 16 * sixteenths;
            let bytes = vec![0; usize::try_from(len).unwrap()];
            Segment::of_its_own(Bytes::from(bytes), &self.state.ledger)
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
        assert_eq!(scene.state.links.budget.counts.evicted.get(), 5);
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
        assert!(!scene.state.links.budget.is_crowded());
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
        let (sender, reader) = (scene.peer(), scene.peer());
        let _theirs = scene.state.ledger.hold(scene.segment(3).len());
        scene.state.peers.get_mut(sender).unwrap().unfinished = Some(scene.state.ledger.now());
        scene.wait(500);
        scene.wait_for_message(&[reader], 10);
        scene.wait(2000);
        scene.relieve();
        assert_eq!(scene.ended(sender), Some(Disconnect::Overloaded));
    }
}
