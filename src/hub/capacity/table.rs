//! A slot map that frees memory when entries are removed.
//!
//! Pure: no I/O and no clock. Entries are stored in chunks of 32 slots. A new entry fills a free
//! slot of an existing chunk, and a chunk without entries is freed. So the memory that a burst of
//! connections has taken is freed when they leave.
//!
//! A [`SlotMap`] must keep each slot for ever, because the slot stores the version that
//! distinguishes new keys from old ones. Here each entry has a number of its own, which is part of
//! its key, and so nothing has to be kept of a removed entry.
//!
//! [`SlotMap`]: slotmap::SlotMap

use std::{array, collections::BTreeSet};

use slotmap::{Key, KeyData};

/// A map that chooses the keys itself. No later entry gets the key of a removed one.
///
/// Invariant: `with_free_slots` has the indexes of the chunks that are neither full nor empty, and
/// `freed` those of the empty chunks, which are `None`. The last chunk is not empty.
#[derive(Debug)]
pub(in crate::hub) struct Table<K, V> {
    chunks: Vec<Option<Box<Chunk<K, V>>>>,
    with_free_slots: BTreeSet<u32>,
    freed: BTreeSet<u32>,
    len: usize,
    /// The number of the next entry. It wraps around after 2^31 entries.
    next_number: u32,
}

/// A piece of the table.
///
/// Invariant: a slot has an entry if and only if its bit in `used` is set.
#[derive(Debug)]
struct Chunk<K, V> {
    used: u32,
    slots: [Option<(K, V)>; SLOTS as usize],
}

/// Number of slots of a chunk: one for each bit of `used`.
const SLOTS: u32 = u32::BITS;

impl<K: Key, V> Table<K, V> {
    pub(in crate::hub) fn insert(&mut self, value: V) -> K {
        let index = match self.with_free_slots.first() {
            Some(&index) => index,
            None => self.add_chunk(),
        };
        let chunk = self.chunks[index as usize].get_or_insert_default();
        let slot = chunk.used.trailing_ones();
        let key = key(self.next_number, index * SLOTS + slot);
        chunk.slots[slot as usize] = Some((key, value));
        chunk.used |= 1 << slot;
        if chunk.used == u32::MAX {
            self.with_free_slots.remove(&index);
        }
        // slotmap's keys have an odd version: its lowest bit is always set.
        self.next_number = self.next_number.wrapping_add(2);
        self.len += 1;
        key
    }

    /// Returns the index for a new chunk: that of a freed chunk, or else the one behind the last
    /// chunk. The chunk is made when its first entry is inserted.
    fn add_chunk(&mut self) -> u32 {
        let index = self.freed.pop_first().unwrap_or_else(|| {
            self.chunks.push(None);
            u32::try_from(self.chunks.len() - 1).expect("2^32 chunks do not fit into memory")
        });
        self.with_free_slots.insert(index);
        index
    }

    pub(in crate::hub) fn remove(&mut self, key: K) -> Option<V> {
        let (index, slot) = chunk_and_slot(key);
        let entry = self.chunks.get_mut(index as usize)?;
        let chunk = entry.as_mut()?;
        let (_, value) = chunk.slots[slot as usize].take_if(|(stored, _)| *stored == key)?;
        self.len -= 1;
        if chunk.used == u32::MAX {
            self.with_free_slots.insert(index);
        }
        chunk.used &= !(1 << slot);
        if chunk.used == 0 {
            *entry = None;
            self.with_free_slots.remove(&index);
            self.freed.insert(index);
            while self.chunks.pop_if(|last| last.is_none()).is_some() {
                self.freed.pop_last();
            }
        }
        Some(value)
    }

    pub(in crate::hub) fn get(&self, key: K) -> Option<&V> {
        let (index, slot) = chunk_and_slot(key);
        let chunk = self.chunks.get(index as usize)?.as_ref()?;
        match &chunk.slots[slot as usize] {
            Some((stored, value)) if *stored == key => Some(value),
            _ => None,
        }
    }

    pub(in crate::hub) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (index, slot) = chunk_and_slot(key);
        let chunk = self.chunks.get_mut(index as usize)?.as_mut()?;
        match &mut chunk.slots[slot as usize] {
            Some((stored, value)) if *stored == key => Some(value),
            _ => None,
        }
    }

    pub(in crate::hub) fn len(&self) -> usize {
        self.len
    }

    /// Returns the entries of chunk `index`, or `None` if `index` is behind the last chunk. A
    /// caller may go through all chunks in order, and insert and remove entries between two calls:
    /// it still visits every entry that is in the table the whole time.
    pub(in crate::hub) fn chunk(&self, index: usize) -> Option<impl Iterator<Item = (K, &V)>> {
        let chunk = self.chunks.get(index)?;
        let entries = chunk.iter().flat_map(|chunk| chunk.slots.iter().flatten());
        Some(entries.map(|(key, value)| (*key, value)))
    }

    #[cfg(test)]
    fn keys(&self) -> impl Iterator<Item = K> {
        let chunks = self.chunks.iter().flatten();
        let entries = chunks.flat_map(|chunk| chunk.slots.iter().flatten());
        entries.map(|(key, _)| *key)
    }

    pub(in crate::hub) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let chunks = self.chunks.iter_mut().flatten();
        let entries = chunks.flat_map(|chunk| chunk.slots.iter_mut().flatten());
        entries.map(|(_, value)| value)
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            with_free_slots: BTreeSet::new(),
            freed: BTreeSet::new(),
            len: 0,
            next_number: 1,
        }
    }
}

