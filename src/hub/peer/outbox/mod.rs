//! The outbox: the bounded queue of encoded frames that wait to be written to one connection.
//!
//! This is the only place where memory is held on behalf of a peer that reads slowly. It is pure:
//! it performs no I/O, reads no clock and never waits.
//!
//! All bytes for the socket pass through the outbox, or are written directly while it is empty, so
//! frames never interleave. The outbox knows how many bytes of its first segment are written, so
//! nothing is inserted inside a frame.

use std::{collections::VecDeque, io::IoSlice, mem, rc::Rc};

use crate::hub::{
    bounds::ledger::{Held, Ledger, Moment},
    publication::segment::{Content, Segment},
};

/// Segments queued for one connection, in the order in which they are written:
///
/// ```text
/// [the front, if partly written] [control frames: at most 32] [segments, oldest first] [Close]
/// ```
///
/// Invariants: `bytes` is the sum of the lengths of the segments in `queue`, minus `written`.
/// `written` is smaller than the length of the front. No element of `queue` is empty.
#[derive(Debug, Default)]
pub(in crate::hub) struct Outbox {
    queue: VecDeque<Rc<Segment>>,
    /// Number of bytes that are not written yet.
    bytes: usize,
    /// The charge for the queue's capacity, if that exceeds [`COMMON_CAPACITY`].
    capacity_charge: Option<Box<Held>>,
    /// Number of bytes that are written of the front, which is the first segment in the queue.
    written: usize,
    /// Number of control frames in the queue of which no byte is written yet.
    control: u8,
    /// True if a part of the front is written, or the front is the rest of replies whose first part
    /// was written directly.
    is_front_partly_written: bool,
    /// True if nothing more is accepted: a Close is queued as the last element or was written, or
    /// no Close is to be sent.
    is_sealed: bool,
}

impl Outbox {
    /// Queues a segment: one or more whole frames.
    pub(in crate::hub) fn push(&mut self, segment: Rc<Segment>) {
        if !self.is_sealed {
            self.bytes += segment.len();
            self.reserve_one(segment.ledger());
            self.queue.push_back(segment);
        }
    }

    /// Queues the unwritten rest of replies, whose first bytes were written directly to the socket.
    pub(in crate::hub) fn push_rest(&mut self, rest: Rc<Segment>) {
        debug_assert!(self.queue.is_empty(), "only an empty outbox is bypassed");
        self.push(rest);
        self.is_front_partly_written = !self.queue.is_empty();
    }

    /// Queues a Ping or Pong ahead of all segments, but never inside a frame.
    ///
    /// Control frames are kept in order. When 32 of them wait, a new one replaces the last of them.
    /// A Pong that replaces another one also answers the Ping that the other was for (RFC 6455
    /// §5.5.3). So a flood of Pings costs no memory.
    pub(in crate::hub) fn push_control(&mut self, frame: Rc<Segment>) {
        if self.is_sealed {
            return;
        }
        // The index behind the control frames that are queued already.
        let end = usize::from(self.is_front_partly_written) + usize::from(self.control);
        self.bytes += frame.len();
        if self.control == MAX_CONTROL {
            self.bytes -= self.queue[end - 1].len();
            self.queue[end - 1] = frame;
        } else {
            self.control += 1;
            self.reserve_one(frame.ledger());
            self.queue.insert(end, frame);
        }
    }

    /// Queues `close` as the last frame. After that nothing is accepted, not even a second Close.
    pub(in crate::hub) fn seal(&mut self, close: Rc<Segment>) {
        self.push(close);
        self.is_sealed = true;
    }

    /// Seals the outbox without a Close: nothing more is accepted.
    pub(in crate::hub) fn seal_silently(&mut self) {
        self.is_sealed = true;
    }

    /// Drops everything except a front that is partly written, because the socket is inside a
    /// frame. Returns how many published messages were dropped, and their topic.
    pub(in crate::hub) fn discard(&mut self) -> Content {
        let kept = usize::from(self.is_front_partly_written);
        let dropped = content(self.queue.iter().skip(kept));
        self.queue.truncate(kept);
        let front = self.queue.front();
        self.bytes = front.map_or(0, |front| front.len() - self.written);
        self.control = 0;
        self.give_back_capacity();
        dropped
    }

    /// Returns how many published messages are not written as a whole yet, and their topic.
    pub(in crate::hub) fn content(&self) -> Content {
        content(self.queue.iter())
    }

    /// Drops everything and accepts nothing more, because nothing will be written any more.
    pub(in crate::hub) fn abandon(&mut self) {
        *self = Self {
            is_sealed: true,
            ..Self::default()
        };
    }

    /// Returns how many bytes of memory are held for the queue. Each element counts
    /// [`DELIVERY_BYTES`] besides its length, so that many tiny frames can't hold far more memory
    /// than a few large ones.
    pub(in crate::hub) fn held_bytes(&self) -> usize {
        self.bytes + self.queue.len() * DELIVERY_BYTES
    }

