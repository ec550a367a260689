//! Programs that a test runs. Every wait for a program is bounded, and none outlives its test.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::PATIENCE;

/// A running program in a process group of its own. Dropping it ends the program and the processes
/// that the program has started.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Printed,
    stderr: Printed,
}

impl Program {
    /// Starts a program, and reads its standard output and standard error.
    pub fn start(command: &mut Command) -> Self {
        Self::with_own_output(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts a program whose standard output and standard error go where the command says. Those
    /// that are piped to this process are read.
    pub fn with_own_output(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be run: {error}"));
        Self {
            name,
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map_or_else(Printed::ended, Printed::by),
            stderr: child.stderr.take().map_or_else(Printed::ended, Printed::by),
            child,
        }
    }

    /// Reads standard error from `stderr` from now on: the reading end of the pipe that the command
    /// was given.
    pub fn read_stderr_from(&mut self, stderr: impl Read + Send + 'static) {
        self.stderr = Printed::by(stderr);
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to standard input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}").unwrap();
    }

    /// Closes standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line on standard output for which `find` returns a value, and returns the value.
    /// If none comes within [`PATIENCE`], panics with `what`, which describes the line.
    #[track_caller]
    pub fn printed<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found = self.stdout.wait_for(find);
        found.unwrap_or_else(|| panic!("never printed: {what}\n{}", self.transcript()))
    }

    /// Waits for a line on standard error, as [`Self::printed`] does on standard output.
    #[track_caller]
    pub fn reported<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found = self.stderr.wait_for(find);
        found.unwrap_or_else(|| panic!("never reported: {what}\n{}", self.transcript()))
    }

    /// Waits until the program has ended and its output is read. Returns `None` if the program
    /// still runs after `within`.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.stdout.wait_for_end();
                self.stderr.wait_for_end();
                return Some(status);
            }
            if end <= Instant::now() {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Returns standard output so far.
    pub fn output(&self) -> String {
        self.stdout.text()
    }

    /// Returns standard error so far.
    pub fn errors(&self) -> String {
        self.stderr.text()
    }

    /// Returns the command, its standard output and its standard error, for the message of a test
    /// that fails.
    pub fn transcript(&self) -> String {
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        format!("{}\n{stdout}--- standard error:\n{stderr}", self.name)
    }

    /// Sends a signal to the process group.
    pub fn signal(&self, signal: Signal) {
        // The program may have ended before.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            if self.wait(PATIENCE).is_none() {
                self.signal(Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

/// Lines that a program has printed to one of its streams so far, filled by a thread that reads the
/// stream.
#[derive(Clone, Debug, Default)]
struct Printed(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    /// The stream has ended, or was never read.
    is_ended: bool,
}

impl Printed {
    /// Starts a thread that reads `stream` to its end.
    fn by(stream: impl Read + Send + 'static) -> Self {
        let printed = Self::default();
        let other = printed.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                other.change(|printed| printed.lines.push(text));
                line.clear();
            }
            other.change(|printed| printed.is_ended = true);
        });
        printed
    }

    /// Returns the lines of a stream that is not read: none.
    fn ended() -> Self {
        let printed = Self::default();
        printed.change(|printed| printed.is_ended = true);
        printed
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// Waits until `find` returns a value for a line, and returns the value. Returns `None` if the
    /// stream ends before, or after [`PATIENCE`].
    fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let find = |printed: &Lines| printed.lines.iter().find_map(|line| find(line.trim_end()));
        let (lines, change) = &*self.0;
        let is_undecided = |printed: &mut Lines| !printed.is_ended && find(printed).is_none();
        let lines = lines.lock().unwrap();
        let (lines, _) = change
            .wait_timeout_while(lines, PATIENCE, is_undecided)
            .unwrap();
        find(&lines)
    }

    /// Waits for the end of the stream, but for at most 1 s: a process that the program has left
    /// behind may keep it open.
    fn wait_for_end(&self) {
        let (lines, change) = &*self.0;
        let lines = lines.lock().unwrap();
        let within = Duration::from_secs(1);
        drop(change.wait_timeout_while(lines, within, |printed| !printed.is_ended));
    }

    fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.concat()
    }
}
