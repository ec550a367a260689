//! Where the publications of a topic get their order, and who is to hear of them.
//!
//! Pure. Every publication of a topic passes its home, one at a time, and the order in which they
//! pass is the order in which every subscriber gets them.

use std::collections::HashMap;

use crate::topic_name::TopicName;

/// The home of some of all topics: which shards have subscribers of each.
///
/// Invariant: no list is empty, and no shard is in a list twice.
#[derive(Debug, Default)]
pub(super) struct Home {
    interested: HashMap<TopicName, Vec<usize>>,
    passed: u64,
}

impl Home {
    /// Lets a publication of `topic` pass: its number, and the shards that it is for.
    ///
    /// The home counts all that pass it. Whoever wants to hear of a topic gets from its inbox also
    /// what is left over there from the last time that it wanted to, and tells it by the number.
    pub(super) fn pass(&mut self, topic: &TopicName) -> (u64, &[usize]) {
        let number = self.passed;
        self.passed += 1;
        let interested = self.interested.get(topic);
        (number, interested.map_or(&[], |shards| shards))
    }

    /// `shard` wants to hear of `topic` from now on: the least number that is for it.
    pub(super) fn add(&mut self, topic: &TopicName, shard: usize) -> u64 {
        let shards = self.interested.entry(topic.clone()).or_default();
        debug_assert!(!shards.contains(&shard), "a shard tells its interest once");
        shards.push(shard);
        self.passed
    }

    /// `shard` does not any more.
    pub(super) fn remove(&mut self, topic: &TopicName, shard: usize) {
        if let Some(shards) = self.interested.get_mut(topic) {
            shards.retain(|&other| other != shard);
            if shards.is_empty() {
                self.interested.remove(topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_for_the_shards_that_want_its_topic_which_is_then_forgotten() {
        let mut home = Home::default();
        let cats = TopicName::new("cats").unwrap();
        assert_eq!(home.pass(&cats), (0, &[][..]));
        assert_eq!(home.add(&cats, 0), 1, "all that passes later");
        assert_eq!(home.pass(&TopicName::new("dogs").unwrap()), (1, &[][..]));
        assert_eq!(home.add(&cats, 2), 2);
        assert_eq!(home.pass(&cats), (2, &[0, 2][..]));
        home.remove(&cats, 0);
        home.remove(&cats, 2);
        assert_eq!(home.pass(&cats), (3, &[][..]));
        assert!(home.interested.is_empty());
    }
}
