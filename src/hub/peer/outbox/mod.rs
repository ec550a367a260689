//! The bounded queue of encoded bytes waiting to be written to one connection.
//!
//! This is the only place where memory is held on behalf of a peer that reads slowly. It is pure:
//! it performs no I/O, reads no clock and never waits. Everything that goes to the socket goes
//! through it, or past it while it is empty, so frames cannot interleave, and a frame is never
//! torn: it remembers how much of the front is out.

use std::{collections::VecDeque, io::IoSlice, mem, rc::Rc};

use crate::hub::{
    bounds::ledger::{Held, Ledger, Moment},
    publication::segment::{Content, Segment},
};

/// Runs of whole frames queued for one connection, in the order in which they are written:
///
/// ```text
/// [the front, if part of it is out] [control frames: at most 32] [segments, oldest first] [Close]
/// ```
///
/// Invariants: `bytes` is the sum of the lengths in `queue` less `written`, which is less than the
/// length of the front; no element of `queue` is empty.
#[derive(Debug, Default)]
pub(in crate::hub) struct Outbox {
    queue: VecDeque<Rc<Segment>>,
    bytes: usize,
    /// The charge for the capacity of a queue that has more than most.
    capacity_charge: Option<Box<Held>>,
    /// Bytes of the front that are out.
    written: usize,
    /// Control frames in the queue of which no byte is out yet.
    control: u8,
    /// Part of the front is out, or it is the rest of something of which part is.
    is_front_torn: bool,
    /// A Close is the last of the queue, or was: nothing more is accepted.
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

    /// Queues the rest of frames of which some bytes are out already.
    pub(in crate::hub) fn push_rest(&mut self, rest: Rc<Segment>) {
        debug_assert!(self.queue.is_empty(), "they were written past the queue");
        self.push(rest);
        self.is_front_torn = !self.queue.is_empty();
    }

    /// Queues a Ping or Pong ahead of all segments, but never inside a frame.
    ///
    /// Pongs are kept in order; beyond 32 of them only the latest, which answers the others too
    /// (RFC 6455 §5.5.3), so that a flood of pings costs no memory.
    pub(in crate::hub) fn push_control(&mut self, frame: Rc<Segment>) {
        if self.is_sealed {
            return;
        }
        let end = usize::from(self.is_front_torn) + usize::from(self.control);
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

    /// Queues `close` as the last frame; of two, the first wins.
    pub(in crate::hub) fn seal(&mut self, close: Rc<Segment>) {
        self.push(close);
        self.is_sealed = true;
    }

    /// Accepts nothing more, and sends no Close.
    pub(in crate::hub) fn seal_silently(&mut self) {
        self.is_sealed = true;
    }

    /// Drops everything but a frame that is partly out. Returns what it would have brought.
    pub(in crate::hub) fn discard(&mut self) -> Content {
        let kept = usize::from(self.is_front_torn);
        let dropped = self.queue.iter().skip(kept);
        let dropped = dropped.fold(Content::default(), |sum, segment| {
            sum.and(segment.content())
        });
        self.queue.truncate(kept);
        let front = self.queue.front();
        self.bytes = front.map_or(0, |front| front.len() - self.written);
        self.control = 0;
        self.give_back_capacity();
        dropped
    }

    /// Drops everything and accepts nothing more: the socket is broken.
    pub(in crate::hub) fn abandon(&mut self) {
        *self = Self {
            is_sealed: true,
            ..Self::default()
        };
    }

    /// Memory held for what is not yet written, in bytes: also what a delivery costs besides its
    /// own, so that many tiny frames can't hold many times what a few large ones can.
    pub(in crate::hub) fn held_bytes(&self) -> usize {
        self.bytes + self.queue.len() * DELIVERY_BYTES
    }

    /// Returns when the oldest of what waits was queued.
    pub(in crate::hub) fn oldest(&self) -> Option<Moment> {
        let front = self.queue.front()?.queued();
        // Control frames overtake, also one of which a part is out.
        let overtaken = usize::from(self.is_front_torn) + usize::from(self.control);
        let first = self.queue.get(overtaken);
        Some(first.map_or(front, |first| first.queued().earlier(front)))
    }

    /// Nothing more is accepted.
    pub(in crate::hub) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Part of a frame is out, and the rest of it is not.
    pub(in crate::hub) fn is_front_torn(&self) -> bool {
        self.is_front_torn
    }

    /// The queue's only element, if it has one: a plain write is cheaper than a vectored one.
    pub(in crate::hub) fn only(&self) -> Option<&[u8]> {
        match self.queue.len() {
            1 => Some(&self.queue[0].bytes()[self.written..]),
            _ => None,
        }
    }

    /// Fills `slices` from the front; how many.
    pub(in crate::hub) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut out = self.written;
        let pairs = slices.iter_mut().zip(&self.queue);
        pairs
            .map(|(slice, segment)| {
                *slice = IoSlice::new(&segment.bytes()[mem::take(&mut out)..]);
            })
            .count()
    }

    /// Takes note that the first `count` bytes are out.
    pub(in crate::hub) fn written(&mut self, count: usize) {
        self.bytes -= count;
        // Of the front, counted from its beginning.
        let mut count = count + self.written;
        while count > 0 {
            if !self.is_front_torn {
                // A control frame leaves the lane with its first byte.
                self.control = self.control.saturating_sub(1);
            }
            let front = self.queue[0].len();
            self.is_front_torn = count < front;
            if self.is_front_torn {
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

    /// Makes room for one element more, and not for twice as many as there are.
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

    fn has_spare_capacity(&self) -> bool {
        let capacity = self.queue.capacity();
        capacity > COMMON_CAPACITY && self.queue.len() * 9 / 4 < capacity
    }

    #[cold]
    fn give_back_capacity(&mut self) {
        self.queue.shrink_to(self.queue.len() * 3 / 2);
        if self.queue.capacity() <= COMMON_CAPACITY {
            self.capacity_charge = None;
        } else if let Some(charge) = &mut self.capacity_charge {
            charge.set(self.queue.capacity() * size_of::<Rc<Segment>>());
        }
    }

    /// Gives back the memory of an empty queue.
    pub(in crate::hub) fn release(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
            self.capacity_charge = None;
        }
    }
}

/// What a delivery that waits may hold besides the bytes of its messages: its place in the queue,
/// and a part of what it takes to share them.
pub(in crate::hub) const DELIVERY_BYTES: usize = 96;

/// Capacity for so many elements is part of what every connection may hold.
const COMMON_CAPACITY: usize = 64;

/// Autobahn sends ten pings at once and wants ten pongs; nobody needs more than a few.
const MAX_CONTROL: u8 = 32;

#[cfg(test)]
mod tests;
