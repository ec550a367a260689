//! The phase of the line editor, and the messages that wait for it.
//!
//! Two threads write to the terminal: the editor, which draws the line that is typed, and the one
//! that prints messages. While the editor reads, it prints messages itself, above the line. They get
//! to it by rustyline's external printer, a channel for one message. Between two lines the external
//! printer writes at once, past a message in the channel. So messages are handed over only while the
//! editor reads, which keeps them in their order. There is one gap: on Ctrl-C, Ctrl-D, Ctrl-Z and a
//! byte that is not UTF-8, rustyline gives its mode back before it says so. A message that is handed
//! over in these microseconds is written at once, into the line and past the one in the channel.
//!
//! The editor takes no message while it searches in the history, or waits for the rest of a key or
//! paste. So a message is kept here until the editor has taken it. What it has not taken at the end
//! is written directly.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Longest wait of the editor, after Enter, for a message that is being handed to it. If the
/// channel has room this takes microseconds; if it is full, the message stays behind the one in it.
/// Arbitrary: not noticed by a person.
const HANDOVER: Duration = Duration::from_millis(5);

/// Number of messages that may wait for the editor: one in the channel, one that is being handed
/// over, and the next one.
const WAITING: usize = 3;

/// A print that shows nothing, but makes the editor draw its line: it goes up, and down again by its
/// line feed.
const REDRAW: &str = "\x1b[A\n";

/// The part of its work that the editor is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between two lines.
    Away,
    /// About to read a line. The terminal may not be in the editor's mode yet.
    Entering,
    /// Reading a line.
    Editing,
    /// Ended, or given up. No other phase follows.
    Over,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// The messages that the editor may not have taken, the oldest one first.
    messages: VecDeque<String>,
    /// True if the first one of them was handed over: it is in the channel, unless it was taken.
    is_first_handed: bool,
    /// Number of messages that were handed over so far.
    handed: u64,
    /// True while a message is being handed over.
    is_handing: bool,
    /// True once the editor is to end, so that no further message waits for it.
    is_closing: bool,
}

impl State {
    /// Returns true if every message was taken, except possibly the last one.
    fn is_taken(&self) -> bool {
        self.messages.len() == usize::from(self.is_first_handed)
    }
}

/// The phase and the messages, shared by the editor and the threads that print.
#[derive(Clone, Debug)]
pub(super) struct Stage(Arc<(Mutex<State>, Condvar)>);

