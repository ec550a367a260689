//! The line editor at a terminal: rustyline, on a thread of its own.
//!
//! While a line is typed, messages are printed above it ([`Screen::print`]). A second thread hands
//! them to the editor, because this may block for as long as the editor takes none. rustyline has no
//! means to end a read from another thread. So [`Screen::close`] replaces standard input by
//! `/dev/null`, at whose end the read returns. It does not wait for long: an editor that searches in
//! the history is left behind.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Write as _},
    sync::mpsc as std_mpsc,
    thread,
    time::Duration,
};

use rustyline::{
    ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter, Helper,
    completion::Completer,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::DefaultHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};
use tokio::sync::mpsc;

use crate::connect::console::{
    input::{Line, MAX_LINE_BYTES, Unsendable},
    message::Style,
    stage::{EndOnDrop, Stage},
    terminal::{Saved, drop_pending, end_stdin, is_gone},
};

/// Number of lines that the arrow keys bring back. Arbitrary: more than a person types in one
/// session.
const HISTORY_LINES: usize = 1000;

/// Longest wait for the rest of a key behind an Escape, in milliseconds. Without a limit an Escape
/// alone would hold the editor, and all messages, until the next key. Arbitrary: the bytes of one
/// key come together, and a person does not notice the wait.
const KEY_TIMEOUT: u16 = 100;

/// Longest wait for the editor to take a message, and to end. Both take microseconds, unless a
/// search in the history or half a paste holds it. Arbitrary: hardly noticed by a person.
pub(super) const END_TIMEOUT: Duration = Duration::from_millis(500);

/// The terminal on which a person types and messages are printed.
#[derive(Clone)]
pub(super) struct Screen {
    stage: Stage,
    saved: Saved,
}

impl fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Screen").field(&self.stage).finish()
    }
}

impl Screen {
    /// Starts the editor. It sends each line to `lines`, and each Ctrl-C to `interrupts`.
    pub(super) fn open(
        style: Style,
        lines: mpsc::Sender<Line>,
        interrupts: mpsc::Sender<()>,
    ) -> io::Result<Self> {
        let saved = Saved::take()?;
        let stage = Stage::new();
        let typist = Typist {
            stage: stage.clone(),
            prompt: style.prompt(),
            lines: Some(lines),
            interrupts,
        };
        // Without the editor, the terminal must echo.
        start(typist).inspect_err(|_| saved.restore(b""))?;
        Ok(Self { stage, saved })
    }

    /// Prints lines above the one that is typed. `text` must end with a line feed.
    pub(super) fn print(&self, text: String) -> io::Result<()> {
        self.stage.push(text).or_else(|rest| write_directly(&rest))
    }

    /// Waits until everything is printed.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.stage.flush().or_else(|rest| write_directly(&rest))
    }

    /// Ends the editor, and restores the terminal. If the editor does not end soon, goes on without
    /// it. What it has not printed then, [`print`](Self::print) and [`flush`](Self::flush) write.
    pub(super) fn close(&self) {
        if self.stage.wait_for_end(Duration::ZERO) {
            return self.saved.restore(b"");
        }
        let takes_messages = self.stage.close(END_TIMEOUT);
        // Fails if there are too many open files. Then the editor is left behind.
        let _ = end_stdin();
        // Wakes the editor, which still waits for the terminal.
        self.stage.redraw();
        let has_ended = takes_messages && self.stage.wait_for_end(END_TIMEOUT);
        self.saved.restore(if has_ended { b"" } else { b"\r\n" });
        self.stage.end();
    }

    /// Stops the process as Ctrl-Z does. The shell gets the terminal in its own mode meanwhile.
    pub(super) async fn suspend(&self) -> io::Result<()> {
        self.saved.suspend().await?;
        // Draws the line again, below what the shell has printed.
        self.stage.redraw();
        Ok(())
    }
}

