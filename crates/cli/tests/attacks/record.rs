//! What one attack did to one server.

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
    attacks::{Aim, Attack, Ending},
    bystanders::{Bystanders, Farewell, Outcome},
    cgroup::Cgroup,
    field::{Field, Form},
    figures::{Probe, Quantiles},
    marks::Marks,
    server::{SHARDS, Server},
    weight::{self, Weight},
};

#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) outcome: Outcome,
    /// Bytes that the attackers sent.
    pub(crate) sent: u64,
    /// CPU time of the server, from the beginning of the attack until all had arrived.
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
    /// What became of its memory, if that was attacked.
    pub(crate) weight: Option<Weight>,
    pub(crate) longest_hold_us: Option<u64>,
    pub(crate) baseline: [[Quantiles; SHARDS]; 2],
    pub(crate) attacked: [[Quantiles; SHARDS]; 2],
    /// How late a timer was under attack, at the 99th percentile, in milliseconds.
    pub(crate) machine_late: f64,
    /// What must hold, and did not.
    pub(crate) broken: Vec<String>,
    /// Times beyond their bounds.
    pub(crate) slow: Vec<String>,
}

impl Record {
    /// It did something to the server.
    pub(crate) fn has_hurt(&self) -> bool {
        !self.broken.is_empty() || !self.slow.is_empty()
    }
}

/// Which server is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Now,
    /// An older one, for figures to compare with: it does not know all options.
    Before,
}

/// Attacks a server program, started for this.
pub(crate) fn attack(attack: &Attack, program: &Path, age: Age, form: Form) -> Result<Record> {
    // In this order: who lives in a cgroup ends before it.
    let (cgroup, mut server) = start(attack, program, age)?;
    let marks = Arc::new(Marks::new());
    let sockets = Bystanders::connect(&server)?;
    let bystanders = Bystanders::start(sockets, &marks, form.patience)?;
    let mut record = Record::default();
    let field = Field::new(&server, form, &marks);
    let silent = record.run(attack, field, &bystanders);
    record.check_memory(attack, age, cgroup.as_ref());
    marks.is_ending.store(true, Relaxed);
    if server.is_alive() {
        end(&mut server, attack.ending, &mut record.broken)?;
    } else {
        record.broken.push("the server is gone".into());
    }
    drop(silent);
    marks.is_over.store(true, Relaxed);
    let farewell = bystanders.farewell();
    check(&record.outcome, farewell, attack.ending, &mut record.broken);
    record.check_times(attack);
    Ok(record)
}

impl Record {
    /// Runs the attack to its end, and waits until all has arrived. Who stays on even then.
    fn run(
        &mut self,
        attack: &Attack,
        mut field: Field<'_>,
        bystanders: &Bystanders,
    ) -> Option<TcpStream> {
        let (server, form) = (field.server, field.form);
        let mut weight = attack.is_on_memory().then(|| Weight::begin(server));
        let (has_run, seen_kib) = run(attack, &mut field);
        field.expect(has_run, "the attack panicked");
        if let Some(weight) = &mut weight {
            weight.attacked(server);
        }
        field.end();
        let outcome = bystanders.outcome(form.patience + Duration::from_secs(5));
        field.held.clear();
        if let Some(weight) = &mut weight {
            weight.rest(server, form.rest, seen_kib);
        }
        (self.sent, self.weight, self.broken) = (field.sent, weight, field.broken);
        self.cpu = server.cpu().unwrap_or(field.cpu).saturating_sub(field.cpu);
        self.peak_kib = server.peak_kib().unwrap_or(seen_kib);
        self.longest_hold_us = server.health("longest_hold_us");
        self.outcome = outcome.unwrap_or_else(|error| {
            self.broken.push(error.to_string());
            Outcome::default()
        });
        field.silent
    }

    fn check_memory(&mut self, attack: &Attack, age: Age, cgroup: Option<&Cgroup>) {
        let Some(weight) = &mut self.weight else {
            return;
        };
        weight.cgroup_kib = cgroup.and_then(Cgroup::peak_kib);
        weight.check(attack.aim, age, &mut self.broken);
        if cgroup.is_some_and(|cgroup| cgroup.kills() > 0) {
            self.broken.push("killed in its cgroup".into());
        }
    }

    fn check_times(&mut self, attack: &Attack) {
        self.machine_late = self.outcome.measured.attack.machine().p99;
        (self.baseline, self.attacked) = quantiles(&mut self.outcome);
        // Whose memory is short, that waits: those attacks are held to what is resident.
        if !attack.is_on_memory() {
            self.slow = slow(attack, self.machine_late, &self.baseline, &self.attacked);
        }
    }
}

