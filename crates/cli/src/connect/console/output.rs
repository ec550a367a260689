//! Standard output: messages, and at a terminal with a line editor also the lines about the
//! connection, which otherwise go to standard error.
//!
//! Writes block, and can't be cancelled. So a thread writes, for which the process does not wait at
//! its exit if the user is in a hurry: a second Ctrl-C ends it although the terminal is stopped.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time::sleep};

use crate::connect::console::{
    editor::Screen,
    message::Style,
    queue::{self, MessageQueue, QueuedMessages},
};

/// Largest number of bytes that are printed together above the line that is typed. Arbitrary: the
/// line is drawn again each time, and a person sees no more at once.
const BATCH_BYTES: usize = 64 << 10;

/// Standard output, by messages.
#[derive(Debug)]
pub(crate) struct Output {
    messages: MessageQueue,
    done: oneshot::Receiver<io::Result<()>>,
    style: Style,
    /// True if lines about the connection go the way of the messages, as both are on the terminal on
    /// which the user types.
    shares_screen: bool,
    /// True if there is a line editor, which may take no message for as long as the user likes.
    has_editor: bool,
    is_quiet: bool,
}

impl Output {
    /// Opens standard output. `screen` is the terminal of the line editor, if there is one. If
    /// `is_quiet`, [`notice`](Self::notice) prints nothing.
    pub(super) fn open(screen: Option<Screen>, style: Style, is_quiet: bool) -> Self {
        let (messages, queued) = queue::open();
        let (sender, done) = oneshot::channel();
        let has_editor = screen.is_some();
        let shares_screen = has_editor && io::stderr().is_terminal();
        thread::spawn(move || {
            sender.send(match screen {
                Some(screen) => show_messages(queued, &screen),
                None => write_messages(queued),
            })
        });
        Self {
            messages,
            done,
            style,
            shares_screen,
            has_editor,
            is_quiet,
        }
    }

    /// Returns the queue for messages.
    pub(crate) fn messages(&self) -> MessageQueue {
        self.messages.clone()
    }

    /// Waits until everything is written, and nothing was for `time`. Time before `since` does not
    /// count.
    pub(crate) async fn silence(&self, since: Instant, time: Duration) {
        self.messages.silence(since, time).await;
    }

    /// Waits for the end of `future`, for at most `time`. The time in which standard output takes
    /// nothing does not count: what the server has sent waits in the socket then. It does count with
    /// a line editor, so that one that is held does not delay the end.
    pub(crate) async fn timeout<T>(
        &self,
        time: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let time = async {
            if self.has_editor {
                sleep(time).await;
            } else {
                self.messages.time_with_room(time).await;
            }
        };
        tokio::select! {
            done = future => Some(done),
            () = time => None,
        }
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
        if let Some(line) = self.messages.try_send(line) {
            let messages = self.messages.clone();
            // Waits for room in the queue in its turn. There are as few of these as lines about the
            // connection: a handful for each command and for each attempt to connect.
            tokio::spawn(async move { messages.send(line).await });
        }
    }

    /// Waits until a write has failed, for example because nobody reads standard output any more.
    pub(crate) async fn closed(&self) {
        self.messages.closed().await;
    }

    /// Returns true if a write has failed. [`closed`](Self::closed) waits for this.
    pub(crate) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Waits until everything is written. If nobody reads standard output any more, this is no
    /// error.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.messages);
        match self.done.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

fn write_messages(mut queued: QueuedMessages) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    while let Some(message) = queued.next() {
        stdout.write_all(&message)?;
        // Messages that are queued already are flushed together with the first one.
        while let Some(message) = queued.next_queued() {
            stdout.write_all(&message)?;
        }
        stdout.flush()?;
        queued.note_written();
    }
    Ok(())
}

/// Prints messages above the line that the user types.
fn show_messages(mut queued: QueuedMessages, screen: &Screen) -> io::Result<()> {
    while let Some(mut batch) = queued.next() {
        while batch.len() < BATCH_BYTES
            && let Some(message) = queued.next_queued()
        {
            batch.extend(message);
        }
        // Nothing is replaced: only raw messages can be other than UTF-8, and they are not printed
        // on a terminal.
        screen.print(String::from_utf8_lossy(&batch).into_owned())?;
        queued.note_written();
    }
    screen.flush()
}
