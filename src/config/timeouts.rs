//! Timeouts of requests, of connections and of slow consumers.

use std::time::Duration;

use crate::config::invalid::{InvalidSetting, in_time};

/// Timeouts of requests, of connections and of slow consumers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// Time for the head of a request, to its last byte: from when the connection is accepted for
    /// the first one, and from its first byte for each later one. As much again for its body.
    /// Default: 5 s.
    ///
    /// `--request-timeout`
    pub request: Duration,
    /// Time of silence after which a connection is sent a Ping. Default: 25 s.
    ///
    /// `--ping-after`
    pub ping_after: Duration,
    /// Time after a Ping in which a connection must send something, or it is ended. Default: 10 s.
    ///
    /// `--pong-within`
    pub pong_within: Duration,
    /// Time for the closing handshake. Default: 5 s.
    ///
    /// `--close-timeout`
    pub close: Duration,
    /// Time without a successful write after which a subscriber is ended whose outbox is over its
    /// [limit](crate::Limits::outbox_bytes). Default: 1 s.
    ///
    /// `--slow-after`
    pub blocked: Duration,
    /// Age of the oldest message in a subscriber's outbox above which the subscriber is ended.
    /// Default: 30 s.
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