/// Starts the server, with a budget or in a cgroup if its memory is attacked.
fn start(attack: &Attack, program: &Path, age: Age) -> Result<(Option<Cgroup>, Server)> {
    if attack.aim == Aim::MemoryInCgroup
        && let Some(cgroup) = Cgroup::make(weight::MOST_KIB * 1024)
    {
        // It finds out by itself how much there is.
        let server = Server::start_in(&cgroup, program, attack.options)?;
        return Ok((Some(cgroup), server));
    }
    let mut options = attack.options.to_vec();
    if attack.is_on_memory() && age == Age::Now {
        options.extend(weight::BUDGET);
    }
    Ok((None, Server::start(program, &options)?))
}

/// Runs the attack to its end: whether it got there, and what the server had at the most, in KiB,
/// if its memory is attacked.
fn run(attack: &Attack, field: &mut Field<'_>) -> (bool, u64) {
    let server = field.server;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = attack.is_on_memory();
        let watching = watching.then(|| scope.spawn(|| weight::watch(server, &is_over)));
        // A thread of its own: a low priority is for good.
        let has_run = scope.spawn(|| field.run(attack)).join();
        is_over.store(true, Relaxed);
        let seen_kib = watching.and_then(|watching| watching.join().ok());
        (has_run.is_ok(), seen_kib.unwrap_or(0))
    })
}

/// Ends the server as an operator would, and looks at its exit status.
fn end(server: &mut Server, ending: Ending, broken: &mut Vec<String>) -> Result<()> {
    server.terminate()?;
    if ending == Ending::SecondSignal {
        // It drains now, which takes as long as somebody does not answer.
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
    match server.wait(DRAIN)? {
        Some(status) if status.success() => {}
        Some(status) => broken.push(format!("SIGTERM: {status}")),
        None => broken.push("SIGTERM does not end it".into()),
    }
    Ok(())
}

fn check(outcome: &Outcome, farewell: Farewell, ending: Ending, broken: &mut Vec<String>) {
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
    } else if ending == Ending::Drains && farewell.told < farewell.all {
        let Farewell { told, all } = farewell;
        broken.push(format!("{told} of {all} bystanders told 1012"));
    }
}

/// Of stream and echo, each for every shard: baseline and attack.
fn quantiles(outcome: &mut Outcome) -> ([[Quantiles; SHARDS]; 2], [[Quantiles; SHARDS]; 2]) {
    let measured = &mut outcome.measured;
    let baseline = [Probe::Stream, Probe::Echo].map(|probe| measured.baseline.quantiles(probe));
    let attacked = [Probe::Stream, Probe::Echo].map(|probe| measured.attack.quantiles(probe));
    (baseline, attacked)
}

/// The bounds: at most twice the baseline and 5 ms, and a turn for every attacker that is always
/// ready on the shard; 1 ms for every MiB of a message where that was raised; and what the machine
/// itself was late by.
fn slow(
    attack: &Attack,
    machine_late: f64,
    baseline: &[[Quantiles; SHARDS]; 2],
    attacked: &[[Quantiles; SHARDS]; 2],
) -> Vec<String> {
    let mut slow = Vec::new();
    for (index, probe) in ["stream", "echo"].into_iter().enumerate() {
        for shard in 0..SHARDS {
            let (calm, hurt) = (baseline[index][shard], attacked[index][shard]);
            for (name, calm, hurt) in [("p50", calm.p50, hurt.p50), ("p99", calm.p99, hurt.p99)] {
                let turns = f64::from(attack.ready) * TURN_MS;
                let large = f64::from(message_mib(attack));
                let mut bound = 2.0 * calm + 5.0 + large + turns + machine_late;
                if attack.fills_inboxes && probe == "stream" {
                    // The publisher waits for its turn as all others do.
                    bound += turns + 45.0;
                }
                if hurt > bound {
                    slow.push(format!(
                        "{probe} {name} on shard {shard}: {hurt:.1} ms, bound {bound:.1}"
                    ));
                }
            }
        }
    }
    slow
}

/// How large a message may be, in MiB, if that was raised.
fn message_mib(attack: &Attack) -> u32 {
    let mut options = attack.options.iter();
    options.find(|&&option| option == "--max-message-bytes");
    let bytes: Option<u32> = options.next().and_then(|bytes| bytes.parse().ok());
    bytes.unwrap_or(0) >> 20
}

/// A turn of a connection, in milliseconds.
const TURN_MS: f64 = 0.5;

/// Time to end: the drain's own 10 s, and some for what is in the way.
const DRAIN: Duration = Duration::from_secs(15);
