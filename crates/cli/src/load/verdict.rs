//! Decides whether the generator, and not the server, has limited or delayed a run.
//!
//! Pure.
//!
//! A generator near the limit of its core says little by itself. In an open loop the schedule tells
//! more: one that sends late is too slow, however idle it is, and one that sends on time and is not
//! busy all the time is fast enough. One that is busy all the time may send on time and still read
//! late. In a closed loop either side may set the pace. In both cases the two are compared.

use std::time::Duration;

use crate::load::figures::{percent, time};

/// What a run shows about the generator and the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// Share of the measured time for which the generator ran on a core. If it has several
    /// processes, that of the busiest one.
    pub(super) ran: f64,
    /// Share of the measured time for which the generator waited for a core.
    pub(super) waited: f64,
    /// Share of the measured time for which the busiest thread of the server ran or waited for a
    /// core, or of all cores that it may use if that is more. `None` without `--pid`.
    pub(super) server: Option<f64>,
    /// The delays of the generator. `None` in a closed loop.
    pub(super) lateness: Option<Lateness>,
    /// The 99th percentile of the latency.
    pub(super) latency: Duration,
}

/// The times by which the generator sent its messages later than scheduled, apart from those that
/// the server held up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lateness {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// The influence of the generator on the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The generator has limited the run: the result says little about the server.
    Bottleneck,
    /// The rate was held, by a generator that was busy nearly all the time.
    Busy,
    Fine,
    /// The rate was held, but the generator was late for a part of the latency.
    Late,
    /// The generator often waited for a core.
    Starved,
    /// Generator or server may have limited the run.
    Unclear,
}

impl Verdict {
    pub(super) fn of(evidence: &Evidence) -> Self {
        match evidence.lateness {
            Some(lateness) => Self::of_open_loop(evidence, lateness),
            None if evidence.waited >= STARVED => Self::Starved,
            None if evidence.ran < BUSY => Self::Fine,
            None => Self::of_busier(evidence),
        }
    }

    fn of_open_loop(evidence: &Evidence, lateness: Lateness) -> Self {
        let is_starved = evidence.waited >= STARVED;
        // The half of all messages: one pause of the machine delays fewer. A generator that is too
        // slow falls behind more and more.
        if lateness.p50 >= BEHIND && !is_starved {
            return Self::Bottleneck;
        }
        let is_much = lateness.p99 >= evidence.latency.mul_f64(LATE_SHARE);
        if is_starved {
            Self::Starved
        } else if evidence.busy() >= SATURATED {
            Self::of_busier(evidence)
        } else if lateness.p99 >= LATE && is_much {
            Self::Late
        } else if evidence.ran >= BUSY && !evidence.server_is_busier() {
            Self::Busy
        } else {
            Self::Fine
        }
    }

    /// Returns the verdict on a generator that is near its limit: whether it or the server is nearer.
    fn of_busier(evidence: &Evidence) -> Self {
        match evidence.server {
            Some(_) if evidence.server_is_busier() => Self::Fine,
            Some(server) if server + MARGIN < evidence.busy() => Self::Bottleneck,
            _ => Self::Unclear,
        }
    }

    /// Returns the word for the verdict in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bottleneck => "bottleneck",
            Self::Busy => "busy",
            Self::Fine => "fine",
            Self::Late => "late",
            Self::Starved => "starved",
            Self::Unclear => "unclear",
        }
    }
}

impl Evidence {
    /// Returns the share of the time for which the generator ran or waited for a core. At most 1,
    /// although it is read from `/proc` somewhat after the end of the measured time.
    fn busy(&self) -> f64 {
        (self.ran + self.waited).min(1.0)
    }

    fn server_is_busier(&self) -> bool {
        self.server.is_some_and(|server| server >= self.busy())
    }

