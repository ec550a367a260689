//! The message that a peer is sending: since when, and how much memory is held for it.

use std::num::NonZeroU32;

use crate::hub::bounds::ledger::Moment;

/// A message that the peer has begun to send and not ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct Unfinished {
    /// The moment at which the peer began the message.
    pub(in crate::hub) since: Moment,
    /// Bytes held for the message so far, plus one. As this is never zero, an `Option<Unfinished>`
    /// takes no more memory than an `Unfinished`.
    held: NonZeroU32,
}

impl Unfinished {
    pub(in crate::hub) fn new(since: Moment, held_bytes: usize) -> Self {
        let held = NonZeroU32::MIN;
        let mut unfinished = Self { since, held };
        unfinished.set_held(held_bytes);
        unfinished
    }

    /// Returns how many bytes are held for the message so far.
    pub(in crate::hub) fn held_bytes(self) -> usize {
        self.held.get() as usize - 1
    }

    pub(in crate::hub) fn set_held(&mut self, bytes: usize) {
        // A message has at most 64 MiB.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.held = NonZeroU32::MIN.saturating_add(bytes);
    }
}
