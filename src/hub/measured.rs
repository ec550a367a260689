//! What attacks and tests want to know of the work that is done, and nobody else: with the feature
//! `internals` only; see `unmeasured`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::time::{ClockId, clock_gettime};

/// The longest step of a shard so far, in CPU time of its thread: what others on the machine take
/// does not count.
#[derive(Debug)]
pub(super) struct LongestHold(AtomicU64);

impl LongestHold {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Does a step, and measures it.
    pub(super) fn measure<T>(&self, step: impl FnOnce() -> T) -> T {
        let begun = thread_time();
        let done = step();
        let took = thread_time().saturating_sub(begun);
        self.0.fetch_max(took, Relaxed);
        done
    }

    /// Returns how long it took, in microseconds.
    pub(super) fn microseconds(&self) -> Option<u64> {
        Some(self.0.load(Relaxed) / 1000)
    }
}

/// The CPU time of this thread, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// Counts work.
#[derive(Debug, Default)]
pub(super) struct Count(u64);

impl Count {
    pub(super) fn new() -> Self {
        Self(0)
    }

    pub(super) fn add(&mut self, count: usize) {
        self.0 += count as u64;
    }

    pub(super) fn get(&self) -> u64 {
        self.0
    }
}
