//! The terminal: lines in, lines out, and Ctrl-C.
//!
//! Reading standard input and writing standard output block, and neither can be cancelled. Each has
//! a thread of its own that the process does not wait for when it exits, so a terminal that stands
//! still holds up neither the connection nor the exit.
//!
//! [`command`] reads what was typed, and [`message`] shows what came.

pub(crate) mod command;
pub(crate) mod message;

use std::{
    future::pending,
    io::{self, BufRead as _, BufWriter, IsTerminal as _, Read as _, Write as _},
    thread,
};

use tokio::sync::{mpsc, oneshot};

/// The longest line sent, in bytes. Arbitrary: as much as is accepted from the server.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Lines that wait for standard output. Arbitrary: enough for a batch; when it is full the socket
/// is not read, and TCP holds the server back.
const QUEUED_LINES: usize = 64;

/// Everything on this side of the connection.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) interrupts: Interrupts,
}

impl Console {
    /// Reads standard input, if that is wanted.
    pub(super) fn open(is_input_wanted: bool) -> Self {
        Self {
            input: Input::open(is_input_wanted),
            output: Output::open(),
            interrupts: Interrupts::listen(),
        }
    }
}

/// Tells the user, on standard error, what is going on.
pub(super) fn notice(text: &str) {
    // Whoever closed standard error does not want to be told.
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

/// Standard input, by lines. It is read only as fast as lines are taken, two lines ahead at most.
#[derive(Debug)]
pub(super) struct Input {
    lines: mpsc::Receiver<Result<String, Unsendable>>,
    /// Read but not sent; taken again before any other.
    first: Option<Result<String, Unsendable>>,
    is_ended: bool,
    /// Kept where nothing is read: then nothing comes, and no end either.
    _silence: Option<mpsc::Sender<Result<String, Unsendable>>>,
}

impl Input {
    fn open(is_wanted: bool) -> Self {
        let (sender, lines) = mpsc::channel(1);
        let silence = if is_wanted {
            thread::spawn(move || read_lines(&sender));
            None
        } else {
            Some(sender)
        };
        Self {
            lines,
            first: None,
            is_ended: false,
            _silence: silence,
        }
    }

    /// Returns true if a person is typing.
    pub(super) fn is_interactive() -> bool {
        io::stdin().is_terminal()
    }

    /// Returns the next line, or `None` at the end of the input.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a line is taken in a step that does not wait.
    pub(super) async fn next(&mut self) -> Option<Result<String, Unsendable>> {
        if let Some(line) = self.first.take() {
            return Some(line);
        }
        let line = self.lines.recv().await;
        self.is_ended = line.is_none();
        line
    }

    /// Gives back a line that could not be sent.
    pub(super) fn put_back(&mut self, line: String) {
        self.first = Some(Ok(line));
    }

    /// Returns true if every line has been taken and no other will come; does not wait to find out.
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
    // An input that fails has ended: there is nothing more to send.
    while let Ok(Some(line)) = read_line(&mut stdin) {
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

fn read_line(input: &mut impl io::BufRead) -> io::Result<Option<Result<String, Unsendable>>> {
    let mut line = Vec::new();
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

    /// Returns the channel for lines, their line feeds included.
    pub(super) fn lines(&self) -> mpsc::Sender<String> {
        self.lines.clone()
    }

    /// Waits until nobody reads standard output any more.
    pub(super) async fn closed(&self) {
        self.lines.closed().await;
    }

    /// Returns true if nobody reads standard output any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lines.is_closed()
    }

    /// Waits until every line is written. A reader that left early is not an error: it has seen
    /// what it wanted.
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
        while let Ok(line) = lines.try_recv() {
            stdout.write_all(line.as_bytes())?;
        }
        stdout.flush()?;
    }
    Ok(())
}

/// Ctrl-C, as often as it is pressed.
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
    /// Cancel safe: it takes from a channel.
    pub(super) async fn next(&mut self) {
        if self.pressed.recv().await.is_none() {
            // Signals cannot be had here; Ctrl-C then ends the process without us.
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_a_line_feed_with_or_without_a_carriage_return() {
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