    /// Returns the sentences about the verdict, for a generator of `processes` processes. `None` if
    /// it is fine.
    pub(super) fn warning(&self, processes: usize) -> Option<String> {
        let Self { ran, lateness, .. } = self;
        let (ran, late) = (percent(*ran), lateness.unwrap_or_default());
        let busy = percent(self.busy());
        let more = format!("--workers {}, or more machines", processes + 1);
        let text = match (Verdict::of(self), self.lateness, self.server) {
            (Verdict::Fine, ..) => return None,
            (Verdict::Bottleneck, Some(_), _) if late.p50 >= BEHIND => format!(
                "The generator itself is the bottleneck: it did not hold the rate, and sent half of \
                 the messages more than {} late. Use {more}.",
                time(late.p50)
            ),
            (Verdict::Bottleneck, _, server) => format!(
                "The generator itself is the bottleneck: it ran or waited for a core for {busy} of \
                 the time, and the server for {}. Use {more}.",
                percent(server.unwrap_or(0.0))
            ),
            (Verdict::Busy, ..) => format!(
                "The rate was held, but the generator used {ran} of a core, so that some of the \
                 latency may be its own. Use {more}."
            ),
            (Verdict::Late, ..) => format!(
                "The rate was held, but the generator itself sent 1 % of the messages more than {} \
                 late, which is a part of the latency.",
                time(late.p99)
            ),
            (Verdict::Starved, ..) => "The generator often had to wait for a core, which shows in \
                 all times: give it and the server cores of their own (taskset)."
                .to_owned(),
            (Verdict::Unclear, _, Some(server)) => format!(
                "The generator ran or waited for a core for {busy} of the time, and the server for \
                 {}, so that either may be the bottleneck. To be sure, use {more}.",
                percent(server)
            ),
            (Verdict::Unclear, _, None) => format!(
                "The generator ran or waited for a core for {busy} of the time, and may be the \
                 bottleneck: --pid compares it with the server. Otherwise use {more}."
            ),
        };
        Some(text)
    }
}

/// Share of a core: a generator that runs for at least this is near its limit.
const BUSY: f64 = 0.9;

/// Share of the measured time: a generator that runs or waits for a core for at least this is never
/// idle, so that messages wait for it.
const SATURATED: f64 = 0.97;

/// Share of the measured time by which two shares must differ to say which one is larger. `/proc` is
/// read some milliseconds before or after the measured time begins and ends.
const MARGIN: f64 = 0.03;

/// Share of the measured time: if the generator waits for a core for at least this, the waiting
/// counts as distorting the result. Arbitrary.
const STARVED: f64 = 0.2;

/// The median delay from which a generator does not hold the rate. Arbitrary: longer than it takes
/// to handle what is ready at a time.
const BEHIND: Duration = Duration::from_millis(10);

/// The shortest delay that is told. Arbitrary: a system wakes a process up within less.
const LATE: Duration = Duration::from_micros(100);

