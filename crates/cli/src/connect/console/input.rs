//! The lines to send: from the line editor, from standard input, or from the command line.
//!
//! Reads of standard input block, and can't be cancelled. So a thread reads it, for which the
//! process does not wait at its exit.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    thread,
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};

use crate::connect::console::encoding::Encoding;

/// Longest line that is sent, in bytes. Arbitrary: as long as the longest message that is accepted
/// from the server.
pub(super) const MAX_LINE_BYTES: usize = 16 << 20;

/// Length at which a terminal without a line editor cuts a line, in bytes: Linux keeps 4,096 of
/// them, the line feed included.
const CUT_BYTES: usize = 4095;

/// Longest wait for the end of a program's input, once the server has closed the connection.
/// Arbitrary: longer than a thread needs to notice the end, and shorter than most waits before the
/// next attempt to connect.
const GRACE: Duration = Duration::from_millis(200);

/// The reason why a line cannot be sent. The text follows the name of the line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsendable {
    #[error("may be cut: a terminal without a line editor keeps {CUT_BYTES} bytes of a line")]
    Cut,
    #[error("is not UTF-8, and was dropped with what came right behind it")]
    Dropped,
    #[error("is not {}", .0.name())]
    NotEncoded(Encoding),
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("has more than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("cannot be read ({0})")]
    Unreadable(io::Error),
}

/// A line of the input, without its end.
pub(super) type Line = Result<String, Unsendable>;

/// The source of the lines to send.
#[derive(Debug)]
pub(crate) enum Source {
    /// There are no lines, and no end of them either.
    Nothing,
    /// Standard input.
    Stdin,
    /// The command line.
    Texts(Vec<String>),
}

/// The lines to send. The thread that reads standard input is at most two lines ahead of the
/// session: one line is in the channel, and one waits for room in it.
#[derive(Debug)]
pub(crate) struct Input {
    lines: mpsc::Receiver<Line>,
    /// Lines that come before those of the channel: lines of the command line, a line that was put
    /// back, and one that `is_ended` has taken from the channel.
    first: VecDeque<Line>,
    /// The number of the line that `next` has returned last.
    number: u64,
    /// The line that ended the input, because it can't be sent.
    failure: Option<InputError>,
    is_ended: bool,
    /// True if a person types the lines, so that some of them are commands.
    pub(crate) is_typed: bool,
    /// True if a person is at the terminal, who notices that a server can't be reached.
    pub(crate) is_watched: bool,
    /// The sender of `lines` if nothing is read. It keeps the channel open, so that `next` waits for
    /// ever instead of returning the end of the input.
    unused_sender: Option<mpsc::Sender<Line>>,
}

/// The error of an input that can't be sent as a whole.
#[derive(Debug, thiserror::Error)]
#[error("line {number} of the input {reason}; from this line on nothing was sent")]
pub(crate) struct InputError {
    number: u64,
    reason: Unsendable,
}

impl Input {
    /// Takes lines from `source`. Standard input is read by the line editor, if `lines` are its
    /// lines, or by a thread.
    pub(super) fn open(source: Source, lines: Option<mpsc::Receiver<Line>>) -> Self {
        let is_terminal = io::stdin().is_terminal();
        let is_typed = is_terminal && matches!(source, Source::Stdin);
        let is_watched = is_terminal && !matches!(source, Source::Texts(_));
        let (sender, plain) = mpsc::channel(1);
        let mut first = VecDeque::new();
        let mut unused_sender = None;
        match source {
            Source::Nothing => unused_sender = Some(sender),
            // The channel ends after these lines, because its sender is dropped.
            Source::Texts(texts) => first.extend(texts.into_iter().map(Ok)),
            Source::Stdin if lines.is_some() => {}
            Source::Stdin => drop(thread::spawn(move || read_lines(&sender, is_terminal))),
        }
        Self {
            lines: lines.unwrap_or(plain),
            first,
            number: 0,
            failure: None,
            is_ended: false,
            is_typed,
            is_watched,
            unused_sender,
        }
    }

    /// Returns the next line, or `None` at the end of the input.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no line is lost, because nothing is awaited after a line was received.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        if self.failure.is_some() {
            return None;
        }
        let line = match self.first.pop_front() {
            Some(line) => Some(line),
            None => self.lines.recv().await,
        };
        match line {
            Some(_) => self.number += 1,
            None => self.is_ended = true,
        }
        line
    }

    /// Puts back a line that could not be sent, so that `next` returns it again.
    pub(crate) fn put_back(&mut self, line: String) {
        self.first.push_front(Ok(line));
        self.number = self.number.saturating_sub(1);
    }

    /// Ends the input, because the line that `next` has returned last can't be sent. A program that
    /// wrote the line would not know that it was left out.
    pub(crate) fn fail(&mut self, reason: Unsendable) {
        let number = self.number;
        self.failure = Some(InputError { number, reason });
        self.is_ended = true;
        self.first.clear();
        self.lines.close();
    }

    /// Returns true if the input has ended because of a line that can't be sent.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Returns true if there are lines that were not taken, or were put back.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.first.is_empty() || !self.lines.is_empty()
    }

    /// Returns the error of an input that has ended because of a line that can't be sent.
    pub(crate) fn take_failure(&mut self) -> Option<InputError> {
        self.failure.take()
    }

    /// Returns true if the input of a program ends within [`GRACE`], and all its lines were taken.
    /// The program may have ended already, without the thread that reads having noticed. At a
    /// terminal, does not wait.
    pub(crate) async fn ends_soon(&mut self) -> bool {
        let may_wait = self.unused_sender.is_none() && !self.is_typed;
        if may_wait && self.first.is_empty() && !self.is_ended {
            match timeout(GRACE, self.lines.recv()).await {
                Ok(Some(line)) => self.first.push_back(line),
                Ok(None) => self.is_ended = true,
                Err(_) => {}
            }
        }
        self.is_ended()
    }

    /// Returns true if the input has ended and all its lines were taken. Does not wait for the end:
    /// returns false as long as more input may come.
    pub(crate) fn is_ended(&mut self) -> bool {
        if self.first.is_empty() && !self.is_ended {
            match self.lines.try_recv() {
                Ok(line) => self.first.push_back(line),
                Err(mpsc::error::TryRecvError::Disconnected) => self.is_ended = true,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
        }
        self.first.is_empty() && self.is_ended
    }
}

