//! The router: where the publications of a topic get their order, and which shards get them. The links
//! of the shards take them there.
//!
//! Every publication of a topic is numbered in the topic's record, one at a time, and the order of the
//! numbers is the order in which every subscriber gets them. A topic has a record while some shard has
//! subscribers of it. So its numbers begin again when nobody was interested: a shard knows its topic
//! by a key that a later one does not have, and mixes up none of them.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    hub::{capacity, ids::TopicKey, publication::delivery::Target},
    topic::TopicName,
};

/// Number of subscribers that a topic has on one shard: written by that shard, read by publishers,
/// for whom it may be a moment old.
pub(in crate::hub) type SubscriberCount = Arc<AtomicUsize>;

/// The records of all topics, in parts. Each part has a lock, under which nothing waits.
#[derive(Debug)]
pub(in crate::hub) struct Router {
    parts: Box<[CacheLine<Mutex<Part>>]>,
    /// Seeded: names come from clients.
    hasher: RandomState,
}

/// Keeps publishers to two topics from writing to one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct CacheLine<T>(T);

/// The records of some topics.
///
/// Invariant: a record has an interested shard, and no shard is in it twice.
#[derive(Debug, Default)]
pub(in crate::hub) struct Part {
    records: HashMap<TopicName, Record>,
}

#[derive(Debug, Default)]
struct Record {
    interested: Vec<Interest>,
    /// The number of the next publication.
    next: u64,
}

/// A shard that has subscribers of a topic.
#[derive(Debug)]
pub(in crate::hub) struct Interest {
    pub(in crate::hub) shard: usize,
    /// The topic on that shard.
    pub(in crate::hub) topic: TopicKey,
    pub(in crate::hub) subscribers: SubscriberCount,
}

/// What follows from a shard's interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Added {
    /// The number of the first publication that the shard gets.
    pub(in crate::hub) next: u64,
    /// No other shard of this node is interested.
    pub(in crate::hub) is_first: bool,
}