impl Stage {
    pub(super) fn new() -> Self {
        let state = State {
            phase: Phase::Away,
            messages: VecDeque::new(),
            is_first_handed: false,
            handed: 0,
            is_handing: false,
            is_closing: false,
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    /// Notes that the editor is about to read a line.
    pub(super) fn enter(&self) {
        self.set(Phase::Entering);
    }

    /// Notes that the editor has drawn its line.
    pub(super) fn draw(&self) {
        let mut state = self.state();
        if state.phase == Phase::Entering {
            state.phase = Phase::Editing;
            self.0.1.notify_all();
        }
    }

    /// Notes that the editor leaves its line, or has left it. Waits for a message that is being
    /// handed over.
    pub(super) fn leave(&self) {
        self.set(Phase::Away);
        // The editor goes on in either case.
        let waited = self
            .0
            .1
            .wait_timeout_while(self.state(), HANDOVER, |state| state.is_handing);
        drop(waited);
    }

    /// Notes that the editor has ended, or that nobody waits for it any more.
    pub(super) fn end(&self) {
        self.set(Phase::Over);
    }

    /// Queues a message for the editor. Waits while too many wait already.
    ///
    /// # Errors
    ///
    /// The editor has ended. Returns what must be written directly: the messages that the editor has
    /// not taken, and this one.
    pub(super) fn push(&self, message: String) -> Result<(), String> {
        let must_wait = |state: &mut State| {
            state.phase != Phase::Over && (state.is_closing || WAITING <= state.messages.len())
        };
        let waited = self.0.1.wait_while(self.state(), must_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.messages.push_back(message);
        if state.phase == Phase::Over {
            return Err(rest(&mut state));
        }
        self.0.1.notify_all();
        Ok(())
    }

    /// Waits until the editor has taken every message.
    ///
    /// # Errors
    ///
    /// The editor has ended. Returns the messages that it has not taken.
    pub(super) fn flush(&self) -> Result<(), String> {
        self.redraw();
        let must_wait = |state: &mut State| state.phase != Phase::Over && !state.is_taken();
        let waited = self.0.1.wait_while(self.state(), must_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.phase == Phase::Over {
            return Err(rest(&mut state));
        }
        Ok(())
    }

    /// Makes the editor draw its line again, once it has taken every message.
    pub(super) fn redraw(&self) {
        self.state().messages.push_back(REDRAW.to_owned());
        self.0.1.notify_all();
    }

    /// Lets no further message wait for the editor. Waits until it has taken those that wait, unless
    /// it takes none for as long as `time`. Returns true if it has.
    pub(super) fn close(&self, time: Duration) -> bool {
        self.state().is_closing = true;
        // The one that may be left, in the channel.
        self.redraw();
        let mut state = self.state();
        loop {
            let handed = state.handed;
            let must_wait = |state: &mut State| {
                state.phase != Phase::Over && !state.is_taken() && state.handed == handed
            };
            let waited = self.0.1.wait_timeout_while(state, time, must_wait);
            let (after, result) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if result.timed_out() || state.phase == Phase::Over || state.is_taken() {
                return !result.timed_out();
            }
        }
    }

    /// Waits until a message can be handed over, notes that this begins, and returns the message.
    /// Returns `None` if the editor has ended.
    pub(super) fn begin_handing(&self) -> Option<String> {
        let must_wait = |state: &mut State| {
            let is_reading = state.phase == Phase::Editing && !state.is_taken();
            state.phase != Phase::Over && !is_reading
        };
        let waited = self.0.1.wait_while(self.state(), must_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.phase == Phase::Over {
            return None;
        }
        state.is_handing = true;
        let next = usize::from(state.is_first_handed);
        state.messages.get(next).cloned()
    }

    /// Notes that the message was handed over. The channel has room for one, so that the editor has
    /// taken the one before.
    pub(super) fn end_handing(&self) {
        let mut state = self.state();
        // At the end they are written directly.
        if state.phase != Phase::Over {
            if state.is_first_handed {
                state.messages.pop_front();
            }
            state.is_first_handed = true;
        }
        state.is_handing = false;
        state.handed += 1;
        self.0.1.notify_all();
    }

    /// Waits until the editor has ended, for at most `time`. Returns true if it has.
    pub(super) fn wait_for_end(&self, time: Duration) -> bool {
        let is_running = |state: &mut State| state.phase != Phase::Over;
        let waited = self.0.1.wait_timeout_while(self.state(), time, is_running);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.phase == Phase::Over
    }

    fn set(&self, phase: Phase) {
        let mut state = self.state();
        if state.phase != Phase::Over {
            state.phase = phase;
            self.0.1.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change can panic halfway, so a poisoned state is still whole.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the messages that the editor has not taken.
fn rest(state: &mut State) -> String {
    let messages = state.messages.drain(..);
    messages.filter(|message| message != REDRAW).collect()
}

/// Ends the stage when it is dropped, also by a panic of the editor.
pub(super) struct EndOnDrop(pub(super) Stage);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    /// Begins to hand a message over in another thread. The receiver gets the message.
    fn hand(stage: &Stage) -> mpsc::Receiver<Option<String>> {
        let (sender, begun) = mpsc::channel();
        let stage = stage.clone();
        thread::spawn(move || sender.send(stage.begin_handing()));
        begun
    }

    /// Returns a stage whose editor reads a line.
    fn editing() -> Stage {
        let stage = Stage::new();
        stage.enter();
        stage.draw();
        stage
    }

    #[test]
    fn a_message_is_handed_over_only_while_the_editor_reads() {
        let stage = Stage::new();
        stage.enter();
        stage.push("a".into()).unwrap();
        let begun = hand(&stage);
        assert_eq!(begun.try_recv(), Err(mpsc::TryRecvError::Empty));
        stage.draw();
        assert_eq!(begun.recv(), Ok(Some("a".into())));
        stage.end_handing();

        stage.leave();
        // Drawing the completed line does not begin another one.
        stage.draw();
        stage.push("b".into()).unwrap();
        let begun = hand(&stage);
        assert_eq!(begun.try_recv(), Err(mpsc::TryRecvError::Empty));
        stage.end();
        assert_eq!(begun.recv(), Ok(None));
        assert!(stage.wait_for_end(Duration::ZERO));
    }

    #[test]
    fn a_message_that_is_never_taken_does_not_hold_the_editor() {
        let stage = editing();
        stage.push("a".into()).unwrap();
        assert!(stage.begin_handing().is_some());
        stage.leave();
        assert!(!stage.wait_for_end(Duration::ZERO));
    }

    #[test]
    fn what_the_editor_has_not_taken_is_left_at_the_end_in_order() {
        let stage = editing();
        for message in ["a", "b", "c"] {
            stage.push(message.into()).unwrap();
        }
        stage.begin_handing();
        stage.end_handing();
        // Room for this one in the channel: the editor has taken the first.
        stage.begin_handing();
        stage.end_handing();
        assert!(!stage.close(Duration::ZERO));
        stage.end();
        // The editor goes on after all, too late.
        stage.enter();
        assert_eq!(stage.push("d".into()), Err("bcd".into()));
        assert_eq!(stage.flush(), Err(String::new()));
    }

    #[test]
    fn a_panic_of_the_editor_ends_the_wait_for_it() {
        let stage = editing();
        let editor = EndOnDrop(stage.clone());
        let ended = thread::spawn(move || {
            let _editor = editor;
            panic!("the editor");
        });
        assert!(ended.join().is_err());
        assert!(stage.wait_for_end(Duration::ZERO));
    }
}
