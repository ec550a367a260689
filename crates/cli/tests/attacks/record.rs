//! Runs one attack on one server, and checks its result.

use std::{
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use anyhow::Result;

use crate::{
    attack_run::{AttackRun, Form},
    attacks::{Aim, Attack, Ending},
    bystanders::{Bystanders, Outcome, Shutdown},
    cgroup::Cgroup,
    figures::{Probe, Quantiles},
    memory_use::{self, MemoryUse},
    server::{SHARDS, Server},
    timeline::Timeline,
};

/// Result of one attack on one server.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) outcome: Outcome,
    /// Bytes that the attackers sent.
    pub(crate) sent: u64,
    /// CPU time of the server, from the beginning of the attack until all messages had arrived.
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
    /// Memory of the server, if that was attacked.
    pub(crate) memory_use: Option<MemoryUse>,
    /// The most CPU time that a step of a shard took, in microseconds; `None` if the server was
    /// built without the feature `internals`.
    pub(crate) longest_hold_us: Option<u64>,
    /// Latencies without the attack, by probe (stream, echo) and shard.
    pub(crate) baseline: [[Quantiles; SHARDS]; 2],
    /// Latencies under the attack.
    pub(crate) attacked: [[Quantiles; SHARDS]; 2],
    /// Delay of the bystanders' timers under attack, at the 99th percentile, in milliseconds.
    pub(crate) machine_late: f64,
    /// Checks that failed.
    pub(crate) broken: Vec<String>,
    /// Latencies beyond their bounds.
    pub(crate) slow: Vec<String>,
}

impl Record {
    /// Returns true if a check failed or a latency was beyond its bound.
    pub(crate) fn did_harm(&self) -> bool {
        !self.broken.is_empty() || !self.slow.is_empty()
    }
}

/// Version of the server that is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerVersion {
    Current,
    /// An older one, for comparison. It does not know all options.
    Older,
}

/// Starts a server program and attacks it.
pub(crate) fn attack(
    attack: &Attack,
    program: &Path,
    version: ServerVersion,
    form: Form,
) -> Result<Record> {
    // The server, as the later variable, is dropped first: its cgroup can be removed only when the
    // server has ended.
    let (cgroup, mut server) = start(attack, program, version)?;
    let timeline = Arc::new(Timeline::new());
    let sockets = Bystanders::connect(&server)?;
    let bystanders = Bystanders::start(sockets, &timeline, form.patience)?;
    let mut record = Record::default();
    let run = AttackRun::new(&server, form, &timeline);
    let silent = record.run(attack, run, &bystanders);
    record.check_memory(attack, version, cgroup.as_ref());
    if server.is_alive() {
        end(&mut server, attack.ending, &mut record.broken)?;
    } else {
        record.broken.push("the server is gone".into());
    }
    drop(silent);
    timeline.is_over.store(true, Relaxed);
    let shutdown = bystanders.wait_for_shutdown();
    check(&record.outcome, shutdown, attack.ending, &mut record.broken);
    record.check_times(attack);
    Ok(record)
}

impl Record {
    /// Runs the attack to its end, and waits until all messages have arrived. Returns a connection
    /// of the attack that has to stay open until the server ends, if there is one.
    fn run(
        &mut self,
        attack: &Attack,
        mut run: AttackRun<'_>,
        bystanders: &Bystanders,
    ) -> Option<TcpStream> {
        let (server, form) = (run.server, run.form);
        let mut memory_use = attack.is_on_memory().then(|| MemoryUse::begin(server));
        let (has_run, seen_kib) = drive_and_watch(attack, &mut run);
        run.expect(has_run, "the attack panicked");
        if let Some(memory_use) = &mut memory_use {
            memory_use.measure_at_end(server);
        }
        run.end();
        let outcome = bystanders.outcome(form.patience + Duration::from_secs(5));
        run.held.clear();
        if let Some(memory_use) = &mut memory_use {
            memory_use.measure_after(server, form.settle_time, seen_kib);
        }
        (self.sent, self.memory_use, self.broken) = (run.sent, memory_use, run.broken);
        self.cpu = server.cpu().unwrap_or(run.cpu).saturating_sub(run.cpu);
        self.peak_kib = server.peak_kib().unwrap_or(seen_kib);
        self.longest_hold_us = server.health("longest_hold_us");
        self.outcome = outcome.unwrap_or_else(|error| {
            self.broken.push(error.to_string());
            Outcome::default()
        });
        run.silent
    }

    /// Checks the server's memory, if that was attacked.
    fn check_memory(&mut self, attack: &Attack, version: ServerVersion, cgroup: Option<&Cgroup>) {
        let Some(memory_use) = &mut self.memory_use else {
            return;
        };
        memory_use.cgroup_kib = cgroup.and_then(Cgroup::peak_kib);
        memory_use.check(attack.aim, version, &mut self.broken);
        if cgroup.is_some_and(|cgroup| cgroup.kills() > 0) {
            self.broken.push("killed in its cgroup".into());
        }
    }

    /// Calculates the quantiles of the latencies, and compares them with their bounds.
    fn check_times(&mut self, attack: &Attack) {
        self.machine_late = self.outcome.measured.attack.machine().p99;
        (self.baseline, self.attacked) = quantiles(&mut self.outcome);
        // While memory is short publishers wait, so attacks on memory have no bound on latency.
        if !attack.is_on_memory() {
            self.slow = slow(attack, self.machine_late, &self.baseline, &self.attacked);
        }
    }
}

