//! The topics of one shard: their subscribers, and the messages that wait to be fanned out.
//!
//! Pure. [`names`] maps names to topics. A topic exists while it has a subscriber on this shard. If
//! it is made again, it gets a new key. Publications for the old key that are still in the inbox
//! are dropped then: the shard did not get those that were published in between, so a subscriber to
//! which the old ones were delivered would see a gap behind them.
//!
//! ```text
//!  subscribers: [ to be visited | visited, or subscribed since ]
//!                                ▲ to_visit: a fan-out visits from here down to the first
//! ```
//!
//! Subscribers come and go between the steps of a fan-out. When one leaves, others move to fill its
//! index, in such a way that each of them is still visited once.

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
    /// Number of subscribers that the fan-out under way has still to visit: those at the lowest
    /// indexes.
    pub(in crate::hub) to_visit: usize,
    /// The number that the next publication to arrive must have.
    next: u64,
    /// Messages to all subscribers of the topic. The messages were gathered and are not fanned out
    /// yet.
    pending: Vec<EncodedMessage>,
    /// Number of subscribers, which publishers read.
    count: SubscriberCount,
}

/// The topics of a shard. Invariant: each topic has a subscriber, and exactly one name maps to it.
#[derive(Debug, Default)]
pub(in crate::hub) struct TopicTable {
    names: Names,
    topics: Table<TopicKey, Topic>,
    /// Queue of the topics with pending messages, in the order in which the first pending message
    /// of each topic was gathered.
    queue: VecDeque<TopicKey>,
    /// For each topic, the receipts of those pending messages whose publishers want the number of
    /// subscribers reached.
    receipts: HashMap<TopicKey, Vec<Receipt>>,
    /// Number of look-ups of a topic by its name.
    pub(in crate::hub) look_ups: Count,
    /// Number of times that a subscriber has moved to another index.
    pub(in crate::hub) moves: Count,
}

/// The pending messages of a topic, taken to be fanned out to all of its subscribers.
#[derive(Debug)]
pub(in crate::hub) struct Pending {
    pub(in crate::hub) topic: TopicKey,
    pub(in crate::hub) messages: Vec<EncodedMessage>,
    /// Receipts to which the fan-out adds the number of subscribers reached.
    pub(in crate::hub) receipts: Vec<Receipt>,
}

/// The effect of removing a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::hub) enum Unsubscribed {
    /// No subscriber of the topic is left on this shard. The caller must remove the shard from the
    /// router's record of the topic.
    Last(TopicName),
    /// These subscribers, if any, have a new index in the topic's list. Their peers must record the
    /// index.
    Moved([Option<(Subscriber, u32)>; 2]),
}

impl TopicTable {
    pub(in crate::hub) fn get(&self, key: TopicKey) -> Option<&Topic> {
        self.topics.get(key)
    }

    pub(in crate::hub) fn get_mut(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.topics.get_mut(key)
    }

    /// Adds a subscriber that the topic does not have yet. If it is the topic's first on this
    /// shard, calls `announce`: this closure adds the shard to the router's record of the topic,
    /// and returns the number of the first publication that the shard will get. Returns the key of
    /// the new subscription.
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

    /// Removes a subscriber. Up to two others move to fill its index, and the caller must record
    /// the new indexes in their peers.
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
            let has_receipts = !self.receipts.is_empty();
            let receipts = has_receipts.then(|| self.receipts.remove(&topic)).flatten();
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

    /// Gives a topic back the list of its messages that were fanned out. The memory of the list is
    /// used for the topic's next pending messages.
    pub(in crate::hub) fn give_back(&mut self, key: TopicKey, mut messages: Vec<EncodedMessage>) {
        if let Some(topic) = self.topics.get_mut(key)
            && topic.pending.is_empty()
        {
            messages.clear();
            messages.shrink_to(KEPT_PENDING);
            topic.pending = messages;
        }
    }

    /// Returns true if no message is pending.
    pub(in crate::hub) fn is_settled(&self) -> bool {
        self.queue.is_empty()
    }

    /// Shrinks the queue of topics and the map of receipts if they are mostly empty.
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

    /// Records that the publication with this number has arrived. Publications arrive in the order
    /// of their numbers, and none is left out.
    pub(in crate::hub) fn advance(&mut self, number: u64) {
        debug_assert_eq!(number, self.next, "{:?} arrives in order", self.name);
        self.next = number + 1;
    }

    /// Removes the subscriber at `index`. Returns those that have moved, with their new indexes.
    ///
    /// If the subscriber was visited already, the last of all subscribers moves to `index`. If it
    /// was not, the last of those to be visited moves to `index`, and the last of all moves to the
    /// index that thus becomes free. So no other subscriber is missed or visited twice.
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

    /// Moves the subscriber at index `from` to the free index `to`. Returns the subscriber with its
    /// new index, or `None` if the indexes are the same.
    fn relocate(&mut self, from: usize, to: usize) -> Option<(Subscriber, u32)> {
        if from == to {
            return None;
        }
        self.subscribers[to] = self.subscribers[from];
        Some((self.subscribers[to], to_u32(to)))
    }
}

/// Number of pending messages that a topic keeps memory for when none is pending.
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
mod tests;
