//! A run and its result, as the table, the files and the exit status need it.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use anyhow::Context as _;
use framecast_load::{
    Plan, Report, ServerUse,
    plan::{self, Pace},
};

use crate::load::{
    Scenario,
    figures::time,
    hdr, json,
    output::Outputs,
    plot,
    summary::{self, generator_shares},
    verdict::{Evidence, Lateness},
};

/// A run, and its result.
pub(super) struct Outcome<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) processes: usize,
    /// The time of day at which the run began.
    pub(super) started: SystemTime,
    pub(super) report: &'a Report,
    /// CPU time and memory that the server used, if known.
    pub(super) server: Option<ServerUse>,
}

impl Outcome<'_> {
    /// Formats the measured and the planned time of a run that was interrupted:
    /// `after 1.50 s of 5.00 s`. Returns `None` if it was not interrupted.
    pub(super) fn interrupted(&self) -> Option<String> {
        let (measured, planned) = (self.report.duration, self.plan.duration);
        (measured < planned).then(|| format!("after {} of {}", time(measured), time(planned)))
    }

    /// Prints the summary, and writes the files that the options ask for.
    pub(super) fn write(&self, outputs: Outputs) -> anyhow::Result<()> {
        let summary = summary::table(self);
        let summary = summary.as_bytes();
        if outputs.take_stdout() {
            // Fails if standard error is closed, which does not matter to what is asked for.
            let _ = io::stderr().write_all(summary);
        } else {
            let written = io::stdout().write_all(summary);
            written.context("writing to standard output")?;
        }
        outputs.json.write(|| json::document(self))?;
        outputs
            .hdr
            .write(|| Ok(hdr::percentiles(&self.report.latency)))?;
        outputs.plot.write(|| Ok(plot::picture(self)))
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.plan.scenario, plan::Scenario::Idle(_))
    }

    /// Returns true if there are no messages, so that the time to open a connection is measured.
    pub(super) fn is_about_opening(&self) -> bool {
        let scenario = &self.plan.scenario;
        matches!(
            scenario,
            plan::Scenario::Handshake(_) | plan::Scenario::Idle(_)
        )
    }

    /// Returns the name of what is measured. The time to open a connection is no latency of a
    /// message.
    pub(super) fn latency_name(&self) -> &'static str {
        if self.is_about_opening() {
            "time to open"
        } else {
            "latency"
        }
    }

    /// Returns the size of a message. `None` if there are no messages.
    pub(super) fn payload_bytes(&self) -> Option<usize> {
        match &self.plan.scenario {
            plan::Scenario::Churn(churn) => Some(churn.fanout.format.size),
            plan::Scenario::Echo(echo) => Some(echo.format.size),
            plan::Scenario::Fanout(fanout) => Some(fanout.format.size),
            plan::Scenario::Handshake(_) | plan::Scenario::Idle(_) => None,
        }
    }

    /// Returns what the run shows about the generator and the server.
    pub(super) fn evidence(&self) -> Evidence {
        let (ran, waited) = generator_shares(self);
        let server = self.server.map(|server| {
            let of_all_cores = server.cpu_cores / f64::from(server.allowed_cores.max(1));
            server.busiest_thread.max(of_all_cores).min(1.0)
        });
        Evidence {
            ran,
            waited,
            server,
            lateness: self.lateness(),
            latency: self.report.latency.at(0.99),
        }
    }

    /// Returns the delays of the generator in an open loop. `None` in a closed loop.
    fn lateness(&self) -> Option<Lateness> {
        let is_open = |pace| matches!(pace, Pace::PerSecond(_));
        let is_open = match &self.plan.scenario {
            plan::Scenario::Churn(churn) => is_open(churn.fanout.pace),
            plan::Scenario::Echo(echo) => is_open(echo.pace),
            plan::Scenario::Fanout(fanout) => is_open(fanout.pace),
            plan::Scenario::Handshake(handshake) => handshake.per_second.is_some(),
            plan::Scenario::Idle(_) => false,
        };
        let late = &self.report.sent_late;
        is_open.then(|| Lateness {
            p50: late.at(0.5),
            p99: late.at(0.99),
        })
    }
}
