//! The time that a publication takes from its first subscriber to its last one.

use crate::clock::Moment;

/// The latest publications of one stream, until all subscribers have them.
#[derive(Debug)]
pub(crate) struct Spread {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    sequence: u64,
    count: u64,
    first: Moment,
}

impl Spread {
    /// Remembers `len` publications at a time; one that has not reached all by then is left out.
    pub(crate) fn new(len: usize) -> Self {
        Self {
            slots: vec![Slot::default(); len],
        }
    }

    /// Records the first delivery of number `sequence` to a subscriber. Returns the moment of the
    /// first delivery of all if this is the last of `followers`.
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
    fn what_is_not_everywhere_in_time_is_left_out() {
        let mut spread = Spread::new(2);
        assert_eq!(spread.take(0, 2, nanos(1)), None);
        assert_eq!(spread.take(2, 2, nanos(2)), None);
        assert_eq!(spread.take(0, 2, nanos(3)), None);
        assert_eq!(spread.take(2, 2, nanos(4)), Some(nanos(2)));
    }
}
