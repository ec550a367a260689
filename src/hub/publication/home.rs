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

use crate::{hub::room, topic::TopicName};

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
    subscribers: SubscriberCount,
}

impl Interest {
    pub(in crate::hub) fn subscribers(&self) -> usize {
        self.subscribers.load(Relaxed)
    }
}

impl Home {
    /// Lets a publication of `topic` pass: its number, and the shards that it is for.
    ///
    /// The home counts all that pass it. Whoever wants to hear of a topic gets from its inbox also
    /// what is left over there from the last time that it wanted to, and tells it by the number.
    pub(in crate::hub) fn pass(&mut self, topic: &TopicName) -> (u64, &[Interest]) {
        let number = self.passed;
        self.passed += 1;
        let interested = self.interested.get(topic);
        (number, interested.map_or(&[], |shards| shards))
    }

    /// Returns how many subscribers `topic` has on all shards together.
    pub(in crate::hub) fn subscribers(&self, topic: &TopicName) -> usize {
        let interested = self.interested.get(topic).into_iter().flatten();
        interested.map(Interest::subscribers).sum()
    }

    /// `shard` wants to hear of `topic` from now on: the least number that is for it.
    pub(in crate::hub) fn add(
        &mut self,
        topic: &TopicName,
        shard: usize,
        subscribers: SubscriberCount,
    ) -> u64 {
        let shards = self.interested.entry(topic.clone()).or_default();
        debug_assert!(
            shards.iter().all(|interest| interest.shard != shard),
            "a shard tells its interest once"
        );
        shards.push(Interest { shard, subscribers });
        self.passed
    }

    /// `shard` does not any more.
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
        let shards = shards.map(|interest| (interest.shard, interest.subscribers()));
        (number, shards.collect())
    }

    #[test]
    fn a_publication_is_for_the_shards_that_want_its_topic_which_is_then_forgotten() {
        let mut home = Home::default();
        let cats = TopicName::new("cats").unwrap();
        assert_eq!(pass(&mut home, &cats), (0, vec![]));
        let subscribers = SubscriberCount::default();
        let first = home.add(&cats, 0, Arc::clone(&subscribers));
        assert_eq!(first, 1, "all that passes later");
        subscribers.store(5, Relaxed);
        assert_eq!(
            pass(&mut home, &TopicName::new("dogs").unwrap()),
            (1, vec![])
        );
        assert_eq!(home.add(&cats, 2, SubscriberCount::default()), 2);
        assert_eq!(pass(&mut home, &cats), (2, vec![(0, 5), (2, 0)]));
        home.remove(&cats, 0);
        home.remove(&cats, 2);
        assert_eq!(pass(&mut home, &cats), (3, vec![]));
        assert!(home.interested.is_empty());
    }
}
