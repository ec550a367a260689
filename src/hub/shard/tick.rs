//! The tick: the steps in which a shard processes its inbox and writes to its peers.
//!
//! A step takes up to some hundred microseconds. Between two steps the connections have their
//! turns. Work that does not fit into a step continues in the next one, in the same order.

use std::{collections::VecDeque, fmt, mem, rc::Rc, time::Instant};

use crate::hub::{
    bounds::allowance::{Allowance, STEP},
    publication::delivery::Load,
    shard::{Item, Shard, ring_lap::RingLap, state::State},
};

/// The items that were taken from the inbox, and the progress of their delivery.
#[derive(Default)]
pub(in crate::hub) struct Tick {
    items: VecDeque<Item>,
    /// Load of the deliveries that are being gathered and fanned out.
    fanning_out: Load,
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
    /// Runs a step: processes a part of the inbox (if the [lap](RingLap) allows it), ends
    /// connections if memory is short, wakes those that may receive again, and writes to some
    /// peers.
    pub(in crate::hub) fn step(&mut self, shard: &Rc<Shard>) {
        if self.lap.may_process_inbox() && self.process_inbox(shard) {
            self.lap.inbox_processed(shard.state.borrow().ring_len());
        }
        let mut state = shard.state.borrow_mut();
        if shard.shared.budget.is_crowded() {
            state.ledger.read_clock();
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
        let writes = state.write_some();
        let settled = self.lap.written(writes, state.ring_len());
        shard.inbox().settle(settled);
    }

    /// Returns true if there is nothing to do until the shard is woken.
    pub(in crate::hub) fn is_at_rest(&self, shard: &Shard) -> bool {
        let state = shard.state.borrow();
        self.items.is_empty()
            && state.is_settled()
            && state.ring_len() == 0
            && !state.is_relieving()
            && !state.receivers.may_wake(&shard.shared.budget)
            && shard.inbox().is_empty()
    }

    /// Processes items of the inbox, in their order, until the step is over: those that an earlier
    /// step has taken and not done or, if there are none, those that the inbox has now. Returns
    /// true if all items that were taken are done.
    fn process_inbox(&mut self, shard: &Rc<Shard>) -> bool {
        let mut allowance = Allowance::since(Instant::now(), STEP);
        if self.items.is_empty() {
            shard.inbox().swap(&mut self.items);
        }
        loop {
            self.gather(&mut shard.state.borrow_mut(), &mut allowance);
            if !shard.state.borrow_mut().fan_out(&mut allowance) {
                return false;
            }
            self.lap.fanned_out(mem::take(&mut self.fanning_out));
            // Everything before the next item has been fanned out.
            let next = self.items.pop_front_if(|item| !item.is_for_everyone());
            match next {
                None if self.items.is_empty() => return true,
                // The next item is for all subscribers of a topic: `gather` takes it.
                None => {}
                Some(Item::Stop) => shard.stop(),
                Some(Item::Run(work)) => {
                    work(shard);
                    allowance.spend(RUN);
                }
                Some(Item::Deliver(delivery)) => {
                    allowance.spend(BEGIN);
                    self.fanning_out += delivery.load;
                    shard.state.borrow_mut().begin_fan_out(delivery);
                }
            }
            if allowance.is_spent() {
                return false;
            }
        }
    }

    /// Takes the next items, as long as each is a delivery to all subscribers of one topic, and
    /// appends their messages to the pending ones of the topic, to be fanned out together. Does
    /// nothing while messages that were gathered before are not fanned out.
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
            self.fanning_out += delivery.load;
            held_bytes += publication.held_bytes();
            allowance.spend(FIND + GATHER * publication.messages.len() as u64);
            self.items.pop_front();
        }
    }
}

/// Number of bytes, held by messages, at which gathering stops. No step can end while the messages
/// are joined, or later while they are freed: that takes 0.1 to 0.3 ms for so many bytes, in
/// messages of any size.
const GATHERED_BYTES: usize = 512 * 1024;

/// The cost of finding a topic, in nanoseconds.
const FIND: u64 = 60;

/// The cost of gathering a message, in nanoseconds.
const GATHER: u64 = 20;

/// The greatest cost of beginning a fan-out to several topics (at most 128), in nanoseconds.
const BEGIN: u64 = 8_000;

