//! What a result must meet.
//!
//! Pure.

use std::time::Duration;

use super::figures::{plural, time};
use crate::load::{Report, Tally};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thresholds {
    pub(super) max_p99: Option<Duration>,
    pub(super) min_ratio: Option<f64>,
}

impl Thresholds {
    /// Says in one line what a result misses, if anything.
    pub(super) fn missed(&self, report: &Report, must_be_whole: bool) -> Option<String> {
        let ratio = report.delivery_ratio();
        let missed_ratio = self
            .min_ratio
            .filter(|least| ratio < *least)
            .map(|least| format!("the delivery ratio of {ratio:.6} is below --min-ratio {least}"));
        missed_ratio
            .or_else(|| self.missed_p99(report))
            .or_else(|| must_be_whole.then(|| broken(report))?)
    }

    fn missed_p99(&self, report: &Report) -> Option<String> {
        let most = self.max_p99?;
        if report.latency.count() == 0 {
            return Some("nothing has arrived, so that --max-p99 is not met".into());
        }
        let p99 = report.latency.at(0.99);
        (p99 > most).then(|| format!("the p99 of {} is above --max-p99 {}", time(p99), time(most)))
    }
}

/// What is wrong with a stream that must be whole.
fn broken(report: &Report) -> Option<String> {
    if report.connections.disconnected > 0 {
        let connections = plural(report.connections.disconnected, "connection");
        return Some(format!("the server has ended {connections}"));
    }
    for (who, tally) in [
        ("", &report.tally),
        (" for those who come and go", &report.guests),
    ] {
        if !tally.is_whole() {
            return Some(format!("the stream is not whole{who}: {}", faults(tally)));
        }
    }
    let missing = report.expected().saturating_sub(report.tally.distinct());
    (missing > 0).then(|| format!("{} never arrived", plural(missing, "message")))
}

/// The faults that there are, in words.
fn faults(tally: &Tally) -> String {
    let faults = [
        (tally.gaps, "missing"),
        (tally.duplicates, "duplicate"),
        (tally.out_of_order, "out of order"),
        (tally.corrupted, "corrupted"),
    ];
    let faults = faults.into_iter().filter(|(count, _)| *count > 0);
    let faults: Vec<_> = faults
        .map(|(count, fault)| format!("{count} {fault}"))
        .collect();
    faults.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(expected: u64, received: u64) -> Report {
        let mut report = Report {
            sent: expected,
            ..Report::default()
        };
        report.tally.received = received;
        report.latency.record(Duration::from_millis(7));
        report
    }

    fn missed(thresholds: Thresholds, report: &Report) -> String {
        thresholds.missed(report, false).unwrap_or_default()
    }

    #[test]
    fn a_ratio_below_the_least_is_missed() {
        let least = |ratio| Thresholds {
            min_ratio: Some(ratio),
            ..Thresholds::default()
        };
        assert_eq!(missed(least(0.75), &report(4, 3)), "");
        let line = missed(least(1.0), &report(4, 3));
        assert_eq!(
            line,
            "the delivery ratio of 0.750000 is below --min-ratio 1"
        );
    }

    #[test]
    fn a_p99_above_the_most_is_missed_and_so_is_one_that_is_not_there() {
        let most = |millis| Thresholds {
            max_p99: Some(Duration::from_millis(millis)),
            ..Thresholds::default()
        };
        assert_eq!(missed(most(8), &report(1, 1)), "");
        let line = missed(most(5), &report(1, 1));
        assert_eq!(line, "the p99 of 7.00 ms is above --max-p99 5.00 ms");
        assert!(missed(most(5), &Report::default()).contains("nothing has arrived"));
    }

    #[test]
    fn a_stream_that_must_be_whole_says_what_is_broken() {
        let mut report = report(4, 4);
        let broken = |report: &Report| Thresholds::default().missed(report, true);
        assert_eq!(broken(&report), None);
        report.guests.gaps = 2;
        assert_eq!(
            broken(&report).unwrap(),
            "the stream is not whole for those who come and go: 2 missing"
        );
        report.tally.duplicates = 1;
        report.tally.out_of_order = 3;
        assert_eq!(
            broken(&report).unwrap(),
            "the stream is not whole: 1 duplicate, 3 out of order"
        );
        assert_eq!(
            broken(&self::report(4, 3)).unwrap(),
            "1 message never arrived"
        );
    }
}
