//! The interruption of a run: its measured time ends early.

use std::sync::{Arc, OnceLock};

use crate::clock::Moment;

/// The moment at which the measured time is to end, if somebody has asked for that.
#[derive(Clone, Debug, Default)]
pub struct Interruption(Arc<OnceLock<Moment>>);

impl Interruption {
    /// Asks for the end at `end`. The first moment that was asked for holds.
    pub fn ask(&self, end: Moment) {
        let _ = self.0.set(end);
    }

    /// Returns when the run is to end, if that was asked for.
    pub(crate) fn asked(&self) -> Option<Moment> {
        self.0.get().copied()
    }
}
