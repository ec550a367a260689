//! The reserve descriptor: it serves to answer one connection when no other descriptor is left.
//!
//! Without it, a connection that comes at the limit is neither taken nor refused: it waits in the
//! kernel for as long as the others stay.

use std::fs::File;

/// A descriptor that is kept for later.
#[derive(Debug)]
pub(super) struct Reserve(Option<File>);

impl Reserve {
    pub(super) fn new() -> Self {
        let mut reserve = Self(None);
        reserve.take_back();
        reserve
    }

    /// Gives it up, so that one more can be opened. Returns false if it is not there.
    pub(super) fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Takes it again, if it was given up and one is left.
    pub(super) fn take_back(&mut self) {
        if self.0.is_none() {
            // It is tried again: somebody else may have been faster.
            self.0 = File::open("/dev/null").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_up_once_and_can_be_taken_back() {
        let mut reserve = Reserve::new();
        assert!(reserve.give_up());
        assert!(!reserve.give_up());
        reserve.take_back();
        assert!(reserve.give_up());
    }
}
