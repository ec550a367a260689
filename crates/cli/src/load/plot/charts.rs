//! The charts of a picture.

use std::{iter, time::Duration};

use framecast_load::{Latencies, MemorySample, STEPS, StepLatencies};

use crate::load::{
    Outcome,
    figures::{bytes, change, plural, rate, short, time},
    plot::{
        panel::{Axis, Panel, Place},
        scale::Scale,
        svg::Drawing,
    },
};

/// A statistic of latencies that the charts of latency show.
struct Statistic {
    name: &'static str,
    /// The class of its shapes, which is a colour.
    class: &'static str,
    share: f64,
    /// Returns its value in one step of the measured time.
    of_step: fn(&StepLatencies) -> Duration,
}

/// The statistics, in the order of their keys. They are drawn in the opposite order.
const STATISTICS: [Statistic; 3] = [
    Statistic {
        name: "p50",
        class: "blue",
        share: 0.5,
        of_step: |step| step.p50,
    },
    Statistic {
        name: "p99",
        class: "amber",
        share: 0.99,
        of_step: |step| step.p99,
    },
    Statistic {
        name: "max",
        class: "red",
        share: 1.0,
        of_step: |step| step.max,
    },
];

/// Draws latency over percentiles. The horizontal axis counts "nines": 1 is the 90th percentile, 2
/// the 99th, 3 the 99.9th.
pub(super) fn percentiles(drawing: &mut Drawing, place: Place, outcome: &Outcome<'_>) {
    let latencies = &outcome.report.latency;
    let points = distribution(latencies);
    let limit = outcome.scenario.common.thresholds.max_p99;
    let values = points.iter().map(|(_, micros)| *micros);
    let y = time_axis(values.chain(limit.map(micros)));
    let last = points.last().map_or(0.0, |(nines, _)| *nines);
    let x = percentile_axis(last);
    let keys = STATISTICS.map(
        |Statistic {
             name, class, share, ..
         }| { (class, format!("{name} {}", time(latencies.at(share)))) },
    );
    let title = format!("{} over percentiles", outcome.latency_name());
    let mut panel = Panel::new(drawing, place, &title, &keys, (&x, &y));
    panel.curve(&points, "blue");
    draw_limit(&mut panel, limit);
    for Statistic { class, share, .. } in STATISTICS.iter().rev() {
        let at = (nines(*share).min(last), micros(latencies.at(*share)));
        panel.dot(at, class);
    }
}

/// Draws the p50, the p99 and the maximum of the messages that were scheduled in each step.
pub(super) fn latency_over_time(drawing: &mut Drawing, place: Place, outcome: &Outcome<'_>) {
    let steps: Vec<_> = outcome.report.latency_steps.iter().collect();
    let limit = outcome.scenario.common.thresholds.max_p99;
    let known = steps.iter().flatten();
    let values = known.flat_map(|step| [step.p50, step.p99, step.max]);
    let y = time_axis(values.chain(limit).map(micros));
    let x = seconds_axis(outcome.report.duration.as_secs_f64(), MEASURED);
    let keys = STATISTICS.map(|Statistic { name, class, .. }| (class, name.to_owned()));
    let title = format!("{} over time", outcome.latency_name());
    let mut panel = Panel::new(drawing, place, &title, &keys, (&x, &y));
    for Statistic { class, of_step, .. } in STATISTICS.iter().rev() {
        for points in runs(&steps, step_seconds(outcome), *of_step) {
            panel.curve(&points, class);
        }
    }
    draw_limit(&mut panel, limit);
}

/// Draws the line of `--max-p99`, if there is one.
fn draw_limit(panel: &mut Panel<'_>, limit: Option<Duration>) {
    if let Some(most) = limit {
        panel.limit(micros(most), &format!("--max-p99 {}", time(most)));
    }
}

/// Draws how many messages arrived in each second of the measured time.
pub(super) fn throughput(drawing: &mut Drawing, place: Place, outcome: &Outcome<'_>) {
    let report = outcome.report;
    let duration = report.duration.as_secs_f64();
    let points = rates(&report.timeline, step_seconds(outcome), duration);
    let most = points.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let y = Axis::new(Scale::fitting(0.0, most), "", |value| rate(value) + "/s");
    let x = seconds_axis(duration, MEASURED);
    let average = format!("{}/s on average", rate(report.per_second()));
    let keys = [("blue", average)];
    let title = "throughput over time";
    let mut panel = Panel::new(drawing, place, title, &keys, (&x, &y));
    panel.filled_curve(&points, "blue");
}

