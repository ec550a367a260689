//! The time for a drain, and its division among the parts of the drain.

use std::time::Duration;

/// The whole time that a drain may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainTime(pub(crate) Duration);

impl DrainTime {
    /// Returns the time in which a draining server answers the requests that are under way, before
    /// it drains its hub.
    pub(crate) fn for_requests(self) -> Duration {
        self.0 / 2
    }

    /// Returns the time in which a draining hub waits until every shard has stopped reading.
    pub(in crate::hub) fn for_stopping(self) -> Duration {
        self.0 / 4
    }

    /// Returns the time that a closing handshake may take while the hub is drained: two thirds of
    /// the time of the drain. At most a quarter has passed before, until the shards have stopped
    /// reading.
    pub(crate) fn for_closing(self) -> Duration {
        self.0 / 3 * 2
    }
}
