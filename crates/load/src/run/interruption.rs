//! The wish that a run ends early.

use std::sync::{Arc, OnceLock};

use crate::clock::Moment;

/// When the measured time is to end, if somebody has asked for that.
#[derive(Clone, Debug, Default)]
pub struct Interruption(Arc<OnceLock<Moment>>);

impl Interruption {
    /// What was asked for first holds.
    pub fn ask(&self, end: Moment) {
        let _ = self.0.set(end);
    }

    /// Returns when the run is to end, if that was asked for.
    pub(crate) fn asked(&self) -> Option<Moment> {
        self.0.get().copied()
    }
}
