//! The receive buffer that all connections of a shard share.
//!
//! A connection holds it during one poll of its task and leaves it empty, so an idle connection
//! costs no buffer at all.

use std::ops::ControlFlow;

use bytes::Bytes;
use tokio::io::ReadBuf;

use crate::{
    hub::{measured::Count, peer::replies},
    wire::{fast_path, fast_path::Head, frame::Kind, validator::MessageLimits},
};

/// Bytes received for the connection whose turn it is.
///
/// Invariant: nothing is received before all that was kept is lent, so what is in the buffer is
/// followed by the rest of that.
#[derive(Debug)]
pub(crate) struct Receive {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// What the connection has kept from its last turn.
    kept: Bytes,
    /// How much of that was copied into the buffer.
    lent: usize,
    has_received: bool,
    /// What the turn may receive at a time, and in all, in bytes.
    share: usize,
    /// How much it may still receive; the last receive may be beyond it.
    left: usize,
    /// Bytes copied from one place to another.
    pub(in crate::hub) copies: Count,
}

impl Receive {
    pub(in crate::hub) fn new() -> Self {
        Self {
            buffer: vec![0; RECEIVE_BYTES].into(),
            start: 0,
            end: 0,
            kept: Bytes::new(),
            lent: 0,
            has_received: false,
            share: 0,
            left: 0,
            copies: Count::new(),
        }
    }

    /// Begins a connection's turn with what it [kept](Self::end_turn) from the one before. It may
    /// receive `share` bytes.
    ///
    /// Whatever a turn that ended in a panic left behind is gone with this.
    pub(crate) fn begin_turn(&mut self, kept: Bytes, share: usize) {
        self.clear();
        (self.kept, self.lent) = (kept, 0);
        self.has_received = false;
        (self.share, self.left) = (share, share);
    }

    /// Ends the turn: what the connection did not take, for its next turn.
    pub(crate) fn end_turn(&mut self) -> Bytes {
        let left = self.end - self.start;
        let kept = if left == 0 && self.lent == self.kept.len() {
            Bytes::new()
        } else if self.has_received {
            self.copies.add(left);
            Bytes::copy_from_slice(&self.buffer[self.start..self.end])
        } else {
            // As it was lent, and what follows it.
            self.kept.slice(self.lent - left..)
        };
        (self.kept, self.lent) = (Bytes::new(), 0);
        self.clear();
        kept
    }

    pub(in crate::hub) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Returns how much there is that was not taken, what was kept included.
    pub(in crate::hub) fn left(&self) -> usize {
        self.end - self.start + self.kept.len() - self.lent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Puts more of what was kept into the buffer, behind what is there. Returns false if there is
    /// no more.
    pub(in crate::hub) fn lend(&mut self) -> bool {
        if self.lent == self.kept.len() {
            return false;
        }
        if self.is_empty() {
            self.clear();
        }
        let rest = &self.kept[self.lent..];
        let len = rest.len().min(LENT_BYTES).min(self.buffer.len() - self.end);
        self.buffer[self.end..self.end + len].copy_from_slice(&rest[..len]);
        self.copies.add(len);
        (self.lent, self.end) = (self.lent + len, self.end + len);
        len > 0
    }

    /// Hands out as much as fits, at most 16 KiB: fastwebsockets doubles a buffer that is filled
    /// to the brim, and never shrinks it.
    pub(crate) fn take(&mut self, into: &mut ReadBuf<'_>) {
        let len = (self.end - self.start)
            .min(into.remaining())
            .min(TAKE_BYTES);
        into.put_slice(&self.buffer[self.start..self.start + len]);
        self.copies.add(len);
        self.start += len;
    }

    /// False if the turn has received its share and must end: the others have theirs first.
    pub(crate) fn may_receive(&self) -> bool {
        self.left > 0
    }

    /// Returns true if nothing may be received in this turn at all.
    pub(in crate::hub) fn is_shut(&self) -> bool {
        self.share == 0
    }

    /// The empty buffer, to be filled from the socket.
    pub(in crate::hub) fn space(&mut self) -> &mut [u8] {
        debug_assert!(self.is_empty(), "what was received before was taken");
        self.clear();
        &mut self.buffer[..self.share]
    }

    /// Makes room behind a part of a frame that is `wire_len` bytes long, for the rest of it. Returns
    /// false if the whole would not fit.
    pub(in crate::hub) fn make_room(&mut self, wire_len: usize) -> bool {
        if wire_len > self.buffer.len() {
            return false;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.copies.add(self.end - self.start);
        (self.start, self.end) = (0, self.end - self.start);
        true
    }

    /// The room behind what is there, to be filled from the socket.
    pub(in crate::hub) fn space_behind(&mut self) -> &mut [u8] {
        &mut self.buffer[self.end..]
    }

    /// Takes note of what was filled into the space that was handed out.
    pub(in crate::hub) fn received(&mut self, len: usize) {
        self.has_received |= len > 0;
        self.end += len;
        self.left = self.left.saturating_sub(len.max(MIN_RECEIVE_BYTES));
    }

    /// Hands every whole plain message at the head to `take`, until that breaks off.
    pub(in crate::hub) fn take_plain(
        &mut self,
        limits: MessageLimits,
        take: &mut impl FnMut(Kind, &[u8]) -> ControlFlow<()>,
    ) -> Taken {
        loop {
            match fast_path::head(&mut self.buffer[self.start..self.end], limits) {
                Head::Message {
                    kind,
                    payload,
                    wire_len,
                } => {
                    let flow = take(kind, payload);
                    self.start += wire_len;
                    if flow.is_break() {
                        return Taken::Enough;
                    }
                }
                Head::Part { wire_len } => return Taken::AllBut { wire_len },
                Head::Other => return Taken::All,
            }
        }
    }
}

/// Why no more plain messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum Taken {
    /// What follows, if anything does, is something for the gate.
    All,
    /// What follows is a part of one, whose frame will be `wire_len` bytes long.
    AllBut { wire_len: usize },
    /// Whoever takes them has broken off.
    Enough,
}

/// One receive, and what ends a turn when it has received so much: what a pipelining client has in
/// flight, and a message of the default limit with what has arrived behind it. Measured: with a
/// quarter of that, echoes of 64 KiB cost 10 % more; with half of it, 16 messages of 16 KiB take a
/// third more system calls. The last 8 KiB are for their headers: they are not to become fifteen
/// and a rest.
pub(in crate::hub) const RECEIVE_BYTES: usize = 264 * 1024;

const _: () = assert!(RECEIVE_BYTES == replies::MAX_BYTES);

/// The share of a short turn.
pub(in crate::hub) const SHORT_SHARE_BYTES: usize = 32 * 1024;

/// What was kept is copied so much at a time: a turn may be over before it has taken all of it.
const LENT_BYTES: usize = 32 * 1024;

const TAKE_BYTES: usize = 16 * 1024;

/// What a receive counts for at least: a stream that always has a byte ready is held up, too.
const MIN_RECEIVE_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(receive: &mut Receive, room: usize) -> Vec<u8> {
        let mut bytes = vec![0; room];
        let mut buf = ReadBuf::new(&mut bytes);
        receive.take(&mut buf);
        buf.filled().to_vec()
    }

