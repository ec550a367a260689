//! Spare capacity of maps and queues: the rule by which they give memory back.
//!
//! Pure: no I/O and no clock. [`table`] is a slot map that frees the memory of removed entries.

mod table;

pub(super) use self::table::Table;

/// Returns the capacity to which a collection of `len` elements should shrink, or `None` if it
/// should not: its capacity is small, or more than a quarter of it is in use.
///
/// This may be called after each removal. Shrinking moves at most one element per removal on
/// average, because half of the elements must be removed before the next shrink.
pub(super) fn excess(len: usize, capacity: usize) -> Option<usize> {
    (capacity > KEPT && capacity / 4 >= len).then_some(2 * len)
}

/// Capacity, in elements, that is never given back: a few elements come and go all the time.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_that_is_a_quarter_full_shrinks_to_twice_its_length() {
        assert_eq!(excess(1024, 4096), Some(2048));
        assert_eq!(excess(1025, 4096), None);
        assert_eq!(excess(1, 4096), Some(2));
        assert_eq!(excess(0, 4096), Some(0));
        assert_eq!(excess(0, KEPT), None);
    }

    #[test]
    fn shrinking_moves_no_more_elements_than_are_removed() {
        // A full collection, from which all elements are removed one by one.
        let (mut capacity, mut moved) = (1 << 20, 0);
        for len in (0..=capacity).rev() {
            if let Some(kept) = excess(len, capacity) {
                (capacity, moved) = (kept, moved + len);
            }
        }
        assert!(capacity <= KEPT, "{capacity}");
        assert!(moved <= 1 << 20, "{moved}");
    }
}
