//! Makes the text of RESULTS.md, and that of the summary that is printed.
//!
//! This module performs no I/O.

use std::fmt::Write as _;

use crate::{
    cells::{self, Cell},
    machine::Machine,
    peers::{self, Peer},
    results::{Figure, Results, cpu, memory, resident},
    rounds::Plan,
    targets,
};

const HEAD: &str = "\
# framecast and its peers

Written by `benches/peers/run`; [peers/README.md](peers/README.md) describes the method.

";

const METHOD: &str = "
Each server runs on one core and the load generator, `framecast load`, on another one, over the loopback interface. The
compared figure is the CPU time of the server's threads (`schedstat`) for each message that the load generator received.
All servers of a column are measured in turn, seconds apart, for several rounds. A ratio is taken between two samples of
the same round, and the tables have the median over all rounds. So a ratio does not depend on how fast the machine is at
the moment, and need not equal the ratio of the two medians. The floors are the kernel's price of the same bytes, with
bare system calls and nothing else. They handle each read by itself: a server that joins the bytes of several reads in one
write can cost less.
";

const COSTS: &str = "\
Microseconds; in brackets, as a multiple of the first server in the column. † The load generator was at its own limit: the
server sometimes waited for it, and had fewer messages to handle at a time. Fan-out is measured for servers that have one.

";

/// Returns the whole report.
pub fn document(machine: &Machine, plan: &Plan, results: &Results) -> String {
    let mut text = HEAD.to_owned();
    text.push_str(&machine.describe());
    let _ = writeln!(text, "- `benches/peers/run`: {} rounds", plan.rounds);
    if plan.is_quick {
        text.push_str("- **Made with `--quick`: the figures mean nothing**\n");
    }
    let (starved, runs) = results.starved();
    if starved * 10 > runs {
        let _ = writeln!(
            text,
            "- **The machine was busy**: in {starved} of {runs} runs the load generator had to wait for its core"
        );
    }
    text.push_str(METHOD);
    text.push_str("\n## Targets\n\n");
    text.push_str(&targets(plan, results));
    text.push_str("\n## CPU time per message\n\n");
    text.push_str(COSTS);
    for cells in [ECHOES, FANOUTS, STALLS, OTHERS] {
        text.push_str(&costs(results, cells));
        text.push('\n');
    }
    text.push_str("## System calls per message\n\n");
    text.push_str(&calls(results));
    text.push_str("\n## Memory\n\n");
    text.push_str(&memories(results));
    text.push_str("\n## Servers\n\n");
    text.push_str(&servers(machine));
    if !results.remarks.is_empty() {
        text.push_str("\n## Remarks\n\n");
        for remark in &results.remarks {
            let _ = writeln!(text, "- {remark}");
        }
    }
    text
}

/// Returns the summary that is printed: for each goal whether it is met, and the remarks, which
/// say why something could not be measured. With `--quick` there is no table of goals: figures that
/// mean nothing meet none and miss none.
pub fn summary(plan: &Plan, results: &Results) -> String {
    let mut text = if plan.is_quick {
        let runs = results.count();
        format!(
            "--quick: {runs} short runs have worked. Their figures mean nothing, and no target is judged.\n"
        )
    } else {
        targets(plan, results)
    };
    for remark in &results.remarks {
        let _ = writeln!(text, "{remark}");
    }
    text
}

const ECHOES: &[&Cell] = &[
    &cells::ECHO_20,
    &cells::ECHO_1K,
    &cells::ECHO_16K,
    &cells::ECHO_64K,
    &cells::ECHO_20_BY_16,
    &cells::ECHO_20_BY_64,
    &cells::ECHO_1K_BY_16,
    &cells::ECHO_16K_BY_16,
];
const FANOUTS: &[&Cell] = &[
    &cells::FANOUT_BY_1,
    &cells::FANOUT_BY_16,
    &cells::FANOUT_9000,
    &cells::FANOUT_16K,
    &cells::OFFERED,
];
const OTHERS: &[&Cell] = &[&cells::HANDSHAKE];
const STALLS: &[&Cell] = &[&cells::STALL];

/// Returns a table of the targets, with a row for each target.
fn targets(plan: &Plan, results: &Results) -> String {
    let mut table = Table::new(["#", "condition", "must", "aim", "measured", "met"]);
    for target in targets::ALL {
        let value = target.value(results);
        let met = match value {
            None => "not measured",
            Some(_) if plan.is_quick => "not judged",
            Some(value) if !target.is_met(value) => "**no**",
            Some(value) if !target.is_aim_reached(value) => "yes",
            Some(_) => "yes, and the aim",
        };
        table.row([
            target.row.to_string(),
            target.condition.to_owned(),
            target.must(),
            target.show(target.aim),
            value.map_or_else(String::new, |value| target.show(value)),
            met.to_owned(),
        ]);
    }
    table.text()
}

