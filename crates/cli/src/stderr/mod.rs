//! Standard error without blocking: a bounded queue of lines, and a thread that writes them.
//!
//! A write to standard error blocks while nobody reads it: the pipe is full, or the terminal is
//! stopped. Then only that thread is blocked. Lines that do not fit into the queue meanwhile are
//! dropped, and a line that says how many is written in their place.
//!
//! `tracing-appender` does not fit: it bounds lines but not bytes, and wakes no thread that could
//! report the dropped lines. It does not count lines that can't be written. At the exit of the
//! process it may print to standard error, and so block.
//!
//! [`entry`] formats entries of the log for code that can't call the log.

pub(super) mod entry;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

use self::entry::{Entry, escape_invisible};

/// The thread that writes to standard error. A drop waits up to a second for the queued lines to be
/// written.
#[derive(Debug)]
pub(super) struct Stderr(Lines);

/// Queues lines for standard error without blocking. Each call of `write` must pass whole lines,
/// usually one. They are queued or dropped together.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when the queue has something to write.
    is_filled: Condvar,
    /// Signalled when every queued line is written.
    is_written: Condvar,
    /// True if every line is to be JSON.
    is_json: AtomicBool,
}

/// Lines that wait to be written, and the number of lines that were dropped after them.
///
/// Invariant: all dropped lines came after `lines`, so that the report of them is written after
/// `lines`, too. `lines` has at most [`QUEUED_BYTES`].
#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    dropped_lines: usize,
    /// True while the thread has written everything and waits.
    is_idle: bool,
}

/// Largest number of bytes that wait in the queue: some 2,000 lines, which a reader takes in a few
/// milliseconds if it reads at all. The thread may be writing as many more, which it has taken out
/// of the queue, so memory is at most twice this.
const QUEUED_BYTES: usize = 256 * 1024;

/// Longest wait for the queue to be written. It is long enough for any reader that reads at all, on
/// a busy machine, too. A process that exits with an error waits at most twice: before it writes
/// the error, and in the drop of [`Stderr`]. That is short compared with the 10 s that a supervisor
/// of services commonly waits before it kills a process.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl Stderr {
    /// Starts the thread that writes to standard error.
    pub(super) fn start() -> io::Result<Self> {
        Self::writing_to(Descriptor)
    }

    fn writing_to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Lines(Arc::default());
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("stderr".into())
            .spawn(move || write_all_queued(&shared, out))?;
        Ok(Self(lines))
    }

    /// Returns the queue, for the lines of the log.
    pub(super) fn lines(&self) -> Lines {
        self.0.clone()
    }

    /// Queues an error: a line that begins with the program's name, or an entry of the log if the
    /// log is JSON. First waits for the queue to be written, so that the line is dropped only if
    /// nobody reads standard error.
    pub(super) fn write_error(&self, error: &str) {
        self.wait();
        let line = if self.0.0.is_json() {
            Entry::new("ERROR", error).to_json()
        } else {
            format!("framecast: {error}\n")
        };
        self.0.push(line.as_bytes());
    }

    /// Waits until everything is written, or [`LAST_WAIT`] has passed.
    fn wait(&self) {
        let Lines(shared) = &self.0;
        let is_behind = |queue: &mut Queue| !(queue.is_idle && queue.lines.is_empty());
        // The caller goes on in either case.
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
    /// Makes every line from now on a JSON object.
    pub(super) fn use_json(&self) {
        self.0.is_json.store(true, Relaxed);
    }

    /// Queues an entry of the log.
    pub(super) fn push_entry(&self, entry: &Entry<'_>) {
        self.push(self.0.format(entry).as_bytes());
    }

    /// Queues whole lines. If they do not fit, drops all of them, and counts them as one dropped
    /// line.
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
        let escaped = if self.0.is_json() {
            escape_invisible(lines)
        } else {
            Cow::Borrowed(lines)
        };
        self.push(&escaped);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    /// Appends `lines`, or drops them and counts them as one dropped line.
    fn offer(&mut self, lines: &[u8]) {
        // After a dropped line no other is queued, even if it is short enough: otherwise the report
        // of the dropped lines could not be written in their place.
        if self.dropped_lines > 0 || self.lines.len() + lines.len() > QUEUED_BYTES {
            self.dropped_lines += 1;
        } else {
            self.lines.extend(lines);
        }
    }
}

impl Shared {
    fn is_json(&self) -> bool {
        self.is_json.load(Relaxed)
    }

    fn format(&self, entry: &Entry<'_>) -> String {
        if self.is_json() {
            entry.to_json()
        } else {
            entry.to_text()
        }
    }

    /// Waits until there is something to write, and takes it out of the queue. Returns the queued
    /// lines, and how many lines were dropped after them.
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
        // The panic hook takes this lock, too, and must not panic itself. No change of a queue can
        // panic halfway, so a poisoned one is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes queued lines for as long as the process lives. Lines that can't be written, for example
/// to a full disk, are counted with the dropped ones.
fn write_all_queued(shared: &Shared, mut out: impl Write) -> ! {
    let mut lost_lines = 0;
    loop {
        let (lines, dropped_lines) = shared.take();
        // Reports the lines of earlier rounds whose report could not be written, either.
        report_lost(&mut lost_lines, shared, &mut out);
        lost_lines += write(&lines, &mut out) + dropped_lines;
        report_lost(&mut lost_lines, shared, &mut out);
    }
}

/// Writes a line with the number of lost lines, if any, and then resets the number to 0. Keeps the
/// number if the line can't be written.
fn report_lost(lost_lines: &mut usize, shared: &Shared, out: &mut impl Write) {
    if *lost_lines > 0 {
        let entry = Entry::new("WARN", "log lines were dropped").with_count(*lost_lines);
        if write(shared.format(&entry).as_bytes(), out) == 0 {
            *lost_lines = 0;
        }
    }
}

/// Writes lines. Returns how many of them could not be written.
fn write(mut lines: &[u8], out: &mut impl Write) -> usize {
    while !lines.is_empty() {
        let (part, rest) = lines.split_at(write_len(lines));
        if out.write_all(part).is_err() {
            break;
        }
        lines = rest;
    }
    lines.iter().filter(|&&byte| byte == b'\n').count()
}

/// Returns how many bytes of `lines` to write at one time: as many whole lines as fit into
/// [`PIPE_BUF`], but at least one line. Other processes may write to the same pipe, and up to that
/// length Linux does not mix their bytes with those of this process.
fn write_len(lines: &[u8]) -> usize {
    let most = lines.len().min(PIPE_BUF);
    let is_end = |&byte: &u8| byte == b'\n';
    let last = lines[..most].iter().rposition(is_end);
    let end = last.or_else(|| lines.iter().position(is_end));
    end.map_or(lines.len(), |end| end + 1)
}

/// Largest number of bytes that Linux writes to a pipe atomically: pipe(7).
const PIPE_BUF: usize = 4096;

/// Standard error itself. Another process that shares it may have made it nonblocking; then a write
/// waits here until it is writable.
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
