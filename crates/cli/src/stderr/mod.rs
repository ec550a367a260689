//! Standard error, which nobody waits for: a bounded queue of lines, and the thread that writes
//! them.
//!
//! Whoever is to read standard error may have stopped: a pipe is full, a terminal stands still.
//! Then that thread stands still, and no other. What does not fit meanwhile is dropped, and the
//! count stands where the lines are missing.
//!
//! Not `tracing-appender`: it bounds lines but not bytes, has nobody woken who could say how many
//! it has dropped, loses uncounted what can't be written, and may print, and so wait, at the exit.

#[cfg(test)]
mod tests;

use std::{
    fmt::Display,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};

/// The thread that writes. When this is dropped, what is queued gets a short time to be written.
#[derive(Debug)]
pub(super) struct Stderr(Lines);

/// Takes lines and never waits. Each call of `write` is one line, or some that belong together.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    is_filled: Condvar,
    /// All is written.
    is_written: Condvar,
}

/// What is to be written next.
///
/// Invariant: `lines` come before all that was dropped, so that the count has its place behind
/// them; they are at most [`QUEUED_BYTES`].
#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    dropped_lines: usize,
    /// The thread has written all that it had, and waits.
    is_idle: bool,
}

/// Held twice at most: as much is being written while as much waits. Some 2,000 lines, which a
/// reader that reads at all takes in a few milliseconds.
const QUEUED_BYTES: usize = 256 * 1024;

/// A reader that reads at all has the whole queue by then, on a busy machine too. An error at the
/// exit may wait so long twice: little to a supervisor, which commonly waits 10 s before it kills.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl Stderr {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        Self::writing_to(Descriptor)
    }

    fn writing_to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Lines(Arc::default());
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("stderr".into())
            .spawn(move || write_on(&shared, out))?;
        Ok(Self(lines))
    }

    /// Where others put their lines.
    pub(super) fn lines(&self) -> Lines {
        self.0.clone()
    }

    /// Says a line, for which there is room if anybody reads.
    pub(super) fn say(&self, line: &str) {
        self.wait();
        self.0.push(format!("{line}\n").as_bytes());
    }

    /// Waits until all is written, but not for long.
    fn wait(&self) {
        let Lines(shared) = &self.0;
        let is_behind = |queue: &mut Queue| !(queue.is_idle && queue.lines.is_empty());
        // Whether it was in time changes nothing.
        let _ = shared
            .is_written
            .wait_timeout_while(shared.lock(), LAST_WAIT, is_behind);
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        self.wait();
    }
}

impl Lines {
    /// Queues whole lines, or drops and counts them.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut queue = self.0.lock();
        queue.offer(lines);
        let is_idle = mem::take(&mut queue.is_idle);
        drop(queue);
        if is_idle {
            self.0.is_filled.notify_one();
        }
    }
}

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn offer(&mut self, lines: &[u8]) {
        // Once there is a gap it stays one, though a shorter line would fit.
        if self.dropped_lines > 0 || self.lines.len() + lines.len() > QUEUED_BYTES {
            self.dropped_lines += 1;
        } else {
            self.lines.extend(lines);
        }
    }
}

impl Shared {
    /// Waits for something to write: lines, and how many were dropped after them.
    fn take(&self) -> (Vec<u8>, usize) {
        let is_empty = |queue: &mut Queue| queue.lines.is_empty() && queue.dropped_lines == 0;
        let mut queue = self.lock();
        if is_empty(&mut queue) {
            queue.is_idle = true;
            self.is_written.notify_all();
        }
        let waited = self.is_filled.wait_while(queue, is_empty);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        queue.is_idle = false;
        (
            mem::take(&mut queue.lines),
            mem::take(&mut queue.dropped_lines),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Asked for while a panic is told of, too: no second one. A queue is never half-changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is queued, for as long as the process lives. What can't be written, such as to a
/// full disk, is counted with what was dropped.
fn write_on(shared: &Shared, mut out: impl Write) -> ! {
    let mut lost_lines = 0;
    loop {
        let (lines, dropped_lines) = shared.take();
        // What an earlier write has failed at.
        tell(&mut lost_lines, &mut out);
        lost_lines += write(&lines, &mut out) + dropped_lines;
        tell(&mut lost_lines, &mut out);
    }
}

/// Says how many lines are missing here.
fn tell(lost_lines: &mut usize, out: &mut impl Write) {
    if *lost_lines > 0 {
        let text = format!("log lines were dropped count={lost_lines}");
        if write(stamped("WARN", text).as_bytes(), out) == 0 {
            *lost_lines = 0;
        }
    }
}

/// Writes lines; how many of them can't be written.
fn write(mut lines: &[u8], out: &mut impl Write) -> usize {
    while !lines.is_empty() {
        let (piece, rest) = lines.split_at(piece(lines));
        if out.write_all(piece).is_err() {
            break;
        }
        lines = rest;
    }
    lines.iter().filter(|&&byte| byte == b'\n').count()
}

/// The length of what is written at one time: whole lines, as many as stay whole in a pipe that
/// others write to as well, but at least one.
fn piece(lines: &[u8]) -> usize {
    let most = lines.len().min(PIPE_BUF);
    let is_end = |&byte: &u8| byte == b'\n';
    let last = lines[..most].iter().rposition(is_end);
    let end = last.or_else(|| lines.iter().position(is_end));
    end.map_or(lines.len(), |end| end + 1)
}

/// What Linux writes to a pipe undivided: pipe(7).
const PIPE_BUF: usize = 4096;

/// A line that looks like the log's, by somebody who can't use the log.
pub(super) fn stamped(level: &str, text: impl Display) -> String {
    let mut time = String::new();
    // A `String` takes everything.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    format!("{time} {level:>5} framecast: {text}\n")
}

/// Standard error itself. Whoever shares it may have made it one that does not wait, and then it
/// is waited for here.
struct Descriptor;

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        loop {
            match (&stderr).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
                    poll(&mut ready, None)?;
                }
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
