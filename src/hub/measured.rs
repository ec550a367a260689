//! Measurements of a shard's work, for tests (the attacks among them) and benchmarks. Without the
//! feature `internals`, `unmeasured` takes the place of this module and measures nothing.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rustix::time::{ClockId, clock_gettime};

/// The time of the longest step of a shard so far, in nanoseconds of CPU time of its thread,
/// without its [system calls on sockets](in_socket). CPU time leaves out the time that other
/// processes of the machine take.
#[derive(Debug)]
pub(super) struct LongestHold(AtomicU64);

impl LongestHold {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Runs a step and measures it.
    pub(super) fn measure<T>(&self, step: impl FnOnce() -> T) -> T {
        let begun = own_time();
        let outcome = step();
        self.0.fetch_max(own_time().saturating_sub(begun), Relaxed);
        outcome
    }

    /// Returns the time of the longest step, in microseconds.
    pub(super) fn microseconds(&self) -> Option<u64> {
        Some(self.0.load(Relaxed) / 1000)
    }
}

/// Runs `call`, which makes a system call on a socket. The time of the call does not count as work
/// of the step: at the end of the call, the kernel may handle packets of other connections, for up
/// to 8 ms, and charges that time to the calling thread.
pub(super) fn in_socket<T>(call: impl FnOnce() -> T) -> T {
    let begun = thread_time();
    let outcome = call();
    let took = thread_time().saturating_sub(begun);
    IN_SOCKETS.set(IN_SOCKETS.get() + took);
    outcome
}

thread_local! {
    /// Nanoseconds of CPU time that this thread has spent in system calls on sockets.
    static IN_SOCKETS: Cell<u64> = const { Cell::new(0) };
}

/// Returns the CPU time of this thread without system calls on sockets, in nanoseconds.
fn own_time() -> u64 {
    thread_time().saturating_sub(IN_SOCKETS.get())
}

/// Returns the CPU time of this thread, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// A counter of work that a test or a benchmark checks.
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
