//! A run in several processes, for when one has too few file descriptors or one core is too slow.
//!
//! The parent process starts its own program once for each share of the plan. It writes the plan
//! and the time of the start to the standard input of each worker, and reads progress and the
//! report from its standard output; each message is a line of JSON. The kernel kills a worker whose
//! parent dies.

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

/// Arguments with which this program runs as a worker.
const WORKER_ARGUMENTS: [&str; 2] = ["load", "worker"];

/// A message from a worker to its parent: a line of JSON.
#[derive(Serialize, Deserialize)]
enum WorkerMessage {
    /// The run failed, with this error.
    Failed(String),
    Progress(Progress),
    /// All connections of the worker are open.
    Ready,
    Report(Box<Report>),
}

/// The worker processes of a run.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    /// Messages of all workers, each with the index of its worker.
    messages: Receiver<(usize, Result<WorkerMessage, Error>)>,
    /// The last progress that each worker has sent.
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

    /// Starts the run once all workers are ready, and receives their messages until each has sent
    /// its report. Returns the reports added up.
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
        // The start lies in the future, so that all workers have read it by then.
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
            // Fails for a worker that has already ended.
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

    /// Sends `moment` to all workers. A worker takes the first moment that it receives as the time
    /// of its start, and the second one as the time of an early end.
    fn send_moment(&mut self, moment: Moment) -> io::Result<()> {
        let mut workers = self.workers.iter_mut();
        workers.try_for_each(|worker| writeln!(worker.stdin, "{}", moment.as_nanos()))
    }

    /// Receives messages of the workers until `end`, or until `is_done` returns true.
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
            let (index, message) = match self.messages.recv_timeout(time.min(POLL_INTERVAL)) {
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

    /// Stores the progress of worker `index`. After the first worker's progress, passes that of all
    /// workers together to the supervisor.
    fn show(&mut self, index: usize, progress: Progress, supervisor: &mut dyn Supervisor) {
        self.progress[index] = Some(progress);
        // Once for all workers, which send equally often.
        if index == 0 {
            let known: Vec<_> = self.progress.iter().copied().flatten().collect();
            if let Some(all) = Progress::of_all(&known) {
                supervisor.on_progress(&all);
            }
        }
    }
}

type Sender = SyncSender<(usize, Result<WorkerMessage, Error>)>;

/// Starts worker `index` with its share of the plan, and a thread that forwards its messages.
fn start(index: usize, plan: &Plan, sender: &Sender) -> io::Result<Worker> {
    let mut child = Command::new(env::current_exe()?)
        .args(WORKER_ARGUMENTS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // In a process group of its own, so that the terminal sends the SIGINT of Ctrl-C only to
        // the parent, which passes the interruption on.
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

/// Forwards the messages of worker `index` from its standard output to the parent's main thread.
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
        // Fails if the run is over and the receiver is gone.
        let _ = sender.send((index, Err(ended_early())));
    }
}

fn ended_early() -> Error {
    Error::Worker("it ended without a report".into())
}

/// Runs this process as a worker: reads its share of a plan from standard input and executes it. A
/// run that fails is reported on standard output like one that succeeds.
///
/// # Errors
///
/// Standard output can't be written.
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

/// Returns the text of an error and of its causes, in one line.
fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The supervisor of a worker: its parent process, reached by standard input and output.
struct ParentProcess(Interruption);

impl Supervisor for ParentProcess {
    fn on_ready(&mut self) -> Result<Moment, Error> {
        send(&WorkerMessage::Ready)?;
        let start = read_moment()?;
        // The next moment that the parent sends is that of an early end.
        let interruption = self.0.clone();
        thread::spawn(move || read_moment().map(|end| interruption.ask(end)));
        Ok(start)
    }

    fn on_measuring(&mut self) {}

    fn on_measured(&mut self) {}

    fn on_progress(&mut self, progress: &Progress) {
        // Fails only if the parent is gone, and then the kernel kills this process.
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

/// Interval at which the parent checks whether the user has interrupted the run.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Capacity of the queue of messages from all workers. Each worker sends ten per second. Arbitrary.
const QUEUED_MESSAGES: usize = 256;

/// Time by which a start or an early end lies in the future when it is sent, so that all workers
/// receive it before that moment.
const HEAD_START: Duration = Duration::from_millis(100);
