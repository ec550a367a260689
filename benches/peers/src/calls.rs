//! How many system calls a message takes, counted by the kernel (`perf stat`).
//!
//! Counted in a run of its own, twice: what the longer of two runs has more, in calls and in
//! messages, is without the handshakes.

use std::{ffi::OsString, fs, process::Command, time::Duration};

use anyhow::Context as _;

use crate::{
    cells::Kind,
    load::{Load, Outcome},
};

/// For each message.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    pub all: f64,
    /// Those that write to sockets.
    pub writes: f64,
}

/// Every system call; and those that Rust's standard library writes to sockets with.
const EVENTS: &str = "raw_syscalls:sys_enter,syscalls:sys_enter_sendto,syscalls:sys_enter_sendmsg,syscalls:sys_enter_writev";

/// Enough for a few thousand messages of the slowest.
const SHORT: Duration = Duration::from_millis(400);

/// Whether this machine lets us count.
pub fn can_count() -> bool {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-e", EVENTS, "true"]);
    perf.output().is_ok_and(|output| output.status.success())
}

/// Counts those of the server under `load`.
pub fn count(load: Load<'_>) -> anyhow::Result<Calls> {
    let of = |duration: Duration| Counted::of(Load { duration, ..load });
    let short = of(load.duration.min(SHORT))?;
    let long = of(load.duration.min(SHORT) * 3)?;
    let messages = long.messages.saturating_sub(short.messages).max(1) as f64;
    Ok(Calls {
        all: (long.all - short.all) / messages,
        writes: (long.writes - short.writes) / messages,
    })
}

/// In a whole run.
struct Counted {
    messages: u64,
    all: f64,
    writes: f64,
}

impl Counted {
    fn of(load: Load<'_>) -> anyhow::Result<Self> {
        let file = load
            .places
            .scratch()
            .join(format!("peers-{}.perf", std::process::id()));
        let pid = load.server.pid().to_string();
        let words = ["perf", "stat", "-x", ",", "-e", EVENTS, "-p", &pid, "-o"];
        let mut wrapper: Vec<OsString> = words.map(OsString::from).to_vec();
        wrapper.extend([file.clone().into(), "--".into()]);
        let outcome = load.run_under(&wrapper)?;
        let text = fs::read_to_string(&file).context("reading what perf has counted")?;
        fs::remove_file(&file)?;
        let counts = counts(&text);
        let (all, writes) = counts.split_first().context("perf has counted nothing")?;
        Ok(Self {
            messages: outcome.received + to_publishers(load, &outcome),
            all: *all,
            writes: writes.iter().sum(),
        })
    }
}

/// The publisher of a fan-out gets its own messages, too, but the load does not count them.
fn to_publishers(load: Load<'_>, outcome: &Outcome) -> u64 {
    match load.cell.kind {
        Kind::Fanout { .. } | Kind::FanoutAt { .. } => outcome.received / load.connections as u64,
        _ => 0,
    }
}

/// The numbers that lines begin with, in the order of [`EVENTS`].
fn counts(text: &str) -> Vec<f64> {
    let counts = text.lines().filter_map(|line| line.split_once(','));
    counts.filter_map(|(count, _)| count.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_in_order() {
        let text = "# started on Sun\n\n120,,raw_syscalls:sys_enter,9,100.00,,\n7,,syscalls:x,9,100.00,,\n";
        assert_eq!(counts(text), [120.0, 7.0]);
    }
}
