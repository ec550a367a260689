//! The time from the first delivery of a publication to its last one.

use crate::clock::Moment;

/// The latest publications of one stream, with the number of subscribers that have received each so
/// far. Publication `n` is in slot `n` modulo the number of slots, until a later publication takes
/// that slot.
#[derive(Debug)]
pub(crate) struct Spread {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    sequence: u64,
    /// Number of subscribers that have received the publication.
    count: u64,
    /// Time of the first of these deliveries.
    first: Moment,
}

impl Spread {
    /// Returns a spread that remembers the last `len` publications. Publication `n` is not measured
    /// if publication `n + len` arrives before all subscribers have `n`.
    pub(crate) fn new(len: usize) -> Self {
        Self {
            slots: vec![Slot::default(); len],
        }
    }

    /// Counts a delivery of publication `sequence` to a subscriber that did not have it yet. If now
    /// all subscribers have it, of which there are `followers`, returns the time of its first
    /// delivery.
    pub(crate) fn take(&mut self, sequence: u64, followers: u64, now: Moment) -> Option<Moment> {
        let index = sequence.checked_rem(self.slots.len() as u64)?;
        let slot = self.slots.get_mut(usize::try_from(index).ok()?)?;
        if slot.count == 0 || slot.sequence < sequence {
            *slot = Slot {
                sequence,
                count: 0,
                first: now,
            };
        }
        // A later publication has taken the slot.
        if slot.sequence != sequence {
            return None;
        }
        slot.count += 1;
        (slot.count == followers).then_some(slot.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn the_last_delivery_ends_the_spread_of_its_publication() {
        let mut spread = Spread::new(4);
        assert_eq!(spread.take(0, 2, nanos(1)), None);
        assert_eq!(spread.take(1, 2, nanos(2)), None);
        assert_eq!(spread.take(0, 2, nanos(3)), Some(nanos(1)));
        assert_eq!(spread.take(1, 2, nanos(4)), Some(nanos(2)));
    }

    #[test]
    fn a_publication_that_has_not_reached_all_in_time_is_not_measured() {
        let mut spread = Spread::new(2);
        assert_eq!(spread.take(0, 2, nanos(1)), None);
        assert_eq!(spread.take(2, 2, nanos(2)), None);
        assert_eq!(spread.take(0, 2, nanos(3)), None);
        assert_eq!(spread.take(2, 2, nanos(4)), Some(nanos(2)));
    }
}
