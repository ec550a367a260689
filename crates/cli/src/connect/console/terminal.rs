//! The mode of the terminal while a person types.
//!
//! Between two lines the line editor gives the terminal back in the mode that it found. In the usual
//! mode the kernel then cuts lines of more than 4,095 bytes, without a word, and echoes what is
//! typed once more. So the terminal takes bytes one by one, and without an echo, for the whole time.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Returns true if a line editor works: a person sees standard output and types standard input, on a
/// terminal that can move its cursor.
pub(super) fn can_edit() -> bool {
    let is_dumb = env::var_os("TERM").is_some_and(|term| {
        ["dumb", "cons25", "emacs"]
            .iter()
            .any(|name| term.eq_ignore_ascii_case(name))
    });
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
}

/// Returns true unless the user wants no colours (<https://no-color.org>).
pub(super) fn wants_colours() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns true if the terminal at standard input is gone, as after its window was closed.
pub(super) fn is_gone() -> bool {
    tcgetattr(io::stdin()).is_err()
}

/// The mode that the terminal had. A drop restores it.
pub(super) struct SavedMode(Termios);

impl SavedMode {
    /// Makes the terminal at standard input take bytes one by one, without an echo. Ctrl-C and
    /// Ctrl-Z stay signals.
    pub(super) fn take() -> io::Result<Self> {
        let stdin = io::stdin();
        let saved = tcgetattr(&stdin)?;
        let mut mode = saved.clone();
        mode.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &mode)?;
        Ok(Self(saved))
    }
}

impl Drop for SavedMode {
    fn drop(&mut self) {
        // Fails if the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
