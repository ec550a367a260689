//! What attacks and tests want to know of the work that is done, and nobody else: with the feature
//! `internals` only; see `unmeasured`.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rustix::time::{ClockId, clock_gettime};

/// The longest step of a shard so far, in CPU time of its thread, without its [calls of
/// sockets](in_socket): what others on the machine take does not count.
#[derive(Debug)]
pub(super) struct LongestHold(AtomicU64);

impl LongestHold {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Does a step, and measures it.
    pub(super) fn measure<T>(&self, step: impl FnOnce() -> T) -> T {
        let begun = own_time();
        let done = step();
        self.0.fetch_max(own_time().saturating_sub(begun), Relaxed);
        done
    }

    /// Returns how long it took, in microseconds.
    pub(super) fn microseconds(&self) -> Option<u64> {
        Some(self.0.load(Relaxed) / 1000)
    }
}

/// Calls a socket, which does not count as work of the step: at the end of a system call the kernel
/// handles packets of whomever, for up to 8 ms, and has the thread pay for it.
pub(super) fn in_socket<T>(call: impl FnOnce() -> T) -> T {
    let begun = thread_time();
    let done = call();
    let took = thread_time().saturating_sub(begun);
    IN_SOCKETS.set(IN_SOCKETS.get() + took);
    done
}

thread_local! {
    /// Nanoseconds of this thread in calls of sockets.
    static IN_SOCKETS: Cell<u64> = const { Cell::new(0) };
}

/// The CPU time of this thread without calls of sockets, in nanoseconds.
fn own_time() -> u64 {
    thread_time().saturating_sub(IN_SOCKETS.get())
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
