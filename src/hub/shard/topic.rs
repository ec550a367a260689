//! The topics of one shard: their subscribers, and the messages that wait to be fanned out.
//!
//! Pure. [`names`] maps names to topics. A topic exists while it has a subscriber on this shard. If
//! it is made again it has a new key, and publications in the inbox for the old key are dropped:
//! those published in between did not come here, and a subscriber must not see a gap.
//!
//! ```text
//!  subscribers: [ to be visited | visited, or subscribed since ]
//!                                ▲ to_visit: a fan-out visits from here down to the first
//! ```
//!
//! Subscribers come and go between the steps of a fan-out. When one leaves, others move into its
//! place such that each of them is still visited once.

mod names;

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::atomic::Ordering::Relaxed,
};

use self::names::Names;
use crate::{
    hub::{
        capacity,
        capacity::Table,
        ids::{Subscriber, SubscriptionKey, TopicKey},
        measured::Count,
        publication::{
            Publication, Receipt, delivery::Target, encoded_message::EncodedMessage,
            router::SubscriberCount,
        },
    },
    topic::TopicName,
};

/// A topic that has subscribers on this shard.
#[derive(Debug)]
pub(in crate::hub) struct Topic {
    pub(in crate::hub) name: TopicName,
    pub(in crate::hub) subscribers: Vec<Subscriber>,
    /// Number of subscribers, from the first, that the fan-out under way has still to visit.
    pub(in crate::hub) to_visit: usize,
    /// The number of the next publication.
    next: u64,
    /// Messages for every subscriber that wait to be fanned out.
    pending: Vec<EncodedMessage>,
    /// Number of subscribers, shared with publishers.
    count: SubscriberCount,
}

/// The topics of a shard. Invariant: each has a subscriber, and exactly one name maps to it.
#[derive(Debug, Default)]
pub(in crate::hub) struct TopicTable {
    names: Names,
    topics: Table<TopicKey, Topic>,
    /// Queue of the topics with pending messages, in the order of their first one.
    queue: VecDeque<TopicKey>,
    /// Receipts of the pending messages whose publishers want the number of subscribers reached.
    receipts: HashMap<TopicKey, Vec<Receipt>>,
    /// Number of look-ups of a topic by its name.
    pub(in crate::hub) look_ups: Count,
    /// Number of subscribers that have moved into the place of another one.
    pub(in crate::hub) moves: Count,
}

/// The pending messages of a topic, taken to be fanned out to all of its subscribers.
#[derive(Debug)]
pub(in crate::hub) struct Pending {
    pub(in crate::hub) topic: TopicKey,
    pub(in crate::hub) messages: Vec<EncodedMessage>,
    /// Receipts that the number of subscribers reached is added to.
    pub(in crate::hub) receipts: Vec<Receipt>,
}

/// The effect of removing a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::hub) enum Unsubscribed {
    /// It was the last subscriber of the topic on this shard: the router must be told.
    Last(TopicName),
    /// These subscribers, if any, have a new index in the topic, which their peers must record.
    Moved([Option<(Subscriber, u32)>; 2]),
}

impl TopicTable {
    pub(in crate::hub) fn get(&self, key: TopicKey) -> Option<&Topic> {
        self.topics.get(key)
    }

    pub(in crate::hub) fn get_mut(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.topics.get_mut(key)
    }

    /// Adds a subscriber that the topic does not have yet. If it is the topic's first, `announce`
    /// tells the router, and returns the number of the first publication that will come.
    pub(in crate::hub) fn subscribe(
        &mut self,
        name: &TopicName,
        subscriber: Subscriber,
        announce: impl FnOnce(TopicKey, SubscriberCount) -> u64,
    ) -> SubscriptionKey {
        self.look_ups.add(1);
        let (key, is_new) = match self.names.entry(name) {
            Entry::Occupied(entry) => (*entry.get(), false),
            Entry::Vacant(entry) => {
                let key = self.topics.insert(Topic::new(name.clone()));
                (*entry.insert(key), true)
            }
        };
        let topic = self.topics.get_mut(key).expect("`names` maps to topics");
        if is_new {
            topic.next = announce(key, topic.count.clone());
        }
        topic.subscribers.push(subscriber);
        topic.count.store(topic.subscribers.len(), Relaxed);
        SubscriptionKey {
            topic: key,
            index: to_u32(topic.subscribers.len() - 1),
        }
    }

    /// Removes a subscriber. Up to two others move to fill its index.
    pub(in crate::hub) fn unsubscribe(&mut self, subscription: SubscriptionKey) -> Unsubscribed {
        let Some(topic) = self.topics.get_mut(subscription.topic) else {
            return Unsubscribed::Moved([None; 2]);
        };
        let moved = topic.remove(subscription.index);
        self.moves.add(moved.iter().flatten().count());
        topic.count.store(topic.subscribers.len(), Relaxed);
        if topic.subscribers.is_empty() {
            let name = topic.name.clone();
            self.names.remove(&name);
            self.topics.remove(subscription.topic);
            return Unsubscribed::Last(name);
        }
        Unsubscribed::Moved(moved)
    }

