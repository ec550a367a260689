//! How the writing to a peer stands, and the reading that depends on it.

use std::time::Instant;

/// How the writing to a peer stands.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// It waits for its turn in the shard's ring.
    pub(super) is_in_ring: bool,
    /// What it was answered and has not taken, in bytes held; zero again when all is written.
    pub(super) owed_bytes: usize,
    pub(super) reading: Reading,
    /// The socket took something since the last sweep.
    pub(super) has_taken: bool,
    /// The socket takes no more, since then; the connection's task is woken when it does.
    pub(super) blocked_since: Option<Instant>,
}

/// Whether a peer's task reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    GoesOn,
    /// Not until its publication has room in the hub.
    HeldByHub,
    /// Not until all of the outbox is written.
    HeldByOutbox,
}