    /// Returns the moment at which the oldest element was queued, or `None` if the queue is empty.
    pub(in crate::hub) fn oldest(&self) -> Option<Moment> {
        let front = self.queue.front()?.queued();
        // The front may be a control frame, which has overtaken older segments. The oldest of these
        // is the first one behind all control frames.
        let overtaken = usize::from(self.is_front_partly_written) + usize::from(self.control);
        let first = self.queue.get(overtaken);
        Some(first.map_or(front, |first| first.queued().earlier(front)))
    }

    /// Returns true if nothing more is accepted.
    pub(in crate::hub) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns true if the front is partly written, so that the socket may be inside a frame.
    pub(in crate::hub) fn is_front_partly_written(&self) -> bool {
        self.is_front_partly_written
    }

    /// Returns the unwritten bytes of the queue's only element, or `None` if the queue has no
    /// element or several. A plain write of one element is cheaper than a vectored write.
    pub(in crate::hub) fn only(&self) -> Option<&[u8]> {
        match self.queue.len() {
            1 => Some(&self.queue[0].bytes()[self.written..]),
            _ => None,
        }
    }

    /// Sets `slices` to the unwritten bytes of the first segments of the queue, one slice for each
    /// segment. Returns the number of slices set.
    pub(in crate::hub) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        // Only the first slice skips written bytes: `take` leaves 0 for the others.
        let mut written = self.written;
        let pairs = slices.iter_mut().zip(&self.queue);
        pairs
            .map(|(slice, segment)| {
                *slice = IoSlice::new(&segment.bytes()[mem::take(&mut written)..]);
            })
            .count()
    }

    /// Removes the first `count` bytes of the queue, which the caller has written.
    pub(in crate::hub) fn written(&mut self, count: usize) {
        self.bytes -= count;
        // From here on, `count` is counted from the beginning of the front.
        let mut count = count + self.written;
        while count > 0 {
            if !self.is_front_partly_written {
                // A control frame that has begun is no longer counted.
                self.control = self.control.saturating_sub(1);
            }
            let front = self.queue[0].len();
            self.is_front_partly_written = count < front;
            if self.is_front_partly_written {
                self.written = count;
                return;
            }
            self.written = 0;
            count -= front;
            self.queue.pop_front();
        }
        if self.has_spare_capacity() {
            self.give_back_capacity();
        }
    }

    /// Reserves capacity for one more element. A full queue grows by half of its length. A
    /// `VecDeque` by itself would double its capacity.
    #[inline]
    fn reserve_one(&mut self, ledger: &Rc<Ledger>) {
        if self.queue.len() == self.queue.capacity() {
            self.grow(ledger);
        }
    }

    #[cold]
    fn grow(&mut self, ledger: &Rc<Ledger>) {
        self.queue.reserve_exact((self.queue.len() / 2).max(4));
        if self.queue.capacity() > COMMON_CAPACITY {
            let charge = self
                .capacity_charge
                .get_or_insert_with(|| Box::new(ledger.hold(0)));
            charge.set(self.queue.capacity() * size_of::<Rc<Segment>>());
        }
    }

    /// Returns true if the queue is so much shorter than its capacity that it should shrink.
    fn has_spare_capacity(&self) -> bool {
        let capacity = self.queue.capacity();
        capacity > COMMON_CAPACITY && self.queue.len() * 9 / 4 < capacity
    }

    /// Shrinks the queue to a capacity of one and a half times its length.
    #[cold]
    fn give_back_capacity(&mut self) {
        self.queue.shrink_to(self.queue.len() * 3 / 2);
        if self.queue.capacity() <= COMMON_CAPACITY {
            self.capacity_charge = None;
        } else if let Some(charge) = &mut self.capacity_charge {
            charge.set(self.queue.capacity() * size_of::<Rc<Segment>>());
        }
    }

    /// Frees the memory of an empty queue.
    pub(in crate::hub) fn release(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
            self.capacity_charge = None;
        }
    }
}

/// Returns how many published messages these segments have, and their topic.
fn content<'a>(segments: impl Iterator<Item = &'a Rc<Segment>>) -> Content {
    segments.fold(Content::default(), |sum, segment| {
        sum.and(segment.content())
    })
}

/// Bytes of memory that a queued segment may hold besides its frames: its entry in the queue, and a
/// part of the overhead of the shared segment.
pub(in crate::hub) const DELIVERY_BYTES: usize = 96;

/// Greatest capacity of the queue, in elements, that has no charge of its own. The charge that
/// every connection has from its begin includes the memory for so many elements.
const COMMON_CAPACITY: usize = 64;

/// Greatest number of Pings and Pongs in the queue. Autobahn sends ten Pings one right after the
/// other and expects ten Pongs, and few clients need more.
const MAX_CONTROL: u8 = 32;

#[cfg(test)]
mod tests;
