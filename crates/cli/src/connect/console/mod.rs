//! Standard input and output by lines, and Ctrl-C.
//!
//! Reads of standard input and writes to standard output block, and can't be cancelled. So each of
//! the two streams has a thread, for which the process does not wait at its exit. A terminal that
//! is stopped then delays neither the connection nor the exit.
//!
//! [`command`] parses lines from the user, and [`message`] formats messages from the server.

pub(crate) mod command;
pub(crate) mod message;

use std::{
    future::pending,
    io::{self, BufRead as _, BufWriter, IsTerminal as _, Read as _, Write as _},
    thread,
};

use tokio::sync::{mpsc, oneshot};

/// Longest line that is sent, in bytes. Arbitrary: as long as the longest message that is accepted
/// from the server.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Capacity of the queue of lines for standard output. Arbitrary: enough for a batch. When it is
/// full the socket is not read, so that TCP's flow control slows the server down.
const QUEUED_LINES: usize = 64;

/// The user's side: standard input, standard output and Ctrl-C.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) interrupts: Interrupts,
}

impl Console {
    /// Opens the console. If `reads_input` is false, standard input is not read, and `input` waits
    /// for ever.
    pub(super) fn open(reads_input: bool) -> Self {
        Self {
            input: Input::open(reads_input),
            output: Output::open(),
            interrupts: Interrupts::listen(),
        }
    }
}

/// Prints a line about the connection on standard error.
pub(super) fn notice(text: &str) {
    // Fails if standard error is closed.
    let _ = writeln!(io::stderr(), "framecast: {text}");
}

/// The reason why a line cannot be sent.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("a line that is not UTF-8 was not sent")]
    NotUtf8,
    #[error("a line of more than {MAX_LINE_BYTES} bytes was not sent")]
    TooLong,
}

/// Standard input, by lines. The thread that reads standard input is at most two lines ahead of the
/// session: one line is in the channel, and one waits for room in it.
#[derive(Debug)]
pub(super) struct Input {
    lines: mpsc::Receiver<Result<String, Unsendable>>,
    /// A line that was put back, or that `is_ended` has taken from the channel. `next` returns it
    /// first.
    first: Option<Result<String, Unsendable>>,
    is_ended: bool,
    /// The sender of `lines` if standard input is not read. It keeps the channel open, so that
    /// `next` waits for ever instead of returning the end of the input.
    _unused_sender: Option<mpsc::Sender<Result<String, Unsendable>>>,
}

impl Input {
    fn open(is_read: bool) -> Self {
        let (sender, lines) = mpsc::channel(1);
        let unused_sender = if is_read {
            thread::spawn(move || read_lines(&sender));
            None
        } else {
            Some(sender)
        };
        Self {
            lines,
            first: None,
            is_ended: false,
            _unused_sender: unused_sender,
        }
    }

    /// Returns true if standard input is a terminal.
    pub(super) fn is_interactive() -> bool {
        io::stdin().is_terminal()
    }

    /// Returns the next line, or `None` at the end of the input.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no line is lost, because nothing is awaited after a line was received.
    pub(super) async fn next(&mut self) -> Option<Result<String, Unsendable>> {
        if let Some(line) = self.first.take() {
            return Some(line);
        }
        let line = self.lines.recv().await;
        self.is_ended = line.is_none();
        line
    }

    /// Puts back a line that could not be sent, so that `next` returns it again.
    pub(super) fn put_back(&mut self, line: String) {
        self.first = Some(Ok(line));
    }

