//! Programs that a test runs: every wait is bounded, and none outlives its test.

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

/// A program that runs, with a group of its own for what it starts itself. Dropping it ends them.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Printed,
    stderr: Printed,
}

impl Program {
    /// Starts one whose standard output and standard error are read.
    pub fn start(command: &mut Command) -> Self {
        Self::unheard(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts one with standard output and standard error as the command has them: only pipes of
    /// its own are read.
    pub fn unheard(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} can't be run: {error}"));
        Self {
            name,
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map_or_else(Printed::ended, Printed::by),
            stderr: child.stderr.take().map_or_else(Printed::ended, Printed::by),
            child,
        }
    }

    /// Reads from now on what is the other end of standard error.
    pub fn hear(&mut self, stderr: impl Read + Send + 'static) {
        self.stderr = Printed::by(stderr);
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}").unwrap();
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line on standard output; what `find` makes of the first that it takes.
    #[track_caller]
    pub fn printed<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found = self.stdout.wait_for(find);
        found.unwrap_or_else(|| panic!("never printed: {what}\n{}", self.transcript()))
    }

    /// The same on standard error.
    #[track_caller]
    pub fn reported<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found = self.stderr.wait_for(find);
        found.unwrap_or_else(|| panic!("never reported: {what}\n{}", self.transcript()))
    }

    /// Waits for its end; `None` if it takes longer.
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

    /// All of standard output so far.
    pub fn output(&self) -> String {
        self.stdout.text()
    }

    /// All of standard error so far.
    pub fn errors(&self) -> String {
        self.stderr.text()
    }

    /// What it was and what it said, for whoever reads why a test failed.
    pub fn transcript(&self) -> String {
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        format!("{}\n{stdout}--- standard error:\n{stderr}", self.name)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may be gone already.
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

/// What a program has printed so far, line by line.
#[derive(Clone, Debug, Default)]
struct Printed(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    is_ended: bool,
}

impl Printed {
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

    /// What nobody reads.
    fn ended() -> Self {
        let printed = Self::default();
        printed.change(|printed| printed.is_ended = true);
        printed
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let find = |printed: &Lines| printed.lines.iter().find_map(|line| find(line.trim_end()));
        let (lines, change) = &*self.0;
        let goes_on = |printed: &mut Lines| !printed.is_ended && find(printed).is_none();
        let lines = lines.lock().unwrap();
        let (lines, _) = change.wait_timeout_while(lines, PATIENCE, goes_on).unwrap();
        find(&lines)
    }

    /// Something that the program has left behind may keep the stream open; that isn't waited for.
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
