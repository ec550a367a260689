//! The receive buffer that all connections of a shard share.
//!
//! A connection uses it during one poll of its task, and leaves it empty. So an idle connection has
//! no buffer.

use std::ops::ControlFlow;

use bytes::Bytes;
use tokio::io::ReadBuf;

use crate::{
    hub::{measured::Count, peer::replies},
    wire::{fast_path, fast_path::Head, frame::Kind, validator::MessageLimits},
};

/// The receive buffer, with the bytes of the connection whose turn it is.
///
/// The unread bytes of the connection are `buffer[start..end]`, followed by `kept[kept_copied..]`.
///
/// Invariant: nothing is received from the socket before all of `kept` is copied into the buffer.
#[derive(Debug)]
pub(crate) struct Receive {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes that the connection had received and not read when its last turn ended.
    kept: Bytes,
    /// Number of bytes of `kept` that were copied into the buffer.
    kept_copied: usize,
    /// True if bytes were received from the socket in this turn. Until then, all bytes in the
    /// buffer are copies of kept ones.
    has_received: bool,
    /// Number of bytes that the turn may receive with one system call, and with all together.
    share: usize,
    /// Number of bytes that the turn may still receive. The last receive may exceed it.
    share_left: usize,
    /// Number of bytes that were copied into the buffer, within it, or out of it.
    pub(in crate::hub) copies: Count,
}

impl Receive {
    pub(in crate::hub) fn new() -> Self {
        Self {
            buffer: vec![0; RECEIVE_BYTES].into(),
            start: 0,
            end: 0,
            kept: Bytes::new(),
            kept_copied: 0,
            has_received: false,
            share: 0,
            share_left: 0,
            copies: Count::new(),
        }
    }

    /// Begins a connection's turn, which may receive `share` bytes. `kept` are the bytes that the
    /// [end](Self::end_turn) of its last turn has returned.
    ///
    /// Bytes that an earlier turn has left in the buffer, because it has panicked, are dropped.
    pub(crate) fn begin_turn(&mut self, kept: Bytes, share: usize) {
        self.clear();
        (self.kept, self.kept_copied) = (kept, 0);
        self.has_received = false;
        (self.share, self.share_left) = (share, share);
    }

    /// Ends the turn. Returns the bytes that the connection did not take, for its next turn.
    pub(crate) fn end_turn(&mut self) -> Bytes {
        let left = self.end - self.start;
        let kept = if left == 0 && self.kept_copied == self.kept.len() {
            Bytes::new()
        } else if self.has_received {
            self.copies.add(left);
            Bytes::copy_from_slice(&self.buffer[self.start..self.end])
        } else {
            // All bytes in the buffer are copies of kept ones, so the kept ones can be returned.
            self.kept.slice(self.kept_copied - left..)
        };
        (self.kept, self.kept_copied) = (Bytes::new(), 0);
        self.clear();
        kept
    }

    /// Drops the unread bytes in the buffer.
    pub(in crate::hub) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Returns the number of unread bytes, including kept ones that are not in the buffer yet.
    pub(in crate::hub) fn left(&self) -> usize {
        self.end - self.start + self.kept.len() - self.kept_copied
    }

    /// Returns true if no unread bytes are in the buffer. Kept ones may still have to be copied.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Copies more of the kept bytes into the buffer, behind its unread bytes. Returns false if all
    /// of them are copied already, or if the buffer has no space.
    pub(in crate::hub) fn copy_kept(&mut self) -> bool {
        if self.kept_copied == self.kept.len() {
            return false;
        }
        if self.is_empty() {
            self.clear();
        }
        let uncopied = &self.kept[self.kept_copied..];
        let space = self.buffer.len() - self.end;
        let len = uncopied.len().min(PART_BYTES).min(space);
        self.buffer[self.end..self.end + len].copy_from_slice(&uncopied[..len]);
        self.copies.add(len);
        (self.kept_copied, self.end) = (self.kept_copied + len, self.end + len);
        len > 0
    }

    /// Moves as many bytes as fit from the buffer to `into`, but at most 16 KiB: fastwebsockets
    /// doubles a buffer that is filled completely, and never shrinks it.
    pub(crate) fn take(&mut self, into: &mut ReadBuf<'_>) {
        let len = (self.end - self.start)
            .min(into.remaining())
            .min(TAKE_BYTES);
        into.put_slice(&self.buffer[self.start..self.start + len]);
        self.copies.add(len);
        self.start += len;
    }

    /// Returns true if the turn may receive more bytes. If not, it has received its share, and must
    /// end, so that other connections have their turns.
    pub(crate) fn may_receive(&self) -> bool {
        self.share_left > 0
    }

    /// Returns true if the turn was begun without a share, and so may receive nothing at all.
    pub(in crate::hub) fn has_no_share(&self) -> bool {
        self.share == 0
    }

    /// Returns the space to be filled from the socket: the buffer, which must be empty, cut to the
    /// turn's share.
    pub(in crate::hub) fn space(&mut self) -> &mut [u8] {
        debug_assert!(self.is_empty(), "all bytes were taken");
        self.clear();
        &mut self.buffer[..self.share]
    }

