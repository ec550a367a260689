//! The reserve: a file descriptor that is closed to accept and answer one connection when no other
//! descriptor is left.
//!
//! Without the reserve, a new connection at the limit of descriptors could be neither accepted nor
//! refused. It would wait in the kernel until another connection is closed.

use std::fs::File;

/// A file descriptor that is kept open in reserve.
#[derive(Debug)]
pub(super) struct Reserve(Option<File>);

impl Reserve {
    pub(super) fn new() -> Self {
        let mut reserve = Self(None);
        reserve.take_back();
        reserve
    }

    /// Closes the descriptor, so that one more socket can be accepted. Returns false if it was
    /// closed already.
    pub(super) fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Opens the descriptor again, if it is closed and the process may open another one.
    pub(super) fn take_back(&mut self) {
        if self.0.is_none() {
            // If another thread has taken the last descriptor, the next call tries again.
            self.0 = File::open("/dev/null").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_given_up_once_and_can_be_taken_back() {
        let mut reserve = Reserve::new();
        assert!(reserve.give_up());
        assert!(!reserve.give_up());
        reserve.take_back();
        assert!(reserve.give_up());
    }
}
