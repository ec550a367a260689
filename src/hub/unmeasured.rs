//! The module that takes the place of `measured` without the feature `internals`. It has the same
//! types and functions, which measure nothing.

/// The type in place of `measured::LongestHold`, which stores no time.
#[derive(Debug)]
pub(super) struct LongestHold;

impl LongestHold {
    pub(super) fn new() -> Self {
        Self
    }

    /// Runs a step, and does not measure it.
    pub(super) fn measure<T>(&self, step: impl FnOnce() -> T) -> T {
        step()
    }

    /// Returns `None`, because steps are not measured.
    pub(super) fn microseconds(&self) -> Option<u64> {
        None
    }
}

/// Runs `call`, which makes a system call on a socket, and does not measure it.
pub(super) fn in_socket<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// The type in place of `measured::Count`, which counts nothing.
#[derive(Debug, Default)]
pub(super) struct Count;

impl Count {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn add(&mut self, _: usize) {}
}
