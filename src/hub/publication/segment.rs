//! What the outboxes of a shard share: frames encoded once, on their way to many sockets.

use std::rc::Rc;

use bytes::Bytes;

use crate::hub::bounds::ledger::{Held, Ledger, Moment};

/// One or more whole frames, or the rest of some. A shard's outboxes refer to it without atomic
/// operations; it knows what an outbox has to know of what waits in it.
#[derive(Debug)]
pub(in crate::hub) struct Segment {
    bytes: Bytes,
    queued: Moment,
    held: Held,
}

impl Segment {
    /// Makes one of bytes that nobody else has.
    pub(in crate::hub) fn of_its_own(bytes: Bytes, ledger: &Rc<Ledger>) -> Rc<Self> {
        let held = bytes.len() + SEGMENT_BYTES;
        Self::new(bytes, ledger.hold(held))
    }

    /// Makes one of bytes that are charged elsewhere: other shards have them, too.
    pub(in crate::hub) fn shared(bytes: Bytes, ledger: &Rc<Ledger>) -> Rc<Self> {
        Self::new(bytes, ledger.hold(SEGMENT_BYTES))
    }

    fn new(bytes: Bytes, held: Held) -> Rc<Self> {
        Rc::new(Self {
            bytes,
            queued: held.ledger().now(),
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

    pub(in crate::hub) fn ledger(&self) -> &Rc<Ledger> {
        self.held.ledger()
    }
}

/// What a segment takes besides its bytes.
const SEGMENT_BYTES: usize = size_of::<Segment>() + 2 * size_of::<usize>();

#[cfg(test)]
pub(in crate::hub) mod tests {
    use super::*;
    use crate::hub::bounds::budget::Budget;

    pub(in crate::hub) fn segment(bytes: &[u8]) -> Rc<Segment> {
        let ledger = Ledger::new(Budget::new(u64::MAX));
        Segment::of_its_own(Bytes::copy_from_slice(bytes), &ledger)
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
        let shared = Segment::shared(Bytes::from_static(b"hello"), &ledger);
        assert_eq!(held(), 2 * SEGMENT_BYTES as u64 + 5);
        drop((own, shared));
        assert_eq!(held(), 0);
    }
}
