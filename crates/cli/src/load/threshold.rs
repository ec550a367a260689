//! Checks whether a result is good enough: looks for the faults that fail every run, and compares
//! the result with the thresholds that options set.
//!
//! Pure.

use std::time::Duration;

use framecast_load::{Connections, Report, Tally};

use crate::load::{
    check::Check,
    figures::{count, plural, time},
};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thresholds {
    pub(super) max_p99: Option<Duration>,
    pub(super) min_ratio: Option<f64>,
}

impl Thresholds {
    /// Returns the checks of all thresholds that are given.
    pub(super) fn checks(&self, report: &Report) -> Vec<Check> {
        let p99 = self.max_p99.map(|most| {
            let p99 = report.latency.at(0.99);
            let shown = format!("p99 {}, at most {}", time(p99), time(most));
            let micros = [most, p99].map(|time| time.as_secs_f64() * 1e6);
            Check::new("--max-p99", micros, &shown, self.missed_p99(report))
        });
        let ratio = self.min_ratio.map(|least| {
            let ratio = report.delivery_ratio();
            let shown = format!("{ratio:.6}, at least {least}");
            Check::new(
                "--min-ratio",
                [least, ratio],
                &shown,
                self.missed_ratio(report),
            )
        });
        [p99, ratio].into_iter().flatten().collect()
    }

    /// Returns one line about what is wrong with a result, or `None` if nothing is. Only the first
    /// fault is reported, and causes come before effects: if a connection has ended, the messages
    /// that it misses are not reported. If `must_be_whole` is true, any missing, duplicate or late
    /// message is a fault, even without a threshold.
    pub(super) fn missed(&self, report: &Report, must_be_whole: bool) -> Option<String> {
        ended(report)
            .or_else(|| failed(report))
            .or_else(|| empty(report))
            .or_else(|| corrupted(report))
            .or_else(|| served_unanswered(report))
            .or_else(|| self.missed_ratio(report))
            .or_else(|| self.missed_p99(report))
            .or_else(|| must_be_whole.then(|| broken(report))?)
    }

    /// Checks `--min-ratio`. A message that is duplicate, out of order or corrupted fails the
    /// check, whatever the ratio is, because the ratio only tells how many of the expected messages
    /// have arrived.
    fn missed_ratio(&self, report: &Report) -> Option<String> {
        let (least, ratio) = (self.min_ratio?, report.delivery_ratio());
        if ratio < least {
            let missed = format!("the delivery ratio of {ratio:.6} is below --min-ratio {least}");
            return Some(missed);
        }
        let without_gaps = Tally {
            gaps: 0,
            ..report.tally
        };
        let has_faults = !without_gaps.is_whole();
        has_faults.then(|| {
            format!(
                "--min-ratio is not met because of faults: {}",
                faults(&without_gaps)
            )
        })
    }

    fn missed_p99(&self, report: &Report) -> Option<String> {
        let most = self.max_p99?;
        if report.latency.count() == 0 {
            return Some("nothing has arrived, so that --max-p99 is not met".into());
        }
        // A missing message counts as later than all that have arrived, so the 99th percentile is
        // above any limit if more than 1 % are missing.
        let missing = missing(report);
        if missing.saturating_mul(100) > report.expected() {
            let missing = plural(missing, "message");
            return Some(format!(
                "{missing} never arrived, so that --max-p99 is not met"
            ));
        }
        let p99 = report.latency.at(0.99);
        (p99 > most).then(|| format!("the p99 of {} is above --max-p99 {}", time(p99), time(most)))
    }
}

/// Returns a line about the connections that the server has ended. `None` if there are none.
fn ended(report: &Report) -> Option<String> {
    let all = report.connections.disconnected;
    let (connections, codes) = (plural(all, "connection"), close_codes(&report.connections));
    (all > 0).then(|| format!("the server has ended {connections}{codes}"))
}

/// Lists the close codes of the server in brackets, each with its first reason:
/// ` (4 with 1012: restart, 1 with 1013)`. Returns an empty text if there are none.
pub(super) fn close_codes(connections: &Connections) -> String {
    let codes = connections.close_codes.iter().map(|(code, closed)| {
        let reason = connections.close_reasons.get(code);
        let reason = reason.map(|reason| format!(": {reason}"));
        let code = format!("{code}{}", reason.unwrap_or_default());
        if *closed == connections.disconnected {
            code
        } else {
            format!("{} with {code}", count(*closed))
        }
    });
    match codes.collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        codes => format!(" ({})", codes.join(", ")),
    }
}

