//! Report on the attacks: a few lines for each, and two tables. `memory` has those on memory.

mod memory;

use std::{fmt::Write, fs, thread};

use crate::{attack_run::Form, attacks::Attack, figures::Quantiles, record::Record};

/// Formats a line for the attack, and one line for each check that failed.
pub(crate) fn line(verdict: &str, attack: &Attack, record: &Record, form: Form) -> String {
    let hold = record
        .longest_hold_us
        .map_or(String::new(), |us| format!(", longest hold {us} us"));
    let [stream, echo] = [0, 1].map(|probe| {
        let baseline = Quantiles::worst(&record.baseline[probe]);
        let attacked = Quantiles::worst(&record.attacked[probe]);
        format!("{} > {}", millis(baseline), millis(attacked))
    });
    let mut line = format!(
        "{verdict:6} {:32} stream {stream}, echo {echo} ms, {} B sent, CPU {:.2} s, peak {} MiB{hold}, \
         timers {:.1} ms late",
        attack.name,
        record.sent,
        record.cpu.as_secs_f64(),
        record.peak_kib / 1024,
        record.machine_late,
    );
    line.push_str(&memory::line(record));
    for each in &record.broken {
        let _ = write!(line, "\n       {each}");
    }
    for each in record.slow.iter().filter(|_| form.is_long) {
        let _ = write!(line, "\n       {each}");
    }
    line
}

/// An attack, its result on the current server, and on the older one.
pub(crate) type Row = (&'static Attack, Record, Option<Record>);

/// Replaces the tables in the text of a file with new ones. The other sections are written by hand
/// and stay.
pub(crate) fn markdown(old: &str, rows: &[Row], form: Form, command: &str) -> String {
    let (on_memory, on_time): (Vec<_>, Vec<_>) = rows
        .iter()
        .partition(|(attack, _, _)| attack.is_on_memory());
    let mut text = old.to_owned();
    let machine = machine();
    if !on_time.is_empty() {
        let table = times(&on_time, form);
        let head = format!("{HEADING}{machine} `{command}`\n\n");
        text = with_section(&text, HEADING, &[head, table].concat());
    }
    if !on_memory.is_empty() {
        let table = memory::table(&on_memory);
        let head = format!("{}{machine} `{command}`\n\n", memory::HEADING);
        text = with_section(&text, memory::HEADING, &[head, table].concat());
    }
    text
}

/// Describes the machine on which the attacks have run.
fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |name| name.trim_start_matches(['\t', ' ', ':']));
    format!("Machine: {cores} cores ({cpu}), Linux {}.", kernel.trim())
}

/// Replaces the section with this heading, or appends it if there is none.
fn with_section(text: &str, heading: &str, section: &str) -> String {
    let Some((before, rest)) = text.split_once(heading) else {
        return [text, "\n", section].concat();
    };
    let after = rest.find("\n## ").map_or("", |end| &rest[end..]);
    [before, section, after].concat()
}

/// Formats the table of the attacks on latency.
fn times(rows: &[&Row], form: Form) -> String {
    let mut text = format!(
        "Each attack: {:?} without it, {:?} with it.\n\n{HEAD}",
        form.baseline, form.attack,
    );
    for (attack, record, before) in rows {
        text.push_str(&row(attack, record, before.as_ref()));
    }
    let guards = rows
        .iter()
        .filter(|(_, _, before)| before.as_ref().is_none_or(|before| !before.did_harm()))
        .count();
    let harmful = rows.len() - guards;
    let _ = write!(text, "\n{} attacks", rows.len());
    if rows.iter().any(|(_, _, before)| before.is_some()) {
        let _ = write!(
            text,
            ", of which {harmful} did harm to the older server and {guards} are guards"
        );
    }
    text.push_str(".\n");
    text
}

/// Heading of the section with the table of the attacks on latency.
const HEADING: &str = "## Measured\n\n";

const HEAD: &str = "\
| attack | what the server pays for | sent, KiB | bystanders lost, closed | stream, ms | under attack | echo, ms \
| under attack | timers late, ms | CPU, s | longest hold, us | peak, MiB | result | before: stream; echo |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// Formats a row of that table. `before` is the result on the older server.
fn row(attack: &Attack, record: &Record, before: Option<&Record>) -> String {
    let worst = |record: &Record, probe: usize| {
        [record.baseline[probe], record.attacked[probe]].map(|all| millis(Quantiles::worst(&all)))
    };
    let [[calm_stream, stream], [calm_echo, echo]] = [0, 1].map(|probe| worst(record, probe));
    let hold = record
        .longest_hold_us
        .map_or(String::new(), |us| us.to_string());
    let sent = record.sent.div_ceil(1024);
    let cpu = record.cpu.as_secs_f64();
    let (lost, closed) = (record.outcome.lost, record.outcome.closed);
    let peak = record.peak_kib / 1024;
    let late = record.machine_late;
    let result = result(record);
    let before = before.map_or(String::new(), |before| {
        let [[_, stream], [_, echo]] = [0, 1].map(|probe| worst(before, probe));
        match before.broken.as_slice() {
            _ if !before.did_harm() => format!("guard ({stream}; {echo})"),
            [] => format!("{stream}; {echo}"),
            broken => format!("{stream}; {echo}; {}", broken.join("; ")),
        }
    });
    format!(
        "| {} | {} | {sent} | {lost}, {closed} | {calm_stream} | {stream} | {calm_echo} | {echo} \
         | {late:.1} | {cpu:.2} | {hold} | {peak} | {result} | {before} |\n",
        attack.name, attack.pays_for
    )
}

/// Formats the column "result": the checks that failed, or "drained" if there are none.
fn result(record: &Record) -> String {
    let mut all = record.broken.clone();
    if let Some(first) = record.slow.first() {
        let others = record.slow.len() - 1;
        all.push(format!("{first}, and {others} more"));
    }
    if all.is_empty() {
        "drained".into()
    } else {
        all.join("; ")
    }
}

/// Formats median, 99th percentile and maximum, with slashes between them.
fn millis(quantiles: Quantiles) -> String {
    let Quantiles { p50, p99, max } = quantiles;
    format!("{p50:.1}/{p99:.1}/{max:.1}")
}
