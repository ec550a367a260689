//! The progress of a run, for the user.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// The progress of a run, or of one process of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The phase that the run is in.
    pub phase: Phase,
    /// The time at which these figures were read.
    pub now: Moment,
    /// Number of messages received so far.
    pub received: u64,
    /// Number of connections that are open.
    pub open: usize,
    /// Number of connections that have failed or ended.
    pub lost: u64,
}

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Connections are being opened.
    Connecting {
        /// Number of connections that are open.
        open: usize,
        /// Number of connections that the run needs.
        wanted: usize,
    },
    /// Messages are sent as during the measured time, but not measured.
    WarmUp,
    /// Messages are sent and measured.
    Measuring {
        /// The beginning of the measured time.
        from: Moment,
        /// The length of the measured time.
        duration: Duration,
    },
    /// Nothing more is sent. The generator waits for the messages in flight.
    Settling,
}

impl Progress {
    /// Returns the progress of several processes as one: their figures added up, and "connecting"
    /// as long as one of them still connects. `None` if there are no processes.
    pub(crate) fn of_all(processes: &[Self]) -> Option<Self> {
        let first = *processes.first()?;
        Some(processes[1..].iter().fold(first, |all, other| Self {
            phase: all.phase.with(other.phase),
            now: all.now.max(other.now),
            received: all.received + other.received,
            open: all.open + other.open,
            lost: all.lost + other.lost,
        }))
    }
}

impl Phase {
    /// Returns the phase of two processes together: connecting if one of them still connects, else
    /// that of `self`.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Connecting { open, wanted },
                Self::Connecting {
                    open: others,
                    wanted: other_wanted,
                },
            ) => Self::Connecting {
                open: open + others,
                wanted: wanted + other_wanted,
            },
            (connecting @ Self::Connecting { .. }, _) => connecting,
            (_, connecting @ Self::Connecting { .. }) => connecting,
            (own, _) => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_several_processes_is_shown_as_one() {
        let progress = |open, received| Progress {
            phase: Phase::Connecting { open, wanted: 10 },
            now: Moment::from_nanos(received),
            received,
            open,
            lost: 1,
        };
        let all = Progress::of_all(&[progress(3, 5), progress(4, 7)]).unwrap();
        assert_eq!(
            all,
            Progress {
                phase: Phase::Connecting {
                    open: 7,
                    wanted: 20
                },
                now: Moment::from_nanos(7),
                received: 12,
                open: 7,
                lost: 2,
            }
        );
        assert_eq!(Progress::of_all(&[]), None);
    }
}
