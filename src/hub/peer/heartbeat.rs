//! The heartbeat: what to do about a peer's silence. Pure, in sweeps of the shard's table.

use std::time::Duration;

use crate::config::Timeouts;

/// The state of the heartbeat of one peer, in sweeps of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct Heartbeat {
    heard: u32,
    pinged: Option<u32>,
}

impl Heartbeat {
    pub(in crate::hub) fn new(sweep: u32) -> Self {
        Self {
            heard: sweep,
            pinged: None,
        }
    }

    /// Takes note that the peer said something.
    pub(in crate::hub) fn heard(&mut self, sweep: u32) {
        *self = Self {
            heard: sweep,
            pinged: None,
        };
    }

    /// Returns how long the peer has been silent, and takes note of the Ping if one is due.
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

/// The times of the heartbeat, in sweeps of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct HeartbeatIntervals {
    pub(in crate::hub) ping_after: u32,
    pub(in crate::hub) pong_within: u32,
}

impl HeartbeatIntervals {
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

    /// Returns the time between two sweeps of the table: short enough to keep the times to within a quarter.
    pub(in crate::hub) fn sweep_interval(timeouts: &Timeouts) -> Duration {
        let shortest = timeouts.ping_after.min(timeouts.pong_within);
        let quarter = shortest.min(timeouts.behind) / 4;
        quarter.clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// A peer's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::hub) enum Silence {
    /// Not long enough to wonder.
    Short,
    /// Long enough to ask.
    Ping,
    /// It was asked, and did not answer in time.
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
    fn silence_brings_a_ping_and_then_the_end_and_any_frame_resets_it() {
        let mut heartbeat = Heartbeat::new(0);
        assert_eq!(heartbeat.check(25, INTERVALS), Silence::Short);
        assert_eq!(heartbeat.check(26, INTERVALS), Silence::Ping);
        assert_eq!(heartbeat.check(36, INTERVALS), Silence::Short);
        assert_eq!(heartbeat.check(37, INTERVALS), Silence::Unanswered);
        heartbeat.heard(37);
        assert_eq!(heartbeat.check(62, INTERVALS), Silence::Short);
        assert_eq!(heartbeat.check(63, INTERVALS), Silence::Ping);
    }
}
