//! How many system calls a message takes.
//!
//! Counted in runs of their own, of which there are two: what the longer one has more, in calls
//! and in messages, is without the handshakes.

mod perf;
mod strace;

use std::time::Duration;

use anyhow::ensure;

use crate::{
    cells::Kind,
    load::{Load, Outcome},
};

/// In a whole run, or for each message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calls {
    pub all: f64,
    /// Those of [`WRITES`].
    pub writes: f64,
}

/// What Rust's standard library, and most others, write to sockets with. `write` wakes threads.
const WRITES: [&str; 3] = ["sendmsg", "sendto", "writev"];

/// Who counts.
#[derive(Clone, Copy, Debug)]
pub enum Counter {
    /// The kernel, at no cost.
    Perf,
    /// Stops the server at each call. It does the same then, but slowly.
    Strace,
}

impl Counter {
    /// The best one that works here.
    pub fn find() -> Option<Self> {
        if perf::works() {
            Some(Self::Perf)
        } else {
            strace::works().then_some(Self::Strace)
        }
    }

    /// Counts those of the server under `load`.
    pub fn count(self, load: Load<'_>) -> anyhow::Result<Calls> {
        let duration = load.duration.min(SHORT);
        let (short, calls_of_short) = self.run(Load { duration, ..load })?;
        let duration = duration * 3;
        let (long, calls_of_long) = self.run(Load { duration, ..load })?;
        let (long, short) = (messages(load, &long), messages(load, &short));
        ensure!(
            long > short,
            "the longer run brought {long} messages, and the shorter one {short}"
        );
        let each = |calls: f64, of_short: f64| (calls - of_short) / (long - short) as f64;
        Ok(Calls {
            all: each(calls_of_long.all, calls_of_short.all),
            writes: each(calls_of_long.writes, calls_of_short.writes),
        })
    }

    fn run(self, load: Load<'_>) -> anyhow::Result<(Outcome, Calls)> {
        match self {
            Self::Perf => perf::run(load),
            Self::Strace => strace::run(load),
        }
    }
}

/// Enough for a few thousand messages of the slowest.
const SHORT: Duration = Duration::from_millis(400);

/// The publisher of a fan-out gets its own messages, too, but the load does not count them.
fn messages(load: Load<'_>, outcome: &Outcome) -> u64 {
    let received = outcome.received;
    match load.cell.kind {
        Kind::Fanout { .. } | Kind::FanoutAt { .. } => {
            received + received / load.connections as u64
        }
        _ => received,
    }
}
