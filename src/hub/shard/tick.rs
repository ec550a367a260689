//! The tick: the steps in which a shard works its inbox off and writes to its peers.
//!
//! A step takes up to some hundred microseconds; between two of them the connections have their
//! turns. What is not done goes on in the next one, in the same order.

use std::{collections::VecDeque, fmt, mem, rc::Rc, time::Instant};

use crate::hub::{
    bounds::allowance::{Allowance, STEP},
    publication::delivery::Load,
    shard::{Item, Shard, ring_lap::RingLap, state::State},
};

/// What was taken from the inbox, and how far it has come.
#[derive(Default)]
pub(in crate::hub) struct Tick {
    items: VecDeque<Item>,
    /// The load that is being fanned out.
    in_hand: Load,
    lap: RingLap,
}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tick")
            .field("lap", &self.lap)
            .finish_non_exhaustive()
    }
}

impl Tick {
    /// Works off some of the inbox, if it is time for that, and writes to some peers.
    pub(in crate::hub) fn step(&mut self, shard: &Rc<Shard>) {
        if self.lap.may_take() && self.work_off(shard) {
            self.lap.taken(shard.state.borrow().ring_len());
        }
        let mut state = shard.state.borrow_mut();
        if shard.shared.budget.is_crowded() {
            state.ledger.look();
            state.relieve(&mut Allowance::new(STEP));
        } else {
            state.stop_relieving();
        }
        let State {
            receivers,
            peers,
            shared,
            ..
        } = &mut *state;
        receivers.wake(peers, &shared.budget, &mut Allowance::new(STEP));
        let writes = state.write_turn();
        let settled = self.lap.written(writes, state.ring_len());
        shard.inbox().settle(settled);
    }

    /// Nothing is to be done until something comes.
    pub(in crate::hub) fn is_at_rest(&self, shard: &Shard) -> bool {
        let state = shard.state.borrow();
        self.items.is_empty()
            && state.is_settled()
            && state.ring_len() == 0
            && !state.is_relieving()
            && !state.receivers.may_wake(&shard.shared.budget)
            && shard.inbox().is_empty()
    }

    /// Works off what is in the inbox now, in its order, until the step is over. Returns true if
    /// all of it is done.
    fn work_off(&mut self, shard: &Rc<Shard>) -> bool {
        let mut allowance = Allowance::since(Instant::now(), STEP);
        if self.items.is_empty() {
            shard.inbox().swap(&mut self.items);
        }
        loop {
            self.gather(&mut shard.state.borrow_mut(), &mut allowance);
            if !shard.state.borrow_mut().fan_out(&mut allowance) {
                return false;
            }
            self.lap.fanned_out(mem::take(&mut self.in_hand));
            // What `gather` takes is left to it.
            let next = self.items.pop_front_if(|item| !item.is_for_everyone());
            // In its turn: after what came before it has taken effect.
            match next {
                None if self.items.is_empty() => return true,
                None => {}
                Some(Item::Stop) => shard.stop(),
                Some(Item::Run(work)) => {
                    work(shard);
                    allowance.spend(RUN);
                }
                Some(Item::Deliver(delivery)) => {
                    allowance.spend(BEGIN);
                    self.in_hand += delivery.load;
                    shard.state.borrow_mut().begin_fan_out(delivery);
                }
            }
            if allowance.is_spent() {
                return false;
            }
        }
    }

    /// Gathers what comes next and is for all of a topic's subscribers: they get it together. What
    /// was gathered before must have been fanned out.
    fn gather(&mut self, state: &mut State, allowance: &mut Allowance) {
        if !state.is_settled() {
            return;
        }
        let mut held_bytes = 0;
        while let Some(Item::Deliver(delivery)) = self.items.front()
            && let Some(target) = delivery.for_everyone()
            && held_bytes < GATHERED_BYTES
            && !allowance.is_spent()
        {
            let publication = &delivery.publication;
            state.topics.append(target, publication);
            self.in_hand += delivery.load;
            held_bytes += publication.held_bytes();
            allowance.spend(FIND + GATHER * publication.messages.len() as u64);
            self.items.pop_front();
        }
    }
}

/// What is gathered is joined, and then forgotten, in one go: so much, held in messages of any size,
/// takes 0.1 to 0.3 ms.
const GATHERED_BYTES: usize = 512 * 1024;

/// What finding a topic takes, in nanoseconds.
const FIND: u64 = 60;

/// What gathering a message takes, in nanoseconds.
const GATHER: u64 = 20;

/// What beginning the fan-out to several topics may take, in nanoseconds: there are at most 128.
const BEGIN: u64 = 8_000;