    /// Returns true if the input has ended and all its lines were taken. Does not wait: as long as
    /// the end is not known, returns false.
    pub(super) fn is_ended(&mut self) -> bool {
        if self.first.is_none() && !self.is_ended {
            match self.lines.try_recv() {
                Ok(line) => self.first = Some(line),
                Err(mpsc::error::TryRecvError::Disconnected) => self.is_ended = true,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
        }
        self.first.is_none() && self.is_ended
    }
}

fn read_lines(lines: &mpsc::Sender<Result<String, Unsendable>>) {
    let mut stdin = io::stdin().lock();
    // An error counts as the end of the input.
    while let Ok(Some(line)) = read_line(&mut stdin) {
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Reads a line, and removes the line feed and carriage return from its end. Skips a line that is
/// too long. Returns `None` at the end of the input.
fn read_line(input: &mut impl io::BufRead) -> io::Result<Option<Result<String, Unsendable>>> {
    let mut line = Vec::new();
    // One byte more than the longest line, for the line feed.
    let mut limited = input.by_ref().take(MAX_LINE_BYTES + 1);
    if limited.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if limited.limit() == 0 && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
        return Ok(Some(Err(Unsendable::TooLong)));
    }
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    let line = String::from_utf8(line).map_err(|_| Unsendable::NotUtf8);
    Ok(Some(line))
}

/// Standard output, by lines.
#[derive(Debug)]
pub(super) struct Output {
    lines: mpsc::Sender<String>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    fn open() -> Self {
        let (lines, receiver) = mpsc::channel(QUEUED_LINES);
        let (sender, done) = oneshot::channel();
        thread::spawn(move || sender.send(write_lines(receiver)));
        Self { lines, done }
    }

    /// Returns the queue for lines, which must end with a line feed.
    pub(super) fn lines(&self) -> mpsc::Sender<String> {
        self.lines.clone()
    }

    /// Waits until a write has failed, for example because nobody reads standard output any more.
    pub(super) async fn closed(&self) {
        self.lines.closed().await;
    }

    /// Returns true if a write has failed. [`closed`](Self::closed) waits for this.
    pub(super) fn is_closed(&self) -> bool {
        self.lines.is_closed()
    }

    /// Waits until every line is written. If nobody reads standard output any more, this is no
    /// error.
    pub(super) async fn finish(self) -> io::Result<()> {
        drop(self.lines);
        match self.done.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

fn write_lines(mut lines: mpsc::Receiver<String>) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    while let Some(line) = lines.blocking_recv() {
        stdout.write_all(line.as_bytes())?;
        // Lines that are queued already are flushed together with the first one.
        while let Ok(line) = lines.try_recv() {
            stdout.write_all(line.as_bytes())?;
        }
        stdout.flush()?;
    }
    Ok(())
}

/// Reports each Ctrl-C of the user.
#[derive(Debug)]
pub(super) struct Interrupts {
    pressed: mpsc::Receiver<()>,
}

impl Interrupts {
    fn listen() -> Self {
        let (sender, pressed) = mpsc::channel(1);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() && sender.send(()).await.is_ok() {}
        });
        Self { pressed }
    }

    /// Waits for Ctrl-C.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits on a channel.
    pub(super) async fn next(&mut self) {
        if self.pressed.recv().await.is_none() {
            // The signal handler could not be installed. Then Ctrl-C kills the process.
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_a_line_feed_with_or_without_a_carriage_return() {
        // A CRLF, an empty line, a line that is not UTF-8, and a last line without an end.
        let mut input = &b"a\r\n\nb\n\xff\nc"[..];
        let mut next = || read_line(&mut input).unwrap();
        assert_eq!(next().unwrap().unwrap(), "a");
        assert_eq!(next().unwrap().unwrap(), "");
        assert_eq!(next().unwrap().unwrap(), "b");
        assert!(matches!(next(), Some(Err(Unsendable::NotUtf8))));
        assert_eq!(next().unwrap().unwrap(), "c");
        assert!(next().is_none());
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_as_a_whole() {
        let long = io::repeat(b'x').take(MAX_LINE_BYTES + 1);
        let mut input = io::BufReader::new(long.chain(&b"\nnext\n"[..]));
        let line = read_line(&mut input).unwrap();
        assert!(matches!(line, Some(Err(Unsendable::TooLong))));
        assert_eq!(read_line(&mut input).unwrap().unwrap().unwrap(), "next");
    }
}
