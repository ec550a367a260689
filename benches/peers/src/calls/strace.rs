//! Counts system calls with `strace -c`, where `perf` may not.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Calls, WRITES};
use crate::load::{Load, Outcome};

/// Whether this machine lets us count.
pub fn works() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "true"]);
    strace.output().is_ok_and(|output| output.status.success())
}

/// Counts from before the first connection of a run to its end.
pub fn run(load: Load<'_>) -> anyhow::Result<(Outcome, Calls)> {
    let file = load.places.scratch_file("strace");
    let mut strace = Command::new("strace");
    strace
        .args(["-c", "-f", "-p", &load.server.pid().to_string(), "-o"])
        .arg(&file);
    let mut strace = strace
        .stderr(Stdio::piped())
        .spawn()
        .context("starting strace")?;
    let outcome = attached(&mut strace).and_then(|()| load.run());
    // It leaves the server as it was, and writes what it has counted.
    let interrupted = kill_process(Pid::from_child(&strace), Signal::INT);
    strace.wait()?;
    interrupted.context("ending strace")?;
    let text = fs::read_to_string(&file).context("reading what strace has counted")?;
    fs::remove_file(&file)?;
    Ok((outcome?, calls(&text)))
}

/// Waits until it says so.
fn attached(strace: &mut Child) -> anyhow::Result<()> {
    let said = strace.stderr.as_mut().context("strace says nothing")?;
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line)?;
    ensure!(line.contains("attached"), "{}", line.trim_end());
    Ok(())
}

/// A table: shares, times, then the number of calls, perhaps that of errors, and the name.
fn calls(text: &str) -> Calls {
    let mut calls = Calls {
        all: 0.0,
        writes: 0.0,
    };
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(Ok(count))) = (
            fields.last(),
            fields.get(3).map(|count| count.parse::<f64>()),
        ) else {
            continue;
        };
        if *name == "total" {
            continue;
        }
        calls.all += count;
        if WRITES.contains(name) {
            calls.writes += count;
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_their_sum_is_not() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.003000           3      1000           sendto\n \
            40.00    0.002000           2       900        10 recvfrom\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.005000           2      1900        10 total\n";
        let (all, writes) = (1900.0, 1000.0);
        assert_eq!(calls(text), Calls { all, writes });
    }
}
