//! Where the publications of a topic get their order, and who is to hear of them.
//!
//! Pure. Every publication of a topic passes its home, one at a time, and the order in which they
//! pass is the order in which every subscriber gets them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    hub::{ids::TopicKey, publication::delivery::Target, room},
    topic_name::TopicName,
};

/// How many subscribers a topic has on one shard: written by that shard, read by publishers, for
/// whom it may be a moment old.
pub(in crate::hub) type SubscriberCount = Arc<AtomicUsize>;

/// The home of some of all topics: which shards have subscribers of each.
///
/// Invariant: no list is empty, and no shard is in a list twice.
#[derive(Debug, Default)]
pub(in crate::hub) struct Home {
    interested: HashMap<TopicName, Vec<Interest>>,
    passed: u64,
}

/// A shard that has subscribers of a topic.
#[derive(Debug)]
pub(in crate::hub) struct Interest {
    pub(in crate::hub) shard: usize,
    /// The topic on that shard.
    pub(in crate::hub) topic: TopicKey,
    pub(in crate::hub) subscribers: SubscriberCount,
}

impl Interest {
    /// Returns where a publication with this number goes on the shard.
    pub(in crate::hub) fn target(&self, number: u64) -> Target {
        let topic = self.topic;
        Target { topic, number }
    }

    pub(in crate::hub) fn subscriber_count(&self) -> usize {
        self.subscribers.load(Relaxed)
    }
}

impl Home {
    /// Lets a publication of `topic` pass. Returns its number, and the shards that it is for.
    pub(in crate::hub) fn pass(&mut self, topic: &TopicName) -> (u64, &[Interest]) {
        let number = self.passed;
        self.passed += 1;
        let interested = self.interested.get(topic);
        (number, interested.map_or(&[], |shards| shards))
    }

    /// Takes note that a shard wants to hear of `topic` from now on. Returns the least number that is
    /// for it.
    pub(in crate::hub) fn add(&mut self, topic: &TopicName, interest: Interest) -> u64 {
        let shards = self.interested.entry(topic.clone()).or_default();
        debug_assert!(
            shards.iter().all(|other| other.shard != interest.shard),
            "a shard tells its interest once"
        );
        shards.push(interest);
        self.passed
    }

    /// Takes note that a shard does not any more.
    pub(in crate::hub) fn remove(&mut self, topic: &TopicName, shard: usize) {
        if let Some(shards) = self.interested.get_mut(topic) {
            shards.retain(|interest| interest.shard != shard);
            if shards.is_empty() {
                self.interested.remove(topic);
                let interested = &mut self.interested;
                if let Some(room) = room::excess(interested.len(), interested.capacity()) {
                    interested.shrink_to(room);
                }
            }
        }
    }
}

#[cfg(test)]
impl Home {
    /// For how many elements there is memory.
    pub(in crate::hub) fn room(&self) -> usize {
        self.interested.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(home: &mut Home, topic: &TopicName) -> (u64, Vec<(usize, usize)>) {
        let (number, interested) = home.pass(topic);
        let shards = interested.iter();
        let shards = shards.map(|interest| (interest.shard, interest.subscriber_count()));
        (number, shards.collect())
    }

    #[test]
    fn a_publication_is_for_the_shards_that_want_its_topic_which_is_then_forgotten() {
        let mut home = Home::default();
        let cats = TopicName::new("cats").unwrap();
        assert_eq!(pass(&mut home, &cats), (0, vec![]));
        let subscribers = SubscriberCount::default();
        let interest = |shard| Interest {
            shard,
            topic: TopicKey::default(),
            subscribers: Arc::clone(&subscribers),
        };
        let first = home.add(&cats, interest(0));
        assert_eq!(first, 1, "all that passes later");
        subscribers.store(5, Relaxed);
        assert_eq!(
            pass(&mut home, &TopicName::new("dogs").unwrap()),
            (1, vec![])
        );
        assert_eq!(home.add(&cats, interest(2)), 2);
        assert_eq!(pass(&mut home, &cats), (2, vec![(0, 5), (2, 5)]));
        home.remove(&cats, 0);
        home.remove(&cats, 2);
        assert_eq!(pass(&mut home, &cats), (3, vec![]));
        assert!(home.interested.is_empty());
    }
}