/// Starts the server: with a budget or in a cgroup if its memory is attacked.
fn start(
    attack: &Attack,
    program: &Path,
    version: ServerVersion,
) -> Result<(Option<Cgroup>, Server)> {
    if attack.aim == Aim::MemoryInCgroup
        && let Some(cgroup) = Cgroup::make(memory_use::MAX_RESIDENT_KIB * 1024)
    {
        // Without an option: the server derives its budget from the limit of its cgroup.
        let server = Server::start_in(&cgroup, program, attack.options)?;
        return Ok((Some(cgroup), server));
    }
    let mut options = attack.options.to_vec();
    if attack.is_on_memory() && version == ServerVersion::Current {
        options.extend(memory_use::BUDGET);
    }
    Ok((None, Server::start(program, &options)?))
}

/// Runs the attack to its end. Returns whether it ended without a panic, and the peak of the
/// server's resident memory in KiB (0 if the attack is not on memory).
fn drive_and_watch(attack: &Attack, run: &mut AttackRun<'_>) -> (bool, u64) {
    let server = run.server;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = attack.is_on_memory();
        let watching = watching.then(|| scope.spawn(|| memory_use::watch(server, &is_over)));
        // In a thread of its own: an unprivileged thread cannot raise its priority again.
        let has_run = scope.spawn(|| run.drive(attack)).join();
        is_over.store(true, Relaxed);
        let seen_kib = watching.and_then(|watching| watching.join().ok());
        (has_run.is_ok(), seen_kib.unwrap_or(0))
    })
}

/// Ends the server with SIGTERM, and checks its exit status.
fn end(server: &mut Server, ending: Ending, broken: &mut Vec<String>) -> Result<()> {
    server.terminate()?;
    if ending == Ending::SecondSignal {
        // The server drains now, for as long as a client does not answer the Close.
        if server.wait(Duration::from_millis(300))?.is_some() {
            broken.push("the first SIGTERM ends it before all have answered".into());
            return Ok(());
        }
        server.terminate()?;
        let status = server.wait(Duration::from_secs(5))?;
        if status.is_none() {
            broken.push("two SIGTERMs do not end it".into());
        }
        return Ok(());
    }
    match server.wait(DRAIN_WITHIN)? {
        Some(status) if status.success() => {}
        Some(status) => broken.push(format!("SIGTERM: {status}")),
        None => broken.push("SIGTERM does not end it".into()),
    }
    Ok(())
}

/// Adds the faults that the bystanders have noticed to `broken`.
fn check(outcome: &Outcome, shutdown: Shutdown, ending: Ending, broken: &mut Vec<String>) {
    let mut count = |count: u64, what: &str| {
        if count > 0 {
            broken.push(format!("{count} {what}"));
        }
    };
    count(outcome.lost, "messages lost");
    count(outcome.misplaced, "messages doubled or out of order");
    count(outcome.wrong_echoes, "echoes wrong or missing");
    if outcome.closed > 0 {
        let (closed, codes) = (outcome.closed, &outcome.codes);
        broken.push(format!("{closed} bystanders closed with {codes:?}"));
    } else if ending == Ending::Drains && shutdown.closed < shutdown.all {
        let Shutdown { closed, all } = shutdown;
        broken.push(format!("{closed} of {all} bystanders told 1012"));
    }
}

/// Returns the quantiles without the attack and under it, each by probe (stream, echo) and shard.
fn quantiles(outcome: &mut Outcome) -> ([[Quantiles; SHARDS]; 2], [[Quantiles; SHARDS]; 2]) {
    let measured = &mut outcome.measured;
    let baseline = [Probe::Stream, Probe::Echo].map(|probe| measured.baseline.quantiles(probe));
    let attacked = [Probe::Stream, Probe::Echo].map(|probe| measured.attack.quantiles(probe));
    (baseline, attacked)
}

/// Returns the latencies beyond their bounds. A bound is the sum of twice the baseline, 5 ms, a
/// turn for every attacker that always has something for the shard to read, 1 ms for every MiB of a
/// raised `--max-message-bytes`, and the delay of the machine's own timers.
fn slow(
    attack: &Attack,
    machine_late: f64,
    baseline: &[[Quantiles; SHARDS]; 2],
    attacked: &[[Quantiles; SHARDS]; 2],
) -> Vec<String> {
    let mut slow = Vec::new();
    for (index, probe) in ["stream", "echo"].into_iter().enumerate() {
        for shard in 0..SHARDS {
            let (calm, loaded) = (baseline[index][shard], attacked[index][shard]);
            let pairs = [("p50", calm.p50, loaded.p50), ("p99", calm.p99, loaded.p99)];
            for (name, calm, loaded) in pairs {
                let turns = f64::from(attack.ready) * TURN_MS;
                let large = f64::from(message_mib(attack));
                let mut bound = 2.0 * calm + 5.0 + large + turns + machine_late;
                if attack.fills_inboxes && probe == "stream" {
                    // The stream's publisher waits for a permit, as all others do. With this the
                    // bound has twice the turns, and 50 ms.
                    bound += turns + 45.0;
                }
                if loaded > bound {
                    slow.push(format!(
                        "{probe} {name} on shard {shard}: {loaded:.1} ms, bound {bound:.1}"
                    ));
                }
            }
        }
    }
    slow
}

/// Returns the value of `--max-message-bytes` in MiB, or 0 if the attack does not set it.
fn message_mib(attack: &Attack) -> u32 {
    let mut options = attack.options.iter();
    options.find(|&&option| option == "--max-message-bytes");
    let bytes: Option<u32> = options.next().and_then(|bytes| bytes.parse().ok());
    bytes.unwrap_or(0) >> 20
}

/// Length of a connection's turn, in milliseconds.
const TURN_MS: f64 = 0.5;

/// Longest time from SIGTERM to the end: the drain's 10 s, and 5 s for work that delays it.
const DRAIN_WITHIN: Duration = Duration::from_secs(15);
