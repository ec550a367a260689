//! Segments: encoded frames that the outboxes of a shard share.

use std::rc::Rc;

use bytes::Bytes;

use crate::hub::{
    bounds::ledger::{Held, Ledger, Moment},
    ids::TopicKey,
};

/// One or more whole frames, or the unwritten rest of frames. The outboxes of a shard refer to a
/// segment by an `Rc`, which needs no atomic operations. A segment has the time at which it was
/// queued, and the number of messages that are lost if an outbox drops it.
#[derive(Debug)]
pub(in crate::hub) struct Segment {
    bytes: Bytes,
    queued: Moment,
    content: Content,
    held: Held,
}

/// The published messages in a segment, which are logged if an outbox drops the segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Content {
    /// Number of published messages. Replies and control frames do not count.
    pub(in crate::hub) messages: u32,
    /// The topic that they were published to, or `None` if there are several topics.
    pub(in crate::hub) topic: Option<TopicKey>,
}

impl Content {
    pub(in crate::hub) fn new(messages: usize, topic: Option<TopicKey>) -> Self {
        Self {
            messages: messages.try_into().unwrap_or(u32::MAX),
            topic,
        }
    }

    /// Returns the content of both segments together.
    pub(in crate::hub) fn and(self, other: Self) -> Self {
        let topic = match (self.messages, other.messages) {
            (0, _) => other.topic,
            (_, 0) => self.topic,
            _ => self.topic.filter(|_| self.topic == other.topic),
        };
        Self {
            messages: self.messages.saturating_add(other.messages),
            topic,
        }
    }
}

impl Segment {
    /// Makes a segment for one outbox alone, of bytes that were not published: replies, a Ping, a
    /// Pong or a Close.
    pub(in crate::hub) fn unshared(bytes: Bytes, ledger: &Rc<Ledger>) -> Rc<Self> {
        Self::published(bytes, Content::default(), ledger)
    }

    /// Makes a segment of published messages, whose bytes belong to this shard alone and are
    /// charged here.
    pub(in crate::hub) fn published(
        bytes: Bytes,
        content: Content,
        ledger: &Rc<Ledger>,
    ) -> Rc<Self> {
        let held = bytes.len() + SEGMENT_BYTES;
        Self::new(bytes, content, ledger.hold(held))
    }

    /// Makes a segment of a published message, whose bytes all shards share. They are charged to
    /// the budget already.
    pub(in crate::hub) fn shared(bytes: Bytes, content: Content, ledger: &Rc<Ledger>) -> Rc<Self> {
        Self::new(bytes, content, ledger.hold(SEGMENT_BYTES))
    }

    fn new(bytes: Bytes, content: Content, held: Held) -> Rc<Self> {
        Rc::new(Self {
            bytes,
            queued: held.ledger().now(),
            content,
            held,
        })
    }

    pub(in crate::hub) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(in crate::hub) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the moment at which the segment was queued.
    pub(in crate::hub) fn queued(&self) -> Moment {
        self.queued
    }

    pub(in crate::hub) fn content(&self) -> Content {
        self.content
    }

    pub(in crate::hub) fn ledger(&self) -> &Rc<Ledger> {
        self.held.ledger()
    }
}

/// Bytes of memory that a segment takes besides the bytes of its frames.
const SEGMENT_BYTES: usize = size_of::<Segment>() + 2 * size_of::<usize>();

#[cfg(test)]
pub(in crate::hub) mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::hub::bounds::budget::Budget;

    /// Makes a segment, which is charged to a ledger of its own.
    pub(in crate::hub) fn segment(bytes: &[u8]) -> Rc<Segment> {
        let ledger = Ledger::new(Budget::new(u64::MAX));
        Segment::unshared(Bytes::copy_from_slice(bytes), &ledger)
    }

    #[test]
    fn a_segment_fits_into_a_cache_line() {
        assert_eq!(size_of::<Segment>(), 64);
    }

    #[test]
    fn contents_with_messages_of_different_topics_have_no_topic_together() {
        let mut topics = SlotMap::<TopicKey, ()>::with_key();
        let (cats, dogs) = (topics.insert(()), topics.insert(()));
        // Makes the content of a segment that has so many messages of a topic.
        let of = |messages, topic| Content::new(messages, Some(topic));
        let reply = Content::default();
        assert_eq!(reply.and(of(2, cats)).and(reply), of(2, cats));
        assert_eq!(of(2, cats).and(of(3, cats)), of(5, cats));
        let both = of(2, cats).and(of(3, dogs));
        assert_eq!(both, Content::new(5, None));
        assert_eq!(both.and(of(1, cats)), Content::new(6, None));
    }

    #[test]
    fn bytes_that_shards_share_are_not_charged_to_a_segment() {
        let ledger = Ledger::new(Budget::new(u64::MAX));
        let held = || {
            ledger.report();
            ledger.budget().held()
        };
        let own = Segment::unshared(Bytes::from_static(b"hello"), &ledger);
        assert_eq!(held(), SEGMENT_BYTES as u64 + 5);
        let shared = Segment::shared(Bytes::from_static(b"hello"), Content::default(), &ledger);
        assert_eq!(held(), 2 * SEGMENT_BYTES as u64 + 5);
        drop((own, shared));
        assert_eq!(held(), 0);
    }
}
