//! Formats the result as a table.
//!
//! Pure.

use std::{fmt::Write as _, time::Duration};

use framecast_load::{Latencies, ServerUse, Tally, plan::Scenario};

use crate::load::{
    Outcome,
    figures::{bytes, change, count, plural, rounded, time},
};

/// The percentiles of a latency in the table: the name and the quantile of each.
pub(super) const PERCENTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// The rows of the table, each with a name and a value.
#[derive(Default)]
struct Table(Vec<(&'static str, String)>);

impl Table {
    fn row(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &self.0 {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:width$}  {value}");
        }
        text
    }
}

pub(super) fn table(outcome: &Outcome<'_>) -> String {
    let Outcome {
        scenario, report, ..
    } = outcome;
    let mut table = Table::default();
    let labels = Labels::of(&outcome.plan.scenario);
    let (received, expected) = (report.tally.distinct(), report.expected());
    let ratio = report.delivery_ratio();
    if let Some(after) = outcome.interrupted() {
        table.row("interrupted", after);
    }
    let (received, expected) = (count(received), count(expected));
    table.row(
        labels.delivered,
        format!("{received} of {expected} (ratio {ratio:.6})"),
    );
    let unpublished: u64 = report.unpublished.iter().sum();
    if unpublished > 0 {
        let never = plural(unpublished, "message");
        table.row("unpublished", format!("{never} that were due"));
    }
    if !matches!(outcome.plan.scenario, Scenario::Idle(_)) {
        table.row("per second", rounded(report.per_second()));
    }
    if labels.is_numbered {
        table.row("faults", faults(&report.tally));
    }
    if report.churners.received > 0 {
        let seen = count(report.churners.received);
        table.row(
            "come and go",
            format!("{seen} deliveries, {}", faults(&report.churners)),
        );
    }
    table.row("latency", latencies(&report.latency));
    if report.spread.count() > 0 {
        table.row("first to last", latencies(&report.spread));
    }
    table.row("connections", connections(outcome));
    if report.connections.resent > 0 {
        let requests = plural(report.connections.resent, "request");
        table.row("sent again", format!("{requests} without a response"));
    }
    if report.stalls > 0 {
        table.row(
            "stalls",
            format!("{} after 1 s without any delivery", report.stalls),
        );
    }
    if let Some(server) = &outcome.server {
        server_rows(&mut table, server, outcome);
    }
    table.row("generator", generator(outcome));
    let mut text = format!(
        "{}: {}\n{}",
        scenario.name,
        scenario.description,
        table.text()
    );
    if let Some(warning) = warning(outcome) {
        text.push_str(&warning);
        text.push('\n');
    }
    text
}

/// Words of the table that depend on the scenario.
struct Labels {
    /// Name of the row that counts the messages that have arrived or, in a scenario without
    /// messages, the handshakes or the connections that are open at the end.
    delivered: &'static str,
    /// Name of one of the things that this row counts, such as `reply`. The table has the CPU time
    /// for each of them.
    one: &'static str,
    /// True if messages are numbered, so that faults are counted.
    is_numbered: bool,
}

impl Labels {
    fn of(scenario: &Scenario) -> Self {
        let (delivered, one, is_numbered) = match scenario {
            Scenario::Churn(_) | Scenario::Fanout(_) => ("deliveries", "delivery", true),
            Scenario::Echo(_) => ("replies", "reply", true),
            Scenario::Handshake(_) => ("handshakes", "handshake", false),
            Scenario::Idle(_) => ("still open", "connection", false),
        };
        Self {
            delivered,
            one,
            is_numbered,
        }
    }
}

fn faults(tally: &Tally) -> String {
    let Tally {
        gaps,
        duplicates,
        out_of_order,
        corrupted,
        ..
    } = tally;
    let (gaps, duplicates) = (plural(*gaps, "gap"), plural(*duplicates, "duplicate"));
    format!("{gaps}, {duplicates}, {out_of_order} out of order, {corrupted} corrupted")
}

fn latencies(latencies: &Latencies) -> String {
    if latencies.count() == 0 {
        return "none".to_owned();
    }
    let each = PERCENTILES.map(|(name, share)| format!("{name} {}", time(latencies.at(share))));
    format!("{}, max {}", each.join(", "), time(latencies.max()))
}

fn connections(outcome: &Outcome<'_>) -> String {
    let connections = &outcome.report.connections;
    let mut text = format!("{} opened", count(connections.opened));
    if connections.failed > 0 {
        let _ = write!(text, ", {} failed", count(connections.failed));
    }
    if connections.disconnected > 0 {
        let _ = write!(
            text,
            ", {} ended by the server",
            count(connections.disconnected)
        );
    }
    for (code, times) in &connections.close_codes {
        let _ = write!(text, ", {} closed with {code}", count(*times));
    }
    text
}

fn server_rows(table: &mut Table, server: &ServerUse, outcome: &Outcome<'_>) {
    let mut cpu = format!("{:.2} cores", server.cpu_cores);
    if let Some(micros) = server.cpu_us_per_message {
        let each = time(Duration::from_secs_f64(micros / 1e6));
        let _ = write!(cpu, ", {each} a {}", Labels::of(&outcome.plan.scenario).one);
    }
    table.row("server CPU", cpu);
    let mut memory = bytes(server.resident_bytes as f64);
    // In the other scenarios the memory of messages would count as that of connections.
    if matches!(outcome.plan.scenario, Scenario::Idle(_)) {
        let each = change(server.resident_bytes_per_connection);
        let _ = write!(memory, ", {each} a connection");
    }
    table.row("server memory", memory);
    table.row("kernel sockets", change(server.kernel_socket_bytes as f64));
}

/// Returns the share of the measured time for which the generator ran, and the share for which it
/// waited for a core.
pub(super) fn generator_shares(outcome: &Outcome<'_>) -> (f64, f64) {
    let (cpu, duration) = (outcome.report.generator, outcome.report.duration);
    let share = |time: Duration| time.as_secs_f64() / duration.as_secs_f64().max(f64::EPSILON);
    (share(cpu.ran), share(cpu.waited))
}

fn generator(outcome: &Outcome<'_>) -> String {
    let (ran, waited) = generator_shares(outcome);
    let mut text = format!("{:.0} % of a core", ran * 100.0);
    if waited > 0.02 {
        let _ = write!(text, ", {:.0} % waiting for one", waited * 100.0);
    }
    if outcome.processes > 1 {
        let _ = write!(text, ", the busiest of {} processes", outcome.processes);
    }
    text
}

/// The influence of the generator on the result. If the generator is slower than the server, the
/// result says little about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The generator was busy nearly all the time.
    Bottleneck,
    Fine,
    /// The generator often waited for a core.
    Starved,
}

