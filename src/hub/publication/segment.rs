//! What the outboxes of a shard share: frames encoded once, on their way to many sockets.

use std::rc::Rc;

use bytes::Bytes;

use crate::hub::{
    bounds::ledger::{Held, Ledger, Moment},
    ids::TopicKey,
};

/// One or more whole frames, or the rest of some. A shard's outboxes refer to it without atomic
/// operations; it knows what an outbox has to know of what waits in it.
#[derive(Debug)]
pub(in crate::hub) struct Segment {
    bytes: Bytes,
    queued: Moment,
    content: Content,
    held: Held,
}

/// What bytes in an outbox bring of topics: what must be told of if they are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Content {
    /// Messages that were published. A reply, a Ping and a Close bring none.
    pub(in crate::hub) messages: u32,
    /// The topic that they were published to, unless there are several.
    pub(in crate::hub) topic: Option<TopicKey>,
}

impl Content {
    pub(in crate::hub) fn new(messages: usize, topic: Option<TopicKey>) -> Self {
        Self {
            messages: messages.try_into().unwrap_or(u32::MAX),
            topic,
        }
    }

    /// Returns what both bring.
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
    /// Makes one of bytes that nobody else has and that were not published.
    pub(in crate::hub) fn of_its_own(bytes: Bytes, ledger: &Rc<Ledger>) -> Rc<Self> {
        Self::published(bytes, Content::default(), ledger)
    }

    /// Makes one of bytes that were published and that no other shard has.
    pub(in crate::hub) fn published(
        bytes: Bytes,
        content: Content,
        ledger: &Rc<Ledger>,
    ) -> Rc<Self> {
        let held = bytes.len() + SEGMENT_BYTES;
        Self::new(bytes, content, ledger.hold(held))
    }

    /// Makes one of bytes that were published and are charged elsewhere: other shards have them, too.
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

    /// Returns when it was queued.
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

/// What a segment takes besides its bytes.
const SEGMENT_BYTES: usize = size_of::<Segment>() + 2 * size_of::<usize>();

#[cfg(test)]
pub(in crate::hub) mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::hub::bounds::budget::Budget;

    pub(in crate::hub) fn segment(bytes: &[u8]) -> Rc<Segment> {
        let ledger = Ledger::new(Budget::new(u64::MAX));
        Segment::of_its_own(Bytes::copy_from_slice(bytes), &ledger)
    }

    #[test]
    fn a_segment_fits_into_a_cache_line() {
        assert_eq!(size_of::<Segment>(), 64);
    }

    #[test]
    fn contents_are_of_one_topic_if_all_that_brings_messages_is() {
        let mut topics = SlotMap::<TopicKey, ()>::with_key();
        let (cats, dogs) = (topics.insert(()), topics.insert(()));
        let of = |messages, topic| Content::new(messages, Some(topic));
        let reply = Content::default();
        assert_eq!(reply.and(of(2, cats)).and(reply), of(2, cats));
        assert_eq!(of(2, cats).and(of(3, cats)), of(5, cats));
        let both = of(2, cats).and(of(3, dogs));
        assert_eq!(both, Content::new(5, None));
        assert_eq!(both.and(of(1, cats)), Content::new(6, None));
    }

    #[test]
    fn bytes_that_others_have_too_are_charged_once() {
        let ledger = Ledger::new(Budget::new(u64::MAX));
        let held = || {
            ledger.tell();
            ledger.budget().held()
        };
        let own = Segment::of_its_own(Bytes::from_static(b"hello"), &ledger);
        assert_eq!(held(), SEGMENT_BYTES as u64 + 5);
        let shared = Segment::shared(Bytes::from_static(b"hello"), Content::default(), &ledger);
        assert_eq!(held(), 2 * SEGMENT_BYTES as u64 + 5);
        drop((own, shared));
        assert_eq!(held(), 0);
    }
}
