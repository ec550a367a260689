//! The bounded queue of encoded bytes waiting to be written to one connection.
//!
//! This is the only place where memory is held on behalf of a peer that reads slowly. It is pure:
//! it performs no I/O, reads no clock and never waits. Everything that goes to the socket goes
//! through it, or past it while it is empty, so frames cannot interleave, and a frame is never
//! torn: the front remembers how much of it is out.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};

/// Runs of whole frames queued for one connection, in the order in which they are written:
///
/// ```text
/// [the front, if part of it is out] [control frames: at most 32] [segments, oldest first] [Close]
/// ```
///
/// Invariant: `bytes` is the sum of the lengths in `queue`; no element of `queue` is empty.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Control frames in the queue of which no byte is out yet.
    control: u8,
    /// Part of the front is out.
    is_front_torn: bool,
    /// A Close is the last of the queue, or was: nothing more is accepted.
    is_sealed: bool,
}

impl Outbox {
    /// Queues a segment: one or more whole frames.
    pub(super) fn push(&mut self, segment: Bytes) {
        if !self.is_sealed {
            self.bytes += segment.len();
            self.queue.push_back(segment);
        }
    }

    /// Queues the rest of frames of which some bytes are out already.
    pub(super) fn push_rest(&mut self, rest: Bytes) {
        debug_assert!(self.queue.is_empty(), "they were written past the queue");
        self.push(rest);
        self.is_front_torn = !self.queue.is_empty();
    }

    /// Queues a Ping or Pong ahead of all segments, but never inside a frame.
    ///
    /// Pongs are kept in order; beyond 32 of them only the latest, which answers the others too
    /// (RFC 6455 §5.5.3), so that a flood of pings costs no memory.
    pub(super) fn push_control(&mut self, frame: Bytes) {
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
            self.queue.insert(end, frame);
        }
    }

    /// Queues `close` as the last frame; of two, the first wins.
    pub(super) fn seal(&mut self, close: Bytes) {
        self.push(close);
        self.is_sealed = true;
    }

    /// Accepts nothing more, and sends no Close.
    pub(super) fn seal_silently(&mut self) {
        self.is_sealed = true;
    }

    /// Drops everything but a frame that is partly out.
    pub(super) fn discard(&mut self) {
        self.queue.truncate(usize::from(self.is_front_torn));
        self.bytes = self.queue.iter().map(Bytes::len).sum();
        self.control = 0;
    }

    /// Drops everything and accepts nothing more: the socket is broken.
    pub(super) fn abandon(&mut self) {
        *self = Self {
            is_sealed: true,
            ..Self::default()
        };
    }

    /// Memory held for what is not yet written, in bytes: also what an element costs besides its
    /// own, so that many tiny frames can't hold many times what a few large ones can.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes + self.queue.len() * ELEMENT_BYTES
    }

    /// Nothing more is accepted.
    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The queue's only element, if it has one: a plain write is cheaper than a vectored one.
    pub(super) fn only(&self) -> Option<&[u8]> {
        match self.queue.len() {
            1 => Some(&self.queue[0]),
            _ => None,
        }
    }

    /// Fills `slices` from the front; how many.
    pub(super) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.queue);
        pairs
            .map(|(slice, segment)| *slice = IoSlice::new(segment))
            .count()
    }

    /// Takes note that the first `count` bytes are out.
    pub(super) fn written(&mut self, mut count: usize) {
        self.bytes -= count;
        while count > 0 {
            if !self.is_front_torn {
                // A control frame leaves the lane with its first byte.
                self.control = self.control.saturating_sub(1);
            }
            let front = &mut self.queue[0];
            self.is_front_torn = count < front.len();
            if self.is_front_torn {
                return front.advance(count);
            }
            count -= front.len();
            self.queue.pop_front();
        }
    }

    /// Gives back the memory of an empty queue.
    pub(super) fn release(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }
}

