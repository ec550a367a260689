//! The user's side: the lines to send, the messages to print, and Ctrl-C.
//!
//! [`input`] has the lines, and [`command`] parses those that a person types. [`output`] prints
//! messages from its [`queue`], in the form that [`message`] gives them: JSON indented by [`json`],
//! bytes as text by [`encoding`]. [`interrupts`] reports Ctrl-C.
//!
//! At a terminal, [`editor`] reads lines and prints messages above the one that is typed. [`stage`]
//! keeps the two apart, and has the messages that wait. [`terminal`] has the mode of the terminal.

pub(crate) mod command;
mod editor;
pub(crate) mod encoding;
pub(crate) mod input;
mod interrupts;
mod json;
pub(crate) mod message;
mod output;
pub(crate) mod queue;
mod stage;
mod terminal;

use std::pin::pin;

use anyhow::{Context as _, anyhow};
use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::timeout,
};

pub(crate) use self::output::Output;
use self::{
    editor::{END_TIMEOUT, Screen},
    input::{Input, Source},
    interrupts::Interrupts,
    message::Style,
    terminal::{can_edit, wants_colours},
};

/// Capacity of the queue of typed lines. While it is full, the editor takes no key, and no message
/// is printed. Arbitrary: more than a person types while the connection is lost.
const TYPED_LINES: usize = 1024;

/// The user's side: lines, messages and Ctrl-C.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) interrupts: Interrupts,
    /// The signs beside messages.
    pub(super) style: Style,
    /// The terminal with its line editor. `None` if nobody types, or not at a terminal that can
    /// edit.
    screen: Option<Screen>,
}

impl Console {
    /// Opens the console, with a line editor if a person types at a terminal.
    pub(super) fn open(source: Source, is_quiet: bool) -> Self {
        let is_edited = matches!(source, Source::Stdin) && can_edit();
        let style = match (is_edited, wants_colours()) {
            (false, _) => Style::None,
            (true, false) => Style::Plain,
            (true, true) => Style::Coloured,
        };
        // Installed before the editor: rustyline replaces the handler while it reads, and puts this
        // one back.
        let (interrupts, pressed) = Interrupts::listen(is_edited);
        let (sender, lines) = mpsc::channel(TYPED_LINES);
        let screen = is_edited.then(|| Screen::open(style, sender, pressed));
        // Without an editor, the terminal works as for any other program.
        let screen = screen.and_then(Result::ok);
        if let Some(screen) = screen.clone() {
            listen_for_stops(screen);
        }
        let style = if screen.is_some() { style } else { Style::None };
        Self {
            input: Input::open(source, screen.is_some().then_some(lines)),
            output: Output::open(screen.clone(), style, is_quiet),
            interrupts,
            style,
            screen,
        }
    }

    /// Waits until everything is printed, and gives the terminal back.
    ///
    /// # Errors
    ///
    /// A write has failed, or the user pressed Ctrl-C before everything was printed.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        let Self {
            input,
            output,
            mut interrupts,
            screen,
            ..
        } = self;
        // The editor may wait until it can send a line.
        drop(input);
        let finished = async {
            let mut finish = pin!(output.finish());
            if let Some(screen) = &screen {
                if let Ok(printed) = timeout(END_TIMEOUT, &mut finish).await {
                    return printed;
                }
                // The editor takes no message, or very many wait. They are written directly.
                screen.close();
            }
            finish.await
        };
        let printed = tokio::select! {
            printed = finished => printed.context("writing to standard output"),
            () = interrupts.next() => Err(anyhow!("interrupted before everything was printed")),
        };
        if let Some(screen) = screen {
            screen.close();
        }
        printed
    }

    /// Gives the terminal back, without waiting until everything is printed.
    pub(super) fn abandon(self) {
        let Self { input, screen, .. } = self;
        drop(input);
        if let Some(screen) = screen {
            screen.close();
        }
    }
}

/// Handles SIGTSTP, which Ctrl-Z sends, from now on.
fn listen_for_stops(screen: Screen) {
    // If the handler can't be installed, the signal stops the process in the mode of the editor.
    let Ok(mut stops) = signal(SignalKind::from_raw(Signal::TSTP.as_raw())) else {
        return;
    };
    // Ends if the terminal is gone.
    tokio::spawn(
        async move { while stops.recv().await.is_some() && screen.suspend().await.is_ok() {} },
    );
}
