//! The state of the writing to a peer, and of the reading that depends on it.

use std::time::Instant;

/// The state of the writing to a peer.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// It waits for its turn in the shard's ring.
    pub(super) is_in_ring: bool,
    /// Bytes held for replies that it has not taken; zero again when all is written.
    pub(super) owed_bytes: usize,
    pub(super) reading: ReaderState,
    /// The socket took something since the last sweep.
    pub(super) has_taken: bool,
    /// The socket takes no more, since then; the connection's task is woken when it does.
    pub(super) blocked_since: Option<Instant>,
}

/// The state of a peer's reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReaderState {
    #[default]
    GoesOn,
    /// Not until its publication has room in the hub.
    HeldByHub,
    /// Not until all of the outbox is written.
    HeldByOutbox,
}