fn read_lines(lines: &mpsc::Sender<Line>, is_terminal: bool) {
    let mut stdin = io::stdin().lock();
    loop {
        let line = match read_line(&mut stdin) {
            Ok(Some(Ok(line))) if is_terminal && CUT_BYTES <= line.len() => Err(Unsendable::Cut),
            Ok(Some(line)) => line,
            Ok(None) => return,
            // The terminal is gone.
            Err(_) if is_terminal => return,
            Err(error) => {
                // Fails if no line is wanted any more.
                let _ = lines.blocking_send(Err(Unsendable::Unreadable(error)));
                return;
            }
        };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Reads a line, and removes the line feed and carriage return from its end. Skips a line that is
/// too long. Returns `None` at the end of the input.
fn read_line(input: &mut impl io::BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    // Two bytes more than the longest line, for a carriage return and the line feed.
    let mut limited = input.by_ref().take(MAX_LINE_BYTES as u64 + 2);
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
    if MAX_LINE_BYTES < line.len() {
        return Ok(Some(Err(Unsendable::TooLong)));
    }
    let line = String::from_utf8(line).map_err(|_| Unsendable::NotUtf8);
    Ok(Some(line))
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
        for (more, is_sent) in [(0, true), (1, false), (2, false), (3, false)] {
            for end in ["\n", "\r\n"] {
                let long = io::repeat(b'x').take(MAX_LINE_BYTES as u64 + more);
                let next = format!("{end}next{end}");
                let mut input = io::BufReader::new(long.chain(next.as_bytes()));
                let line = read_line(&mut input).unwrap().unwrap();
                assert_eq!(line.is_ok(), is_sent, "{more} {end:?}");
                assert_eq!(read_line(&mut input).unwrap().unwrap().unwrap(), "next");
            }
        }
    }

    #[tokio::test]
    async fn the_texts_of_the_command_line_come_first_and_then_the_end() {
        let texts = Source::Texts(vec!["/a".into(), "b".into()]);
        let mut input = Input::open(texts, None);
        assert!(!input.is_ended());
        assert_eq!(input.next().await.unwrap().unwrap(), "/a");
        input.put_back("/a".into());
        assert_eq!(input.next().await.unwrap().unwrap(), "/a");
        assert!(input.has_unsent());
        assert_eq!(input.next().await.unwrap().unwrap(), "b");
        assert!(!input.has_unsent());
        assert!(input.is_ended());
        assert!(input.next().await.is_none());
    }

    /// Returns the input of a program, and the sender of its lines.
    fn of_program() -> (mpsc::Sender<Line>, Input) {
        let (sender, lines) = mpsc::channel(4);
        let mut input = Input::open(Source::Stdin, Some(lines));
        // The tests may run at a terminal.
        input.is_typed = false;
        (sender, input)
    }

    // `echo last | framecast connect` reconnected if the server closed the connection at once.
    #[tokio::test(start_paused = true)]
    async fn a_pipe_whose_program_has_ended_counts_as_ended_a_moment_before_its_end_is_read() {
        let (sender, mut input) = of_program();
        assert!(!input.ends_soon().await, "the program writes nothing");
        assert!(!input.has_unsent());
        tokio::spawn(async move {
            tokio::time::sleep(GRACE / 2).await;
            sender.send(Ok("a".to_owned())).await.unwrap();
            tokio::time::sleep(GRACE / 2).await;
        });
        assert!(!input.ends_soon().await);
        assert!(input.has_unsent());
        assert_eq!(input.next().await.unwrap().unwrap(), "a");
        assert!(input.ends_soon().await);
        assert!(input.next().await.is_none());
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_sent_ends_the_input_and_is_named_by_its_number() {
        let (sender, mut input) = of_program();
        for line in [Ok("a".to_owned()), Err(Unsendable::NotUtf8), Ok("b".into())] {
            sender.send(line).await.unwrap();
        }
        assert_eq!(input.next().await.unwrap().unwrap(), "a");
        let reason = input.next().await.unwrap().unwrap_err();
        input.fail(reason);
        assert!(input.is_ended());
        assert!(input.next().await.is_none());
        assert_eq!(
            input.take_failure().unwrap().to_string(),
            "line 2 of the input is not UTF-8; from this line on nothing was sent"
        );
    }
}