pub(super) fn verdict(outcome: &Outcome<'_>) -> Verdict {
    let (ran, waited) = generator_shares(outcome);
    Verdict::of(ran, waited)
}

impl Verdict {
    /// Returns the verdict on a generator that ran for the share `ran` of the measured time, and
    /// waited for a core for the share `waited`.
    fn of(ran: f64, waited: f64) -> Self {
        match (ran, waited) {
            (BUSY.., _) => Self::Bottleneck,
            (_, STARVED..) => Self::Starved,
            _ => Self::Fine,
        }
    }
}

fn warning(outcome: &Outcome<'_>) -> Option<String> {
    match verdict(outcome) {
        Verdict::Bottleneck => {
            let more = outcome.processes + 1;
            let line = "The generator itself is the bottleneck: use --workers";
            Some(format!(
                "{line} {more}, or put the load on from more machines."
            ))
        }
        Verdict::Fine => None,
        Verdict::Starved => Some(
            "The generator often had to wait for a core, which shows in the latency: give it and the \
             server cores of their own (taskset)."
                .to_owned(),
        ),
    }
}

/// Share of a core: a generator that uses at least this counts as the bottleneck, because messages
/// may wait for it instead of the server.
const BUSY: f64 = 0.9;

/// Share of the measured time: if the generator waits for a core for at least this, the waiting
/// counts as distorting the result. Arbitrary.
const STARVED: f64 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_is_busy_all_the_time_is_the_bottleneck() {
        assert_eq!(Verdict::of(0.97, 0.03), Verdict::Bottleneck);
        assert_eq!(Verdict::of(0.5, 0.4), Verdict::Starved);
        assert_eq!(Verdict::of(0.8, 0.05), Verdict::Fine);
    }

    #[test]
    fn the_values_of_a_table_are_aligned() {
        let mut table = Table::default();
        table.row("one", "1");
        table.row("three", "3");
        assert_eq!(table.text(), "  one    1\n  three  3\n");
    }
}
