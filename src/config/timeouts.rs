//! How long things may take.

use std::time::Duration;

use crate::config::invalid::{InvalidSetting, in_time};

/// How long things may take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// For the head of a request, from when it is waited for to its last byte, and as long again
    /// for its body. Default: 5 s.
    ///
    /// `--request-timeout`
    pub request: Duration,
    /// A connection that was silent for so long is pinged. Default: 25 s.
    ///
    /// `--ping-after`
    pub ping_after: Duration,
    /// A connection that stays silent for so long after a ping is ended. Default: 10 s.
    ///
    /// `--pong-within`
    pub pong_within: Duration,
    /// For the closing handshake. Default: 5 s.
    ///
    /// `--close-timeout`
    pub close: Duration,
    /// A subscriber whose outbox is over its bound is ended when its socket has taken nothing
    /// for so long. Default: 1 s.
    ///
    /// `--slow-after`
    pub blocked: Duration,
    /// A subscriber whose oldest waiting message is older than this is ended. Default: 30 s.
    ///
    /// `--max-behind`
    pub behind: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            ping_after: Duration::from_secs(25),
            pong_within: Duration::from_secs(10),
            close: Duration::from_secs(5),
            blocked: Duration::from_secs(1),
            behind: Duration::from_secs(30),
        }
    }
}

impl Timeouts {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        in_time("request-timeout", self.request)?;
        in_time("ping-after", self.ping_after)?;
        in_time("pong-within", self.pong_within)?;
        in_time("close-timeout", self.close)?;
        in_time("slow-after", self.blocked)?;
        in_time("max-behind", self.behind)
    }
}
