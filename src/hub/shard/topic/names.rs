//! The names of a shard's topics.
//!
//! Pure. The names are spread over many maps, which grow and shrink one at a time. A single map of
//! a million names was rehashed as a whole when it grew, which blocked its shard for 200 ms.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
};

use crate::{
    hub::{capacity, ids::TopicKey},
    topic::TopicName,
};

/// A map from the names of topics to their keys, in many parts.
#[derive(Debug)]
pub(super) struct Names {
    parts: Box<[HashMap<TopicName, TopicKey>]>,
    /// Has a random seed, because clients choose the names.
    hasher: RandomState,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| HashMap::new()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Names {
    pub(super) fn entry(&mut self, name: &TopicName) -> Entry<'_, TopicName, TopicKey> {
        self.parts[self.part_of(name)].entry(name.clone())
    }

    pub(super) fn remove(&mut self, name: &TopicName) {
        let part = &mut self.parts[self.part_of(name)];
        part.remove(name);
        if let Some(kept) = capacity::excess(part.len(), part.capacity()) {
            part.shrink_to(kept);
        }
    }

    fn part_of(&self, name: &TopicName) -> usize {
        (self.hasher.hash_one(name) % PARTS) as usize
    }
}

/// Number of maps. With a million names, rehashing one of them takes 0.5 ms.
const PARTS: u64 = 256;

#[cfg(test)]
impl Names {
    pub(super) fn get(&self, name: &TopicName) -> Option<TopicKey> {
        self.parts[self.part_of(name)].get(name).copied()
    }

    /// Returns the number of names that there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.parts.iter().map(HashMap::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spread_evenly_over_the_parts_which_shrink_when_names_are_removed() {
        let mut names = Names::default();
        let all = (0..50_000).map(|number| TopicName::new(&number.to_string()).unwrap());
        let all: Vec<TopicName> = all.collect();
        for name in &all {
            names.entry(name).insert_entry(TopicKey::default());
        }
        assert!(all.iter().all(|name| names.get(name).is_some()));
        // 50,000 names are 195 for each of the 256 parts, if they are spread evenly.
        let largest = names.parts.iter().map(HashMap::len).max();
        assert!(largest < Some(400), "{largest:?}");
        all.iter().for_each(|name| names.remove(name));
        assert!(all.iter().all(|name| names.get(name).is_none()));
        assert!(names.capacity() < 50_000 / 8, "{}", names.capacity());
    }
}