    /// Records that a peer now has this subscription at index `to` of its own list.
    pub(in crate::hub) fn subscription_moved(&mut self, subscription: SubscriptionKey, to: usize) {
        if let Some(topic) = self.topics.get_mut(subscription.topic) {
            topic.subscribers[subscription.index as usize].subscription = to_u32(to);
        }
    }

    /// Appends a publication to the pending messages of a topic, if the topic still exists.
    pub(in crate::hub) fn append(&mut self, target: Target, publication: &Publication) {
        let Some(topic) = self.topics.get_mut(target.topic) else {
            return;
        };
        topic.advance(target.number);
        if let Some(receipt) = &publication.receipt {
            let receipts = self.receipts.entry(target.topic).or_default();
            receipts.push(receipt.clone());
        }
        if topic.pending.is_empty() {
            self.queue.push_back(target.topic);
        }
        topic.pending.extend_from_slice(&publication.messages);
    }

    /// Takes the pending messages of the next topic that has some.
    pub(in crate::hub) fn take_pending(&mut self) -> Option<Pending> {
        while let Some(topic) = self.queue.pop_front() {
            let counted = !self.receipts.is_empty();
            let receipts = counted.then(|| self.receipts.remove(&topic)).flatten();
            if let Some(Topic { pending, .. }) = self.topics.get_mut(topic) {
                return Some(Pending {
                    topic,
                    messages: std::mem::take(pending),
                    receipts: receipts.unwrap_or_default(),
                });
            }
        }
        None
    }

    /// Gives a topic the emptied list of its pending messages back, to be filled again.
    pub(in crate::hub) fn give_back(&mut self, key: TopicKey, mut emptied: Vec<EncodedMessage>) {
        if let Some(topic) = self.topics.get_mut(key)
            && topic.pending.is_empty()
        {
            emptied.clear();
            emptied.shrink_to(KEPT_PENDING);
            topic.pending = emptied;
        }
    }

    /// Returns true if no message is pending.
    pub(in crate::hub) fn is_settled(&self) -> bool {
        self.queue.is_empty()
    }

    /// Shrinks the queues of topics with pending messages if they are mostly empty.
    pub(in crate::hub) fn shrink(&mut self) {
        if let Some(kept) = capacity::excess(self.queue.len(), self.queue.capacity()) {
            self.queue.shrink_to(kept);
        }
        if let Some(kept) = capacity::excess(self.receipts.len(), self.receipts.capacity()) {
            self.receipts.shrink_to(kept);
        }
    }
}

impl Topic {
    fn new(name: TopicName) -> Self {
        Self {
            name,
            subscribers: Vec::new(),
            to_visit: 0,
            next: 0,
            pending: Vec::new(),
            count: SubscriberCount::default(),
        }
    }

    /// Records that the publication with this number has arrived. No number is left out.
    pub(in crate::hub) fn advance(&mut self, number: u64) {
        debug_assert_eq!(number, self.next, "{:?} arrives in order", self.name);
        self.next = number + 1;
    }

    /// Removes the subscriber at `index`. Returns those that have moved, with their new indexes.
    ///
    /// If it is still to be visited, the last one to be visited takes its index, and the last one
    /// of all takes the index of that one. So no other subscriber is missed or visited twice.
    fn remove(&mut self, index: u32) -> [Option<(Subscriber, u32)>; 2] {
        let mut free = index as usize;
        let mut moved = [None; 2];
        if free < self.to_visit {
            self.to_visit -= 1;
            moved[0] = self.relocate(self.to_visit, free);
            free = self.to_visit;
        }
        moved[1] = self.relocate(self.subscribers.len() - 1, free);
        self.subscribers.pop();
        if let Some(kept) = capacity::excess(self.subscribers.len(), self.subscribers.capacity()) {
            self.subscribers.shrink_to(kept);
        }
        moved
    }

    fn relocate(&mut self, from: usize, to: usize) -> Option<(Subscriber, u32)> {
        if from == to {
            return None;
        }
        self.subscribers[to] = self.subscribers[from];
        Some((self.subscribers[to], to_u32(to)))
    }
}

/// Number of pending messages that a topic keeps memory for.
const KEPT_PENDING: usize = 64;

fn to_u32(index: usize) -> u32 {
    u32::try_from(index).expect("a process has fewer file descriptors")
}

