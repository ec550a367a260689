//! The topics of a shard by their names.
//!
//! Pure. The names are in many parts, which grow and shrink one at a time. A map of a million names
//! would be moved as one: it held its shard for 200 ms.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
};

use crate::{
    hub::{capacity, ids::TopicKey},
    topic::TopicName,
};

#[derive(Debug)]
pub(super) struct Names {
    parts: Box<[HashMap<TopicName, TopicKey>]>,
    /// Seeded: names come from clients.
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

/// With a million names, moving a part takes 0.5 ms.
const PARTS: u64 = 256;

#[cfg(test)]
impl Names {
    pub(super) fn get(&self, name: &TopicName) -> Option<TopicKey> {
        self.parts[self.part_of(name)].get(name).copied()
    }

    /// For how many elements there is memory.
    pub(super) fn capacity(&self) -> usize {
        self.parts.iter().map(HashMap::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_as_large_as_what_it_has_and_gives_back_what_it_does_not_need() {
        let mut names = Names::default();
        let all = (0..50_000).map(|number| TopicName::new(&number.to_string()).unwrap());
        let all: Vec<TopicName> = all.collect();
        for name in &all {
            names.entry(name).insert_entry(TopicKey::default());
        }
        assert!(all.iter().all(|name| names.get(name).is_some()));
        // 195 each, if they were spread evenly.
        let largest = names.parts.iter().map(HashMap::len).max();
        assert!(largest < Some(400), "{largest:?}");
        all.iter().for_each(|name| names.remove(name));
        assert!(all.iter().all(|name| names.get(name).is_none()));
        assert!(names.capacity() < 50_000 / 8, "{}", names.capacity());
    }
}
