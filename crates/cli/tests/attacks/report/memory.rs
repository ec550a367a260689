//! What is told of the attacks on memory.

use std::fmt::Write;

use super::{Row, all_wrong};
use crate::{
    record::Record,
    weight::{self, Gone, Weight},
};

/// What a line says of the memory of the server, if that was attacked.
pub(super) fn line(record: &Record) -> String {
    let Some(weight) = &record.weight else {
        return String::new();
    };
    let [before, peak, after, per_byte] = resident(weight, record.sent);
    let [accounted, gone] = accounts(weight);
    let mut memory = format!(
        "\n       resident {before} > {peak} > {after} MiB ({per_byte} per byte sent), accounts \
         {accounted} MiB, descriptors {}; gone {gone}",
        descriptors(weight),
    );
    if let Some(kib) = weight.cgroup_kib {
        let _ = write!(memory, "; its cgroup had {} MiB", kib / 1024);
    }
    memory
}

/// Before the attack, at the most and a while after it, in MiB, and for every byte sent.
fn resident(weight: &Weight, sent: u64) -> [String; 4] {
    let mib = |kib: u64| format!("{:.1}", weight::mib(kib * 1024));
    let after = weight.after.map(|after| mib(after.resident_kib));
    [
        mib(weight.before.resident_kib),
        mib(weight.peak_kib),
        after.unwrap_or_else(|| "-".into()),
        format!("{:.2}", weight.per_byte(sent)),
    ]
}

/// What the server counts itself: what it holds when the attack ends, and what had to go.
fn accounts(weight: &Weight) -> [String; 2] {
    let Gone {
        evicted,
        too_far_behind,
        unfinished,
        refused,
    } = weight.gone;
    let held = weight.at_end.accounted;
    [
        held.map_or_else(|| "no".into(), |held| format!("{:.1}", weight::mib(held))),
        format!("{evicted}, {too_far_behind}, {unfinished}, {refused}"),
    ]
}

fn descriptors(weight: &Weight) -> String {
    let after = weight.after.map(|after| after.descriptors.to_string());
    let after = after.unwrap_or_else(|| "-".into());
    format!("{}, {after}", weight.before.descriptors)
}

pub(super) const HEADING: &str = "## Memory, measured\n\n";

const HEAD: &str = "\
| attack | what the server is to hold | sent, KiB | bystanders lost, closed | resident before, MiB | at the most \
| 30 s after | bytes per byte sent | accounts, MiB | evicted, too far behind, unfinished, refused | descriptors before, 30 s after \
| and then | before: at the most; 30 s after; per byte sent |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// The table of what cost memory.
pub(super) fn table(rows: &[&Row]) -> String {
    let mut text = HEAD.to_owned();
    for (attack, record, before) in rows {
        let Some(weight) = &record.weight else {
            continue;
        };
        let [first, peak, after, per_byte] = resident(weight, record.sent);
        let [held, gone] = accounts(weight);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {}, {} | {first} | {peak} | {after} | {per_byte} | {held} | {gone} | {} | {} | {} |",
            attack.name,
            attack.pays_for,
            record.sent.div_ceil(1024),
            record.outcome.lost,
            record.outcome.closed,
            descriptors(weight),
            all_wrong(record),
            before.as_ref().map_or_else(String::new, row_before),
        );
    }
    let _ = writeln!(text, "\n{} attacks.", rows.len());
    text
}

fn row_before(record: &Record) -> String {
    let Some(weight) = &record.weight else {
        return String::new();
    };
    let [_, peak, after, per_byte] = resident(weight, record.sent);
    let mut row = format!("{peak}; {after}; {per_byte}");
    if !record.broken.is_empty() {
        let _ = write!(row, "; {}", record.broken.join("; "));
    }
    row
}
