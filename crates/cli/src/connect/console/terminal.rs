//! The mode of the terminal while a person types.
//!
//! Between two lines the line editor gives the terminal back in the mode that it found. In the usual
//! mode the kernel then cuts lines of more than 4,095 bytes, without a word, and echoes what is
//! typed once more. So the terminal takes bytes one by one, and without an echo, for the whole time.

use std::{
    env,
    fs::{self, File},
    io::{self, IsTerminal as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Signal, getpid, kill_process},
    stdio::dup2_stdin,
    termios::{
        LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
        tcsetattr,
    },
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// Returns true if a line editor works: a person sees standard output and types standard input, on a
/// terminal that can move its cursor.
pub(super) fn can_edit() -> bool {
    // The editor knows the same names. Here they keep the terminal in its usual mode, without the
    // handlers of signals that an editor needs.
    let is_dumb = env::var_os("TERM").is_some_and(|term| {
        ["dumb", "cons25", "emacs"]
            .iter()
            .any(|name| term.eq_ignore_ascii_case(name))
    });
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
}

/// Returns true unless the user wants no colours (<https://no-color.org>).
pub(super) fn wants_colours() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns true if standard input is no terminal any more: its window was closed, or
/// [`end_stdin`] was called.
pub(super) fn is_gone() -> bool {
    tcgetattr(io::stdin()).is_err()
}

/// Replaces standard input by an empty file. A read that waits for the terminal goes on to wait.
pub(super) fn end_stdin() -> io::Result<()> {
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(())
}

/// Drops what was typed or pasted and not read, until nothing has come for [`PASTE_GAP`]. A pasted
/// text would otherwise go on as keys, each line end of it as an Enter.
pub(super) fn drop_pending() {
    let stdin = io::stdin();
    loop {
        let mut waits_for = [PollFd::new(&stdin, PollFlags::IN)];
        // Both fail if the terminal is gone.
        let has_come = tcflush(&stdin, QueueSelector::IFlush)
            .and_then(|()| poll(&mut waits_for, Some(&PASTE_GAP)));
        if !matches!(has_come, Ok(1..) | Err(Errno::INTR)) {
            return;
        }
    }
}

/// Time without a byte after which a pasted text has ended. Arbitrary: longer than the gaps between
/// the pieces in which a terminal sends it, and hardly noticed by a person.
const PASTE_GAP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// Begins the paste mode, in which the terminal marks a pasted text.
const BEGIN_PASTES: &[u8] = b"\x1b[?2004h";

/// Ends a synchronized update, which the line editor begins before it draws, and the paste mode.
const END_PASTES: &[u8] = b"\x1b[?2026l\x1b[?2004l";

/// Longest wait for a terminal to take a few bytes. Arbitrary: it takes microseconds, unless the
/// terminal is stopped.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

/// Number of times that the mode of the terminal is read until the editor has its mode again after
/// Ctrl-Z. It takes microseconds, unless the editor does not read. Arbitrary: with the time between
/// two of them, not noticed by a person.
const MODE_READS: u32 = 50;

/// Time between two of them.
const MODE_READ_INTERVAL: Duration = Duration::from_millis(2);

/// The mode that the terminal had before the client, and the terminal at standard input, which may
/// be replaced meanwhile ([`end_stdin`]).
#[derive(Clone)]
pub(super) struct Saved(Arc<(Termios, OwnedFd)>);

impl Saved {
    /// Makes the terminal at standard input take bytes one by one, without an echo. Ctrl-C and
    /// Ctrl-Z stay signals, except while the editor reads.
    pub(super) fn take() -> io::Result<Self> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let saved = tcgetattr(&terminal)?;
        let mut mode = saved.clone();
        mode.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &mode)?;
        Ok(Self(Arc::new((saved, terminal))))
    }

    /// Gives the terminal back in the mode that it had. Writes `first` before.
    pub(super) fn restore(&self, first: &[u8]) {
        let (saved, terminal) = &*self.0;
        // Fails if the terminal is gone.
        let _ = tcsetattr(terminal, OptionalActions::Now, saved);
        write_soon([first, END_PASTES].concat());
    }

    /// Gives the terminal back, stops the process, and takes the terminal again when the process
    /// goes on. Does nothing if no shell would let it go on: the process is not a job of its own in
    /// its session, as after `ssh -t` or `xterm -e`.
    pub(super) async fn suspend(&self) -> io::Result<()> {
        if is_whole_session() {
            return Ok(());
        }
        let (_, terminal) = &*self.0;
        let mode = self.editing().await?;
        let mut continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        self.restore(b"");
        kill_process(getpid(), Signal::STOP)?;
        // The signal may take another thread first, so that this one still runs.
        continued.recv().await;
        tcsetattr(terminal, OptionalActions::Now, &mode)?;
        write_soon(BEGIN_PASTES.to_vec());
        // The window may have another size. The editor would not know.
        Ok(kill_process(getpid(), Signal::WINCH)?)
    }

    /// Returns the mode of the terminal in which the editor reads. On Ctrl-Z, the editor leaves its
    /// mode, sends SIGTSTP, and takes its mode again at once, as it expects to be stopped by the
    /// signal.
    async fn editing(&self) -> io::Result<Termios> {
        let (_, terminal) = &*self.0;
        for _ in 0..MODE_READS {
            let mode = tcgetattr(terminal)?;
            if !mode.local_modes.contains(LocalModes::ISIG) {
                return Ok(mode);
            }
            sleep(MODE_READ_INTERVAL).await;
        }
        Ok(tcgetattr(terminal)?)
    }
}

/// Returns true if the process is not a job of its own in its session, or if that is not known.
///
/// Not by `getsid`: for a session that has begun outside of the process's PID namespace it is 0,
/// which rustix does not expect.
fn is_whole_session() -> bool {
    // `pid (name) state parent group session …` (proc(5)).
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let mut fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .skip(3);
    let (group, session) = (fields.next(), fields.next());
    group == session
}

/// Writes to the terminal, for at most [`WRITE_TIMEOUT`]. A write blocks while the terminal is
/// stopped. So a thread writes, which is left behind.
fn write_soon(bytes: Vec<u8>) {
    let (sender, written) = mpsc::channel();
    let write = move || {
        let mut stdout = io::stdout();
        let result = stdout.write_all(&bytes).and_then(|()| stdout.flush());
        // Fails if nobody waits any more.
        let _ = sender.send(result);
    };
    if thread::Builder::new().spawn(write).is_ok() {
        // Fails if the terminal is gone or stopped.
        let _ = written.recv_timeout(WRITE_TIMEOUT);
    }
}
