//! Formats the result as JSON.

use std::{collections::BTreeMap, env, time::Duration};

use anyhow::Context as _;
use framecast_load::{Latencies, MemorySample, STEPS, ServerUse, Tally};
use humantime::format_rfc3339_seconds;
use serde::Serialize;

use crate::load::{
    Outcome,
    check::Check,
    settings::{Settings, command},
    summary::generator_shares,
    verdict::Verdict,
};

pub(super) fn document(outcome: &Outcome<'_>) -> anyhow::Result<String> {
    let document = Document::of(outcome);
    let text = serde_json::to_string_pretty(&document).context("encoding the result")?;
    Ok(text + "\n")
}

#[derive(Serialize)]
struct Document<'a> {
    /// The version of framecast.
    version: &'static str,
    /// The time of day at which the run began, in UTC.
    started: String,
    command: Vec<String>,
    settings: Settings,
    scenario: &'a str,
    description: &'a str,
    url: &'a str,
    /// The measured time, in seconds. If the run was interrupted, it is shorter than planned.
    duration_s: f64,
    is_interrupted: bool,
    published: u64,
    /// Number of publications that were scheduled and never made.
    unpublished: u64,
    expected: u64,
    delivery_ratio: f64,
    #[serde(flatten)]
    tally: Tally,
    deliveries_per_second: f64,
    /// The payloads of the messages that arrived in the measured time.
    payload_bytes_per_second: Option<f64>,
    /// Time from the scheduled sending of a message to its arrival, if there are messages.
    latency_us: Option<Percentiles>,
    /// Time from the scheduled connect to the end of the opening handshake, if that is measured.
    time_to_open_us: Option<Percentiles>,
    /// Time from the first delivery of a publication to its last one.
    first_to_last_us: Option<Percentiles>,
    come_and_go: Tally,
    connections: Connections<'a>,
    stalls: u64,
    throughput: Throughput<'a>,
    latency_over_time: Vec<Option<Step>>,
    thresholds: Vec<Check>,
    server_memory: Vec<Memory>,
    server: Option<ServerUse>,
    generator: Generator,
}

#[derive(Serialize)]
struct Percentiles {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p95: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Serialize)]
struct Connections<'a> {
    opened: u64,
    failed: u64,
    disconnected: u64,
    close_codes: &'a BTreeMap<u16, u64>,
    /// Number of closing handshakes that the server did not answer.
    unclosed: u64,
    /// Number of publications over HTTP that were sent again.
    resent: u64,
    opening_us: Option<Percentiles>,
}

/// How many messages arrived in each of the equal steps into which the measured time is divided.
#[derive(Serialize)]
struct Throughput<'a> {
    step_ms: f64,
    counts: &'a [u64],
}

/// The latencies of the messages that were scheduled in one step of the throughput.
#[derive(Serialize)]
struct Step {
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// The memory of the server at one moment.
#[derive(Serialize)]
struct Memory {
    after_s: f64,
    connections: usize,
    resident_bytes: u64,
}

#[derive(Serialize)]
struct Generator {
    processes: usize,
    cpu_cores: f64,
    cpu_waited_cores: f64,
    /// The time by which the generator itself sent later than scheduled, in an open loop.
    sent_late_us: Option<Percentiles>,
    /// Number of messages that the server held up.
    held_up: u64,
    verdict: &'static str,
    is_bottleneck: bool,
    is_starved: bool,
}

impl<'a> Document<'a> {
    fn of(outcome: &'a Outcome<'_>) -> Self {
        let Outcome {
            scenario, report, ..
        } = outcome;
        let latency = Percentiles::of(&report.latency);
        let (time_to_open_us, latency_us) = if outcome.is_about_opening() {
            (latency, None)
        } else {
            (None, latency)
        };
        let bytes = |size: usize| report.per_second() * size as f64;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started: format_rfc3339_seconds(outcome.started).to_string(),
            command: command(env::args_os()),
            settings: Settings::of(outcome),
            scenario: scenario.name,
            description: &scenario.description,
            url: scenario.url(),
            duration_s: report.duration.as_secs_f64(),
            is_interrupted: outcome.interrupted().is_some(),
            published: report.published.iter().sum(),
            unpublished: report.unpublished.iter().sum(),
            expected: report.expected(),
            delivery_ratio: report.delivery_ratio(),
            tally: report.tally,
            deliveries_per_second: report.per_second(),
            payload_bytes_per_second: outcome.payload_bytes().map(bytes),
            latency_us,
            time_to_open_us,
            first_to_last_us: Percentiles::of(&report.spread),
            come_and_go: report.churners,
            connections: Connections::of(&report.connections),
            stalls: report.stalls,
            throughput: Throughput {
                step_ms: outcome.plan.duration.as_secs_f64() * 1e3 / f64::from(STEPS),
                counts: &report.timeline,
            },
            latency_over_time: steps(outcome),
            thresholds: scenario.common.thresholds.checks(report),
            server_memory: report.memory.iter().map(Memory::of).collect(),
            server: outcome.server,
            generator: Generator::of(outcome),
        }
    }
}

fn steps(outcome: &Outcome<'_>) -> Vec<Option<Step>> {
    let steps = outcome.report.latency_steps.iter().map(|step| {
        step.map(|step| Step {
            p50_us: micros(step.p50),
            p99_us: micros(step.p99),
            max_us: micros(step.max),
        })
    });
    steps.collect()
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

impl<'a> Connections<'a> {
    fn of(connections: &'a framecast_load::Connections) -> Self {
        Self {
            opened: connections.opened,
            failed: connections.failed,
            disconnected: connections.disconnected,
            close_codes: &connections.close_codes,
            unclosed: connections.unclosed,
            resent: connections.resent,
            opening_us: Percentiles::of(&connections.handshakes),
        }
    }
}

impl Memory {
    fn of(sample: &MemorySample) -> Self {
        Self {
            after_s: sample.after.as_secs_f64(),
            connections: sample.open,
            resident_bytes: sample.resident_bytes,
        }
    }
}

impl Percentiles {
    /// Returns the percentiles in microseconds, or `None` if there are no latencies.
    fn of(latencies: &Latencies) -> Option<Self> {
        let at = |share| micros(latencies.at(share));
        (latencies.count() > 0).then(|| Self {
            min: micros(latencies.min()),
            mean: micros(latencies.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(latencies.max()),
        })
    }
}

impl Generator {
    fn of(outcome: &Outcome<'_>) -> Self {
        let (cpu_cores, cpu_waited_cores) = generator_shares(outcome);
        let verdict = Verdict::of(&outcome.evidence());
        Self {
            processes: outcome.processes,
            cpu_cores,
            cpu_waited_cores,
            sent_late_us: Percentiles::of(&outcome.report.sent_late),
            held_up: outcome.report.held_up,
            verdict: verdict.name(),
            is_bottleneck: verdict == Verdict::Bottleneck,
            is_starved: verdict == Verdict::Starved,
        }
    }
}
