//! The state of writing to a peer, and of reading from it: while too many replies are not written,
//! the peer is not read.

use std::time::Instant;

/// The state of writing to a peer.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// True if the peer is in the shard's ring of peers that wait for a write.
    pub(super) is_in_ring: bool,
    /// Bytes of memory held for the replies that were queued since the outbox was last empty.
    pub(super) reply_bytes: usize,
    pub(super) reading: ReaderState,
    /// True if the socket has taken bytes since the last sweep.
    pub(super) has_taken: bool,
    /// Time at which the socket stopped taking bytes, or `None` if it is not blocked. When it takes
    /// bytes again, it wakes the connection's task.
    pub(super) blocked_since: Option<Instant>,
}

/// The state of a peer's reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReaderState {
    /// The peer is read.
    #[default]
    GoesOn,
    /// Nothing is read until the connection has a permit to publish.
    HeldByHub,
    /// Nothing is read until all of the outbox is written.
    HeldByOutbox,
}
