//! Counts the system calls that a server makes per message.
//!
//! A count takes two runs of its own, a short and a long one. The calls and messages by which they
//! differ do not include the handshakes. `perf` and `strace` are the two ways to count.

mod perf;
mod strace;

use std::time::Duration;

use anyhow::ensure;

use crate::{
    cells::Kind,
    load::{Load, Outcome},
};

/// Numbers of system calls, in a whole run or per message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calls {
    pub all: f64,
    /// The calls in [`WRITES`].
    pub writes: f64,
}

/// System calls with which Rust's standard library and most other libraries write to sockets.
/// `write` is not among them, because it is used to wake threads.
const WRITES: [&str; 3] = ["sendmsg", "sendto", "writev"];

/// The tool that counts.
#[derive(Clone, Copy, Debug)]
pub enum Counter {
    /// `perf stat`: the kernel counts, at no cost.
    Perf,
    /// `strace`: stops the server at each call. The server makes the same calls, but slowly.
    Strace,
}

impl Counter {
    /// Returns the best counter that works on this machine.
    pub fn find() -> Option<Self> {
        if perf::works() {
            Some(Self::Perf)
        } else {
            strace::works().then_some(Self::Strace)
        }
    }

    /// Counts the server's calls per message under `load`.
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
        let per_message =
            |of_long: f64, of_short: f64| (of_long - of_short) / (long - short) as f64;
        Ok(Calls {
            all: per_message(calls_of_long.all, calls_of_short.all),
            writes: per_message(calls_of_long.writes, calls_of_short.writes),
        })
    }

    fn run(self, load: Load<'_>) -> anyhow::Result<(Outcome, Calls)> {
        match self {
            Self::Perf => perf::run(load),
            Self::Strace => strace::run(load),
        }
    }
}

/// Duration of the short run: enough for a few thousand messages from the slowest peer.
const SHORT: Duration = Duration::from_millis(400);

/// Returns the number of messages that the server has sent in a run. In a fan-out the publisher
/// gets its own messages, too, as many as each subscriber gets. The load generator does not count
/// these.
fn messages(load: Load<'_>, outcome: &Outcome) -> u64 {
    let received = outcome.received;
    match load.cell.kind {
        Kind::Fanout { .. } | Kind::FanoutAt { .. } => {
            received + received / load.connections as u64
        }
        _ => received,
    }
}
