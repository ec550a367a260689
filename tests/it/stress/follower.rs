//! The check that a connection receives every message that it must receive, once and in order.

use std::{ops::Range, sync::Arc};

use crate::stress::plan::Plan;

/// The last message of each topic, after all publishers have ended.
pub(super) const END: &str = "end";

/// The messages that one connection has received and must still receive.
#[derive(Debug)]
pub(super) struct Follower {
    plan: Arc<Plan>,
    /// Topics that the connection is subscribed to.
    topics: Vec<usize>,
    /// One stream for each publisher of the plan.
    streams: Vec<Stream>,
    sequences: Vec<Sequence>,
    pub(super) received: u64,
    /// Number of topics whose [`END`] was received.
    ends: usize,
}

/// The numbers of one publisher's messages that a connection may and must still receive.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// Least number that may still arrive.
    next: u32,
    /// First number that must arrive because of the current subscription. `None` if the connection
    /// is subscribed to no topic of the publisher.
    since: Option<u32>,
    /// Numbers that must still arrive because of earlier subscriptions.
    due: Vec<Range<u32>>,
}

/// The order in which the messages of some publishers arrive by one topic. It must be the same for
/// all subscribers of the topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub(super) topic: usize,
    /// The publishers, one bit each.
    pub(super) publishers: u64,
    /// Hash of the messages in their order.
    pub(super) hash: u64,
}

impl Follower {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self {
            topics: Vec::new(),
            streams: vec![Stream::default(); plan.publishers.len()],
            sequences: Vec::new(),
            received: 0,
            ends: 0,
            plan,
        }
    }

    /// Records that the subscription to these topics is in force. `begun` returns the number of
    /// messages that a publisher had begun to send before: later ones must arrive.
    pub(super) fn subscribed(&mut self, topics: &[usize], begun: impl Fn(usize) -> u32) {
        self.topics = topics.to_vec();
        for (index, publisher) in self.plan.publishers.iter().enumerate() {
            if publisher.reaches(topics).is_some() {
                self.streams[index]
                    .since
                    .get_or_insert_with(|| begun(index));
            }
        }
    }

    /// Records that the connection is about to change to these topics. `queued` returns the number
    /// of messages of a publisher that are queued to all subscribers: those must still arrive.
    pub(super) fn changes_to(&mut self, topics: &[usize], queued: impl Fn(usize) -> u32) {
        let old = &self.topics;
        for (index, publisher) in self.plan.publishers.iter().enumerate() {
            let mut own = publisher.topics.iter();
            if own.any(|topic| old.contains(topic) && topics.contains(topic)) {
                continue;
            }
            let stream = &mut self.streams[index];
            if let Some(since) = stream.since.take() {
                let missing = since.max(stream.next)..queued(index);
                if !missing.is_empty() {
                    stream.due.push(missing);
                }
            }
        }
    }

    /// Records from now on the order in which messages arrive by each of these topics, which the
    /// connection never leaves, to compare it with the order at other connections. Records the
    /// order of the publishers to this topic alone and, if the connection never changes its topics,
    /// also that of all publishers whose messages arrive by this topic.
    pub(super) fn compare_orders(&mut self, topics: &[usize], is_fixed: bool) {
        for &topic in topics {
            let mut record = |is_included: &dyn Fn(usize) -> bool| {
                let included = (0..self.streams.len()).filter(|&index| is_included(index));
                self.sequences.push(Sequence {
                    topic,
                    publishers: included.map(|index| 1 << index).sum(),
                    hash: 0,
                });
            };
            let publishers = &self.plan.publishers;
            record(&|index| publishers[index].topics == [topic]);
            if is_fixed {
                record(&|index| publishers[index].reaches(topics) == Some(topic));
            }
        }
    }

    /// Checks a message. Returns its publisher, or `None` if it is the end of a topic.
    pub(super) fn take(&mut self, message: &[u8]) -> Option<usize> {
        if message == END.as_bytes() {
            self.ends += 1;
            return None;
        }
        let digits = |range: Range<usize>| {
            let digits = message[range].iter();
            digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
        };
        // A message begins with its publisher in 3 digits and its number in 9.
        let (index, number) = (digits(0..3) as usize, digits(3..12));
        let publisher = &self.plan.publishers[index];
        let is_whole = message.len() == publisher.bytes && message.ends_with(b".");
        assert!(is_whole, "{:?}", String::from_utf8_lossy(message));
        if let Err(fault) = self.streams[index].take(number) {
            let (topics, own) = (&publisher.topics, &self.topics);
            panic!("publisher {index} to {topics:?}, follower of {own:?}: {fault}");
        }
        for sequence in &mut self.sequences {
            if sequence.publishers & (1 << index) != 0 {
                let number = u64::from(number) << 8 | index as u64;
                sequence.hash = (sequence.hash ^ number)
                    .wrapping_mul(0x0100_0000_01B3)
                    .rotate_left(5);
            }
        }
        self.received += 1;
        Some(index)
    }

    /// Returns true if the end of each topic was received.
    pub(super) fn is_at_end(&self) -> bool {
        self.ends == self.topics.len()
    }

    /// Asserts that no message is missing. Returns the orders to compare with other connections.
    pub(super) fn finish(self) -> Vec<Sequence> {
        assert!(self.is_at_end());
        for (index, stream) in self.streams.into_iter().enumerate() {
            let total = self.plan.publishers[index].messages;
            let own = &self.topics;
            if let Err(fault) = stream.finish(total) {
                panic!("publisher {index}, follower of {own:?}: {fault}");
            }
        }
        self.sequences
    }
}

