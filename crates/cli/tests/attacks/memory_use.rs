//! The server's memory before, during and after an attack, and the checks on it.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use crate::{attacks::Aim, record::ServerVersion, server::Server};

/// Option that sets the budget of a server whose memory is attacked.
pub(crate) const BUDGET: [&str; 2] = ["--memory-budget", "200MiB"];

/// Most memory that may be resident with [`BUDGET`], and the limit of a cgroup: 256 MiB.
pub(crate) const MAX_RESIDENT_KIB: u64 = 256 * 1024;

/// Resident memory at which a server is killed: the attack has succeeded, and the machine needs its
/// remaining memory.
const KILL_AT_KIB: u64 = 4 * 1024 * 1024;

/// Memory and descriptors of the server at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
    /// Bytes that the server has charged to its budget; `None` for an older server, which has no
    /// budget.
    pub(crate) accounted: Option<u64>,
}

/// The server's memory before, at the end of and after an attack.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryUse {
    pub(crate) before: Sample,
    /// At the end of the attack, while the last attackers are still connected.
    pub(crate) at_end: Sample,
    /// Some time after the attackers have gone; `None` in the short form.
    pub(crate) after: Option<Sample>,
    /// Peak of the resident memory.
    pub(crate) peak_kib: u64,
    /// Peak of the memory of the server's cgroup, the kernel's part included. `None` if the server
    /// has no cgroup.
    pub(crate) cgroup_kib: Option<u64>,
    /// The server's memory budget in bytes.
    pub(crate) budget: Option<u64>,
    /// Load that the server has shed because memory was short.
    pub(crate) shed: Shed,
}

/// Counters of `/health` for connections and requests that were ended or refused because memory was
/// short. An older server does not have them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shed {
    pub(crate) evicted: u64,
    pub(crate) too_far_behind: u64,
    pub(crate) unfinished: u64,
    pub(crate) refused: u64,
}

impl MemoryUse {
    pub(crate) fn begin(server: &Server) -> Self {
        Self {
            before: Sample::take(server),
            ..Self::default()
        }
    }

    /// Measures the server while the last attackers are still connected.
    pub(crate) fn measure_at_end(&mut self, server: &Server) {
        self.at_end = Sample::take(server);
        let Ok(health) = server.all_health() else {
            return;
        };
        let count = |field: &str| health[field].as_u64();
        self.budget = count("memory_budget_bytes");
        self.shed = Shed {
            evicted: count("evicted").unwrap_or(0),
            too_far_behind: count("too_far_behind").unwrap_or(0),
            unfinished: count("unfinished").unwrap_or(0),
            refused: count("refused").unwrap_or(0),
        };
    }

    /// Waits for `settle_time` after the attackers have gone, and measures again. `seen_kib` is the
    /// peak that [`watch`] has seen, for a server that is no longer alive.
    pub(crate) fn measure_after(
        &mut self,
        server: &Server,
        settle_time: Option<Duration>,
        seen_kib: u64,
    ) {
        if let Some(settle_time) = settle_time {
            // The memory is measured after this time. No event is waited for.
            thread::sleep(settle_time);
            self.after = Some(Sample::take(server));
        }
        self.peak_kib = server.peak_kib().unwrap_or(0).max(seen_kib);
    }

    /// Returns how many bytes became resident for every byte that the attackers sent.
    pub(crate) fn per_byte(&self, sent: u64) -> f64 {
        let grown_kib = self.peak_kib.saturating_sub(self.before.resident_kib);
        mib(grown_kib * 1024) / mib(sent.max(1))
    }

    /// Checks the memory and the descriptors, and adds each check that failed to `broken`.
    pub(crate) fn check(&self, aim: Aim, version: ServerVersion, broken: &mut Vec<String>) {
        if self.peak_kib > MAX_RESIDENT_KIB {
            let mib = self.peak_kib / 1024;
            broken.push(format!("VmHWM is {mib} MiB, more than 256"));
        }
        if let Some(after) = self.after {
            let (before, after) = (self.before.descriptors, after.descriptors);
            if after > before + DESCRIPTOR_SLACK {
                broken.push(format!("{before} descriptors have become {after}"));
            }
        }
        if version == ServerVersion::Current {
            self.check_accounts(aim, broken);
        }
    }

    /// Checks the charges against the budget, which an older server does not have.
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
        if aim == Aim::MemoryInCgroup && self.shed.all() == 0 {
            broken.push("nobody had to go".into());
        }
        if let Some(after) = self.after {
            let most = before + at_end.saturating_sub(before) / 10 + ACCOUNT_SLACK_BYTES;
            match after.accounted {
                Some(after) if after <= most => {}
                Some(after) => broken.push(format!("accounts keep {after} bytes, not {most}")),
                None => broken.push("memory_bytes is missing after it".into()),
            }
        }
    }
}

impl Shed {
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

/// Watches the resident memory until the attack is over, and kills the server at [`KILL_AT_KIB`].
/// Returns the peak, in KiB.
pub(crate) fn watch(server: &Server, is_over: &AtomicBool) -> u64 {
    let mut peak_kib = 0;
    while !is_over.load(Relaxed) {
        peak_kib = server.peak_kib().unwrap_or(0).max(peak_kib);
        if server.resident_kib().is_ok_and(|kib| kib > KILL_AT_KIB) {
            let _ = server.kill();
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    peak_kib
}

/// Converts bytes to MiB. Infinite from 4 TiB on, which no run reaches.
pub(crate) fn mib(bytes: u64) -> f64 {
    let kib = u32::try_from(bytes / 1024).map_or(f64::INFINITY, f64::from);
    let rest = u32::try_from(bytes % 1024).map_or(0.0, f64::from);
    kib / 1024.0 + rest / (1024.0 * 1024.0)
}

/// Descriptors that requests of the test itself may still have.
const DESCRIPTOR_SLACK: usize = 8;

/// Bytes by which the charges may differ although nothing has grown.
const ACCOUNT_SLACK_BYTES: u64 = 1024 * 1024;
