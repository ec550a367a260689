//! The outcome of a drain: how the connections of a hub have ended in it.

use crate::metrics::counter::SharedCounter;

/// Counters of the connections that have ended during a drain.
#[derive(Debug, Default)]
pub(crate) struct DrainedCounts {
    closed: SharedCounter,
    cut: SharedCounter,
    undelivered: SharedCounter,
}

/// The connections that have ended during a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Connections whose closing handshake was complete in time, or whose client left by itself.
    pub(crate) closed: u64,
    /// Connections that were ended because their closing handshake took too long.
    pub(crate) cut: u64,
    /// Published messages that waited in the outboxes of connections that were cut.
    pub(crate) undelivered: u64,
}

impl DrainedCounts {
    /// Counts a connection that has ended. `is_orderly` is true if its closing handshake was
    /// complete in time, and `undelivered` the number of messages left in its outbox.
    pub(crate) fn count(&self, is_orderly: bool, undelivered: u64) {
        let counter = if is_orderly { &self.closed } else { &self.cut };
        counter.increment();
        self.undelivered.add(undelivered);
    }

    pub(crate) fn get(&self) -> Drained {
        Drained {
            closed: self.closed.get(),
            cut: self.cut.get(),
            undelivered: self.undelivered.get(),
        }
    }
}
