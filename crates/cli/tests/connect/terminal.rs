//! The binary `framecast connect` at a pseudo-terminal, on which the tests type as a person does.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use framecast_test_support::eventually;
use rustix::{
    process::{Pid, Signal, WaitOptions, kill_process, waitpid},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::screen::Screen;

/// Longest wait for something to appear on the screen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that the client has written.
#[derive(Default)]
struct Shown {
    screen: Screen,
    bytes: Vec<u8>,
    /// True if nobody reads what the client writes.
    is_stopped: bool,
}

/// A `framecast connect` at a terminal of 80 columns. It is killed when this is dropped.
pub(crate) struct Terminal {
    child: Child,
    /// The side of the terminal at which a person sits.
    person: File,
    /// The side of the client, kept open so that its mode can be read after the client's end.
    client: File,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

impl Terminal {
    /// Starts `framecast connect` with `arguments`, at a terminal that supports colours.
    pub(crate) fn connect(arguments: &[&str]) -> Self {
        Self::connect_with(arguments, &[("TERM", "xterm-256color")])
    }

    /// Starts `framecast connect` with `arguments` and these variables of the environment.
    pub(crate) fn connect_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let (person, client) = open();
        let child = Command::new(env!("CARGO_BIN_EXE_framecast"))
            .arg("connect")
            .args(arguments)
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .stdin(client.try_clone().unwrap())
            .stdout(client.try_clone().unwrap())
            .stderr(client.try_clone().unwrap())
            // Ctrl-Z stops the whole group.
            .process_group(0)
            .spawn()
            .unwrap();
        let shown = Arc::<(Mutex<Shown>, Condvar)>::default();
        let mut output = person.try_clone().unwrap();
        let writer = Arc::clone(&shown);
        // Ends when both sides of the terminal are closed.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let shown = writer.0.lock().unwrap();
                let waited = writer.1.wait_while(shown, |shown| shown.is_stopped);
                let mut shown = waited.unwrap();
                shown.screen.write(&buffer[..length]);
                shown.bytes.extend(&buffer[..length]);
                writer.1.notify_all();
            }
        });
        Self {
            child,
            person,
            client,
            shown,
        }
    }

    /// Types keys. Enter is `\r`.
    pub(crate) fn types(&mut self, keys: &str) {
        self.types_bytes(keys.as_bytes());
    }

    /// Types keys that are no text.
    pub(crate) fn types_bytes(&mut self, keys: &[u8]) {
        self.person.write_all(keys).unwrap();
    }

    /// Pastes a text, as terminals do that the client has asked for bracketed paste.
    pub(crate) fn pastes(&mut self, text: &str) {
        self.types(&format!("\x1b[200~{text}\x1b[201~"));
    }

    /// Waits until the rows of the screen are as `is_right` says.
    #[track_caller]
    pub(crate) fn shows(&self, what: &str, is_right: impl Fn(&[String]) -> bool) {
        self.wait_for(what, |shown| is_right(&shown.screen.rows()));
    }

    /// Waits until a row of the screen contains `text`.
    #[track_caller]
    pub(crate) fn shows_text(&self, text: &str) {
        self.shows(text, |rows| rows.iter().any(|row| row.contains(text)));
    }

    /// Waits until the last row that is not blank is `row`, and the cursor is in `column` of it.
    #[track_caller]
    pub(crate) fn shows_line(&self, row: &str, column: usize) {
        self.wait_for(row, |shown| {
            let rows = shown.screen.rows();
            let last = rows.iter().rposition(|row| !row.is_empty());
            last.is_some_and(|last| rows[last] == row && shown.screen.cursor() == (last, column))
        });
    }

    /// Takes no more output from the client, as a terminal does at Ctrl-S.
    pub(crate) fn stops_output(&self) {
        self.shown.0.lock().unwrap().is_stopped = true;
    }

    /// Gives the window this many columns, and tells the client so.
    pub(crate) fn resizes(&self, columns: u16) {
        set_columns(&self.person, columns);
        // The kernel sends it only to the processes of a session that has this terminal.
        self.kill(Signal::WINCH);
    }

    /// Returns everything that the client has written so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shown.0.lock().unwrap().bytes.clone()
    }

    /// Returns true if the kernel edits lines and echoes what is typed, as it does for a shell.
    pub(crate) fn is_in_its_usual_mode(&self) -> bool {
        let modes = tcgetattr(&self.client).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Sends a signal to the client.
    pub(crate) fn kill(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// Waits until the client is stopped, as by Ctrl-Z.
    #[track_caller]
    pub(crate) fn stops(&self) {
        let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
        eventually("the client stops", || {
            let status = waitpid(Some(self.id()), options).unwrap();
            status.is_some_and(|(_, status)| {
                assert!(status.stopped(), "{status:?}");
                true
            })
        });
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// Waits for the exit of the client.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the client does not exit");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn wait_for(&self, what: &str, is_right: impl Fn(&Shown) -> bool) {
        let (shown, changed) = &*self.shown;
        let shown = shown.lock().unwrap();
        let waited = changed.wait_timeout_while(shown, PATIENCE, |shown| !is_right(shown));
        let (shown, result) = waited.unwrap();
        let rows = shown.screen.rows();
        let cursor = shown.screen.cursor();
        drop(shown);
        assert!(!result.timed_out(), "{what}: {rows:#?} {cursor:?}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Fails if it has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens a pseudo-terminal. Returns the side of the person and the side of the client.
fn open() -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let person = openpt(flags).unwrap();
    unlockpt(&person).unwrap();
    let client = ioctl_tiocgptpeer(&person, flags).unwrap();
    let person = File::from(person);
    set_columns(&person, 80);
    (person, File::from(client))
}

fn set_columns(terminal: &File, columns: u16) {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}
