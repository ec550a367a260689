//! What one connection has received, and whether that is all that it should have, once and in order.

use std::{ops::Range, sync::Arc};

use super::plan::Plan;

/// The streams that one connection follows, by publisher.
#[derive(Debug)]
pub(super) struct Follower {
    plan: Arc<Plan>,
    topics: Vec<usize>,
    streams: Vec<Stream>,
    sequences: Vec<Sequence>,
    pub(super) received: u64,
    /// Topics whose end has come.
    ends: usize,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    /// The least number that may still come.
    next: u32,
    /// From this number on nothing may be missing, as long as none of the topics is left.
    since: Option<u32>,
    /// What was published while an earlier subscription was in force, and has not come yet.
    owed: Vec<Range<u32>>,
}

/// The messages of some publishers that come by one topic: the same for all who follow it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub(super) topic: usize,
    /// The publishers, a bit each.
    pub(super) publishers: u64,
    /// Of the numbers of all that came, in their order.
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

    /// Takes note that it follows these topics from now on, since publishers had begun to send so
    /// many messages.
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

    /// Takes note that it is about to ask for these topics instead, when so many messages of each
    /// publisher are known to be queued to everybody.
    pub(super) fn leaves_for(&mut self, topics: &[usize], queued: impl Fn(usize) -> u32) {
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
                    stream.owed.push(missing);
                }
            }
        }
    }

    /// Compares with others the order of what comes by these topics, which it never leaves: of
    /// publishers to one topic, and of all of them if its other topics stay the same, too.
    pub(super) fn compare_orders(&mut self, topics: &[usize], is_fixed: bool) {
        for &topic in topics {
            let mut compare = |is_meant: &dyn Fn(usize) -> bool| {
                let meant = (0..self.streams.len()).filter(|&index| is_meant(index));
                self.sequences.push(Sequence {
                    topic,
                    publishers: meant.map(|index| 1 << index).sum(),
                    hash: 0,
                });
            };
            let publishers = &self.plan.publishers;
            compare(&|index| publishers[index].topics == [topic]);
            if is_fixed {
                compare(&|index| publishers[index].reaches(topics) == Some(topic));
            }
        }
    }

    /// Takes a message. Returns its publisher, or none if it is the end of a topic.
    pub(super) fn take(&mut self, message: &[u8]) -> Option<usize> {
        if message == END.as_bytes() {
            self.ends += 1;
            return None;
        }
        let digits = |range: Range<usize>| {
            let digits = message[range].iter();
            digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
        };
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

    /// Returns true when each of its topics has come to its end.
    pub(super) fn is_at_end(&self) -> bool {
        self.ends == self.topics.len()
    }

    /// Asserts that nothing is missing at the end; what is to be compared with others.
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
    fn take(&mut self, number: u32) -> Result<(), String> {
        let next = self.next;
        if number < next {
            return Err(format!("{number} after {}", next - 1));
        }
        self.skip_to(number)?;
        self.next = number + 1;
        Ok(())
    }

    /// What comes before `number` does not come any more.
    fn skip_to(&mut self, number: u32) -> Result<(), String> {
        let missing = |must: Range<u32>| {
            let missing = must.start.max(self.next)..must.end.min(number);
            (!missing.is_empty()).then_some(missing)
        };
        let open = self.since.map(|since| since..number);
        if let Some(missing) = self.owed.iter().cloned().chain(open).find_map(missing) {
            return Err(format!("{missing:?} is missing before {number}"));
        }
        self.owed.retain(|owed| owed.end > number);
        Ok(())
    }

    fn finish(mut self, total: u32) -> Result<(), String> {
        self.skip_to(total)
    }
}

/// What is published to each topic when all is over.
pub(super) const END: &str = "end";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_no_gap_while_a_subscription_is_in_force_and_never_a_duplicate() {
        let stream = Stream {
            next: 5,
            since: Some(7),
            owed: vec![],
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
    fn what_was_queued_before_a_topic_was_left_still_comes() {
        let stream = Stream {
            next: 2,
            since: None,
            owed: vec![2..4, 6..8],
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
