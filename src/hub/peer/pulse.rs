//! The heartbeat: what to do about a peer's silence. Pure, in sweeps of the shard's table.

use std::time::Duration;

use crate::config::Timeouts;

/// When a peer was last heard of, in sweeps of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct Pulse {
    heard: u32,
    pinged: Option<u32>,
}

impl Pulse {
    pub(in crate::hub) fn new(sweep: u32) -> Self {
        Self {
            heard: sweep,
            pinged: None,
        }
    }

    /// The peer said something.
    pub(in crate::hub) fn heard(&mut self, sweep: u32) {
        *self = Self {
            heard: sweep,
            pinged: None,
        };
    }

    /// What to do about a peer's silence: nothing, a ping, or the end.
    pub(in crate::hub) fn check(&mut self, sweep: u32, heartbeat: Heartbeat) -> Silence {
        match self.pinged {
            Some(pinged) if sweep - pinged > heartbeat.pong_within => Silence::Unanswered,
            None if sweep - self.heard > heartbeat.ping_after => {
                self.pinged = Some(sweep);
                Silence::Ping
            }
            _ => Silence::Short,
        }
    }
}

/// The heartbeat, in sweeps of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct Heartbeat {
    pub(in crate::hub) ping_after: u32,
    pub(in crate::hub) pong_within: u32,
}

impl Heartbeat {
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

    /// How often the table is swept: often enough to keep the times to within a quarter.
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

    const HEARTBEAT: Heartbeat = Heartbeat {
        ping_after: 25,
        pong_within: 10,
    };

    #[test]
    fn silence_brings_a_ping_and_then_the_end_and_any_frame_resets_it() {
        let mut pulse = Pulse::new(0);
        assert_eq!(pulse.check(25, HEARTBEAT), Silence::Short);
        assert_eq!(pulse.check(26, HEARTBEAT), Silence::Ping);
        assert_eq!(pulse.check(36, HEARTBEAT), Silence::Short);
        assert_eq!(pulse.check(37, HEARTBEAT), Silence::Unanswered);
        pulse.heard(37);
        assert_eq!(pulse.check(62, HEARTBEAT), Silence::Short);
        assert_eq!(pulse.check(63, HEARTBEAT), Silence::Ping);
    }
}
