//! Standard output: messages, and at a terminal with a line editor also the lines about the
//! connection, which otherwise go to standard error.
//!
//! Writes block, and can't be cancelled. So a thread writes, for which the process does not wait at
//! its exit if the user is in a hurry: a second Ctrl-C ends it although the terminal is stopped.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write as _},
    thread,
};

use tokio::sync::{mpsc, oneshot};

use crate::connect::console::{editor::Screen, message::Style};

/// Capacity of the queue for standard output, in messages. Arbitrary: the thread that prints them
/// flushes all queued messages at once, and a longer queue would hardly save flushes. While the
/// queue is full, the socket is not read, so that TCP's flow control slows the server down.
const QUEUED_LINES: usize = 64;

/// Largest number of bytes that are printed together above the line that is typed. Arbitrary: the
/// line is drawn again each time, and a person sees no more at once.
const BATCH_BYTES: usize = 64 << 10;

/// Standard output, by messages.
#[derive(Debug)]
pub(crate) struct Output {
    lines: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<io::Result<()>>,
    style: Style,
    /// True if lines about the connection go the way of the messages, as both are on the terminal on
    /// which the user types.
    shares_screen: bool,
    is_quiet: bool,
}

impl Output {
    /// Opens standard output. `screen` is the terminal of the line editor, if there is one. If
    /// `is_quiet`, [`notice`](Self::notice) prints nothing.
    pub(super) fn open(screen: Option<Screen>, style: Style, is_quiet: bool) -> Self {
        let (lines, receiver) = mpsc::channel(QUEUED_LINES);
        let (sender, done) = oneshot::channel();
        let shares_screen = screen.is_some() && io::stderr().is_terminal();
        thread::spawn(move || {
            sender.send(match screen {
                Some(screen) => show_lines(receiver, &screen),
                None => write_lines(receiver),
            })
        });
        Self {
            lines,
            done,
            style,
            shares_screen,
            is_quiet,
        }
    }

    /// Returns the queue for messages, in the form in which they are printed.
    pub(crate) fn lines(&self) -> mpsc::Sender<Vec<u8>> {
        self.lines.clone()
    }

    /// Prints a line about the connection, unless the user wants none.
    pub(crate) fn notice(&self, text: &str) {
        if !self.is_quiet {
            self.answer(text);
        }
    }

    /// Prints a line that the user waits for, such as the answer to a command.
    pub(crate) fn answer(&self, text: &str) {
        if !self.shares_screen {
            // Fails if standard error is closed.
            let _ = io::stderr().write_all(Style::None.notice(text).as_bytes());
            return;
        }
        let line = self.style.notice(text).into_bytes();
        if let Err(mpsc::error::TrySendError::Full(line)) = self.lines.try_send(line) {
            let lines = self.lines.clone();
            // Waits for room in the queue in its turn. There are as few of these as lines about the
            // connection: a handful for each command and for each attempt to connect.
            tokio::spawn(async move { lines.send(line).await });
        }
    }

    /// Waits until a write has failed, for example because nobody reads standard output any more.
    pub(crate) async fn closed(&self) {
        self.lines.closed().await;
    }

    /// Returns true if a write has failed. [`closed`](Self::closed) waits for this.
    pub(crate) fn is_closed(&self) -> bool {
        self.lines.is_closed()
    }

    /// Waits until everything is written. If nobody reads standard output any more, this is no
    /// error.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.lines);
        match self.done.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

fn write_lines(mut lines: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    while let Some(line) = lines.blocking_recv() {
        stdout.write_all(&line)?;
        // Lines that are queued already are flushed together with the first one.
        while let Ok(line) = lines.try_recv() {
            stdout.write_all(&line)?;
        }
        stdout.flush()?;
    }
    Ok(())
}

/// Prints lines above the one that the user types.
fn show_lines(mut lines: mpsc::Receiver<Vec<u8>>, screen: &Screen) -> io::Result<()> {
    while let Some(mut batch) = lines.blocking_recv() {
        while batch.len() < BATCH_BYTES
            && let Ok(line) = lines.try_recv()
        {
            batch.extend(line);
        }
        // Nothing is replaced: only raw messages can be other than UTF-8, and they are not printed
        // on a terminal.
        screen.print(String::from_utf8_lossy(&batch).into_owned())?;
    }
    screen.flush()
}