/// Returns a line about the connections that could not be opened, with the reason of the first one.
/// `None` if all could.
fn failed(report: &Report) -> Option<String> {
    let failed = report.connections.failed;
    let connections = plural(failed, "connection");
    let reason = report.connections.first_failure.as_ref();
    let reason = reason.map(|reason| format!(": {reason}"));
    let reason = reason.unwrap_or_default();
    (failed > 0).then(|| format!("{connections} could not be opened{reason}"))
}

/// Returns a line about the messages that differ from what was sent, or `None` if there are none.
fn corrupted(report: &Report) -> Option<String> {
    let corrupted = report.tally.corrupted;
    let messages = plural(corrupted, "message");
    (corrupted > 0).then(|| format!("{messages} arrived corrupted"))
}

/// Returns a line about duplicates in a run in which requests were sent again, because the server
/// had ended the connection without a response. `None` if there are no such duplicates. A client may
/// repeat a POST only if it finds out whether the first one was served (RFC 9110 §9.2.2); this is how
/// the generator finds out.
fn served_unanswered(report: &Report) -> Option<String> {
    let resent = report.connections.resent;
    let duplicates = report.tally.duplicates + report.churners.duplicates;
    let (duplicate, again) = (plural(duplicates, "duplicate"), plural(resent, "request"));
    (resent > 0 && duplicates > 0).then(|| {
        format!("the server serves requests without an answer: {duplicate}, {again} sent again")
    })
}

/// Returns how many expected messages have not arrived.
fn missing(report: &Report) -> u64 {
    report.expected().saturating_sub(report.tally.distinct())
}

/// Returns a line about a run in which nothing has arrived although something was expected, or
/// `None` for any other run.
fn empty(report: &Report) -> Option<String> {
    let (distinct, expected) = (report.tally.distinct(), report.expected());
    let is_empty = distinct == 0 && expected > 0;
    is_empty.then(|| format!("nothing has arrived, of {} expected", count(expected)))
}

/// Returns one line about what is missing, duplicate, out of order or corrupted, or `None` if
/// nothing is. For scenarios in which every subscriber must receive every message.
fn broken(report: &Report) -> Option<String> {
    for (receivers, tally) in [
        ("", &report.tally),
        (" for connections that come and go", &report.churners),
    ] {
        if !tally.is_whole() {
            let faults = faults(tally);
            return Some(format!("the stream is not whole{receivers}: {faults}"));
        }
    }
    let missing = missing(report);
    (missing > 0).then(|| format!("{} never arrived", plural(missing, "message")))
}

