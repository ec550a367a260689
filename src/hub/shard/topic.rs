//! TopicTable as one shard sees them: who follows which, and what was published and not yet fanned out.
//!
//! Pure. [`names`] leads to a topic. It exists here while it has a subscriber on this shard. A later
//! topic of the same name has another key, so that its subscribers get nothing that was published
//! before they came and is left over in the inbox: some of that may be missing, and a subscriber gets
//! what is published without a gap or not at all.
//!
//! ```text
//!  subscribers: [ still to be visited | visited, or came since ]
//!                                      ▲ due: a fan-out visits from here down to the first
//! ```
//!
//! A fan-out may take several steps, and subscribers come and go between them. Whoever leaves is
//! replaced so that each of the others is visited once.

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

#[derive(Debug)]
pub(in crate::hub) struct Topic {
    pub(in crate::hub) name: TopicName,
    pub(in crate::hub) subscribers: Vec<Subscriber>,
    /// Subscribers that the fan-out under way has still to visit, from the first.
    pub(in crate::hub) due: usize,
    /// The number of the next publication.
    next: u64,
    /// Messages for every subscriber, to be fanned out.
    pending: Vec<EncodedMessage>,
    /// What publishers see.
    count: SubscriberCount,
}

/// Invariant: every topic has a subscriber, and `names` leads to each exactly once.
#[derive(Debug, Default)]
pub(in crate::hub) struct TopicTable {
    names: Names,
    topics: Table<TopicKey, Topic>,
    /// TopicTable with pending messages, in the order of their first one.
    touched: VecDeque<TopicKey>,
    /// Of those pending messages that are counted.
    receipts: HashMap<TopicKey, Vec<Receipt>>,
    /// How often a topic was looked up by its name, and a subscriber was moved.
    pub(in crate::hub) look_ups: Count,
    pub(in crate::hub) moves: Count,
}

/// Messages for every subscriber of a topic.
#[derive(Debug)]
pub(in crate::hub) struct Pending {
    pub(in crate::hub) topic: TopicKey,
    pub(in crate::hub) messages: Vec<EncodedMessage>,
    /// Each is told how many they were queued to.
    pub(in crate::hub) receipts: Vec<Receipt>,
}

/// What follows from a subscriber's departure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::hub) enum Departure {
    /// It was the topic's last one here: the router must be told.
    Last(TopicName),
    /// These ones, if any, have a new index in the topic: their own subscriptions must be updated.
    Moved([Option<(Subscriber, u32)>; 2]),
}

impl TopicTable {
    pub(in crate::hub) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(in crate::hub) fn get(&self, key: TopicKey) -> Option<&Topic> {
        self.topics.get(key)
    }

    pub(in crate::hub) fn get_mut(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.topics.get_mut(key)
    }

    /// Adds a subscriber that is not one yet. If it is the topic's first, `announce` tells the
    /// router, and returns the number of the first publication for it.
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
        let topic = self.topics.get_mut(key).expect("`names` leads to it");
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

    /// Removes a subscriber; up to two others move to fill its index.
    pub(in crate::hub) fn unsubscribe(&mut self, subscription: SubscriptionKey) -> Departure {
        let Some(topic) = self.topics.get_mut(subscription.topic) else {
            return Departure::Moved([None; 2]);
        };
        let moved = topic.remove(subscription.index);
        self.moves.add(moved.iter().flatten().count());
        topic.count.store(topic.subscribers.len(), Relaxed);
        if topic.subscribers.is_empty() {
            let name = topic.name.clone();
            self.names.remove(&name);
            self.topics.remove(subscription.topic);
            return Departure::Last(name);
        }
        Departure::Moved(moved)
    }

    /// Takes note that a subscriber keeps this subscription at index `to` of its own from now on.
    pub(in crate::hub) fn subscription_moved(&mut self, subscription: SubscriptionKey, to: usize) {
        if let Some(topic) = self.topics.get_mut(subscription.topic) {
            topic.subscribers[subscription.index as usize].subscription = to_u32(to);
        }
    }

    /// Adds a publication for every subscriber of a topic, if that has any.
    pub(in crate::hub) fn append(&mut self, target: Target, publication: &Publication) {
        let Some(topic) = self.topics.get_mut(target.topic) else {
            return;
        };
        topic.take(target.number);
        if let Some(receipt) = &publication.receipt {
            let receipts = self.receipts.entry(target.topic).or_default();
            receipts.push(receipt.clone());
        }
        if topic.pending.is_empty() {
            self.touched.push_back(target.topic);
        }
        topic.pending.extend_from_slice(&publication.messages);
    }

