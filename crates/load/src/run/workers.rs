//! A run in several processes, where one has too few descriptors or not enough of a core.
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
        run_loop::{Supervisor, run_here},
    },
};

/// Arguments that make this program a worker.
const WORKER_ARGUMENTS: [&str; 2] = ["load", "worker"];

/// A message from a worker: a line of JSON.
#[derive(Serialize, Deserialize)]
enum WorkerMessage {
    Failed(String),
    Progress(Progress),
    /// All its connections are open.
    Ready,
    Report(Box<Report>),
}

/// The worker processes of a run.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    messages: Receiver<(usize, Result<WorkerMessage, Error>)>,
    progress: Vec<Option<Progress>>,
    /// Workers that have opened all their connections.
    ready: usize,
    reports: Vec<Report>,
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
}

/// Kills the process, and waits for its end.
impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Workers {
    pub(crate) fn start(plan: &Plan, processes: usize) -> Result<Self, Error> {
        let (sender, messages) = sync_channel(QUEUED_MESSAGES);
        let mut workers = Vec::new();
        for (index, share) in plan.share_out(processes).iter().enumerate() {
            workers.push(start(index, share, &sender).map_err(Error::WorkerIo)?);
        }
        Ok(Self {
            workers,
            messages,
            progress: vec![None; processes],
            ready: 0,
            reports: Vec::new(),
        })
    }

    pub(crate) fn run(
        mut self,
        plan: &Plan,
        supervisor: &mut dyn Supervisor,
    ) -> Result<Report, Error> {
        let never = Moment::from_nanos(u64::MAX);
        let count = self.workers.len();
        let is_interrupted =
            |_: &Self, supervisor: &dyn Supervisor| supervisor.interrupted().is_some();
        self.receive_until(never, supervisor, |workers, supervisor| {
            workers.ready == count || is_interrupted(workers, supervisor)
        })?;
        // By then the moment has reached all of them.
        let start = supervisor.on_ready()? + HEAD_START;
        let from = start + plan.warm_up;
        self.send_moment(start).map_err(Error::WorkerIo)?;
        self.receive_until(from, supervisor, is_interrupted)?;
        if is_interrupted(&self, supervisor) {
            return Err(Error::Interrupted);
        }
        supervisor.on_measuring();
        self.receive_until(from + plan.duration, supervisor, is_interrupted)?;
        if is_interrupted(&self, supervisor) {
            let end = Moment::now() + HEAD_START;
            // A worker that is done reads no more.
            let _ = self.send_moment(end);
            self.receive_until(end, supervisor, |_, _| false)?;
        }
        supervisor.on_measured();
        self.receive_until(never, supervisor, |workers, _| {
            workers.reports.len() == count
        })?;
        let mut whole = Report::default();
        for report in &self.reports {
            whole.add(report);
        }
        Ok(whole)
    }

    /// Sends all workers the moment at which they are to start; sent again, at which they end early.
    fn send_moment(&mut self, moment: Moment) -> io::Result<()> {
        let mut workers = self.workers.iter_mut();
        workers.try_for_each(|worker| writeln!(worker.stdin, "{}", moment.as_nanos()))
    }

    /// Takes messages of workers until `end`, or until `is_done`.
    fn receive_until(
        &mut self,
        end: Moment,
        supervisor: &mut dyn Supervisor,
        is_done: impl Fn(&Self, &dyn Supervisor) -> bool,
    ) -> Result<(), Error> {
        while !is_done(self, supervisor) {
            let time = end.since(Moment::now());
            if time.is_zero() {
                return Ok(());
            }
            let (index, message) = match self.messages.recv_timeout(time.min(LOOK_EVERY)) {
                Ok((index, message)) => (index, message?),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(ended_early()),
            };
            match message {
                WorkerMessage::Failed(reason) => return Err(Error::Worker(reason)),
                WorkerMessage::Progress(progress) => self.show(index, progress, supervisor),
                WorkerMessage::Ready => self.ready += 1,
                WorkerMessage::Report(report) => self.reports.push(*report),
            }
        }
        Ok(())
    }

    fn show(&mut self, index: usize, progress: Progress, supervisor: &mut dyn Supervisor) {
        self.progress[index] = Some(progress);
        // Once for each message of the first worker, as all send equally often.
        if index == 0 {
            let known: Vec<_> = self.progress.iter().copied().flatten().collect();
            if let Some(all) = Progress::of_all(&known) {
                supervisor.on_progress(&all);
            }
        }
    }
}

