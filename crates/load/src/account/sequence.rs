//! Counts the missing, duplicate and late messages of a numbered stream at one receiver.

use std::ops::{AddAssign, Range};

use serde::{Deserialize, Serialize};

/// Counts of the messages of all streams that were received, and of the faults among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages that were received, duplicates included.
    pub received: u64,
    /// Messages that never arrived although a later one did.
    pub gaps: u64,
    /// Arrivals of messages that had arrived before.
    pub duplicates: u64,
    /// Messages that arrived after a later one.
    pub out_of_order: u64,
    /// Messages that differ from what was sent. They are not counted as received.
    pub corrupted: u64,
}

impl Tally {
    /// Returns how many different messages were received.
    pub fn distinct(&self) -> u64 {
        self.received - self.duplicates
    }

    /// Returns true if there are no faults.
    pub fn is_whole(&self) -> bool {
        self.gaps + self.duplicates + self.out_of_order + self.corrupted == 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.corrupted += other.corrupted;
    }
}

/// The progress of one receiver in one stream.
///
/// Invariant: `missing` is sorted, its ranges do not touch, and all of it is below `next`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// One more than the highest number that has arrived.
    next: u64,
    /// True until a receiver that subscribed while the stream ran has got its first message.
    joins_late: bool,
    /// Numbers below `next` that have not arrived.
    missing: Vec<Range<u64>>,
}

impl Track {
    /// Returns the track of a receiver that subscribed before the first message. It misses every
    /// number from 0 on that does not arrive.
    pub(crate) fn from_the_start() -> Self {
        Self::default()
    }

    /// Returns the track of a receiver that subscribes while the stream runs. Its first message may
    /// have any number; it misses nothing before that.
    pub(crate) fn from_first_received() -> Self {
        Self {
            joins_late: true,
            ..Self::default()
        }
    }

    /// Returns one more than the highest number that has arrived.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Counts the arrival of message `sequence`. Returns by how much [`next`](Self::next) advances.
    pub(crate) fn take(&mut self, sequence: u64, tally: &mut Tally) -> u64 {
        tally.received += 1;
        if sequence == self.next || self.joins_late {
            self.joins_late = false;
            let advance = sequence + 1 - self.next;
            self.next = sequence + 1;
            return advance;
        }
        if sequence < self.next {
            self.take_late(sequence, tally);
            return 0;
        }
        tally.gaps += sequence - self.next;
        if self.missing.len() == MAX_RANGES {
            // A message of this range that arrives after all will count as a duplicate.
            self.missing.remove(0);
        }
        self.missing.push(self.next..sequence);
        let advance = sequence + 1 - self.next;
        self.next = sequence + 1;
        advance
    }

    /// Counts the arrival of a message below `next`, which was missing until now or is a duplicate.
    fn take_late(&mut self, sequence: u64, tally: &mut Tally) {
        let index = self.missing.iter().position(|gap| gap.contains(&sequence));
        let Some(index) = index else {
            tally.duplicates += 1;
            return;
        };
        tally.gaps -= 1;
        tally.out_of_order += 1;
        let gap = self.missing[index].clone();
        let rest = [gap.start..sequence, sequence + 1..gap.end];
        let rest = rest.into_iter().filter(|gap| !gap.is_empty());
        self.missing.splice(index..=index, rest);
    }
}

/// Most ranges of missing messages that a track remembers. Bounds its memory if the server loses
/// many messages. Arbitrary.
const MAX_RANGES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the tally of messages with these numbers, in the order of their arrival.
    fn tally(mut track: Track, sequence: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for &number in sequence {
            track.take(number, &mut tally);
        }
        tally
    }

    /// Returns how many of the messages are missing, duplicate and out of order.
    fn faults(sequence: &[u64]) -> (u64, u64, u64) {
        let tally = tally(Track::from_the_start(), sequence);
        (tally.gaps, tally.duplicates, tally.out_of_order)
    }

    #[test]
    fn a_whole_stream_has_no_faults() {
        let tally = tally(Track::from_the_start(), &[0, 1, 2, 3]);
        assert!(tally.is_whole());
        assert_eq!(tally.distinct(), 4);
    }

    #[test]
    fn every_missing_message_is_a_gap_from_the_first_one_on() {
        // 0, 1, 4 and 5 are missing.
        assert_eq!(faults(&[2, 3, 6]), (4, 0, 0));
    }

    #[test]
    fn a_message_that_arrives_late_is_out_of_order_and_no_gap() {
        assert_eq!(faults(&[0, 4, 2, 1, 3, 5]), (0, 0, 3));
    }

    #[test]
    fn a_message_that_arrives_again_is_a_duplicate_even_if_it_was_late() {
        // 2 is missing; 0, 1 and 3 are duplicate; 1 is out of order.
        assert_eq!(faults(&[0, 0, 3, 1, 1, 3]), (1, 3, 1));
        assert_eq!(
            tally(Track::from_the_start(), &[0, 0, 3, 1, 1, 3]).distinct(),
            3
        );
    }

    #[test]
    fn a_receiver_that_subscribes_late_misses_nothing_before_its_first_message() {
        // Only 9 is missing.
        let tally = tally(Track::from_first_received(), &[7, 8, 10]);
        assert_eq!((tally.received, tally.gaps), (3, 1));
    }

    #[test]
    fn the_advance_is_counted_once_for_each_number() {
        let (mut track, mut tally) = (Track::from_the_start(), Tally::default());
        let advance = [0, 3, 1, 3, 4].map(|number| track.take(number, &mut tally));
        assert_eq!(advance, [1, 3, 0, 0, 1]);
        assert_eq!(track.next(), 5);
    }

    #[test]
    fn the_memory_for_missing_numbers_is_bounded() {
        let mut track = Track::from_the_start();
        let mut tally = Tally::default();
        // Every other number is missing.
        for number in 0..3000 {
            track.take(2 * number, &mut tally);
        }
        assert_eq!(track.missing.len(), MAX_RANGES);
        assert_eq!(tally.gaps, 2999);
    }
}
