//! The phases of a run, on one clock for all threads.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Times at which the phases of a run begin, in microseconds since its start.
#[derive(Debug)]
pub(crate) struct Timeline {
    origin: Instant,
    baseline: AtomicU64,
    pause: AtomicU64,
    attack: AtomicU64,
    end: AtomicU64,
    /// True once the bystanders' thread shall end.
    pub(crate) is_over: AtomicBool,
}

/// Phase that a message belongs to, by the time at which it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Before,
    Baseline,
    /// Between baseline and attack: messages under way when the attack begins would spoil the
    /// baseline.
    Pause,
    Attack,
    After,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            baseline: AtomicU64::new(u64::MAX),
            pause: AtomicU64::new(u64::MAX),
            attack: AtomicU64::new(u64::MAX),
            end: AtomicU64::new(u64::MAX),
            is_over: AtomicBool::new(false),
        }
    }

    /// Returns the present time, in microseconds since the start of the run.
    pub(crate) fn now(&self) -> u64 {
        micros(self.origin.elapsed())
    }

    /// Begins a phase now.
    pub(crate) fn begin(&self, phase: Phase) {
        let begin = match phase {
            Phase::Before => return,
            Phase::Baseline => &self.baseline,
            Phase::Pause => &self.pause,
            Phase::Attack => &self.attack,
            Phase::After => &self.end,
        };
        begin.store(self.now(), Relaxed);
    }

    /// Returns the time at which the phase `After` begins: from then on the bystanders send
    /// nothing.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Relaxed)
    }

    /// Returns the phase of a message that was due at `due`.
    pub(crate) fn phase(&self, due: u64) -> Phase {
        match due {
            due if due >= self.end.load(Relaxed) => Phase::After,
            due if due >= self.attack.load(Relaxed) => Phase::Attack,
            due if due >= self.pause.load(Relaxed) => Phase::Pause,
            due if due >= self.baseline.load(Relaxed) => Phase::Baseline,
            _ => Phase::Before,
        }
    }
}

/// Converts a time to whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