type Sender = SyncSender<(usize, Result<WorkerMessage, Error>)>;

fn start(index: usize, plan: &Plan, sender: &Sender) -> io::Result<Worker> {
    let mut child = Command::new(env::current_exe()?)
        .args(WORKER_ARGUMENTS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C goes to this process alone, which passes it on.
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
    thread::spawn(move || forward(index, stdout, &sender));
    Ok(Worker { child, stdin })
}

/// Forwards the messages of a worker to the thread that runs them all.
fn forward(index: usize, stdout: ChildStdout, sender: &Sender) {
    let mut has_reported = false;
    for line in BufReader::new(stdout).lines() {
        let message = line.map_err(Error::WorkerIo).and_then(|line| {
            serde_json::from_str(&line).map_err(|error| Error::Worker(error.to_string()))
        });
        has_reported |= matches!(
            message,
            Ok(WorkerMessage::Report(_) | WorkerMessage::Failed(_))
        );
        if sender.send((index, message)).is_err() {
            return;
        }
    }
    if !has_reported {
        // Nobody to tell if the run is over.
        let _ = sender.send((index, Err(ended_early())));
    }
}

fn ended_early() -> Error {
    Error::Worker("it ended without a report".into())
}

/// Runs this process as a worker: makes the share of a run that it reads from standard input.
///
/// # Errors
///
/// Standard input has no share of a run, or the run can't be made.
pub fn serve() -> Result<(), Error> {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let mut parent = ParentProcess(Interruption::default());
    let done = read_line().and_then(|plan| {
        let plan = serde_json::from_str(&plan);
        run_here(
            &plan.map_err(|error| Error::Worker(error.to_string()))?,
            &mut parent,
        )
    });
    send(&match done {
        Ok(report) => WorkerMessage::Report(Box::new(report)),
        Err(error) => WorkerMessage::Failed(reason(&error)),
    })
}

/// Returns an error with its causes, in one line.
fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The process that has started this one, reached by standard input and output.
struct ParentProcess(Interruption);

impl Supervisor for ParentProcess {
    fn on_ready(&mut self) -> Result<Moment, Error> {
        send(&WorkerMessage::Ready)?;
        let start = read_moment()?;
        let interruption = self.0.clone();
        thread::spawn(move || read_moment().map(|end| interruption.ask(end)));
        Ok(start)
    }

    fn on_measuring(&mut self) {}

    fn on_measured(&mut self) {}

    fn on_progress(&mut self, progress: &Progress) {
        // A parent that is gone ends this process.
        let _ = send(&WorkerMessage::Progress(*progress));
    }

    fn interrupted(&self) -> Option<Moment> {
        self.0.asked()
    }
}

fn send(message: &WorkerMessage) -> Result<(), Error> {
    let json = serde_json::to_string(message).map_err(|error| Error::Worker(error.to_string()))?;
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{json}").and_then(|()| stdout.flush());
    written.map_err(Error::WorkerIo)
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
    Ok(Moment::from_nanos(nanos.map_err(|_| ended_early())?))
}

/// Interval at which an interruption is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Messages that wait; a worker sends ten in a second. Arbitrary.
const QUEUED_MESSAGES: usize = 256;

/// Time that a moment to start or to end has to reach all workers.
const HEAD_START: Duration = Duration::from_millis(100);