impl<K, V> Default for Chunk<K, V> {
    fn default() -> Self {
        Self {
            used: 0,
            slots: array::from_fn(|_| None),
        }
    }
}

/// Makes the key of the entry with this number, in slot `index` of the whole table.
fn key<K: Key>(number: u32, index: u32) -> K {
    KeyData::from_ffi(u64::from(number) << u32::BITS | u64::from(index)).into()
}

/// Returns the index of the chunk that a key belongs to, and the index of the slot in that chunk.
fn chunk_and_slot<K: Key>(key: K) -> (u32, u32) {
    let index = key.data().as_ffi() & u64::from(u32::MAX);
    let index = u32::try_from(index).expect("the upper half is masked");
    (index / SLOTS, index % SLOTS)
}

#[cfg(test)]
impl<K, V> Table<K, V> {
    /// Returns the number of entries for which memory is allocated.
    pub(in crate::hub) fn capacity(&self) -> usize {
        self.chunks.iter().flatten().count() * SLOTS as usize
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, mem::size_of};

    use proptest::{collection::vec, prelude::*, sample::Index};
    use slotmap::DefaultKey;

    use super::*;

    type Entries = Table<DefaultKey, usize>;

    #[test]
    fn memory_of_many_entries_is_freed_when_they_are_removed() {
        let mut table = Entries::default();
        let early: Vec<_> = (0..10).map(|value| table.insert(value)).collect();
        let mut capacities = Vec::new();
        for _ in 0..3 {
            let crowd: Vec<_> = (0..10_000).map(|value| table.insert(value)).collect();
            // 10,010 entries in chunks of 32.
            assert!(table.capacity() < 10_100);
            assert!(crowd.into_iter().all(|key| table.remove(key).is_some()));
            capacities.push((
                table.capacity(),
                table.chunks.len(),
                table.with_free_slots.len(),
            ));
        }
        // The ten early entries fill a part of one chunk.
        assert_eq!(capacities, [(32, 1, 1); 3]);
        assert!(early.into_iter().all(|key| table.remove(key).is_some()));
        assert_eq!((table.capacity(), table.chunks.len()), (0, 0));
    }

    #[test]
    fn an_entry_that_stays_keeps_one_chunk_whose_free_slots_later_entries_take() {
        let mut table = Entries::default();
        let mut crowd: Vec<_> = (0..3200).map(|value| table.insert(value)).collect();
        // One entry in every tenth chunk.
        let staying: Vec<_> = crowd.drain(..).step_by(320).collect();
        let keys: Vec<_> = table.keys().collect();
        for key in keys.into_iter().filter(|key| !staying.contains(key)) {
            table.remove(key);
        }
        assert_eq!((table.len(), table.capacity()), (10, 320));
        for value in 0..310 {
            table.insert(value);
        }
        assert_eq!(table.capacity(), 320, "no chunk was added");
    }

    #[test]
    fn no_later_entry_gets_the_key_of_a_removed_one() {
        let mut table = Entries::default();
        let mut gone = Vec::new();
        for value in 0..1000 {
            let key = table.insert(value);
            assert_eq!(table.remove(key), Some(value));
            gone.push(key);
        }
        table.insert(7);
        assert!(gone.into_iter().all(|key| table.remove(key).is_none()));
        assert_eq!(table.get(DefaultKey::default()), None);
    }

    #[test]
    fn an_entry_costs_as_much_as_in_a_slot_map() {
        // 8 bytes of a chunk are `used` and its padding, and 8 bytes of a slot are the key.
        let slots = size_of::<Chunk<DefaultKey, [u64; 20]>>() - 8;
        assert_eq!(slots / SLOTS as usize, size_of::<[u64; 20]>() + 8);
    }

    proptest! {
        #[test]
        fn a_table_behaves_like_a_hash_map(steps in vec((0..5u8, any::<Index>()), 0..400)) {
            let mut table = Entries::default();
            let mut model = HashMap::new();
            let mut keys = Vec::new();
            for (value, (step, pick)) in steps.into_iter().enumerate() {
                // Three steps of five insert an entry. The others remove one, or try to remove one
                // that was removed before.
                if step < 3 || keys.is_empty() {
                    let key = table.insert(value);
                    prop_assert!(model.insert(key, value).is_none());
                    keys.push(key);
                } else {
                    let key = *pick.get(&keys);
                    prop_assert_eq!(table.remove(key), model.remove(&key));
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.keys().count(), model.len());
            }
            for key in keys {
                prop_assert_eq!(table.get(key), model.get(&key));
                prop_assert_eq!(table.get_mut(key), model.get_mut(&key));
            }
        }
    }
}