/// What other work takes, in nanoseconds: most of it begins a connection.
const RUN: u64 = 2_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::HubConfig,
        disconnect::Disconnect,
        hub::{
            ids::PeerKey,
            publication::{Publication, Receipt, compression::Compression},
            shard::{Links, Work},
        },
        message::Message,
        topic::TopicName,
        user::UserId,
    };

    fn shard() -> Rc<Shard> {
        let config = HubConfig {
            shards: 1.try_into().unwrap(),
            ..HubConfig::default()
        };
        Shard::new(0, Arc::new(Links::new(&config)))
    }

    fn subscriber(shard: &Shard, topic: &TopicName) -> PeerKey {
        let mut state = shard.state.borrow_mut();
        let key = state.peers.insert(None, Compression::Off);
        state.subscribe(key, topic);
        key
    }

    fn publish(shard: &Shard, topic: &TopicName, text: &str, user: Option<&str>) {
        let publication = Publication::new(shard.shared.encode(Message::text(text)));
        let user = user.map(|user| UserId::new(user).unwrap());
        let publication = publication.to(user);
        let topics = std::slice::from_ref(topic);
        shard.links.publish(topics, publication);
    }

    fn wire(shard: &Shard, key: PeerKey) -> Vec<u8> {
        let mut state = shard.state.borrow_mut();
        let outbox = &mut state.peers.get_mut(key).unwrap().outbox;
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let count = outbox.fill(&mut slices);
        let slices = slices[..count].iter();
        slices.flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn work_is_done_after_what_came_before_it_has_taken_effect() {
        let shard = shard();
        let topic = TopicName::new("cats").unwrap();
        let key = subscriber(&shard, &topic);
        publish(&shard, &topic, "x", None);
        let end: Work = Box::new(move |shard| shard.end_connection(key, Disconnect::Restarting));
        shard.inbox().push(Item::Run(end));
        assert!(Tick::default().work_off(&shard));
        let wire = wire(&shard, key);
        assert_eq!(wire[..5], *b"\x81\x01x\x88\x16");
    }

    #[test]
    fn a_message_for_one_user_does_not_overtake_an_earlier_one_for_everybody() {
        let shard = shard();
        let topic = TopicName::new("cats").unwrap();
        let key = shard
            .state
            .borrow_mut()
            .peers
            .insert(Some(UserId::from(1_u64)), Compression::Off);
        shard.state.borrow_mut().subscribe(key, &topic);
        publish(&shard, &topic, "first", None);
        publish(&shard, &topic, "second", Some("1"));
        publish(&shard, &topic, "for another", Some("2"));
        publish(&shard, &topic, "third", None);
        assert!(Tick::default().work_off(&shard));
        assert_eq!(
            wire(&shard, key),
            b"\x81\x05first\x81\x06second\x81\x05third"
        );
    }

    #[test]
    fn a_message_is_not_counted_before_it_is_queued() {
        let shard = shard();
        let topic = TopicName::new("cats").unwrap();
        subscriber(&shard, &topic);
        let (receipt, mut queued) = Receipt::new();
        let publication = Publication::new(shard.shared.encode(Message::text("x")));
        shard.links.publish(&[topic], publication.counted(receipt));
        let mut tick = Tick::default();
        shard.inbox().swap(&mut tick.items);
        let allowance = &mut Allowance::new(STEP);
        tick.gather(&mut shard.state.borrow_mut(), allowance);
        assert!(tick.items.is_empty() && queued.try_recv().is_err());
        assert!(shard.state.borrow_mut().fan_out(allowance));
        assert_eq!(queued.try_recv(), Ok(1));
    }

    #[test]
    fn what_is_not_written_yet_counts_as_work() {
        let shard = shard();
        let topic = TopicName::new("cats").unwrap();
        let key = subscriber(&shard, &topic);
        let large = shard.shared.encode(Message::binary(&vec![0; 40 << 20]));
        shard.links.publish(&[topic], Publication::new(large));
        assert!(shard.links.must_wait());
        let mut tick = Tick::default();
        tick.work_off(&shard);
        assert!(!wire(&shard, key).is_empty());
        assert!(shard.links.must_wait());
        tick.step(&shard);
        assert!(!shard.links.must_wait());
    }

    fn capacity(shard: &Shard, tick: &Tick) -> usize {
        shard.capacity() + tick.items.capacity()
    }

    /// A crowd with topics of its own, all of whom get a message, comes and goes. Returns for how much
    /// there was memory at its height.
    fn come_and_go(shard: &Rc<Shard>, tick: &mut Tick) -> usize {
        let names = (0..20_000).map(|number| TopicName::new(&number.to_string()).unwrap());
        let topics: Vec<TopicName> = names.collect();
        let crowd: Vec<PeerKey> = topics
            .iter()
            .map(|topic| subscriber(shard, topic))
            .collect();
        for topic in &topics {
            publish(shard, topic, "x", None);
        }
        while !tick.is_at_rest(shard) {
            tick.step(shard);
        }
        let height = capacity(shard, tick);
        for key in crowd {
            shard.state.borrow_mut().remove(key);
        }
        height
    }

    #[test]
    fn what_a_crowd_has_taken_is_given_back_after_two_sweeps() {
        let (shard, mut tick) = (shard(), Tick::default());
        let bystander = TopicName::new("bystander").unwrap();
        subscriber(&shard, &bystander);
        let before = capacity(&shard, &tick);
        for _ in 0..3 {
            let added = come_and_go(&shard, &mut tick) - before;
            assert!(added > 4 * 20_000, "{added}");
            for _ in 0..2 {
                shard.shrink();
                tick.step(&shard);
            }
            let kept = capacity(&shard, &tick) - before;
            assert!(kept * 20 < added, "{kept} of {added}");
        }
    }
}