impl Stream {
    /// Receives the message with this number. Returns an error if it is a duplicate, or if an
    /// earlier one is missing.
    fn take(&mut self, number: u32) -> Result<(), String> {
        let next = self.next;
        if number < next {
            return Err(format!("{number} after {}", next - 1));
        }
        self.skip_to(number)?;
        self.next = number + 1;
        Ok(())
    }

    /// Checks that no number below `number` must still arrive.
    fn skip_to(&mut self, number: u32) -> Result<(), String> {
        let missing = |must: Range<u32>| {
            let missing = must.start.max(self.next)..must.end.min(number);
            (!missing.is_empty()).then_some(missing)
        };
        let open = self.since.map(|since| since..number);
        if let Some(missing) = self.due.iter().cloned().chain(open).find_map(missing) {
            return Err(format!("{missing:?} is missing before {number}"));
        }
        self.due.retain(|due| due.end > number);
        Ok(())
    }

    /// Checks that none of all `total` messages must still arrive.
    fn finish(mut self, total: u32) -> Result<(), String> {
        self.skip_to(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_while_a_subscription_is_in_force_and_any_duplicate_are_faults() {
        let stream = Stream {
            next: 5,
            since: Some(7),
            due: vec![],
        };
        let take = |numbers: &[u32]| {
            let mut stream = stream.clone();
            numbers.iter().try_for_each(|&number| stream.take(number))
        };
        assert_eq!(take(&[5, 7, 8, 9]), Ok(()));
        assert_eq!(take(&[6, 7]), Ok(()));
        assert_eq!(take(&[7, 9]), Err("8..9 is missing before 9".into()));
        assert_eq!(take(&[8]), Err("7..8 is missing before 8".into()));
        assert_eq!(take(&[7, 7]), Err("7 after 7".into()));
        assert_eq!(take(&[4]), Err("4 after 4".into()));
        assert_eq!(stream.clone().finish(7), Ok(()));
        assert!(stream.finish(8).is_err());
    }

    #[test]
    fn messages_that_were_queued_before_the_topics_changed_must_arrive() {
        let stream = Stream {
            next: 2,
            since: None,
            due: vec![2..4, 6..8],
        };
        let take = |numbers: &[u32]| {
            let mut stream = stream.clone();
            let taken = numbers.iter().try_for_each(|&number| stream.take(number));
            taken.and_then(|()| stream.finish(100))
        };
        assert_eq!(take(&[2, 3, 6, 7, 50]), Ok(()));
        assert_eq!(take(&[2, 3, 4, 5, 6, 7]), Ok(()));
        assert!(take(&[2, 3]).is_err());
        assert!(take(&[3]).is_err());
        assert!(take(&[2, 3, 7]).is_err());
        assert!(take(&[]).is_err());
    }
}