    fn fill(receive: &mut Receive, bytes: &[u8]) {
        receive.space()[..bytes.len()].copy_from_slice(bytes);
        receive.received(bytes.len());
    }

    #[test]
    fn what_a_turn_leaves_comes_first_in_the_next() {
        let mut receive = Receive::new();
        receive.begin_turn(Bytes::new(), RECEIVE_BYTES);
        fill(&mut receive, b"hello");
        assert_eq!(take(&mut receive, 2), b"he");
        let kept = receive.end_turn();
        receive.begin_turn(Bytes::from_static(b"somebody else's"), RECEIVE_BYTES);
        receive.begin_turn(kept, RECEIVE_BYTES);
        assert!(receive.lend());
        assert_eq!(take(&mut receive, 100), b"llo");
        assert!(receive.is_empty() && !receive.lend());
        assert_eq!(receive.end_turn(), b""[..]);
    }

    #[test]
    fn what_was_kept_is_lent_in_parts_and_all_that_was_not_taken_is_kept_again() {
        let bytes: Bytes = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
        let mut receive = Receive::new();
        let (mut kept, mut taken) = (bytes.clone(), Vec::new());
        for turn in 0.. {
            receive.begin_turn(kept, RECEIVE_BYTES);
            while receive.lend() && taken.len() < bytes.len() {
                let part = take(&mut receive, 1_000 + turn);
                taken.extend(part);
                if turn % 2 == 0 {
                    break;
                }
                while !receive.is_empty() {
                    taken.extend(take(&mut receive, 7_000));
                }
            }
            kept = receive.end_turn();
            if kept.is_empty() {
                break;
            }
        }
        assert!(taken == bytes);
    }

    #[test]
    fn what_comes_behind_what_was_kept_is_kept_with_it() {
        let mut receive = Receive::new();
        receive.begin_turn(Bytes::from_static(b"begin"), RECEIVE_BYTES);
        assert!(receive.lend());
        assert!(receive.make_room(10));
        receive.space_behind()[..3].copy_from_slice(b"end");
        receive.received(3);
        assert_eq!(take(&mut receive, 1), b"b");
        assert_eq!(receive.end_turn(), b"eginend"[..]);
    }

    #[test]
    fn a_turn_ends_when_it_has_received_its_share_or_has_asked_for_it_too_often() {
        let mut receive = Receive::new();
        receive.begin_turn(Bytes::new(), RECEIVE_BYTES);
        receive.received(RECEIVE_BYTES - 1);
        assert!(receive.may_receive());
        receive.clear();
        receive.received(1);
        assert!(!receive.may_receive());
        receive.begin_turn(Bytes::new(), RECEIVE_BYTES);
        let receives = (0..).take_while(|_| {
            let granted = receive.may_receive();
            receive.clear();
            receive.received(1);
            granted
        });
        assert_eq!(receives.count(), 66);
    }
}
