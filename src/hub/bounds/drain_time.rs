//! The time for a drain, and its division among the parts of the drain.

use std::time::Duration;

/// The whole time that a drain may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainTime(pub(crate) Duration);

impl DrainTime {
    /// Returns the time that a draining server has to answer the requests that are under way,
    /// before it drains its hub.
    pub(crate) fn for_requests(self) -> Duration {
        self.0 / 2
    }

    /// Returns the longest time that a draining hub waits for its shards to stop reading.
    pub(in crate::hub) fn for_stopping(self) -> Duration {
        self.0 / 4
    }

    /// Returns the time that a closing handshake may take while the hub is drained: two thirds of
    /// the drain time. The handshakes begin when every shard has stopped reading, but at the latest
    /// after a quarter of the drain time. So all of them end within the drain time.
    pub(crate) fn for_closing(self) -> Duration {
        self.0 / 3 * 2
    }
}
