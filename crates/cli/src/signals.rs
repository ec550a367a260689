//! The signals that end `serve`: the first drains, a second one ends the process at once.
//!
//! They are waited for on a thread of its own, which nothing else can hold up: not the shards, not
//! what the main thread is at, not standard error.

use std::{fs, future::pending, io, process, sync::mpsc, thread};

use anyhow::Context as _;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// From here on SIGINT, SIGTERM and SIGHUP are taken; what is returned completes at the first one.
pub(super) fn listen() -> anyhow::Result<oneshot::Receiver<()>> {
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = mpsc::sync_channel(1);
    let run = move || match Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime.block_on(async {
            match Signals::take() {
                Ok(signals) => {
                    let _ = ready.send(Ok(()));
                    signals.obey(stop).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        }),
        Err(error) => drop(ready.send(Err(error))),
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(run)
        .context("signals")?;
    let taken = is_ready.recv();
    taken
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
        .context("signals")?;
    Ok(stopped)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it is not obeyed.
    hang_up: Option<Signal>,
}

impl Signals {
    fn take() -> io::Result<Self> {
        // Before it is taken, which ends that it is ignored.
        let hang_up = if is_hang_up_ignored() {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
    }

    /// Tells of the first signal, and ends the process at the second.
    async fn obey(mut self, stop: oneshot::Sender<()>) {
        if matches!(self.next().await, Told::HangUp) {
            // A terminal that closes says so twice, by itself and by its shell.
            self.hang_up = None;
        }
        // Nobody to tell where the server has ended by itself.
        let _ = stop.send(());
        self.next().await;
        process::exit(EXIT_AT_ONCE);
    }

    async fn next(&mut self) -> Told {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            _ = hang_up => Told::HangUp,
        }
    }
}

enum Told {
    HangUp,
    Stop,
}

/// As a shell reports a program that was interrupted.
const EXIT_AT_ONCE: i32 = 130;

/// Returns true if whoever started this wants it to outlive the terminal, as nohup(1) does: SIGHUP is
/// ignored from the start. Where `/proc` can't be read it is taken as not.
fn is_hang_up_ignored() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hang_up(&status))
}

/// Reads `SigIgn` of proc_pid_status(5): a mask in hexadecimal, whose lowest bit is signal 1.
fn ignores_hang_up(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_1_is_the_lowest_bit_of_the_mask() {
        let status = |mask| format!("SigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t1\n");
        assert!(ignores_hang_up(&status("0000000000000001")));
        assert!(ignores_hang_up(&status("0000000000001001")));
        assert!(!ignores_hang_up(&status("0000000000001006")));
        assert!(!ignores_hang_up("Name:\tframecast\n"));
    }
}
