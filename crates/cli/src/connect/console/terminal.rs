//! The mode of the terminal while a person types.
//!
//! Between two lines the line editor gives the terminal back in the mode that it found. In the usual
//! mode the kernel then cuts lines of more than 4,095 bytes, without a word, and echoes what is
//! typed once more. So the terminal takes bytes one by one, and without an echo, for the whole time.

use std::{
    env,
    fs::File,
    io::{self, IsTerminal as _},
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    stdio::dup2_stdin,
    termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr},
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

/// Returns true if standard input is no terminal any more: its window was closed, or
/// [`end_stdin`] was called.
pub(super) fn is_gone() -> bool {
    tcgetattr(io::stdin()).is_err()
}

/// Replaces standard input by an empty file. A read that waits for the terminal goes on to wait.
pub(super) fn end_stdin() -> io::Result<()> {
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(())
}

/// The mode that the terminal had. A drop restores it.
pub(super) struct SavedMode {
    mode: Termios,
    terminal: OwnedFd,
}

impl SavedMode {
    /// Makes the terminal at standard input take bytes one by one, without an echo. Ctrl-C and
    /// Ctrl-Z stay signals.
    pub(super) fn take() -> io::Result<Self> {
        // Standard input may be replaced before the drop.
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let saved = tcgetattr(&terminal)?;
        let mut mode = saved.clone();
        mode.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &mode)?;
        Ok(Self {
            mode: saved,
            terminal,
        })
    }
}

impl Drop for SavedMode {
    fn drop(&mut self) {
        // Fails if the terminal is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.mode);
    }
}