/// Draws the server's memory, and behind it the number of open connections.
pub(super) fn memory(drawing: &mut Drawing, place: Place, outcome: &Outcome<'_>) {
    let samples = &outcome.report.memory;
    let most = samples.iter().map(|sample| sample.resident_bytes).max();
    let most_open = samples.iter().map(|sample| sample.open).max();
    let (most, most_open) = (most.unwrap_or(0) as f64, most_open.unwrap_or(0));
    let (unit, unit_bytes) = memory_unit(most);
    let mut keys = [
        ("blue", bytes(most)),
        ("amber", plural(most_open as u64, "connection")),
    ];
    if let Some(server) = &outcome.server {
        let each = change(server.resident_bytes_per_connection);
        keys[0].1 += &format!(", {each} a connection");
    }
    let last = samples.last().map_or(Duration::ZERO, |sample| sample.after);
    let x = seconds_axis(last.as_secs_f64(), "seconds since the first connection");
    let label = |value| format!("{} {unit}", short(value));
    let y = Axis::new(Scale::fitting(0.0, most / unit_bytes), "", label);
    let title = "memory of the server over time";
    let mut panel = Panel::new(drawing, place, title, &keys, (&x, &y));
    let over_time = |value: &dyn Fn(&MemorySample) -> f64| {
        let points = samples.iter();
        points
            .map(|sample| (sample.after.as_secs_f64(), value(sample)))
            .collect::<Vec<_>>()
    };
    let share = |sample: &MemorySample| sample.open as f64 / most_open.max(1) as f64;
    // The area has no axis of its own.
    let open = samples.last().map_or(0, |sample| sample.open);
    let name = plural(open as u64, "connection");
    panel.backdrop(&over_time(&share), &name, "amber");
    let resident = |sample: &MemorySample| sample.resident_bytes as f64 / unit_bytes;
    panel.curve(&over_time(&resident), "blue");
}

/// Returns the unit of an axis of memory up to `most` bytes, and its size in bytes.
fn memory_unit(most: f64) -> (&'static str, f64) {
    if most < GIB {
        ("MiB", MIB)
    } else {
        ("GiB", GIB)
    }
}

const MIB: f64 = (1 << 20) as f64;
const GIB: f64 = (1 << 30) as f64;

/// Returns an axis for times in microseconds.
fn time_axis(values: impl Iterator<Item = f64> + Clone) -> Axis {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(0.0, f64::max);
    Axis::new(Scale::fitting(least, most), "", micros_label)
}

fn seconds_axis(seconds: f64, unit: &'static str) -> Axis {
    Axis::new(Scale::linear(0.0, seconds), unit, short)
}

/// Returns the axis of percentiles up to `last` nines: with a tick for the median and for each nine.
fn percentile_axis(last: f64) -> Axis {
    let named = [
        (0.0, "0"),
        (0.5, "50"),
        (0.9, "90"),
        (0.99, "99"),
        (0.999, "99.9"),
        (0.9999, "99.99"),
        (0.99999, "99.999"),
        (0.999_999, "99.9999"),
    ];
    let ticks = named.map(|(share, name)| (nines(share), name.to_owned()));
    // Two nines at least.
    let scale = Scale::linear(0.0, last.max(2.0));
    let is_shown = |(tick, _): &(f64, String)| *tick <= last.max(2.0) + 0.01;
    Axis {
        scale,
        ticks: ticks.into_iter().filter(is_shown).collect(),
        unit: "percentile",
    }
}

/// Converts a share to nines: 0.99 to 2. A share of 1 has more than any other.
fn nines(share: f64) -> f64 {
    if share >= 1.0 {
        f64::MAX
    } else {
        -(1.0 - share).log10()
    }
}

/// Returns the points of the chart of latencies, each with its nines and its latency in
/// microseconds. The last one is the maximum.
fn distribution(latencies: &Latencies) -> Vec<(f64, f64)> {
    // Higher percentiles would depend on a single sample.
    let last = (latencies.count().max(2) as f64).log10();
    let steps = 200;
    (0..=steps)
        .map(|step| last * f64::from(step) / f64::from(steps))
        .map(|nines| {
            let share = 1.0 - 10_f64.powf(-nines);
            (nines, micros(latencies.at(share)))
        })
        .chain(iter::once((last, micros(latencies.max()))))
        .collect()
}