#[cfg(test)]
impl TopicTable {
    pub(in crate::hub) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Returns the number of elements that there is memory for.
    pub(in crate::hub) fn capacity(&self) -> usize {
        let queued = self.queue.capacity() + self.receipts.capacity();
        self.names.capacity() + self.topics.capacity() + queued
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotmap::SlotMap;

    use super::*;
    use crate::{
        config::HubConfig,
        hub::{ids::PeerKey, shard::shared::Shared},
        message::Message,
        wire::frame::Frame,
    };

    fn peers(count: usize) -> Vec<PeerKey> {
        let mut keys = SlotMap::<PeerKey, ()>::with_key();
        (0..count).map(|_| keys.insert(())).collect()
    }

    fn subscriber(peer: PeerKey) -> Subscriber {
        let subscription = 0;
        Subscriber { peer, subscription }
    }

    #[test]
    fn the_router_is_told_of_the_first_subscriber_and_when_the_last_one_leaves() {
        let mut topics = TopicTable::default();
        let name = TopicName::new("cats").unwrap();
        let [a, b] = peers(2)[..] else { unreachable!() };
        let mut seen = SubscriberCount::default();
        let subscription_a = topics.subscribe(&name, subscriber(a), |_, count| {
            seen = count;
            7
        });
        let subscription_b = topics.subscribe(&name, subscriber(b), |_, _| panic!("told twice"));
        assert_eq!(seen.load(Relaxed), 2);
        let moved = Unsubscribed::Moved([None, Some((subscriber(b), 0))]);
        assert_eq!(topics.unsubscribe(subscription_a), moved);
        assert_eq!(seen.load(Relaxed), 1);
        let (topic, index) = (subscription_b.topic, 0);
        let moved = SubscriptionKey { topic, index };
        assert_eq!(topics.unsubscribe(moved), Unsubscribed::Last(name));
        assert_eq!(topics.len(), 0);
    }

    #[test]
    fn pending_messages_of_a_topic_are_taken_once_and_together() {
        let mut topics = TopicTable::default();
        let name = TopicName::new("cats").unwrap();
        let subscription = topics.subscribe(&name, subscriber(peers(1)[0]), |_, _| 7);
        let shared = Shared::new(&HubConfig::default());
        for (number, text) in [(7, "a"), (8, "b")] {
            let topic = subscription.topic;
            let publication = Publication::new(shared.encode(Message::text(text)));
            topics.append(Target { topic, number }, &publication);
        }
        let pending = topics.take_pending().unwrap();
        assert_eq!(pending.topic, subscription.topic);
        let plain = pending
            .messages
            .iter()
            .map(|message| message.plain().clone());
        assert_eq!(
            plain.collect::<Vec<_>>(),
            [Frame::text("a"), Frame::text("b")]
        );
        assert!(topics.take_pending().is_none());
    }

    proptest! {
        #[test]
        fn a_fan_out_visits_each_subscriber_that_stays_once_and_none_that_comes_meanwhile(
            before in 1..12usize, steps in proptest::collection::vec((0..3u8, any::<proptest::sample::Index>()), 0..40),
        ) {
            let keys = peers(60);
            let mut topics = TopicTable::default();
            let name = TopicName::new("cats").unwrap();
            // The subscription of each peer, as the peer itself would keep it.
            let mut subscriptions = HashMap::new();
            let mut next = 0;
            let mut subscribe = |topics: &mut TopicTable, subscriptions: &mut HashMap<PeerKey, SubscriptionKey>| {
                let key = keys[next];
                next += 1;
                subscriptions.insert(key, topics.subscribe(&name, subscriber(key), |_, _| 0));
                key
            };
            let mut unvisited: Vec<PeerKey> = (0..before).map(|_| subscribe(&mut topics, &mut subscriptions)).collect();
            let key = subscriptions[&keys[0]].topic;
            topics.get_mut(key).unwrap().to_visit = before;
            let visit = |topics: &mut TopicTable| {
                let topic = topics.get_mut(key)?;
                topic.to_visit = topic.to_visit.checked_sub(1)?;
                Some(topic.subscribers[topic.to_visit].peer)
            };
            for (step, pick) in steps {
                match step {
                    0 => if let Some(visited) = visit(&mut topics) {
                        prop_assert!(unvisited.contains(&visited));
                        unvisited.retain(|&each| each != visited);
                    },
                    1 => { subscribe(&mut topics, &mut subscriptions); }
                    _ if subscriptions.len() > 1 => {
                        let mut subscribed: Vec<_> = subscriptions.keys().copied().collect();
                        subscribed.sort();
                        let leaver = *pick.get(&subscribed);
                        let subscription = subscriptions.remove(&leaver).unwrap();
                        unvisited.retain(|&each| each != leaver);
                        if let Unsubscribed::Moved(moved) = topics.unsubscribe(subscription) {
                            for (subscriber, index) in moved.into_iter().flatten() {
                                subscriptions.get_mut(&subscriber.peer).unwrap().index = index;
                            }
                        }
                    }
                    _ => {}
                }
                let topic = topics.get(key).unwrap();
                for (peer, subscription) in &subscriptions {
                    prop_assert_eq!(topic.subscribers[subscription.index as usize].peer, *peer);
                }
            }
            while let Some(visited) = visit(&mut topics) {
                prop_assert!(unvisited.contains(&visited));
                unvisited.retain(|&each| each != visited);
            }
            prop_assert_eq!(unvisited, []);
        }
    }
}
