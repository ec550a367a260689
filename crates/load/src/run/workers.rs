//! A run in several processes: one has not enough descriptors, or not enough of a core.
//!
//! This process starts itself again for each share of the plan, and talks to its workers in lines
//! of JSON: the plan and the start go to their standard input, progress and the report come from
//! their standard output. A worker whose parent has died is ended by the kernel.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::{
    account::report::Report,
    clock::Moment,
    error::Error,
    plan::Plan,
    run::{
        interruption::Interruption,
        progress::Progress,
        run_loop::{Host, drive},
    },
};

/// What makes this program a worker.
const WORKER_ARGUMENTS: [&str; 2] = ["load", "worker"];

/// A line from a worker.
#[derive(Serialize, Deserialize)]
enum Line {
    Progress(Progress),
    Ready,
    Report(Box<Report>),
    Failed(String),
}

pub(crate) struct Workers {
    workers: Vec<Worker>,
    lines: Receiver<(usize, Result<Line, Error>)>,
    progress: Vec<Option<Progress>>,
    /// How many have opened all their connections.
    ready: usize,
    reports: Vec<Report>,
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
}

/// Ended by its own id, and waited for.
impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Workers {
    pub(crate) fn start(plan: &Plan, processes: usize) -> Result<Self, Error> {
        let (sender, lines) = sync_channel(LINES_AT_ONCE);
        let mut workers = Vec::new();
        for (index, share) in plan.share_out(processes).iter().enumerate() {
            workers.push(start(index, share, &sender).map_err(Error::WorkerIo)?);
        }
        Ok(Self {
            workers,
            lines,
            progress: vec![None; processes],
            ready: 0,
            reports: Vec::new(),
        })
    }

    pub(crate) fn run(mut self, plan: &Plan, host: &mut dyn Host) -> Result<Report, Error> {
        let never = Moment::from_nanos(u64::MAX);
        let count = self.workers.len();
        let is_interrupted = |_: &Self, host: &dyn Host| host.interrupted().is_some();
        self.until(never, host, |workers, host| {
            workers.ready == count || is_interrupted(workers, host)
        })?;
        // All are to have heard of it by then.
        let start = host.ready()? + HEAD_START;
        let opens = start + plan.warm_up;
        self.tell(start).map_err(Error::WorkerIo)?;
        self.until(opens, host, is_interrupted)?;
        if is_interrupted(&self, host) {
            return Err(Error::Interrupted);
        }
        host.opens();
        self.until(opens + plan.duration, host, is_interrupted)?;
        if is_interrupted(&self, host) {
            let end = Moment::now() + HEAD_START;
            // Those that are done with it have nothing to hear.
            let _ = self.tell(end);
            self.until(end, host, |_, _| false)?;
        }
        host.closes();
        self.until(never, host, |workers, _| workers.reports.len() == count)?;
        let mut whole = Report::default();
        for report in &self.reports {
            whole.add(report);
        }
        Ok(whole)
    }

    /// Tells all workers when they are to start, and then, when they are to end early.
    fn tell(&mut self, moment: Moment) -> io::Result<()> {
        let mut workers = self.workers.iter_mut();
        workers.try_for_each(|worker| writeln!(worker.stdin, "{}", moment.as_nanos()))
    }

    /// Listens until `end`, or until it `is_enough`.
    fn until(
        &mut self,
        end: Moment,
        host: &mut dyn Host,
        is_enough: impl Fn(&Self, &dyn Host) -> bool,
    ) -> Result<(), Error> {
        while !is_enough(self, host) {
            let time = end.since(Moment::now());
            if time.is_zero() {
                return Ok(());
            }
            let (index, line) = match self.lines.recv_timeout(time.min(LOOK_EVERY)) {
                Ok((index, line)) => (index, line?),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            };
            match line {
                Line::Failed(reason) => return Err(Error::Worker(reason)),
                Line::Progress(progress) => self.show(index, progress, host),
                Line::Ready => self.ready += 1,
                Line::Report(report) => self.reports.push(*report),
            }
        }
        Ok(())
    }

    fn show(&mut self, index: usize, progress: Progress, host: &mut dyn Host) {
        self.progress[index] = Some(progress);
        // Once for a round of all.
        if index == 0 {
            let known: Vec<_> = self.progress.iter().copied().flatten().collect();
            if let Some(all) = Progress::of_all(&known) {
                host.progress(&all);
            }
        }
    }
}