/// Lists the faults of which there is at least one: `1 duplicate, 3 out of order`.
fn faults(tally: &Tally) -> String {
    let faults = [
        (tally.gaps, "missing"),
        (tally.duplicates, "duplicate"),
        (tally.out_of_order, "out of order"),
        (tally.corrupted, "corrupted"),
    ];
    let faults = faults.into_iter().filter(|(count, _)| *count > 0);
    let faults: Vec<_> = faults
        .map(|(faulty, fault)| format!("{} {fault}", count(faulty)))
        .collect();
    faults.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the report of a run in which `received` of `expected` messages have arrived, one of
    /// them after 7 ms. The latency of the others is not recorded.
    fn report(expected: u64, received: u64) -> Report {
        let mut report = Report {
            sent: expected,
            ..Report::default()
        };
        report.tally.received = received;
        report.latency.record(Duration::from_millis(7));
        report
    }

    /// Returns the line about what is wrong with `report`, or an empty text if nothing is.
    fn missed(thresholds: Thresholds, report: &Report) -> String {
        thresholds.missed(report, false).unwrap_or_default()
    }

    #[test]
    fn a_ratio_below_min_ratio_misses_it() {
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
    fn duplicates_and_messages_out_of_order_miss_every_ratio() {
        let least = Thresholds {
            min_ratio: Some(0.0),
            ..Thresholds::default()
        };
        let mut report = report(4, 4);
        // A gap only lowers the ratio, and this threshold accepts every ratio.
        report.tally.gaps = 1;
        assert_eq!(missed(least, &report), "");
        report.tally.duplicates = 1;
        report.tally.out_of_order = 2000;
        assert_eq!(
            missed(least, &report),
            "--min-ratio is not met because of faults: 1 duplicate, 2,000 out of order"
        );
        assert_eq!(missed(Thresholds::default(), &report), "");
    }

    #[test]
    fn corrupted_messages_fail_every_run() {
        let mut report = report(4, 4);
        report.tally.corrupted = 2;
        let line = missed(Thresholds::default(), &report);
        assert_eq!(line, "2 messages arrived corrupted");
    }

    #[test]
    fn duplicates_fail_a_run_in_which_requests_were_sent_again() {
        let of = |resent, duplicates| {
            let mut report = report(4, 4);
            report.connections.resent = resent;
            report.churners.duplicates = duplicates;
            missed(Thresholds::default(), &report)
        };
        assert_eq!(
            of(1, 3),
            "the server serves requests without an answer: 3 duplicates, 1 request sent again"
        );
        assert_eq!(of(1, 0), "");
        assert_eq!(of(0, 3), "");
    }

    #[test]
    fn connections_that_could_not_be_opened_fail_every_run() {
        let mut report = report(4, 4);
        report.connections.failed = 1;
        let line = missed(Thresholds::default(), &report);
        assert_eq!(line, "1 connection could not be opened");
        report.connections.first_failure = Some("the server answered 503: full".to_owned());
        let line = missed(Thresholds::default(), &report);
        assert_eq!(
            line,
            "1 connection could not be opened: the server answered 503: full"
        );
    }

    #[test]
    fn more_than_one_percent_of_missing_messages_misses_every_p99() {
        let within = Thresholds {
            max_p99: Some(Duration::from_secs(1)),
            ..Thresholds::default()
        };
        assert_eq!(missed(within, &report(100, 99)), "");
        assert_eq!(
            missed(within, &report(100, 98)),
            "2 messages never arrived, so that --max-p99 is not met"
        );
    }

    #[test]
    fn connections_that_the_server_has_ended_fail_every_run_with_their_codes() {
        let mut report = report(4, 4);
        let ended = |report: &Report| missed(Thresholds::default(), report);
        report.connections.disconnected = 6;
        assert_eq!(ended(&report), "the server has ended 6 connections");
        report.connections.close_codes.insert(1012, 6);
        assert_eq!(ended(&report), "the server has ended 6 connections (1012)");
        report.connections.close_reasons = [(1012, "restart".to_owned())].into();
        let line = "the server has ended 6 connections (1012: restart)";
        assert_eq!(ended(&report), line);
        report.connections.disconnected = 2006;
        report.connections.close_codes = [(1012, 2000), (1013, 1)].into();
        assert_eq!(
            ended(&report),
            "the server has ended 2,006 connections (2,000 with 1012: restart, 1 with 1013)"
        );
    }

    #[test]
    fn a_run_in_which_nothing_arrives_of_what_is_expected_fails() {
        let empty = |report: &Report| missed(Thresholds::default(), report);
        assert_eq!(
            empty(&report(2000, 0)),
            "nothing has arrived, of 2,000 expected"
        );
        assert_eq!(empty(&report(2000, 1)), "");
        assert_eq!(empty(&Report::default()), "");
    }

    #[test]
    fn a_p99_above_the_threshold_misses_it_and_so_does_a_run_without_latencies() {
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
    fn each_threshold_is_marked_as_held_or_missed() {
        let thresholds = Thresholds {
            max_p99: Some(Duration::from_millis(5)),
            min_ratio: Some(0.75),
        };
        let texts = |report: &Report| {
            let checks = thresholds.checks(report);
            let texts = checks.into_iter().map(|check| (check.is_held, check.text));
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            texts(&report(1, 1)),
            [
                (
                    false,
                    "✗ missed: the p99 of 7.00 ms is above --max-p99 5.00 ms".to_owned()
                ),
                (true, "✓ held: 1.000000, at least 0.75".to_owned())
            ]
        );
        assert!(Thresholds::default().checks(&report(1, 1)).is_empty());
    }

    #[test]
    fn the_faults_of_a_stream_that_must_be_whole_are_reported() {
        let mut report = report(4, 4);
        let broken = |report: &Report| Thresholds::default().missed(report, true);
        assert_eq!(broken(&report), None);
        report.churners.gaps = 2;
        assert_eq!(
            broken(&report).unwrap(),
            "the stream is not whole for connections that come and go: 2 missing"
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