/// The cost of running an item of work, in nanoseconds: most of them begin a connection.
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

    /// Publishes a text to the subscribers that belong to `user`, or to all for `None`.
    fn publish(shard: &Shard, topic: &TopicName, text: &str, user: Option<&str>) {
        let publication = Publication::new(shard.shared.encode(Message::text(text)));
        let user = user.map(|user| UserId::new(user).unwrap());
        let publication = publication.to(user);
        let topics = std::slice::from_ref(topic);
        shard.links.publish(topics, publication);
    }

    /// Returns the bytes that wait in the outbox of a peer. Those of a text message are `\x81` (FIN
    /// and the opcode), the length, and the text.
    fn wire(shard: &Shard, key: PeerKey) -> Vec<u8> {
        let mut state = shard.state.borrow_mut();
        let outbox = &mut state.peers.get_mut(key).unwrap().outbox;
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let count = outbox.fill(&mut slices);
        let slices = slices[..count].iter();
        slices.flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn an_item_of_work_runs_after_the_messages_before_it_were_queued() {
        let shard = shard();
        let topic = TopicName::new("cats").unwrap();
        let key = subscriber(&shard, &topic);
        publish(&shard, &topic, "x", None);
        let end: Work = Box::new(move |shard| shard.end_connection(key, Disconnect::Restarting));
        shard.inbox().push(Item::Run(end));
        assert!(Tick::default().process_inbox(&shard));
        let wire = wire(&shard, key);
        // The message, and the header of the Close, whose payload (code and reason) has 22 bytes.
        assert_eq!(wire[..5], *b"\x81\x01x\x88\x16");
    }

    #[test]
    fn a_message_for_one_user_does_not_overtake_an_earlier_one_for_all_subscribers() {
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
        assert!(Tick::default().process_inbox(&shard));
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
    fn messages_that_are_queued_and_not_yet_written_count_as_work() {
        let shard = shard();
        let topic = TopicName::new("cats").unwrap();
        let key = subscriber(&shard, &topic);
        // 40 MiB are more work than an inbox may have before publishers wait.
        let large = shard.shared.encode(Message::binary(&vec![0; 40 << 20]));
        shard.links.publish(&[topic], Publication::new(large));
        assert!(shard.links.must_wait());
        let mut tick = Tick::default();
        tick.process_inbox(&shard);
        assert!(!wire(&shard, key).is_empty(), "queued");
        assert!(shard.links.must_wait());
        tick.step(&shard);
        assert!(!shard.links.must_wait(), "every peer has had a write");
    }

    fn capacity(shard: &Shard, tick: &Tick) -> usize {
        shard.capacity() + tick.items.capacity()
    }

    /// Adds 20,000 subscribers, each of a topic of its own, publishes to every topic, and removes
    /// the subscribers. Returns the capacity of the shard before they were removed.
    fn add_and_remove_many(shard: &Rc<Shard>, tick: &mut Tick) -> usize {
        let names = (0..20_000).map(|number| TopicName::new(&number.to_string()).unwrap());
        let topics: Vec<TopicName> = names.collect();
        let subscribers: Vec<PeerKey> = topics
            .iter()
            .map(|topic| subscriber(shard, topic))
            .collect();
        for topic in &topics {
            publish(shard, topic, "x", None);
        }
        while !tick.is_at_rest(shard) {
            tick.step(shard);
        }
        let most = capacity(shard, tick);
        for key in subscribers {
            shard.state.borrow_mut().remove(key);
        }
        most
    }

    #[test]
    fn memory_for_many_connections_is_freed_two_sweeps_after_they_are_gone() {
        let (shard, mut tick) = (shard(), Tick::default());
        let bystander = TopicName::new("bystander").unwrap();
        subscriber(&shard, &bystander);
        let before = capacity(&shard, &tick);
        for _ in 0..3 {
            let added = add_and_remove_many(&shard, &mut tick) - before;
            // Each subscriber needs four elements at least: the peer, its topic, the topic's name,
            // and the router's record of the topic.
            assert!(added > 4 * 20_000, "{added}");
            for _ in 0..2 {
                // A sweep shrinks one of the inbox's two queues, and the step swaps the queues.
                shard.shrink();
                tick.step(&shard);
            }
            let kept = capacity(&shard, &tick) - before;
            assert!(kept * 20 < added, "{kept} of {added} are kept");
        }
    }
}