    /// Moves the unread bytes, which are the begin of a frame of `wire_len` bytes, to the start of
    /// the buffer, so that the rest of the frame fits behind them. Returns false if the whole
    /// buffer is smaller than the frame.
    pub(in crate::hub) fn make_room(&mut self, wire_len: usize) -> bool {
        if wire_len > self.buffer.len() {
            return false;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.copies.add(self.end - self.start);
        (self.start, self.end) = (0, self.end - self.start);
        true
    }

    /// Returns the space behind the unread bytes, to be filled from the socket.
    pub(in crate::hub) fn space_behind(&mut self) -> &mut [u8] {
        &mut self.buffer[self.end..]
    }

    /// Records that `len` bytes were received into the space that [`space`](Self::space) or
    /// [`space_behind`](Self::space_behind) has returned.
    pub(in crate::hub) fn received(&mut self, len: usize) {
        self.has_received |= len > 0;
        self.end += len;
        self.share_left = self.share_left.saturating_sub(len.max(MIN_RECEIVE_BYTES));
    }

    /// Calls `take` with one plain message after the other (uncompressed, in one frame that has
    /// arrived whole), until `take` breaks off or the next bytes are no plain message. Returns the
    /// reason for the stop.
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

/// The reason why no more plain messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum Taken {
    /// All of them are taken. The slow path must read the bytes that follow, if there are any.
    All,
    /// All but the last are taken. The frame of the last has `wire_len` bytes, of which only a part
    /// is in the buffer.
    AllBut { wire_len: usize },
    /// The closure that takes them has broken off.
    Enough,
}

/// Size of the buffer, and number of bytes that a turn may receive. It is enough for the messages
/// that a pipelining client has in flight, and for a message of the default limit with the bytes
/// that arrive behind it. Measured: with a quarter of this size, echoes of 64 KiB cost 10 % more;
/// with half of it, 16 messages of 16 KiB take a third more system calls. The last 8 KiB are for
/// headers, so that 16 such messages fit, and not 15 and a part of one.
pub(in crate::hub) const RECEIVE_BYTES: usize = 264 * 1024;

// The replies of a turn that echoes all that it has received at once fit into their buffer.
const _: () = assert!(RECEIVE_BYTES == replies::MAX_BYTES);

/// Number of bytes that a short turn may receive.
pub(in crate::hub) const SHORT_SHARE_BYTES: usize = 32 * 1024;

/// Number of kept bytes that are copied at a time, at most. If the turn ends before it has taken
/// more, copying more would have been in vain.
const PART_BYTES: usize = 32 * 1024;

/// Number of bytes that [`Receive::take`] moves at a time, at most.
const TAKE_BYTES: usize = 16 * 1024;

/// The least number of bytes that one receive is charged to the turn's share, so that a client that
/// sends single bytes uses up its share, too.
const MIN_RECEIVE_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `max` bytes, as a reader does that has space for so many.
    fn take(receive: &mut Receive, max: usize) -> Vec<u8> {
        let mut bytes = vec![0; max];
        let mut buf = ReadBuf::new(&mut bytes);
        receive.take(&mut buf);
        buf.filled().to_vec()
    }

    /// Receives `bytes` as if they came from the socket.
    fn fill(receive: &mut Receive, bytes: &[u8]) {
        receive.space()[..bytes.len()].copy_from_slice(bytes);
        receive.received(bytes.len());
    }

    #[test]
    fn bytes_that_a_turn_leaves_come_first_in_the_next_turn() {
        let mut receive = Receive::new();
        receive.begin_turn(Bytes::new(), RECEIVE_BYTES);
        fill(&mut receive, b"hello");
        assert_eq!(take(&mut receive, 2), b"he");
        let kept = receive.end_turn();
        // Another connection begins a turn, and panics before it ends the turn.
        receive.begin_turn(Bytes::from_static(b"somebody else's"), RECEIVE_BYTES);
        receive.begin_turn(kept, RECEIVE_BYTES);
        assert!(receive.copy_kept());
        assert_eq!(take(&mut receive, 100), b"llo");
        assert!(receive.is_empty() && !receive.copy_kept());
        assert_eq!(receive.end_turn(), b""[..]);
    }

    #[test]
    fn kept_bytes_are_copied_in_parts_and_those_not_taken_are_kept_again() {
        let bytes: Bytes = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
        let mut receive = Receive::new();
        let (mut kept, mut taken) = (bytes.clone(), Vec::new());
        // Turns with an even number take a single piece. The others take all bytes that are kept.
        for turn in 0.. {
            receive.begin_turn(kept, RECEIVE_BYTES);
            while receive.copy_kept() && taken.len() < bytes.len() {
                let part = take(&mut receive, 1_000 + turn);
                taken.extend(part);
                if turn % 2 == 0 {
                    break; // The turn ends with unread bytes in the buffer.
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
    fn bytes_received_behind_kept_ones_are_kept_with_them() {
        let mut receive = Receive::new();
        receive.begin_turn(Bytes::from_static(b"begin"), RECEIVE_BYTES);
        assert!(receive.copy_kept());
        assert!(receive.make_room(10));
        receive.space_behind()[..3].copy_from_slice(b"end");
        receive.received(3);
        assert_eq!(take(&mut receive, 1), b"b");
        assert_eq!(receive.end_turn(), b"eginend"[..]);
    }

    #[test]
    fn a_turn_ends_when_it_has_received_its_share_or_has_received_too_often() {
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
        assert_eq!(receives.count(), 66, "each counts as 4 of 264 KiB");
    }
}
