//! Counts system calls with `strace -c`, on machines that do not permit `perf`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Calls, WRITES};
use crate::load::{Load, Outcome};

/// Returns true if strace is installed, and this machine permits it to trace.
pub fn works() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "true"]);
    strace.output().is_ok_and(|output| output.status.success())
}

/// Runs `load`, and counts the server's system calls from before the first connection to the end.
pub fn run(load: Load<'_>) -> anyhow::Result<(Outcome, Calls)> {
    let file = load.paths.scratch_file("strace");
    let mut strace = Command::new("strace");
    strace
        .args(["-c", "-f", "-p", &load.server.pid().to_string(), "-o"])
        .arg(&file);
    let mut strace = strace
        .stderr(Stdio::piped())
        .spawn()
        .context("starting strace")?;
    let outcome = wait_until_attached(&mut strace).and_then(|()| load.run());
    // On the signal strace detaches from the server and writes its counts.
    let interrupted = kill_process(Pid::from_child(&strace), Signal::INT);
    strace.wait()?;
    interrupted.context("ending strace")?;
    let text = fs::read_to_string(&file).context("reading the counts of strace")?;
    fs::remove_file(&file)?;
    Ok((outcome?, calls(&text)))
}

/// Waits until strace prints that it has attached to the server.
fn wait_until_attached(strace: &mut Child) -> anyhow::Result<()> {
    let stderr = strace.stderr.as_mut().context("strace has no output")?;
    let mut line = String::new();
    BufReader::new(stderr).read_line(&mut line)?;
    ensure!(line.contains("attached"), "{}", line.trim_end());
    Ok(())
}

/// Parses strace's table. Its columns are the share of the time, the time in seconds and per call,
/// the calls, the errors (may be empty), and the name.
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
    fn the_line_with_the_total_is_not_counted() {
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