impl Router {
    /// Returns the part that has the record of a topic.
    pub(in crate::hub) fn of(&self, topic: &TopicName) -> MutexGuard<'_, Part> {
        self.lock(self.part_of(topic))
    }

    /// Returns which part has the record of a topic.
    pub(in crate::hub) fn part_of(&self, topic: &TopicName) -> usize {
        (self.hasher.hash_one(topic) % PARTS) as usize
    }

    pub(in crate::hub) fn lock(&self, part: usize) -> MutexGuard<'_, Part> {
        let CacheLine(part) = &self.parts[part];
        // Nothing that runs under the lock leaves a part half-changed.
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Router {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| CacheLine::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Part {
    /// Numbers a publication of `topic`. Returns the shards that get it, each with the topic and the number
    /// there.
    pub(in crate::hub) fn route(
        &mut self,
        topic: &TopicName,
    ) -> impl Iterator<Item = (&Interest, Target)> {
        let (number, interested) = match self.records.get_mut(topic) {
            Some(record) => {
                record.next += 1;
                (record.next - 1, &record.interested[..])
            }
            None => (0, &[][..]),
        };
        interested.iter().map(move |interest| {
            let topic = interest.topic;
            (interest, Target { topic, number })
        })
    }

    /// Returns how many subscribers a topic has on all shards together.
    pub(in crate::hub) fn subscribers(&self, topic: &TopicName) -> usize {
        let record = self.records.get(topic).into_iter();
        let interested = record.flat_map(|record| &record.interested);
        interested.map(Interest::subscriber_count).sum()
    }

    /// Takes note that a shard has subscribers of `topic` from now on.
    pub(in crate::hub) fn add(&mut self, topic: &TopicName, interest: Interest) -> Added {
        let Record { interested, next } = self.records.entry(topic.clone()).or_default();
        debug_assert!(
            interested.iter().all(|other| other.shard != interest.shard),
            "a shard tells its interest once"
        );
        let is_first = interested.is_empty();
        // Exactly: most topics have subscribers on few shards, and there are many topics.
        interested.reserve_exact(1);
        interested.push(interest);
        Added {
            next: *next,
            is_first,
        }
    }

    /// Takes note that a shard has none any more. Returns true if no shard of this node has.
    pub(in crate::hub) fn remove(&mut self, topic: &TopicName, shard: usize) -> bool {
        let Some(Record { interested, .. }) = self.records.get_mut(topic) else {
            return false;
        };
        interested.retain(|interest| interest.shard != shard);
        let is_last = interested.is_empty();
        if is_last {
            self.records.remove(topic);
            if let Some(kept) = capacity::excess(self.records.len(), self.records.capacity()) {
                self.records.shrink_to(kept);
            }
        }
        is_last
    }
}

impl Interest {
    pub(in crate::hub) fn subscriber_count(&self) -> usize {
        self.subscribers.load(Relaxed)
    }
}

/// Many, so that two shards that publish to two topics seldom want the same one, and so that each is
/// moved in half a millisecond when it grows, with a million topics.
const PARTS: u64 = 256;

#[cfg(test)]
impl Router {
    /// Numbers a publication to `topics`. Returns the topics on the shards that get it, with its numbers.
    pub(in crate::hub) fn targets(&self, topics: &[TopicName]) -> Vec<Target> {
        let mut targets = Vec::new();
        for topic in topics {
            targets.extend(self.of(topic).route(topic).map(|(_, target)| target));
        }
        targets
    }

    /// For how many elements there is memory.
    pub(in crate::hub) fn capacity(&self) -> usize {
        let parts = 0..self.parts.len();
        parts.map(|part| self.lock(part).records.capacity()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn interest(shard: usize) -> Interest {
        Interest {
            shard,
            topic: TopicKey::default(),
            subscribers: SubscriberCount::default(),
        }
    }

    /// The shards that a publication goes to, and its number on each.
    fn route(part: &mut Part, topic: &TopicName) -> Vec<(usize, u64)> {
        let routed = part.route(topic);
        let shards = routed.map(|(interest, target)| (interest.shard, target.number));
        shards.collect()
    }

    fn added(next: u64, is_first: bool) -> Added {
        Added { next, is_first }
    }

    #[test]
    fn the_publications_of_a_topic_are_counted_for_all_its_shards() {
        let mut part = Part::default();
        let (cats, dogs) = (name("cats"), name("dogs"));
        assert_eq!(part.add(&cats, interest(0)), added(0, true));
        assert_eq!(part.add(&dogs, interest(1)), added(0, true));
        assert_eq!(route(&mut part, &cats), [(0, 0)]);
        assert_eq!(route(&mut part, &cats), [(0, 1)]);
        assert_eq!(part.add(&cats, interest(2)), added(2, false));
        assert_eq!(route(&mut part, &cats), [(0, 2), (2, 2)]);
        assert_eq!(
            route(&mut part, &dogs),
            [(1, 0)],
            "and for each topic alone"
        );
    }

    #[test]
    fn a_topic_that_nobody_is_interested_in_is_forgotten() {
        let mut part = Part::default();
        let cats = name("cats");
        assert_eq!(route(&mut part, &cats), []);
        part.add(&cats, interest(0));
        part.add(&cats, interest(2));
        assert_eq!(route(&mut part, &cats), [(0, 0), (2, 0)]);
        assert!(!part.remove(&cats, 0), "the other one is interested");
        assert!(!part.remove(&cats, 0), "it has been removed already");
        assert_eq!(route(&mut part, &cats), [(2, 1)]);
        assert!(part.remove(&cats, 2));
        assert!(part.records.is_empty());
        assert_eq!(route(&mut part, &cats), []);
        assert_eq!(part.add(&cats, interest(2)), added(0, true));
    }

    #[test]
    fn a_part_shares_its_cache_line_with_no_other() {
        assert_eq!(size_of::<CacheLine<Mutex<Part>>>(), 64);
    }
}
