//! The load generator behind `framecast load`. It prints nothing; [`run`] does what a [`Plan`]
//! says and returns a [`Report`].
//!
//! ```text
//! plan ─► run ─┬─ (few connections) ───────────► drive ─► scenario ◄─ clients ◄─ client ◄─ socket
//!              └─ (many) ─► workers ═ processes ═► drive    (echo,     (epoll)   (frames)
//!                                                  fanout, …)
//! ```
//!
//! One thread drives all connections of a process: `clients` waits for sockets and reads them
//! into one buffer; a `scenario` hears every message and answers; `drive` takes it through
//! its phases. What is pure, such as `sequence`, `schedule` and `messages`, is in files of
//! its own.
//!
//! Latency is counted from when a message was *scheduled* to be sent: what a slow server holds up
//! counts, and not only what it holds.
//!
//! `plan` is what a run is to do, and each kind of it a `scenario`. `workers` makes it in several processes,
//! `probe` tries one connection first, and `interruption` ends it early.
//!
//! `client` is a connection, and all of them. `account` is what was found, and what the server and the generator
//! used; `progress` tells how far a run is. `clock` is the same for all processes, and `error` is why a run was
//! not made.

#![expect(clippy::exhaustive_enums, reason = "the program handles every variant")]

mod account;
mod client;
mod clock;
mod drive;
mod error;
mod interruption;
pub mod plan;
mod probe;
mod progress;
mod scenario;
mod workers;

use self::{
    account::meter::Meter,
    drive::{Host, drive},
    plan::{Via, Work},
    probe::Probe,
    workers::Workers,
};
pub use self::{
    account::{
        latencies::Latencies,
        meter::ServerUse,
        report::{Connections, Report, STEPS},
        sequence::Tally,
        usage::Cpu,
    },
    client::{messages::Violation, opening::Refusal},
    clock::Moment,
    error::Error,
    interruption::Interruption,
    plan::Plan,
    progress::{Phase, Progress},
    scenario::payload::Stamp,
    workers::serve as serve_worker,
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
