//! The report on the attacks on memory: a line for each, and a table.

use std::fmt::Write;

use super::{Row, result};
use crate::{
    memory_use::{self, MemoryUse, Shed},
    record::Record,
};

/// Formats the lines on the server's memory; empty if the attack was not on memory.
pub(super) fn line(record: &Record) -> String {
    let Some(memory_use) = &record.memory_use else {
        return String::new();
    };
    let [before, peak, after, per_byte] = resident(memory_use, record.sent);
    let [accounted, shed] = accounts(memory_use);
    let mut memory = format!(
        "\n       resident {before} > {peak} > {after} MiB ({per_byte} per byte sent), accounts \
         {accounted} MiB, descriptors {}; shed {shed}",
        descriptors(memory_use),
    );
    if let Some(kib) = memory_use.cgroup_kib {
        let _ = write!(memory, "; its cgroup had {} MiB", kib / 1024);
    }
    memory
}

/// Formats the resident memory before the attack, at the peak and after it, in MiB, and the growth
/// in bytes per byte sent.
fn resident(memory_use: &MemoryUse, sent: u64) -> [String; 4] {
    let mib = |kib: u64| format!("{:.1}", memory_use::mib(kib * 1024));
    let after = memory_use.after.map(|after| mib(after.resident_kib));
    [
        mib(memory_use.before.resident_kib),
        mib(memory_use.peak_kib),
        after.unwrap_or_else(|| "-".into()),
        format!("{:.2}", memory_use.per_byte(sent)),
    ]
}

/// Formats the server's own counts: the bytes charged when the attack ends, in MiB, and the load
/// that it has shed.
fn accounts(memory_use: &MemoryUse) -> [String; 2] {
    let Shed {
        evicted,
        too_far_behind,
        unfinished,
        refused,
    } = memory_use.shed;
    let held = memory_use.at_end.accounted;
    [
        held.map_or_else(
            || "no".into(),
            |held| format!("{:.1}", memory_use::mib(held)),
        ),
        format!("{evicted}, {too_far_behind}, {unfinished}, {refused}"),
    ]
}

/// Formats the numbers of descriptors before the attack and after it.
fn descriptors(memory_use: &MemoryUse) -> String {
    let after = memory_use.after.map(|after| after.descriptors.to_string());
    let after = after.unwrap_or_else(|| "-".into());
    format!("{}, {after}", memory_use.before.descriptors)
}

pub(super) const HEADING: &str = "## Memory, measured\n\n";

const HEAD: &str = "\
| attack | what the server holds | sent, KiB | bystanders lost, closed | resident before, MiB | peak \
| 30 s after | bytes per byte sent | accounts, MiB | evicted, too far behind, unfinished, refused | descriptors before, 30 s after \
| result | before: peak; 30 s after; per byte sent |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// Formats the table of the attacks on memory.
pub(super) fn table(rows: &[&Row]) -> String {
    let mut text = HEAD.to_owned();
    for (attack, record, before) in rows {
        let Some(memory_use) = &record.memory_use else {
            continue;
        };
        let [first, peak, after, per_byte] = resident(memory_use, record.sent);
        let [held, shed] = accounts(memory_use);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {}, {} | {first} | {peak} | {after} | {per_byte} | {held} | {shed} | {} | {} | {} |",
            attack.name,
            attack.pays_for,
            record.sent.div_ceil(1024),
            record.outcome.lost,
            record.outcome.closed,
            descriptors(memory_use),
            result(record),
            before.as_ref().map_or_else(String::new, row_before),
        );
    }
    let _ = writeln!(text, "\n{} attacks.", rows.len());
    text
}

/// Formats the column "before": the result on the older server.
fn row_before(record: &Record) -> String {
    let Some(memory_use) = &record.memory_use else {
        return String::new();
    };
    let [_, peak, after, per_byte] = resident(memory_use, record.sent);
    let mut row = format!("{peak}; {after}; {per_byte}");
    if !record.broken.is_empty() {
        let _ = write!(row, "; {}", record.broken.join("; "));
    }
    row
}
