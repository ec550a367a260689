//! Counts system calls with `perf stat`, on the tracepoints of the kernel.

use std::{ffi::OsString, fs, process::Command};

use anyhow::Context as _;

use super::{Calls, WRITES};
use crate::load::{Load, Outcome};

/// Returns true if perf is installed, and this machine permits it to count.
pub fn works() -> bool {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-e", &events(), "true"]);
    perf.output().is_ok_and(|output| output.status.success())
}

/// Runs `load`, and counts the server's system calls from before the first connection to the end.
pub fn run(load: Load<'_>) -> anyhow::Result<(Outcome, Calls)> {
    let file = load.paths.scratch_file("perf");
    let (events, pid) = (events(), load.server.pid().to_string());
    // perf counts the server for as long as the command behind `--`, the load generator, runs.
    let words = ["perf", "stat", "-x", ",", "-e", &events, "-p", &pid, "-o"];
    let mut wrapper: Vec<OsString> = words.map(OsString::from).to_vec();
    wrapper.extend([file.clone().into(), "--".into()]);
    let outcome = load.run_under(&wrapper)?;
    let text = fs::read_to_string(&file).context("reading the counts of perf")?;
    fs::remove_file(&file)?;
    let calls = calls(&text).context("perf has counted nothing")?;
    Ok((outcome, calls))
}

/// Returns the events to count: all system calls, then those that write.
fn events() -> String {
    let writes = WRITES.map(|name| format!(",syscalls:sys_enter_{name}"));
    format!("raw_syscalls:sys_enter{}", writes.concat())
}

/// Parses the output of perf. Each line begins with a count, in the order of the events.
fn calls(text: &str) -> Option<Calls> {
    let counts = text.lines().filter_map(|line| line.split_once(','));
    let mut counts = counts.filter_map(|(count, _)| count.parse().ok());
    Some(Calls {
        all: counts.next()?,
        writes: counts.sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_in_the_order_of_the_events() {
        let text = "# started on Sun\n\n120,,raw_syscalls:sys_enter,9,100.00,,\n\
            7,,syscalls:sys_enter_sendmsg,9,100.00,,\n5,,syscalls:sys_enter_sendto,9,100.00,,\n";
        let (all, writes) = (120.0, 12.0);
        assert_eq!(calls(text), Some(Calls { all, writes }));
        assert_eq!(calls("# started on Sun\n"), None);
    }
}
