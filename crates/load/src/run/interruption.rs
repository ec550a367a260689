//! Ends the measured time of a run early.

use std::sync::{Arc, OnceLock};

use crate::clock::Moment;

/// A request to end the measured time early. All clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Interruption(Arc<OnceLock<Moment>>);

impl Interruption {
    /// Asks for the measured time to end at `end`. Only the first call has an effect.
    pub fn ask(&self, end: Moment) {
        let _ = self.0.set(end);
    }

    /// Returns the time at which the measured time should end, if [`ask`](Self::ask) was called.
    pub(crate) fn asked(&self) -> Option<Moment> {
        self.0.get().copied()
    }
}
