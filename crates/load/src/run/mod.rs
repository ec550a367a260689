//! A run from beginning to end: [`run`] executes a [`Plan`] and returns a [`Report`].
//!
//! [`run_loop`] takes one process through the phases of a run, and [`workers`] divides it among
//! several processes. [`probe`] tries one connection first, [`progress`] has the phase and the
//! counts that the user sees during a run, and [`interruption`] ends a run early.

pub(crate) mod interruption;
mod probe;
pub(crate) mod progress;
mod run_loop;
pub(crate) mod workers;

use self::{
    interruption::Interruption,
    probe::Probe,
    progress::Progress,
    run_loop::{Supervisor, run_here},
    workers::Workers,
};
use crate::{
    account::{
        meter::{Meter, ServerUse},
        report::Report,
    },
    clock::Moment,
    error::Error,
    plan::{self, Plan, Protocol, Scenario},
};

/// Executes `plan` in this process, or in `processes` worker processes if that is more than 1.
/// Passes the progress to `show` some ten times per second. Returns the report. If `pid` is the
/// process id of the server, also returns the CPU time and memory that the server used.
///
/// # Errors
///
/// The run fails, or is interrupted before anything was measured.
pub fn run(
    plan: &Plan,
    processes: usize,
    pid: Option<u32>,
    interruption: Interruption,
    show: &mut dyn FnMut(&Progress),
) -> Result<(Report, Option<ServerUse>), Error> {
    let mut user = User {
        probe: try_connection(plan)?,
        aborts: plan.target.aborts,
        meter: pid.map(Meter::new).transpose()?,
        interruption,
        show,
    };
    let mut report = if processes > 1 {
        Workers::start(plan, processes)?.run(plan, &mut user)?
    } else {
        run_here(plan, &mut user)?
    };
    let used = user.meter.and_then(|mut meter| {
        report.memory = meter.take_samples();
        meter.server_use(&report, plan.connections())
    });
    Ok((report, used))
}

/// Opens a probe: a connection that finds errors early. Returns `None` if the server is framecast's
/// relay, because there a WebSocket can be opened only at a path that a registration has returned.
fn try_connection(plan: &Plan) -> Result<Option<Probe>, Error> {
    let (Scenario::Fanout(fanout) | Scenario::Churn(plan::Churn { fanout, .. })) = &plan.scenario
    else {
        return Probe::open(&plan.target).map(Some);
    };
    match &fanout.protocol {
        // The first registration will fail for the same reasons as a probe.
        Protocol::Relay(_) => Ok(None),
        Protocol::Template(_) => Probe::open(&plan.target).map(Some),
    }
}

/// The supervisor of the whole run: shows the progress to the user, and ends the run early if the
/// user asks for it. A worker process has its parent process as its supervisor instead.
struct User<'a> {
    probe: Option<Probe>,
    /// True if the probe ends by a reset.
    aborts: bool,
    meter: Option<Meter>,
    interruption: Interruption,
    show: &'a mut dyn FnMut(&Progress),
}

impl Supervisor for User<'_> {
    fn on_ready(&mut self) -> Result<Moment, Error> {
        if let Some(probe) = self.probe.take()
            && !self.aborts
        {
            probe.leave();
        }
        Ok(Moment::now())
    }

    fn on_measuring(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.begin();
        }
    }

    fn on_measured(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.end();
        }
    }

    fn on_progress(&mut self, progress: &Progress) {
        if let Some(meter) = &mut self.meter {
            meter.sample(progress.now, progress.open);
        }
        (self.show)(progress);
    }

    fn interrupted(&self) -> Option<Moment> {
        self.interruption.asked()
    }
}
