//! How far a run is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Moment;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    pub(crate) now: Moment,
    /// Answers or deliveries so far.
    pub(crate) received: u64,
    /// Connections that have failed or ended.
    pub(crate) lost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Connecting { open: usize, wanted: usize },
    WarmUp,
    Measuring { from: Moment, duration: Duration },
    Settling,
}

impl Progress {
    /// That of several processes together: as far as the slowest of them.
    pub(crate) fn of_all(processes: &[Self]) -> Option<Self> {
        let first = *processes.first()?;
        Some(processes[1..].iter().fold(first, |all, other| Self {
            phase: all.phase.with(other.phase),
            now: all.now.max(other.now),
            received: all.received + other.received,
            lost: all.lost + other.lost,
        }))
    }
}

impl Phase {
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
                lost: 2,
            }
        );
        assert_eq!(Progress::of_all(&[]), None);
    }
}
