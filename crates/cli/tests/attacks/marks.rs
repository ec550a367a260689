//! When what is measured begins and ends: one clock for all threads.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The times of a run, in microseconds from its beginning.
#[derive(Debug)]
pub(crate) struct Marks {
    origin: Instant,
    baseline: AtomicU64,
    pause: AtomicU64,
    attack: AtomicU64,
    end: AtomicU64,
    /// The server was told to end: a Close is no surprise any more.
    pub(crate) is_ending: AtomicBool,
    /// Nobody waits for the bystanders any more.
    pub(crate) is_over: AtomicBool,
}

/// What a message that was due then belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Before,
    Baseline,
    /// Between the two: what is under way when the attack begins is no part of the baseline.
    Pause,
    Attack,
    After,
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            baseline: AtomicU64::new(u64::MAX),
            pause: AtomicU64::new(u64::MAX),
            attack: AtomicU64::new(u64::MAX),
            end: AtomicU64::new(u64::MAX),
            is_ending: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        micros(self.origin.elapsed())
    }

    /// A phase begins now.
    pub(crate) fn begin(&self, phase: Phase) {
        let mark = match phase {
            Phase::Before => return,
            Phase::Baseline => &self.baseline,
            Phase::Pause => &self.pause,
            Phase::Attack => &self.attack,
            Phase::After => &self.end,
        };
        mark.store(self.now(), Relaxed);
    }

    /// Nothing more is due from then on.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Relaxed)
    }

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

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