/// Returns the points of `value` over the steps, in one list for each run of steps that have
/// messages. A line must not cross a step without any.
fn runs(
    steps: &[Option<StepLatencies>],
    seconds: f64,
    value: fn(&StepLatencies) -> Duration,
) -> Vec<Vec<(f64, f64)>> {
    let mut runs = vec![Vec::new()];
    for (index, step) in steps.iter().enumerate() {
        match (step, runs.last_mut()) {
            (Some(step), Some(run)) => {
                run.push(((index as f64 + 0.5) * seconds, micros(value(step))));
            }
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Returns the arrivals per second over time, each at the begin and at the end of its interval. The
/// intervals are steps of `seconds`, or several steps if these have few arrivals, which would look
/// like bursts. The last interval of an interrupted run is shorter than the others, and left out if
/// it is less than half.
fn rates(timeline: &[u64], seconds: f64, duration: f64) -> Vec<(f64, f64)> {
    let arrivals: u64 = timeline.iter().sum();
    let is_enough = |steps: &usize| arrivals * *steps as u64 >= FEW * timeline.len() as u64;
    let together = [1, 2, 5, 10, 25].into_iter().find(is_enough).unwrap_or(50);
    let together = together.min(timeline.len().max(1));
    let seconds = seconds * together as f64;
    let intervals = timeline.chunks(together).enumerate();
    let points = intervals.filter_map(|(index, counts)| {
        let begun = index as f64 * seconds;
        let length = (duration - begun).min(seconds);
        let rate = counts.iter().sum::<u64>() as f64 / length;
        let is_shown = length >= seconds / 2.0;
        is_shown.then_some([(begun, rate), (begun + length, rate)])
    });
    points.flatten().collect()
}

/// Number of arrivals in an interval, on average, that are few. Arbitrary.
const FEW: u64 = 10;

fn step_seconds(outcome: &Outcome<'_>) -> f64 {
    outcome.plan.duration.as_secs_f64() / f64::from(STEPS)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Formats microseconds for a tick: `0`, `500 µs`, `20 ms`, `1.5 s`.
fn micros_label(micros: f64) -> String {
    match micros {
        ..1e-9 => "0".to_owned(),
        ..1e3 => short(micros) + " µs",
        ..1e6 => short(micros / 1e3) + " ms",
        _ => short(micros / 1e6) + " s",
    }
}

const MEASURED: &str = "seconds of the measured time";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_the_same_ticks_whatever_the_result_is() {
        let labels = |last| {
            let ticks = percentile_axis(last).ticks;
            let labels = ticks.into_iter().map(|(_, label)| label);
            labels.collect::<Vec<_>>()
        };
        assert_eq!(labels(0.3), ["0", "50", "90", "99"]);
        assert_eq!(labels(3.5), ["0", "50", "90", "99", "99.9"]);
        assert!((nines(0.999) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn times_have_ticks_with_a_fitting_unit() {
        let labels = [0.0, 0.5, 200.0, 20_000.0, 1.5e6].map(micros_label);
        assert_eq!(labels, ["0", "0.5 µs", "200 µs", "20 ms", "1.5 s"]);
    }

    #[test]
    fn a_line_does_not_cross_a_step_without_messages() {
        let step = |millis| {
            let time = Duration::from_millis(millis);
            let (p50, p99, max) = (time, time, time);
            Some(StepLatencies { p50, p99, max })
        };
        let steps = [None, step(1), step(2), None, None, step(3)];
        let runs = runs(&steps, 2.0, |step| step.max);
        let expected = [vec![(3.0, 1e3), (5.0, 2e3)], vec![(11.0, 3e3)]];
        assert_eq!(runs, expected);
    }

    #[test]
    fn the_short_last_step_of_an_interrupted_run_does_not_look_like_a_fall() {
        // Steps of 2 s, of which the last one has lasted for 1.5 s, and then for 0.5 s.
        let whole = [(0.0, 10.0), (2.0, 10.0)];
        let short = [(2.0, 10.0), (3.5, 10.0)];
        assert_eq!(rates(&[20, 15], 2.0, 3.5), [whole, short].concat());
        assert_eq!(rates(&[20, 5], 2.0, 2.5), whole);
    }

    #[test]
    fn single_arrivals_do_not_look_like_bursts() {
        // One message in every second step of 1 s.
        let timeline = [1, 0].repeat(50);
        let rates = rates(&timeline, 1.0, 100.0);
        assert_eq!(rates[..2], [(0.0, 0.52), (25.0, 0.52)]);
        assert_eq!(rates[6..], [(75.0, 0.48), (100.0, 0.48)]);
    }
}
