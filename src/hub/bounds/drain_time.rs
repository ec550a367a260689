//! The time for a drain, and who gets how much of it.

use std::time::Duration;

/// The time for a drain, and the parts of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainTime(pub(crate) Duration);

impl DrainTime {
    /// Returns the part of a server's drain in which requests that are under way are answered, before
    /// its hub is drained.
    pub(crate) fn for_requests(self) -> Duration {
        self.0 / 2
    }

    /// Returns the part of a hub's drain in which every shard is to stop reading.
    pub(in crate::hub) fn for_stopping(self) -> Duration {
        self.0 / 4
    }

    /// Returns the part of a hub's drain that a closing handshake may take: what the shards need to
    /// stop leaves a little more.
    pub(crate) fn for_closing(self) -> Duration {
        self.0 / 3 * 2
    }
}