type Sender = SyncSender<(usize, Result<Line, Error>)>;

fn start(index: usize, plan: &Plan, sender: &Sender) -> io::Result<Worker> {
    let mut child = Command::new(env::current_exe()?)
        .args(WORKER_ARGUMENTS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for this process, which tells them.
        .process_group(0)
        .spawn()?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let plan = serde_json::to_string(plan)?;
    writeln!(stdin, "{plan}")?;
    let sender = sender.clone();
    thread::spawn(move || listen(index, stdout, &sender));
    Ok(Worker { child, stdin })
}

fn listen(index: usize, stdout: ChildStdout, sender: &Sender) {
    let mut has_reported = false;
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(Error::WorkerIo).and_then(|line| {
            serde_json::from_str(&line).map_err(|error| Error::Worker(error.to_string()))
        });
        has_reported |= matches!(line, Ok(Line::Report(_) | Line::Failed(_)));
        if sender.send((index, line)).is_err() {
            return;
        }
    }
    if !has_reported {
        // Nobody to tell if the run is over.
        let _ = sender.send((index, Err(gone())));
    }
}

fn gone() -> Error {
    Error::Worker("it ended without a report".into())
}

/// Is a worker: does the share of a run that standard input has.
///
/// # Errors
///
/// Standard input has no share of a run, or the run can't be made.
pub fn serve() -> Result<(), Error> {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let mut host = Parent(Interruption::default());
    let done = read_line().and_then(|plan| {
        let plan = serde_json::from_str(&plan);
        drive(
            &plan.map_err(|error| Error::Worker(error.to_string()))?,
            &mut host,
        )
    });
    say(&match done {
        Ok(report) => Line::Report(Box::new(report)),
        Err(error) => Line::Failed(reason(&error)),
    })
}

/// An error with its causes, in one line.
fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The process that has started this one.
struct Parent(Interruption);

impl Host for Parent {
    fn ready(&mut self) -> Result<Moment, Error> {
        say(&Line::Ready)?;
        let start = read_moment()?;
        let interruption = self.0.clone();
        thread::spawn(move || read_moment().map(|end| interruption.ask(end)));
        Ok(start)
    }

    fn opens(&mut self) {}

    fn closes(&mut self) {}

    fn progress(&mut self, progress: &Progress) {
        // A parent that is gone ends this process.
        let _ = say(&Line::Progress(*progress));
    }

    fn interrupted(&self) -> Option<Moment> {
        self.0.asked()
    }
}

fn say(line: &Line) -> Result<(), Error> {
    let json = serde_json::to_string(line).map_err(|error| Error::Worker(error.to_string()))?;
    let mut stdout = io::stdout().lock();
    let said = writeln!(stdout, "{json}").and_then(|()| stdout.flush());
    said.map_err(Error::WorkerIo)
}

fn read_line() -> Result<String, Error> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(Error::WorkerIo)?;
    Ok(line)
}

fn read_moment() -> Result<Moment, Error> {
    let nanos = read_line()?.trim().parse();
    Ok(Moment::from_nanos(nanos.map_err(|_| gone())?))
}

/// How long an interruption may wait to be seen.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Workers speak ten times a second.
const LINES_AT_ONCE: usize = 256;

/// Between the word to start, or to end, and doing so.
const HEAD_START: Duration = Duration::from_millis(100);
