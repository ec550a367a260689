//! Formats the result as JSON.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use framecast_load::{Latencies, STEPS, ServerUse, Tally};
use serde::Serialize;

use crate::load::{
    Outcome,
    summary::{Verdict, generator_shares, verdict},
};

pub(super) fn document(outcome: &Outcome<'_>) -> anyhow::Result<String> {
    let document = Document::of(outcome);
    let text = serde_json::to_string_pretty(&document).context("encoding the result")?;
    Ok(text + "\n")
}

#[derive(Serialize)]
struct Document<'a> {
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
    /// Time from the scheduled sending of a message to its arrival.
    latency_us: Option<Percentiles>,
    /// Time from the first delivery of a publication to its last one.
    first_to_last_us: Option<Percentiles>,
    come_and_go: Tally,
    connections: Connections<'a>,
    stalls: u64,
    throughput: Throughput<'a>,
    server: Option<ServerUse>,
    generator: Generator,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
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

#[derive(Serialize)]
struct Generator {
    processes: usize,
    cpu_cores: f64,
    cpu_waited_cores: f64,
    is_bottleneck: bool,
    is_starved: bool,
}

impl<'a> Document<'a> {
    fn of(outcome: &'a Outcome<'_>) -> Self {
        let Outcome {
            scenario, report, ..
        } = outcome;
        Self {
            scenario: scenario.name,
            description: &scenario.description,
            url: scenario.common.url(scenario.default_url),
            duration_s: report.duration.as_secs_f64(),
            is_interrupted: outcome.interrupted().is_some(),
            published: report.published.iter().sum(),
            unpublished: report.unpublished.iter().sum(),
            expected: report.expected(),
            delivery_ratio: report.delivery_ratio(),
            tally: report.tally,
            deliveries_per_second: report.per_second(),
            latency_us: Percentiles::of(&report.latency),
            first_to_last_us: Percentiles::of(&report.spread),
            come_and_go: report.churners,
            connections: Connections {
                opened: report.connections.opened,
                failed: report.connections.failed,
                disconnected: report.connections.disconnected,
                close_codes: &report.connections.close_codes,
                resent: report.connections.resent,
                opening_us: Percentiles::of(&report.connections.handshakes),
            },
            stalls: report.stalls,
            throughput: Throughput {
                step_ms: outcome.plan.duration.as_secs_f64() * 1e3 / f64::from(STEPS),
                counts: &report.timeline,
            },
            server: outcome.server,
            generator: Generator::of(outcome),
        }
    }
}

impl Percentiles {
    /// Returns the percentiles in microseconds, or `None` if there are no latencies.
    fn of(latencies: &Latencies) -> Option<Self> {
        let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
        let at = |share| micros(latencies.at(share));
        (latencies.count() > 0).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(latencies.max()),
        })
    }
}

impl Generator {
    fn of(outcome: &Outcome<'_>) -> Self {
        let (cpu_cores, cpu_waited_cores) = generator_shares(outcome);
        let verdict = verdict(outcome);
        Self {
            processes: outcome.processes,
            cpu_cores,
            cpu_waited_cores,
            is_bottleneck: verdict == Verdict::Bottleneck,
            is_starved: verdict == Verdict::Starved,
        }
    }
}