/// Share of the latency from which a delay of the generator is told. Arbitrary.
const LATE_SHARE: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(ran: f64, waited: f64, server: Option<f64>) -> Evidence {
        Evidence {
            ran,
            waited,
            server,
            lateness: None,
            latency: Duration::from_millis(10),
        }
    }

    /// Returns the evidence of an open loop with these delays in microseconds, and a latency of
    /// 10 ms.
    fn open(ran: f64, [p50, p99]: [u64; 2]) -> Evidence {
        let (p50, p99) = (Duration::from_micros(p50), Duration::from_micros(p99));
        Evidence {
            lateness: Some(Lateness { p50, p99 }),
            ..closed(ran, 0.0, None)
        }
    }

    #[test]
    fn in_a_closed_loop_the_busier_side_is_the_bottleneck() {
        let verdict = |ran, server| Verdict::of(&closed(ran, 0.0, Some(server)));
        // As it was seen: both near the limit, the server nearer.
        assert_eq!(verdict(0.93, 0.98), Verdict::Fine);
        assert_eq!(verdict(0.99, 0.60), Verdict::Bottleneck);
        assert_eq!(verdict(0.99, 0.95), Verdict::Bottleneck);
        assert_eq!(verdict(0.99, 0.97), Verdict::Unclear);
        // A server that uses several cores.
        assert_eq!(verdict(0.99, 1.0), Verdict::Fine);
        // Neither is at its limit: the pace is that of the messages in flight.
        assert_eq!(verdict(0.80, 0.30), Verdict::Fine);
    }

    // As it was seen: "it used 94 % of a core, and the server 99 %".
    #[test]
    fn the_sides_are_compared_by_the_time_that_they_ran_or_waited_and_no_more_than_all_of_it() {
        let verdict = |waited, server| Verdict::of(&closed(0.94, waited, Some(server)));
        assert_eq!(verdict(0.08, 0.99), Verdict::Unclear);
        assert_eq!(verdict(0.08, 0.93), Verdict::Bottleneck);
        assert_eq!(verdict(0.04, 0.99), Verdict::Fine);
        let text = closed(0.94, 0.08, Some(0.93)).warning(1).unwrap();
        assert!(text.contains("for 100 % of the time, and the server for 93 %"));
    }

    #[test]
    fn a_busy_generator_is_no_bottleneck_for_sure_if_the_server_is_not_known() {
        assert_eq!(Verdict::of(&closed(0.97, 0.03, None)), Verdict::Unclear);
        assert_eq!(Verdict::of(&closed(0.80, 0.05, None)), Verdict::Fine);
    }

    #[test]
    fn a_generator_that_waits_for_a_core_is_starved_and_no_bottleneck() {
        assert_eq!(Verdict::of(&closed(0.5, 0.4, Some(0.1))), Verdict::Starved);
        let starved = Evidence {
            waited: 0.4,
            ..open(0.5, [200_000, 400_000])
        };
        assert_eq!(Verdict::of(&starved), Verdict::Starved);
    }

    #[test]
    fn a_generator_that_holds_the_rate_and_is_idle_at_times_is_no_bottleneck() {
        assert_eq!(Verdict::of(&open(0.93, [20, 90])), Verdict::Busy);
        let beside_a_busier_server = Evidence {
            server: Some(0.98),
            ..open(0.93, [20, 90])
        };
        assert_eq!(Verdict::of(&beside_a_busier_server), Verdict::Fine);
        assert_eq!(Verdict::of(&open(0.6, [20, 90])), Verdict::Fine);
    }

    #[test]
    fn a_generator_that_is_never_idle_may_read_late_although_it_holds_the_rate() {
        let saturated = |server| {
            let on_time = open(0.99, [20, 90]);
            Verdict::of(&Evidence { server, ..on_time })
        };
        assert_eq!(saturated(Some(0.5)), Verdict::Bottleneck);
        assert_eq!(saturated(Some(0.98)), Verdict::Unclear);
        assert_eq!(saturated(Some(1.0)), Verdict::Fine);
        assert_eq!(saturated(None), Verdict::Unclear);
    }

    #[test]
    fn a_generator_that_falls_behind_its_schedule_is_the_bottleneck_however_idle_it_is() {
        let falls_behind = open(0.4, [120_000, 240_000]);
        assert_eq!(Verdict::of(&falls_behind), Verdict::Bottleneck);
        // A busier server does not make up for it: those that it held up are not in the delays.
        let beside_a_busier_server = Evidence {
            server: Some(1.0),
            ..falls_behind
        };
        assert_eq!(Verdict::of(&beside_a_busier_server), Verdict::Bottleneck);
    }

    #[test]
    fn a_delay_is_told_if_it_is_a_considerable_part_of_the_latency() {
        // A pause of the machine: few messages are late.
        assert_eq!(Verdict::of(&open(0.3, [20, 3_000])), Verdict::Late);
        assert_eq!(Verdict::of(&open(0.3, [20, 2_000])), Verdict::Fine);
        // A delay that no one notices, although there is hardly any latency.
        let fast = Evidence {
            latency: Duration::from_micros(80),
            ..open(0.3, [5, 60])
        };
        assert_eq!(Verdict::of(&fast), Verdict::Fine);
    }

    #[test]
    fn a_warning_has_the_figures_that_it_is_about() {
        let warning = |evidence: Evidence| evidence.warning(1).unwrap_or_default();
        assert_eq!(warning(closed(0.5, 0.0, None)), "");
        assert_eq!(
            warning(closed(0.99, 0.0, Some(0.6))),
            "The generator itself is the bottleneck: it ran or waited for a core for 99 % of the \
             time, and the server for 60 %. Use --workers 2, or more machines."
        );
        assert_eq!(
            warning(open(0.99, [120_000, 240_000])),
            "The generator itself is the bottleneck: it did not hold the rate, and sent half of the \
             messages more than 120 ms late. Use --workers 2, or more machines."
        );
        assert!(warning(closed(0.99, 0.0, None)).contains("--pid"));
    }
}