    /// Takes the next topic with pending messages.
    pub(in crate::hub) fn take_pending(&mut self) -> Option<Pending> {
        while let Some(topic) = self.touched.pop_front() {
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

    /// Gives back the list that pending messages of a topic were in, so that a steady stream allocates
    /// nothing.
    pub(in crate::hub) fn give_back(&mut self, key: TopicKey, mut emptied: Vec<EncodedMessage>) {
        if let Some(topic) = self.topics.get_mut(key)
            && topic.pending.is_empty()
        {
            emptied.clear();
            emptied.shrink_to(KEPT_PENDING);
            topic.pending = emptied;
        }
    }

    /// Nothing waits to be fanned out.
    pub(in crate::hub) fn is_settled(&self) -> bool {
        self.touched.is_empty()
    }

    /// Gives back memory that only many topics at a time need.
    pub(in crate::hub) fn shrink(&mut self) {
        if let Some(kept) = capacity::excess(self.touched.len(), self.touched.capacity()) {
            self.touched.shrink_to(kept);
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
            due: 0,
            next: 0,
            pending: Vec::new(),
            count: SubscriberCount::default(),
        }
    }

    /// Takes note that the publication with this number has come. All of them come, in their order.
    pub(in crate::hub) fn take(&mut self, number: u64) {
        debug_assert_eq!(number, self.next, "the order of {:?}", self.name);
        self.next = number + 1;
    }

    /// Removes the subscriber at `index`. Returns those that have moved, and where to.
    ///
    /// Of those still to be visited the last one takes its place, and the last one of all takes
    /// the place of that one, so that nobody changes sides.
    fn remove(&mut self, index: u32) -> [Option<(Subscriber, u32)>; 2] {
        let mut hole = index as usize;
        let mut moved = [None; 2];
        if hole < self.due {
            self.due -= 1;
            moved[0] = self.fill(hole, self.due);
            hole = self.due;
        }
        moved[1] = self.fill(hole, self.subscribers.len() - 1);
        self.subscribers.pop();
        if let Some(kept) = capacity::excess(self.subscribers.len(), self.subscribers.capacity()) {
            self.subscribers.shrink_to(kept);
        }
        moved
    }

    fn fill(&mut self, hole: usize, from: usize) -> Option<(Subscriber, u32)> {
        if hole == from {
            return None;
        }
        self.subscribers[hole] = self.subscribers[from];
        Some((self.subscribers[hole], to_u32(hole)))
    }
}

/// Capacity for this many messages stays with a topic; more is given back.
const KEPT_PENDING: usize = 64;

fn to_u32(index: usize) -> u32 {
    u32::try_from(index).expect("a process has fewer descriptors")
}

#[cfg(test)]
impl TopicTable {
    /// For how many elements there is memory.
    pub(in crate::hub) fn capacity(&self) -> usize {
        let queued = self.touched.capacity() + self.receipts.capacity();
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
    fn the_router_is_told_of_the_first_subscriber_and_of_the_departure_of_the_last() {
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
        let moved = Departure::Moved([None, Some((subscriber(b), 0))]);
        assert_eq!(topics.unsubscribe(subscription_a), moved);
        assert_eq!(seen.load(Relaxed), 1);
        let (topic, index) = (subscription_b.topic, 0);
        let moved = SubscriptionKey { topic, index };
        assert_eq!(topics.unsubscribe(moved), Departure::Last(name));
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
        fn a_fan_out_visits_everybody_who_stays_once_and_nobody_who_comes_during_it(
            before in 1..12usize, steps in proptest::collection::vec((0..3u8, any::<proptest::sample::Index>()), 0..40),
        ) {
            let keys = peers(60);
            let mut topics = TopicTable::default();
            let name = TopicName::new("cats").unwrap();
            // Where each stands, as it would keep it itself.
            let mut subscriptions = HashMap::new();
            let mut next = 0;
            let mut come = |topics: &mut TopicTable, subscriptions: &mut HashMap<PeerKey, SubscriptionKey>| {
                let key = keys[next];
                next += 1;
                subscriptions.insert(key, topics.subscribe(&name, subscriber(key), |_, _| 0));
                key
            };
            let mut unvisited: Vec<PeerKey> = (0..before).map(|_| come(&mut topics, &mut subscriptions)).collect();
            let key = subscriptions[&keys[0]].topic;
            topics.get_mut(key).unwrap().due = before;
            let visit = |topics: &mut TopicTable| {
                let topic = topics.get_mut(key)?;
                topic.due = topic.due.checked_sub(1)?;
                Some(topic.subscribers[topic.due].peer)
            };
            for (step, pick) in steps {
                match step {
                    0 => if let Some(visited) = visit(&mut topics) {
                        prop_assert!(unvisited.contains(&visited));
                        unvisited.retain(|&each| each != visited);
                    },
                    1 => { come(&mut topics, &mut subscriptions); }
                    _ if subscriptions.len() > 1 => {
                        let mut standing: Vec<_> = subscriptions.keys().copied().collect();
                        standing.sort();
                        let leaver = *pick.get(&standing);
                        let subscription = subscriptions.remove(&leaver).unwrap();
                        unvisited.retain(|&each| each != leaver);
                        if let Departure::Moved(moved) = topics.unsubscribe(subscription) {
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
