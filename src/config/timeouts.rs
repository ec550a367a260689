//! Timeouts of requests, of connections and of slow consumers.

use std::time::Duration;

use crate::config::invalid::{InvalidSetting, in_time};

/// Timeouts of requests, of connections and of slow consumers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// Time for the head of a request: from the moment at which the connection begins to wait for
    /// the head until the last byte of the head has arrived. The body gets as much time again.
    /// Default: 5 s.
    ///
    /// `--request-timeout`
    pub request: Duration,
    /// Time without a byte from the peer after which the server sends it a Ping. Default: 25 s.
    ///
    /// `--ping-after`
    pub ping_after: Duration,
    /// Time after a Ping within which the peer must send something, or the connection is ended.
    /// Default: 10 s.
    ///
    /// `--pong-within`
    pub pong_within: Duration,
    /// Time for the closing handshake: to write the outbox with our Close at its end, to get the
    /// peer's Close, and to read the peer's stream to its end. Default: 5 s.
    ///
    /// `--close-timeout`
    pub close: Duration,
    /// Time for which a socket may take no bytes before its subscriber is ended. This holds only
    /// while the outbox of the subscriber is over its [limit](crate::Limits::outbox_bytes).
    /// Default: 1 s.
    ///
    /// `--slow-after`
    pub blocked: Duration,
    /// Greatest age of the oldest message in a subscriber's outbox. If the message gets older, the
    /// subscriber is ended. Default: 30 s.
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
