//! Spare capacity of maps and queues: how much of it they keep, and when they give it back.
//!
//! Pure.
//!
//! [`table`] is a slot map that gives back what it does not need.

mod table;

pub(super) use self::table::Table;

/// Returns the capacity to which a collection of `len` elements is to shrink, if most of it is empty.
///
/// Asked for after each removal, a removal moves one element more for it on average, because half of
/// what is kept has to go until there is more to give back.
pub(super) fn excess(len: usize, capacity: usize) -> Option<usize> {
    (capacity > KEPT && capacity / 4 >= len).then_some(2 * len)
}

/// Capacity that is kept anyway: a handful of elements come and go all the time.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_quarter_full_shrinks_to_twice_what_it_has() {
        assert_eq!(excess(1024, 4096), Some(2048));
        assert_eq!(excess(1025, 4096), None);
        assert_eq!(excess(1, 4096), Some(2));
        assert_eq!(excess(0, 4096), Some(0));
        assert_eq!(excess(0, KEPT), None);
    }

    #[test]
    fn shrinking_moves_no_more_elements_than_are_removed() {
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
