//! The phase of the line editor, which tells the thread that prints when it may do so.
//!
//! Two threads write to the terminal: the editor, which draws the line that is typed, and the one
//! that prints messages. While the editor reads, it prints messages itself, above the line. They get
//! to it by rustyline's external printer, a channel for one message. Between two lines the external
//! printer writes at once, past a message in the channel. So messages are printed only while the
//! editor reads, and stay in their order.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Longest wait of the editor, after Enter, for a message that is being handed to it. If the
/// channel has room this takes microseconds; if not, the message is the next one anyway. Arbitrary:
/// not noticed by a person.
const HANDOVER: Duration = Duration::from_millis(5);

/// The part of its work that the editor is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between two lines.
    Away,
    /// About to read a line. The terminal may not be in the editor's mode yet.
    Entering,
    /// Reading a line.
    Editing,
    /// Ended.
    Over,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// True while a message is being handed to the editor.
    is_printing: bool,
}

/// The phase, shared by the editor and the thread that prints.
#[derive(Clone, Debug)]
pub(super) struct Stage(Arc<(Mutex<State>, Condvar)>);

impl Stage {
    pub(super) fn new() -> Self {
        let state = State {
            phase: Phase::Away,
            is_printing: false,
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
        let mut state = self.state();
        state.phase = Phase::Away;
        // The editor goes on in either case.
        let waited = self
            .0
            .1
            .wait_timeout_while(state, HANDOVER, |state| state.is_printing);
        drop(waited);
    }

    /// Notes that the editor has ended.
    pub(super) fn end(&self) {
        self.set(Phase::Over);
    }

    /// Waits until a message can be handed over, and notes that this begins. Returns false if the
    /// editor has ended.
    pub(super) fn begin_print(&self) -> bool {
        let is_away = |state: &mut State| matches!(state.phase, Phase::Away | Phase::Entering);
        let waited = self.0.1.wait_while(self.state(), is_away);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_printing = state.phase != Phase::Over;
        state.is_printing
    }

    /// Notes that a message was handed over.
    pub(super) fn end_print(&self) {
        self.state().is_printing = false;
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
        self.state().phase = phase;
        self.0.1.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change can panic halfway, so a poisoned state is still whole.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    /// Begins to print in another thread. The receiver gets what `begin_print` returns.
    fn print(stage: &Stage) -> mpsc::Receiver<bool> {
        let (sender, begun) = mpsc::channel();
        let stage = stage.clone();
        thread::spawn(move || sender.send(stage.begin_print()));
        begun
    }

    #[test]
    fn a_message_is_handed_over_only_while_the_editor_reads() {
        let stage = Stage::new();
        stage.enter();
        let begun = print(&stage);
        assert_eq!(begun.try_recv(), Err(mpsc::TryRecvError::Empty));
        stage.draw();
        assert_eq!(begun.recv(), Ok(true));
        stage.end_print();

        stage.leave();
        // Drawing the completed line does not begin another one.
        stage.draw();
        let begun = print(&stage);
        assert_eq!(begun.try_recv(), Err(mpsc::TryRecvError::Empty));
        stage.end();
        assert_eq!(begun.recv(), Ok(false));
        assert!(stage.wait_for_end(Duration::ZERO));
    }

    #[test]
    fn a_message_that_is_never_taken_does_not_hold_the_editor() {
        let stage = Stage::new();
        stage.enter();
        stage.draw();
        assert!(stage.begin_print());
        stage.leave();
        assert!(!stage.wait_for_end(Duration::ZERO));
    }
}
