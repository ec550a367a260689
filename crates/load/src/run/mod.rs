//! A run from beginning to end: [`run`] does what a [`Plan`] says and returns a [`Report`].
//!
//! [`run_loop`] takes one process through the phases of a run, and [`workers`] makes it in several. [`probe`]
//! tries one connection first, [`progress`] tells how far a run is, and [`interruption`] ends it early.

pub(crate) mod interruption;
mod probe;
pub(crate) mod progress;
mod run_loop;
pub(crate) mod workers;

use self::{
    interruption::Interruption,
    probe::Probe,
    progress::Progress,
    run_loop::{Host, drive},
    workers::Workers,
};
use crate::{
    account::{
        meter::{Meter, ServerUse},
        report::Report,
    },
    clock::Moment,
    error::Error,
    plan::{self, Plan, Via, Work},
};

/// Makes a run of `processes` processes: what it has found, and what the server `pid` used.
///
/// # Errors
///
/// The run can't be made, or was interrupted before anything was measured.
pub fn run(
    plan: &Plan,
    processes: usize,
    pid: Option<u32>,
    interruption: Interruption,
    show: &mut dyn FnMut(&Progress),
) -> Result<(Report, Option<ServerUse>), Error> {
    let mut local = Local {
        probe: probe(plan)?,
        meter: pid.map(Meter::new).transpose()?,
        interruption,
        show,
    };
    let report = if processes > 1 {
        Workers::start(plan, processes)?.run(plan, &mut local)?
    } else {
        drive(plan, &mut local)?
    };
    let meter = local.meter;
    let used = meter.and_then(|meter| meter.server_use(&report, plan.connections()));
    Ok((report, used))
}

fn probe(plan: &Plan) -> Result<Option<Probe>, Error> {
    let (Work::Fanout(fanout) | Work::Churn(plan::Churn { fanout, .. })) = &plan.work else {
        return Probe::open(&plan.target).map(Some);
    };
    match &fanout.via {
        // Its path is only known after registering, which tells as much.
        Via::Relay(_) => Ok(None),
        Via::WebSocket(_) => Probe::open(&plan.target).map(Some),
    }
}

/// Watches a run from the process that was asked for it.
struct Local<'a> {
    probe: Option<Probe>,
    meter: Option<Meter>,
    interruption: Interruption,
    show: &'a mut dyn FnMut(&Progress),
}

impl Host for Local<'_> {
    fn ready(&mut self) -> Result<Moment, Error> {
        self.probe = None;
        Ok(Moment::now())
    }

    fn opens(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.opens();
        }
    }

    fn closes(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.closes();
        }
    }

    fn progress(&mut self, progress: &Progress) {
        (self.show)(progress);
    }

    fn interrupted(&self) -> Option<Moment> {
        self.interruption.asked()
    }
}
