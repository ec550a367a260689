//! The signals that end `serve`: the first one drains the server, a second one ends the process at
//! once.
//!
//! A thread of its own waits for the signals, so that no other part of the process can delay their
//! handling: not the shards, not the main thread, not standard error.

use std::{fs, future::pending, io, process, sync::mpsc, thread, time::Duration};

use anyhow::Context as _;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::sleep,
};

/// Starts to handle SIGINT, SIGTERM and SIGHUP. Returns a receiver that completes at the first of
/// these signals.
pub(super) fn listen() -> anyhow::Result<oneshot::Receiver<()>> {
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = mpsc::sync_channel(1);
    let run = move || match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            match Signals::register() {
                Ok(signals) => {
                    let _ = ready.send(Ok(()));
                    signals.handle(stop).await;
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
    // Waits until the handlers of the signals are installed, or can not be.
    let registered = is_ready.recv();
    registered
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
        .context("signals")?;
    Ok(stopped)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The stream of SIGHUPs. `None` if a SIGHUP has no effect: it was ignored when the process
    /// started, or the first signal was a SIGHUP, which a terminal that closes sends twice.
    hang_up: Option<Signal>,
}

impl Signals {
    fn register() -> io::Result<Self> {
        // Checked before any handler is installed: a handler replaces the disposition "ignore".
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

    /// Completes `stop` at the first signal, and ends the process at the second one, unless that
    /// comes with the first one.
    async fn handle(mut self, stop: oneshot::Sender<()>) {
        if matches!(self.next().await, Received::HangUp) {
            // A terminal that closes causes two SIGHUPs: one from the kernel and one from the
            // shell. The second one must not end the process.
            self.hang_up = None;
        }
        // Fails if the server has ended by itself.
        let _ = stop.send(());
        let all_have_come = sleep(TOGETHER);
        tokio::pin!(all_have_come);
        loop {
            tokio::select! {
                () = &mut all_have_come => break,
                _ = self.next() => {}
            }
        }
        self.next().await;
        process::exit(EXIT_AT_ONCE);
    }

    async fn next(&mut self) -> Received {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Received::Stop,
            _ = self.terminate.recv() => Received::Stop,
            _ = hang_up => Received::HangUp,
        }
    }
}

/// A signal that was received.
enum Received {
    /// SIGHUP.
    HangUp,
    /// SIGINT or SIGTERM.
    Stop,
}

/// Time in which several signals count as one. `timeout(1)`, for example, sends its signal to the
/// program, and then to the program's group. Arbitrary: shorter than a person takes to decide
/// again.
const TOGETHER: Duration = Duration::from_millis(200);

/// The exit status after a second signal of any kind: the one that a shell reports for a program
/// that SIGINT has killed.
const EXIT_AT_ONCE: i32 = 130;

/// Returns true if SIGHUP was already ignored when the process started: nohup(1) ignores it so that
/// its program outlives the terminal. False if `/proc` can't be read.
fn is_hang_up_ignored() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hang_up(&status))
}

/// Returns true if SIGHUP is in `SigIgn` of proc_pid_status(5): a mask in hexadecimal, whose lowest
/// bit is signal 1.
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
        // Signals 1 and 13.
        assert!(ignores_hang_up(&status("0000000000001001")));
        // Signals 2, 3 and 13.
        assert!(!ignores_hang_up(&status("0000000000001006")));
        assert!(!ignores_hang_up("Name:\tframecast\n"));
    }
}
