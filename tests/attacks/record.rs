//! What one attack did to one server.

use std::{path::Path, sync::Arc, sync::atomic::Ordering::Relaxed, thread, time::Duration};

use anyhow::Result;

use crate::{
    attacks::{Attack, Ending},
    bystanders::{Bystanders, Farewell, Outcome},
    field::{Field, Form},
    figures::{Probe, Quantiles},
    marks::{Marks, Phase},
    server::{SHARDS, Server},
};

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) outcome: Outcome,
    /// Bytes that the attackers sent.
    pub(crate) sent: u64,
    /// CPU time of the server, from the beginning of the attack until all had arrived.
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
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

/// Attacks a server program, started for this.
pub(crate) fn attack(attack: &Attack, program: &Path, form: Form) -> Result<Record> {
    let mut server = Server::start(program, attack.options)?;
    let marks = Arc::new(Marks::new());
    let sockets = Bystanders::connect(&server)?;
    let bystanders = Bystanders::start(sockets, &marks, form.patience)?;
    let mut field = Field::new(&server, form, &marks);
    // A thread of its own: a low priority is for good.
    let has_run = thread::scope(|scope| scope.spawn(|| field.run(attack)).join());
    field.expect(has_run.is_ok(), "the attack panicked");
    marks.begin(Phase::After);
    let outcome = bystanders.outcome(form.patience + Duration::from_secs(5));
    let (sent, cpu, mut broken) = (field.sent, field.cpu, field.broken);
    let silent = field.silent;
    let mut outcome = outcome.unwrap_or_else(|error| {
        broken.push(error.to_string());
        Outcome::default()
    });
    if !server.is_alive() {
        broken.push("the server is gone".into());
    }
    let cpu = server.cpu().unwrap_or(cpu).saturating_sub(cpu);
    let peak_kib = server.peak_kib().unwrap_or(0);
    let longest_hold_us = server.health("longest_hold_us");
    marks.is_ending.store(true, Relaxed);
    end(&mut server, attack.ending, &mut broken)?;
    drop(silent);
    marks.is_over.store(true, Relaxed);
    check(&outcome, bystanders.farewell(), attack.ending, &mut broken);
    let machine_late = outcome.measured.attack.machine().p99;
    let (baseline, attacked) = quantiles(&mut outcome);
    let slow = slow(attack, machine_late, &baseline, &attacked);
    Ok(Record {
        outcome,
        sent,
        cpu,
        peak_kib,
        longest_hold_us,
        baseline,
        attacked,
        machine_late,
        broken,
        slow,
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
