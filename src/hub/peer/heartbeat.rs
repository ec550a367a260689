//! The heartbeat: it decides when a silent peer is sent a Ping, and when the peer is ended because
//! it has not answered.
//!
//! Pure: no I/O and no clock. Time is counted in sweeps of the shard through all its peers.

use std::time::Duration;

use crate::config::Timeouts;

/// The state of the heartbeat of one peer.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct Heartbeat {
    /// The sweep in which the peer was last heard.
    heard: u32,
    /// The sweep in which the peer was sent a Ping, if nothing has come from it since.
    pinged: Option<u32>,
}

impl Heartbeat {
    pub(in crate::hub) fn new(sweep: u32) -> Self {
        Self {
            heard: sweep,
            pinged: None,
        }
    }

    /// Restarts the heartbeat: bytes have come from the peer.
    pub(in crate::hub) fn heard(&mut self, sweep: u32) {
        *self = Self {
            heard: sweep,
            pinged: None,
        };
    }

    /// Checks in a sweep how long the peer has been silent. If the result is [`Silence::Ping`], the
    /// caller must send a Ping.
    pub(in crate::hub) fn check(&mut self, sweep: u32, intervals: HeartbeatIntervals) -> Silence {
        match self.pinged {
            Some(pinged) if sweep - pinged > intervals.pong_within => Silence::Unanswered,
            None if sweep - self.heard > intervals.ping_after => {
                self.pinged = Some(sweep);
                Silence::Ping
            }
            _ => Silence::Short,
        }
    }
}

/// The time-outs of the heartbeat, in sweeps.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct HeartbeatIntervals {
    /// Sweeps of silence after which the peer is sent a Ping.
    pub(in crate::hub) ping_after: u32,
    /// Sweeps that the peer has to answer the Ping.
    pub(in crate::hub) pong_within: u32,
}

impl HeartbeatIntervals {
    /// Converts the time-outs to sweeps, rounded up.
    pub(in crate::hub) fn new(timeouts: &Timeouts) -> Self {
        let interval = Self::sweep_interval(timeouts);
        let sweeps = |time: Duration| {
            u32::try_from(time.as_nanos().div_ceil(interval.as_nanos())).unwrap_or(u32::MAX)
        };
        Self {
            ping_after: sweeps(timeouts.ping_after),
            pong_within: sweeps(timeouts.pong_within),
        }
    }

    /// Returns the time between two sweeps: short enough that the heartbeat's time-outs, and the
    /// limit of how far a peer may be behind, are kept to within a quarter.
    pub(in crate::hub) fn sweep_interval(timeouts: &Timeouts) -> Duration {
        let shortest = timeouts.ping_after.min(timeouts.pong_within);
        let quarter = shortest.min(timeouts.behind) / 4;
        quarter.clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// The result of checking how long a peer has been silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::hub) enum Silence {
    /// Nothing need be done yet.
    Short,
    /// The peer must be sent a Ping.
    Ping,
    /// The peer was sent a Ping and has not answered in time.
    Unanswered,
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVALS: HeartbeatIntervals = HeartbeatIntervals {
        ping_after: 25,
        pong_within: 10,
    };

    #[test]
    fn a_silent_peer_is_pinged_and_then_ended_unless_anything_comes_from_it() {
        let mut heartbeat = Heartbeat::new(0);
        // The peer is sent a Ping after more than 25 sweeps of silence.
        assert_eq!(heartbeat.check(25, INTERVALS), Silence::Short);
        assert_eq!(heartbeat.check(26, INTERVALS), Silence::Ping);
        // The peer may take 10 more sweeps to answer.
        assert_eq!(heartbeat.check(36, INTERVALS), Silence::Short);
        assert_eq!(heartbeat.check(37, INTERVALS), Silence::Unanswered);
        heartbeat.heard(37);
        assert_eq!(heartbeat.check(62, INTERVALS), Silence::Short);
        assert_eq!(heartbeat.check(63, INTERVALS), Silence::Ping);
    }
}