/// An element's place in the queue, and the allocation of a small frame. Measured: 100.
pub(super) const ELEMENT_BYTES: usize = 100;

/// Autobahn sends ten pings at once and wants ten pongs; nobody needs more than a few.
const MAX_CONTROL: u8 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::Frame;
    use proptest::prelude::*;

    fn write_all(outbox: &mut Outbox, at_once: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = outbox.fill(&mut slices);
            let bytes: Vec<u8> = slices[..count]
                .iter()
                .flat_map(|slice| slice.to_vec())
                .collect();
            let taken = bytes.len().min(at_once);
            wire.extend(&bytes[..taken]);
            outbox.written(taken);
        }
        wire
    }

    #[test]
    fn control_frames_overtake_segments_but_not_the_frame_that_is_partly_out() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"first"));
        outbox.push(Bytes::from_static(b"second"));
        outbox.written(2);
        outbox.push_control(Bytes::from_static(b"<1>"));
        outbox.push_control(Bytes::from_static(b"<2>"));
        assert_eq!(write_all(&mut outbox, 100), b"rst<1><2>second");
    }

    #[test]
    fn a_control_frame_that_is_partly_out_is_finished_before_the_next() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"data"));
        outbox.push_control(Bytes::from_static(b"<1>"));
        outbox.written(1);
        outbox.push_control(Bytes::from_static(b"<2>"));
        assert_eq!(write_all(&mut outbox, 100), b"1><2>data");
    }

    #[test]
    fn of_a_flood_of_pongs_the_first_ones_and_the_latest_are_kept() {
        let mut outbox = Outbox::default();
        for number in 0..100u8 {
            outbox.push_control(Bytes::copy_from_slice(&[number]));
        }
        assert_eq!(outbox.bytes, 32);
        let mut expected: Vec<u8> = (0..31).collect();
        expected.push(99);
        assert_eq!(write_all(&mut outbox, 100), expected);
    }

    #[test]
    fn an_empty_frame_is_not_free_to_hold() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"\x81\x00"));
        assert_eq!(outbox.held_bytes(), 2 + ELEMENT_BYTES);
        outbox.written(2);
        assert_eq!(outbox.held_bytes(), 0);
    }

    #[test]
    fn the_close_is_last_and_the_first_close_wins() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"data"));
        outbox.seal(Frame::close(1000, "").into_bytes());
        outbox.push(Bytes::from_static(b"late"));
        outbox.push_control(Bytes::from_static(b"late"));
        outbox.seal(Frame::close(1002, "").into_bytes());
        assert_eq!(write_all(&mut outbox, 3), b"data\x88\x02\x03\xE8");
    }

    #[test]
    fn discarding_keeps_the_rest_of_a_frame_that_is_partly_out() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"first"));
        outbox.push(Bytes::from_static(b"second"));
        outbox.written(2);
        outbox.discard();
        outbox.seal(Frame::close(4008, "").into_bytes());
        assert_eq!(write_all(&mut outbox, 100), b"rst\x88\x02\x0F\xA8");
    }

    proptest! {
        #[test]
        fn short_writes_lose_and_repeat_nothing(
            operations in proptest::collection::vec((0..3u8, 1..20usize), 1..60),
        ) {
            let mut outbox = Outbox::default();
            let (mut pushed, mut wire) = (0, Vec::new());
            for (operation, size) in operations {
                match operation {
                    0 => outbox.push(Bytes::from(vec![b'd'; size])),
                    1 => outbox.push_control(Bytes::from(vec![b'c'; size])),
                    _ => {
                        let count = size.min(outbox.bytes);
                        wire.resize(wire.len() + count, b'w');
                        outbox.written(count);
                        continue;
                    }
                }
                pushed += size;
                prop_assert_eq!(outbox.queue.iter().map(Bytes::len).sum::<usize>(), outbox.bytes);
            }
            prop_assert_eq!(wire.len() + outbox.bytes, pushed);
        }
    }
}
