//! The router: it numbers the publications of each topic, and knows which shards have subscribers
//! of the topic. `shard::links` takes the publications to these shards.
//!
//! The publications of a topic are numbered one at a time in the topic's record, and every
//! subscriber gets them in the order of the numbers. A topic has a record while some shard has
//! subscribers of it. When the last subscriber has left, the record is removed. If the topic gets
//! subscribers again, its numbers begin at 0 again. A shard does not confuse old and new numbers,
//! because a topic gets a new key on the shard each time it gets a first subscriber there.

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

/// Number of subscribers that a topic has on one shard. Only that shard changes the number.
/// Publishers read it, and may see a value that was just replaced.
pub(in crate::hub) type SubscriberCount = Arc<AtomicUsize>;

/// The records of all topics, divided into parts. Each part has a lock. A thread that holds such a
/// lock waits for nothing but further locks, each of which is held for a short time only.
#[derive(Debug)]
pub(in crate::hub) struct Router {
    parts: Box<[CacheLine<Mutex<Part>>]>,
    /// Seeded at random, because clients choose the names of topics, and could otherwise choose
    /// names that all belong to one part.
    hasher: RandomState,
}

/// A value in a cache line of its own, so that publishers to two topics write to different cache
/// lines.
#[derive(Debug, Default)]
#[repr(align(64))]
struct CacheLine<T>(T);

/// The records of some topics.
///
/// Invariant: each record has at least one interested shard, and no shard twice.
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
    /// The key of the topic on that shard.
    pub(in crate::hub) topic: TopicKey,
    pub(in crate::hub) subscribers: SubscriberCount,
}

/// The outcome of adding a shard's interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Added {
    /// The number of the first publication that the shard gets.
    pub(in crate::hub) next: u64,
    /// True if no other shard is interested.
    pub(in crate::hub) is_first: bool,
}

impl Router {
    /// Locks and returns the part that has the record of a topic.
    pub(in crate::hub) fn of(&self, topic: &TopicName) -> MutexGuard<'_, Part> {
        self.lock(self.part_of(topic))
    }

    /// Returns the index of the part that has the record of a topic.
    pub(in crate::hub) fn part_of(&self, topic: &TopicName) -> usize {
        (self.hasher.hash_one(topic) % PARTS) as usize
    }

    /// Returns the number of topics in which some shard is interested.
    pub(in crate::hub) fn len(&self) -> usize {
        let parts = 0..self.parts.len();
        parts.map(|part| self.lock(part).records.len()).sum()
    }

    /// Removes a shard that has panicked from all topics.
    pub(in crate::hub) fn remove_shard(&self, shard: usize) {
        for part in 0..self.parts.len() {
            self.lock(part).records.retain(|_, record| {
                record.interested.retain(|interest| interest.shard != shard);
                !record.interested.is_empty()
            });
        }
    }

    pub(in crate::hub) fn lock(&self, part: usize) -> MutexGuard<'_, Part> {
        let CacheLine(part) = &self.parts[part];
        // A poisoned lock is fine: no code that runs under it leaves a part half-changed.
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
    /// Numbers a publication of `topic`. Returns the interested shards, each with its target: the
    /// key of the topic on that shard, and the number.
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

    /// Adds a shard that has subscribers of `topic` from now on.
    pub(in crate::hub) fn add(&mut self, topic: &TopicName, interest: Interest) -> Added {
        let Record { interested, next } = self.records.entry(topic.clone()).or_default();
        debug_assert!(
            interested.iter().all(|other| other.shard != interest.shard),
            "a shard adds its interest once"
        );
        let is_first = interested.is_empty();
        // Exactly one more: most topics have subscribers on few shards, and there are many topics.
        interested.reserve_exact(1);
        interested.push(interest);
        Added {
            next: *next,
            is_first,
        }
    }

    /// Removes a shard that has no subscribers of `topic` any more. Returns true if it was the last
    /// interested shard.
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

/// Number of parts. They are many, so that two shards that publish to different topics seldom want
/// the same lock, and so that the map of a part grows within half a millisecond even if there are a
/// million topics.
const PARTS: u64 = 256;

#[cfg(test)]
impl Router {
    /// Numbers a publication to `topics`. Returns one target for each shard that is interested in
    /// each topic.
    pub(in crate::hub) fn targets(&self, topics: &[TopicName]) -> Vec<Target> {
        let mut targets = Vec::new();
        for topic in topics {
            targets.extend(self.of(topic).route(topic).map(|(_, target)| target));
        }
        targets
    }

    /// Returns the number of records for which memory is allocated.
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

    /// Routes a publication. Returns the shards that it goes to, each with the number of the
    /// publication.
    fn route(part: &mut Part, topic: &TopicName) -> Vec<(usize, u64)> {
        let routed = part.route(topic);
        let shards = routed.map(|(interest, target)| (interest.shard, target.number));
        shards.collect()
    }

    /// Makes the expected outcome of adding an interest.
    fn added(next: u64, is_first: bool) -> Added {
        Added { next, is_first }
    }

    #[test]
    fn publications_are_numbered_for_each_topic_and_for_all_its_shards_alike() {
        // Each route is a list of (shard, number).
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
            "each topic has numbers of its own"
        );
    }

    #[test]
    fn the_record_of_a_topic_without_subscribers_is_removed() {
        let mut part = Part::default();
        let cats = name("cats");
        assert_eq!(route(&mut part, &cats), []);
        part.add(&cats, interest(0));
        part.add(&cats, interest(2));
        assert_eq!(route(&mut part, &cats), [(0, 0), (2, 0)]);
        assert!(!part.remove(&cats, 0), "another shard is interested");
        assert!(!part.remove(&cats, 0), "removed before");
        assert_eq!(route(&mut part, &cats), [(2, 1)]);
        assert!(part.remove(&cats, 2));
        assert!(part.records.is_empty());
        assert_eq!(route(&mut part, &cats), []);
        assert_eq!(part.add(&cats, interest(2)), added(0, true));
    }

    #[test]
    fn a_topic_is_counted_once_however_many_shards_are_interested() {
        let router = Router::default();
        for number in 0..1_000 {
            let topic = name(&number.to_string());
            router.of(&topic).add(&topic, interest(0));
            router.of(&topic).add(&topic, interest(1));
        }
        assert_eq!(router.len(), 1_000);
        let topic = name("7");
        router.of(&topic).remove(&topic, 0);
        assert_eq!(router.len(), 1_000);
        router.of(&topic).remove(&topic, 1);
        assert_eq!(router.len(), 999);
    }

    #[test]
    fn each_part_has_a_cache_line_of_its_own() {
        assert_eq!(size_of::<CacheLine<Mutex<Part>>>(), 64);
    }
}