fn write_directly(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

type Printer = Box<dyn ExternalPrinter + Send>;

/// Starts the two threads. Fails if one of them can't be started, or if there is no editor at this
/// terminal.
fn start(typist: Typist) -> io::Result<()> {
    let stage = typist.stage.clone();
    let (sender, printer) = std_mpsc::channel();
    thread::Builder::new()
        .name("printer".into())
        // Ends at once if there is no editor.
        .spawn(move || printer.recv().map(|printer| hand_over(&stage, printer)))?;
    let (opened, is_open) = std_mpsc::channel();
    thread::Builder::new()
        .name("editor".into())
        .spawn(move || typist.run(&sender, &opened))?;
    let is_open = is_open.recv();
    is_open.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

/// Hands messages to the editor, until it ends.
fn hand_over(stage: &Stage, mut printer: Printer) {
    while let Some(message) = stage.begin_handing() {
        if printer.print(message).is_err() {
            // The message is written directly. This reports the error if it fails again.
            return stage.end();
        }
        stage.end_handing();
    }
}

/// The thread of the editor.
struct Typist {
    stage: Stage,
    /// The prompt without and with colours.
    prompt: (&'static str, &'static str),
    /// `None` once the user has ended the input, or the session takes no more lines.
    lines: Option<mpsc::Sender<Line>>,
    interrupts: mpsc::Sender<()>,
}

/// What follows after a line.
#[derive(PartialEq, Eq)]
enum Next {
    End,
    Read,
}

impl Typist {
    /// Reads lines until the editor is closed. Sends to `opened` that it reads, or why it can't, and
    /// its printer to `printers`.
    fn run(
        mut self,
        printers: &std_mpsc::Sender<Printer>,
        opened: &std_mpsc::Sender<io::Result<()>>,
    ) {
        // A message is written directly after the end.
        let _end = EndOnDrop(self.stage.clone());
        let editor = open(&self.stage).and_then(|mut editor| {
            let printer = editor.create_external_printer()?;
            Ok((editor, printer))
        });
        // Both fail if nobody waits for it any more.
        match editor {
            Ok((editor, printer)) => {
                let _ = printers.send(Box::new(printer));
                let _ = opened.send(Ok(()));
                self.read(editor);
            }
            Err(error) => drop(opened.send(Err(io::Error::other(error)))),
        }
    }

    fn read(&mut self, mut editor: Editor<Hooks, DefaultHistory>) {
        loop {
            self.stage.enter();
            // After the end of the input, the editor only takes Ctrl-C, and prints messages.
            let prompt = if self.lines.is_some() {
                self.prompt
            } else {
                ("", "")
            };
            let read = editor.readline(&prompt);
            self.stage.leave();
            if self.on_read(read) == Next::End {
                return;
            }
        }
    }

    fn on_read(&mut self, read: rustyline::Result<String>) -> Next {
        match read {
            Ok(line) => self.deliver(checked(line)),
            Err(ReadlineError::Interrupted) => {
                // Fails if one is waiting already.
                let _ = self.interrupts.try_send(());
            }
            // Ctrl-D. At the end of `/dev/null`, or of a terminal that is gone, the editor ends.
            Err(ReadlineError::Eof) if !is_gone() => self.lines = None,
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                drop_pending();
                self.deliver(Err(Unsendable::Dropped));
            }
            Err(_) => return Next::End,
        }
        Next::Read
    }

    /// Sends a line to the session. Waits if too many lines wait already. If the session takes no
    /// more, the editor still reads, because only then it prints the messages that it was handed.
    fn deliver(&mut self, line: Line) {
        let is_sent = self
            .lines
            .as_ref()
            .is_some_and(|lines| lines.blocking_send(line).is_ok());
        if !is_sent {
            self.lines = None;
        }
    }
}

/// Returns the line as it is sent. A pasted text may have several lines, and is one message. The
/// line feeds at its end come from the paste, and not from the user.
fn checked(mut line: String) -> Line {
    line.truncate(line.trim_end_matches('\n').len());
    if MAX_LINE_BYTES < line.len() {
        return Err(Unsendable::TooLong);
    }
    Ok(line)
}

fn open(stage: &Stage) -> rustyline::Result<Editor<Hooks, DefaultHistory>> {
    let config = Config::builder()
        .auto_add_history(true)
        .max_history_size(HISTORY_LINES)?
        // Inserts the only completion at once, without a wait for another key.
        .completion_type(CompletionType::List)
        .keyseq_timeout(Some(KEY_TIMEOUT))
        // The hook for drawing is called only with colours. The prompt is uncoloured if it must be.
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Hooks(stage.clone())));
    Ok(editor)
}

/// The calls of rustyline by which the phase of the editor is known, and the meaning of Tab.
struct Hooks(Stage);

impl Highlighter for Hooks {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        self.0.draw();
        Cow::Borrowed(prompt)
    }
}

impl Validator for Hooks {
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.0.leave();
        Ok(ValidationResult::Valid(None))
    }
}

impl Completer for Hooks {
    type Candidate = String;

    /// Completes every text by a tab. There is nothing else to insert.
    fn complete(
        &self,
        _: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((position, vec!["\t".to_owned()]))
    }
}

impl Hinter for Hooks {
    type Hint = String;
}

impl Helper for Hooks {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_feeds_at_the_end_of_a_paste_are_not_sent_and_others_are() {
        for (typed, sent) in [("a\nb\n\n", "a\nb"), ("a ", "a "), ("\n", ""), ("", "")] {
            assert_eq!(checked(typed.into()).unwrap(), sent);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        assert!(checked("x".repeat(MAX_LINE_BYTES)).is_ok());
        let line = checked("x".repeat(MAX_LINE_BYTES + 1));
        assert!(matches!(line, Err(Unsendable::TooLong)));
    }
}
