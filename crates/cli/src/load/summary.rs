//! Formats the result as a table.
//!
//! Pure.

use std::{fmt::Write as _, time::Duration};

use framecast_load::{Latencies, ServerUse, Tally, plan::Scenario};

use crate::{
    display::escape,
    load::{
        Outcome,
        figures::{bytes, change, count, percent, plural, rate, time},
        threshold::close_codes,
    },
};

/// The percentiles in the first row of a latency: the name and the quantile of each.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// Largest width of the table, in columns: that of a terminal.
const COLUMNS: usize = 80;

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
            // After the two spaces on each side of the name.
            let mut name = *name;
            for line in lines(value, COLUMNS.saturating_sub(width + 4)) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "  {name:width$}  {line}");
                name = "";
            }
        }
        text
    }
}

/// Breaks a value after its commas into lines of at most `columns` characters, as far as it has
/// commas.
fn lines(value: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in value.split_inclusive(", ") {
        match lines.last_mut() {
            Some(line) if width(line) + width(part.trim_end()) <= columns => line.push_str(part),
            Some(line) if line.is_empty() => line.push_str(part),
            _ => lines.push(part.to_owned()),
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

fn width(text: &str) -> usize {
    text.chars().count()
}

pub(super) fn table(outcome: &Outcome<'_>) -> String {
    let Outcome {
        scenario, report, ..
    } = outcome;
    let mut table = Table::default();
    table.row("url", escape(scenario.url()));
    if let Some(after) = outcome.interrupted() {
        table.row("interrupted", after);
    }
    delivery_rows(&mut table, outcome);
    latency_rows(&mut table, outcome.latency_name(), &report.latency);
    if report.spread.count() > 0 {
        latency_rows(&mut table, "first to last", &report.spread);
    }
    connection_rows(&mut table, outcome);
    if let Some(server) = &outcome.server {
        server_rows(&mut table, server, outcome);
    }
    table.row("generator", generator(outcome));
    for check in scenario.common.thresholds.checks(report) {
        table.row(check.option, check.text);
    }
    let (name, description) = (scenario.name, &scenario.description);
    let mut text = format!("{name}: {description}\n{}", table.text());
    if let Some(warning) = outcome.evidence().warning(outcome.processes) {
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
    /// The time that this row is of.
    when: &'static str,
    /// True if messages are numbered, so that faults are counted.
    is_numbered: bool,
}

impl Labels {
    fn of(scenario: &Scenario) -> Self {
        let whole = "in the whole run";
        let (delivered, one, when, is_numbered) = match scenario {
            Scenario::Churn(_) | Scenario::Fanout(_) => ("deliveries", "delivery", whole, true),
            Scenario::Echo(_) => ("replies", "reply", whole, true),
            Scenario::Handshake(_) => ("handshakes", "handshake", whole, false),
            Scenario::Idle(_) => ("still open", "connection", "at the end", false),
        };
        Self {
            delivered,
            one,
            when,
            is_numbered,
        }
    }
}

/// Adds the rows about what has arrived, and what is wrong with it.
fn delivery_rows(table: &mut Table, outcome: &Outcome<'_>) {
    let report = outcome.report;
    let labels = Labels::of(&outcome.plan.scenario);
    let (received, expected) = (count(report.tally.distinct()), count(report.expected()));
    let (when, ratio) = (labels.when, report.delivery_ratio());
    table.row(
        labels.delivered,
        format!("{received} of {expected} {when} (ratio {ratio:.6})"),
    );
    let unpublished: u64 = report.unpublished.iter().sum();
    if unpublished > 0 {
        let never = plural(unpublished, "message");
        table.row("unpublished", format!("{never} that were due"));
    }
    if !outcome.is_idle() {
        table.row("per second", throughput(outcome));
    }
    if labels.is_numbered {
        table.row("faults", faults(&report.tally));
    }
    if report.churners.received > 0 {
        let seen = report.churners.received;
        let deliveries = if seen == 1 { "delivery" } else { "deliveries" };
        let (seen, faults) = (count(seen), faults(&report.churners));
        table.row("come and go", format!("{seen} {deliveries}, {faults}"));
    }
    if report.stalls > 0 {
        let stalls = count(report.stalls);
        let stalls = format!("{stalls} after 1 s without any delivery");
        table.row("stalls", stalls);
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
    let (out_of_order, corrupted) = (count(*out_of_order), count(*corrupted));
    format!("{gaps}, {duplicates}, {out_of_order} out of order, {corrupted} corrupted")
}

/// Adds two rows about latencies: the usual percentiles, and the rest.
fn latency_rows(table: &mut Table, name: &'static str, latencies: &Latencies) {
    if latencies.count() == 0 {
        return table.row(name, "none");
    }
    let each = PERCENTILES.map(|(name, share)| format!("{name} {}", time(latencies.at(share))));
    table.row(name, each.join(", "));
    let rest = [
        ("p99.9", latencies.at(0.999)),
        ("max", latencies.max()),
        ("mean", latencies.mean()),
        ("min", latencies.min()),
    ];
    let rest = rest.map(|(name, value)| format!("{name} {}", time(value)));
    table.row("", rest.join(", "));
}

/// Formats how much has arrived in each second of the measured time.
fn throughput(outcome: &Outcome<'_>) -> String {
    let per_second = outcome.report.per_second();
    let mut text = rate(per_second);
    if let Some(size) = outcome.payload_bytes() {
        let _ = write!(text, ", {}/s of payload", bytes(per_second * size as f64));
    }
    let measured = time(outcome.report.duration);
    format!("{text}, in the {measured} measured")
}

/// Adds the rows about connections, and about the requests that were sent again.
fn connection_rows(table: &mut Table, outcome: &Outcome<'_>) {
    let connections = &outcome.report.connections;
    let mut text = format!("{} opened", count(connections.opened));
    if connections.failed > 0 {
        let _ = write!(text, ", {} failed", count(connections.failed));
    }
    if connections.disconnected > 0 {
        let (ended, codes) = (count(connections.disconnected), close_codes(connections));
        let _ = write!(text, ", {ended} ended by the server{codes}");
    }
    if connections.unclosed > 0 {
        let unclosed = plural(connections.unclosed, "closing handshake");
        let _ = write!(text, ", {unclosed} not answered");
    }
    table.row("connections", text);
    if connections.resent > 0 {
        let requests = plural(connections.resent, "request");
        table.row("sent again", format!("{requests} without a response"));
    }
}

fn server_rows(table: &mut Table, server: &ServerUse, outcome: &Outcome<'_>) {
    let busiest = percent(server.busiest_thread);
    let mut cpu = format!("{:.2} cores, busiest thread {busiest}", server.cpu_cores);
    if let Some(micros) = server.cpu_us_per_message {
        let each = time(Duration::from_secs_f64(micros / 1e6));
        let _ = write!(cpu, ", {each} a {}", Labels::of(&outcome.plan.scenario).one);
    }
    table.row("server CPU", cpu);
    let mut memory = bytes(server.resident_bytes as f64);
    // In the other scenarios the memory of messages would count as that of connections.
    if outcome.is_idle() {
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
    let mut text = format!("{} of a core", percent(ran));
    if waited > 0.02 {
        let _ = write!(text, ", {} waiting for one", percent(waited));
    }
    let late = &outcome.report.sent_late;
    if late.count() > 0 {
        let _ = write!(text, ", sent p99 {} late", time(late.at(0.99)));
    }
    if outcome.report.held_up > 0 {
        // The ceiling of a handshake run is an option, which may as well be too low for the rate.
        let held_up = count(outcome.report.held_up);
        let by = if outcome.is_about_opening() {
            "waited for one of --connections to end"
        } else {
            "held up by the server"
        };
        let _ = write!(text, ", {held_up} {by}");
    }
    if outcome.processes > 1 {
        let _ = write!(text, ", the busiest of {} processes", outcome.processes);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_table_are_aligned() {
        let mut table = Table::default();
        table.row("one", "1");
        table.row("three", "3");
        assert_eq!(table.text(), "  one    1\n  three  3\n");
    }

    #[test]
    fn a_value_that_is_too_wide_goes_on_below_itself() {
        let mut table = Table::default();
        let (one, other) = ("x".repeat(40), "y".repeat(31));
        table.row("short", "1");
        table.row("wide", format!("{one}, {other}, 3"));
        // The comma belongs to the line.
        let expected = format!("  short  1\n  wide   {one},\n         {other}, 3\n");
        assert_eq!(table.text(), expected);
        // A URL has no place to break.
        let url = "u".repeat(100);
        assert_eq!(lines(&url, 71), [url]);
        assert_eq!(lines("", 71), [""]);
    }

    #[test]
    fn the_rows_of_a_latency_fit_into_80_columns() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_micros(99_900));
        let mut table = Table::default();
        latency_rows(&mut table, "kernel sockets", &latencies);
        let text = table.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| width(line) <= COLUMNS), "{text}");
    }

    #[test]
    fn all_counts_of_faults_have_separators() {
        let tally = Tally {
            gaps: 1,
            duplicates: 2000,
            out_of_order: 30_000,
            corrupted: 75_680,
            ..Tally::default()
        };
        let expected = "1 gap, 2,000 duplicates, 30,000 out of order, 75,680 corrupted";
        assert_eq!(faults(&tally), expected);
    }
}