/// Returns a table of CPU times, with a row for each server and a column for each cell.
fn costs(results: &Results, cells: &[&Cell]) -> String {
    let takes_part = |peer: &&Peer| cells.iter().any(|cell| cell.peers.contains(peer));
    let names = cells.iter().map(|cell| cell.name);
    let mut table = Table::new(["server"].into_iter().chain(names));
    for &peer in peers::ALL.iter().filter(takes_part) {
        let name = [peer.name().to_owned()];
        let costs = cells.iter().map(|cell| cost(results, cell, peer));
        table.row(name.into_iter().chain(costs));
    }
    table.text()
}

/// Returns the text for one server in one cell. It has the server's CPU time per message; in
/// brackets, this time divided by that of the cell's first server; and a mark if the load generator
/// was at its limit.
fn cost(results: &Results, cell: &Cell, peer: Peer) -> String {
    let Some(micros) = results.median(cell, peer, cpu) else {
        return String::new();
    };
    let mark = if results.is_load_bound(cell, peer) {
        " †"
    } else {
        ""
    };
    let first = cell.peers[0];
    match results.ratio((cell, peer), (cell, first), cpu) {
        Some(multiple) => format!("{} ({multiple:.2}){mark}", short(micros)),
        None => format!("{}{mark}", short(micros)),
    }
}

/// Returns a table of system calls, with a row for each server in each cell.
fn calls(results: &Results) -> String {
    let cells = cells::ALL.iter().filter(|cell| cell.counts_calls);
    let mut table = Table::new(["load", "server", "system calls", "of which writes"]);
    for cell in cells {
        for &peer in cell.peers {
            if let Some(calls) = results.calls(cell, peer) {
                let (all, writes) = (calls.all, calls.writes);
                table.row([
                    cell.name.to_owned(),
                    peer.name().to_owned(),
                    format!("{all:.3}"),
                    format!("{writes:.3}"),
                ]);
            }
        }
    }
    table.text()
}

/// Returns a table of the memory of each server with idle connections.
fn memories(results: &Results) -> String {
    let columns = [
        "server",
        "bytes per idle connection",
        "MiB in total with 9,000 connections",
    ];
    let mut table = Table::new(columns);
    for &peer in peers::IDLE {
        let median = |figure: Figure| results.median(&cells::IDLE, peer, figure);
        if let (Some(each), Some(all)) = (median(memory), median(resident)) {
            let all = all / f64::from(1 << 20);
            table.row([
                peer.name().to_owned(),
                format!("{each:.0}"),
                format!("{all:.0}"),
            ]);
        }
    }
    table.text()
}

/// Returns a table that describes the servers.
fn servers(machine: &Machine) -> String {
    let mut table = Table::new(["server", "description", "version"]);
    for &peer in peers::ALL {
        table.row([peer.name(), peer.description(), machine.version(peer)]);
    }
    table.text()
}

/// Formats a value. Values from 0.1 to 100 get three significant digits.
fn short(value: f64) -> String {
    let decimals = match value {
        ..1.0 => 3,
        1.0..10.0 => 2,
        _ => 1,
    };
    format!("{value:.decimals$}")
}

/// The lines of a table in Markdown.
struct Table(Vec<String>);

impl Table {
    fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Self(Vec::new());
        let names: Vec<&str> = names.into_iter().collect();
        let rules = vec!["---"; names.len()];
        table.row(names);
        table.0.push(format!("|{}|", rules.join("|")));
        table
    }

    fn row<S: AsRef<str>>(&mut self, fields: impl IntoIterator<Item = S>) {
        let mut line = String::from("|");
        for field in fields {
            let _ = write!(line, " {} |", field.as_ref());
        }
        self.0.push(line);
    }

    fn text(&self) -> String {
        self.0.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_comparison_judges_no_target() {
        let quick = summary(&Plan::new(true, String::new()), &Results::default());
        assert!(quick.contains("no target is judged"), "{quick}");
        assert!(!quick.contains('|'), "{quick}");
        let whole = summary(&Plan::new(false, String::new()), &Results::default());
        assert!(whole.starts_with("| # | condition | must |"), "{whole}");
    }
}
