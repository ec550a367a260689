//! What an attack makes of the server's memory, and what of it must hold.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use crate::{attacks::Aim, record::Age, server::Server};

/// What a server is given that is attacked in its memory.
pub(crate) const BUDGET: [&str; 2] = ["--memory-budget", "200MiB"];

/// What may be resident with it, and what a cgroup gets: 256 MiB.
pub(crate) const MOST_KIB: u64 = 256 * 1024;

/// Beyond this, a server is killed: it has shown enough, and others need the machine.
const ENOUGH_KIB: u64 = 4 * 1024 * 1024;

/// What the server has at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
    /// The total of its accounts, if it keeps any, in bytes.
    pub(crate) accounted: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Weight {
    pub(crate) before: Sample,
    /// While the last attackers are still connected.
    pub(crate) at_end: Sample,
    /// A while after they have gone, if it was waited for.
    pub(crate) after: Option<Sample>,
    pub(crate) peak_kib: u64,
    /// The most that its cgroup had, if it was in one; the kernel's part for it is in this.
    pub(crate) cgroup_kib: Option<u64>,
    pub(crate) budget: Option<u64>,
    /// What had to go for want of memory, by the server's own count.
    pub(crate) gone: Gone,
}

/// Counters of `/health`, which an old server has not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gone {
    pub(crate) evicted: u64,
    pub(crate) too_far_behind: u64,
    pub(crate) unfinished: u64,
    pub(crate) refused: u64,
}

impl Weight {
    pub(crate) fn begin(server: &Server) -> Self {
        Self {
            before: Sample::take(server),
            ..Self::default()
        }
    }

    /// The last attackers are still there.
    pub(crate) fn attacked(&mut self, server: &Server) {
        self.at_end = Sample::take(server);
        let Ok(health) = server.all_health() else {
            return;
        };
        let count = |field: &str| health[field].as_u64();
        self.budget = count("memory_budget_bytes");
        self.gone = Gone {
            evicted: count("evicted").unwrap_or(0),
            too_far_behind: count("too_far_behind").unwrap_or(0),
            unfinished: count("unfinished").unwrap_or(0),
            refused: count("refused").unwrap_or(0),
        };
    }

    /// They have gone: waits a while, and looks again. A server that is gone had as much as was
    /// seen of it.
    pub(crate) fn rest(&mut self, server: &Server, rest: Option<Duration>, seen_kib: u64) {
        if let Some(rest) = rest {
            // Not to wait for anything: this is when it is measured.
            thread::sleep(rest);
            self.after = Some(Sample::take(server));
        }
        self.peak_kib = server.peak_kib().unwrap_or(0).max(seen_kib);
    }

    /// What became resident for every byte that was sent.
    pub(crate) fn per_byte(&self, sent: u64) -> f64 {
        let grown_kib = self.peak_kib.saturating_sub(self.before.resident_kib);
        mib(grown_kib * 1024) / mib(sent.max(1))
    }

    /// Notes what must hold, and does not.
    pub(crate) fn check(&self, aim: Aim, age: Age, broken: &mut Vec<String>) {
        if self.peak_kib > MOST_KIB {
            let mib = self.peak_kib / 1024;
            broken.push(format!("VmHWM is {mib} MiB, more than 256"));
        }
        if let Some(after) = self.after {
            let (before, after) = (self.before.descriptors, after.descriptors);
            if after > before + FEW {
                broken.push(format!("{before} descriptors have become {after}"));
            }
        }
        if age == Age::Now {
            self.check_accounts(aim, broken);
        }
    }

    /// What only a server can be held to that keeps accounts.
    fn check_accounts(&self, aim: Aim, broken: &mut Vec<String>) {
        let (Some(before), Some(at_end), Some(budget)) =
            (self.before.accounted, self.at_end.accounted, self.budget)
        else {
            broken.push("memory_bytes is missing".into());
            return;
        };
        if at_end > budget {
            broken.push(format!("{at_end} bytes accounted for, of {budget}"));
        }
        if aim == Aim::MemoryInCgroup && self.gone.all() == 0 {
            broken.push("nobody had to go".into());
        }
        if let Some(after) = self.after {
            let most = before + at_end.saturating_sub(before) / 10 + SOME_BYTES;
            match after.accounted {
                Some(after) if after <= most => {}
                Some(after) => broken.push(format!("accounts keep {after} bytes, not {most}")),
                None => broken.push("memory_bytes is missing after it".into()),
            }
        }
    }
}

impl Gone {
    pub(crate) fn all(self) -> u64 {
        self.evicted + self.too_far_behind + self.unfinished + self.refused
    }
}

impl Sample {
    pub(crate) fn take(server: &Server) -> Self {
        Self {
            resident_kib: server.resident_kib().unwrap_or(0),
            descriptors: server.descriptors().unwrap_or(0),
            accounted: server.health("memory_bytes"),
        }
    }
}

/// Kills a server that takes enough for everybody to see it. What was resident at the most when the
/// attack is over, in KiB.
pub(crate) fn watch(server: &Server, is_over: &AtomicBool) -> u64 {
    let mut peak_kib = 0;
    while !is_over.load(Relaxed) {
        peak_kib = server.peak_kib().unwrap_or(0).max(peak_kib);
        if server.resident_kib().is_ok_and(|kib| kib > ENOUGH_KIB) {
            let _ = server.kill();
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    peak_kib
}

/// Bytes in MiB; a run has far fewer than 2^52.
pub(crate) fn mib(bytes: u64) -> f64 {
    let kib = u32::try_from(bytes / 1024).map_or(f64::INFINITY, f64::from);
    let rest = u32::try_from(bytes % 1024).map_or(0.0, f64::from);
    kib / 1024.0 + rest / (1024.0 * 1024.0)
}

/// Requests of the test's own may be under way.
const FEW: usize = 8;

/// What accounts may differ by when nothing has grown.
const SOME_BYTES: u64 = 1024 * 1024;
