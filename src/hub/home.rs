//! Topics as their home shard sees them: which shards have subscribers.
//!
//! Pure. Every publication of a topic passes its home shard, and the order in which it passes is
//! the order in which every subscriber gets it.

use std::collections::HashMap;

use crate::topic_name::TopicName;

/// Invariant: no list is empty, and no shard is in a list twice.
#[derive(Debug, Default)]
pub(super) struct Homes {
    interested: HashMap<TopicName, Vec<usize>>,
}

impl Homes {
    /// The shards to which a publication of this topic is forwarded.
    pub(super) fn interested(&self, topic: &TopicName) -> &[usize] {
        self.interested.get(topic).map_or(&[], |shards| shards)
    }

    pub(super) fn add(&mut self, topic: TopicName, shard: usize) {
        let shards = self.interested.entry(topic).or_default();
        debug_assert!(!shards.contains(&shard), "a shard tells its interest once");
        shards.push(shard);
    }

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
    fn a_topic_is_forwarded_to_the_shards_that_want_it_and_then_forgotten() {
        let mut homes = Homes::default();
        let cats = TopicName::new("cats").unwrap();
        homes.add(cats.clone(), 0);
        homes.add(cats.clone(), 2);
        assert_eq!(homes.interested(&cats), [0, 2]);
        homes.remove(&cats, 0);
        homes.remove(&cats, 2);
        assert_eq!(homes.interested(&cats), [0; 0]);
        assert!(homes.interested.is_empty());
    }
}
