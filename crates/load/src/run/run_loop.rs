//! The run loop of one process: connect, warm up, measure, wait for the messages in flight.

use std::{process, time::Duration};

use crate::{
    account::{report::Report, usage::Cpu},
    client::{
        clients::Clients,
        event::{Conn, End, Event, Handler},
    },
    clock::Moment,
    error::Error,
    plan::{self, Plan},
    run::progress::{Phase, Progress},
    scenario::{
        Scenario, churn::Churn, echo::Echo, fanout::Fanout, handshake::Handshake, idle::Idle,
        schedule::Schedule,
    },
};

/// Decides when a run starts and whether it ends early. The run loop calls it at each phase.
pub(crate) trait Supervisor {
    /// Called when all connections are open. Returns the time at which the run starts.
    fn on_ready(&mut self) -> Result<Moment, Error>;

    /// Called when the measured time begins.
    fn on_measuring(&mut self);

    /// Called when the measured time has ended.
    fn on_measured(&mut self);

    /// Shows or forwards the progress of the run. Called ten times per second.
    fn on_progress(&mut self, progress: &Progress);

    /// Returns the time at which the run should end early, if it should.
    fn interrupted(&self) -> Option<Moment>;
}

/// Executes `plan` in this process.
pub(crate) fn run_here(plan: &Plan, supervisor: &mut dyn Supervisor) -> Result<Report, Error> {
    let run_loop = RunLoop {
        clients: Clients::new(&plan.target, plan.connection_offset)?,
        scenario: scenario(plan),
        plan,
        supervisor,
        reported: Moment::default(),
    };
    run_loop.run()
}

fn scenario(plan: &Plan) -> Box<dyn Scenario> {
    let Plan {
        target,
        connection_offset,
        processes,
        ..
    } = plan;
    match &plan.scenario {
        plan::Scenario::Churn(churn) => Box::new(Churn::new(churn, target, *processes)),
        plan::Scenario::Echo(echo) => Box::new(Echo::new(echo, &target.path, *connection_offset)),
        plan::Scenario::Fanout(fanout) => Box::new(Fanout::new(fanout, target, *processes)),
        plan::Scenario::Handshake(handshake) => Box::new(Handshake::new(handshake, &target.path)),
        plan::Scenario::Idle(idle) => Box::new(Idle::new(idle, &target.path)),
    }
}

/// A run in progress.
struct RunLoop<'a> {
    plan: &'a Plan,
    clients: Clients,
    scenario: Box<dyn Scenario>,
    supervisor: &'a mut dyn Supervisor,
    /// Time at which progress was last passed to the supervisor.
    reported: Moment,
}

impl RunLoop<'_> {
    fn run(mut self) -> Result<Report, Error> {
        self.connect()?;
        let start = self.supervisor.on_ready()?;
        let from = start + self.plan.warm_up;
        let to = from + self.plan.duration;
        self.scenario.recorder().measure(from, self.plan.duration);
        // In a worker process the start lies in the future.
        while Moment::now() < start {
            self.poll(start, Phase::WarmUp)?;
        }
        self.scenario.start(start);
        if self.send_until(from, Phase::WarmUp)? < from {
            return Err(Error::Interrupted);
        }
        self.supervisor.on_measuring();
        let (before, begun) = (own_cpu(), Moment::now());
        let phase = Phase::Measuring {
            from,
            duration: self.plan.duration,
        };
        let to = self.send_until(to, phase)?;
        self.scenario.recorder().end(to);
        let generator = own_cpu().since(before);
        // A generator that falls behind its schedule comes here late.
        let elapsed = Moment::now().since(begun);
        let generator = generator.scaled(to.since(from), elapsed);
        self.supervisor.on_measured();
        self.scenario.stop(to);
        self.settle()?;
        self.check()?;
        let mut report = self.scenario.into_report();
        report.connections = self.clients.counts.clone();
        report.generator = generator;
        if !self.plan.target.aborts {
            // The result is complete, except for the closing handshakes.
            self.clients.leave_all(&mut Nobody)?;
            report.connections.unclosed = self.clients.counts.unclosed;
        }
        Ok(report)
    }

    /// Opens all connections, at the rate of the ramp or as fast as the server answers. Returns
    /// once all are open and the scenario is ready.
    fn connect(&mut self) -> Result<(), Error> {
        let wanted = self.scenario.connections();
        let begun = Moment::now();
        let seconds = self.plan.ramp.as_secs_f64();
        let mut ramp = (seconds > 0.0).then(|| Schedule::new(begun, wanted as f64 / seconds));
        let mut dialed = 0;
        // The number of open connections, and the time of the last progress.
        let mut last_progress = (0, begun);
        loop {
            if self.supervisor.interrupted().is_some() {
                return Err(Error::Interrupted);
            }
            let now = Moment::now();
            let due = ramp.map_or(now, |ramp| ramp.next());
            // Opens the next connection, if its time has come and not too many are being opened.
            if dialed < wanted && due <= now && self.clients.opening() < OPENING_AT_ONCE {
                self.scenario.dial(dialed, &mut self.clients, due)?;
                dialed += 1;
                ramp = ramp.map(|mut ramp| {
                    ramp.take_due(now);
                    ramp
                });
                continue;
            }
            let open = dialed - self.clients.opening();
            if open == wanted && self.scenario.is_ready(now) {
                return Ok(());
            }
            let tick = now + TICK;
            // If `due` has passed, the next connection waits for one of those that are opening.
            let until = if now < due { due.min(tick) } else { tick };
            self.poll(until, Phase::Connecting { open, wanted })?;
            self.check_none_ended()?;
            let open = dialed - self.clients.opening();
            let waits_for_ramp = dialed < wanted && now < due;
            // The time limit runs while no connection opens, although the ramp allows it.
            if open != last_progress.0 || waits_for_ramp {
                last_progress = (open, now);
            } else if now.since(last_progress.1) > CONNECT_TIMEOUT {
                if open == wanted {
                    return Err(Error::Unconfirmed(CONNECT_TIMEOUT));
                }
                return Err(Error::Stuck {
                    open,
                    wanted,
                    after: CONNECT_TIMEOUT,
                });
            }
        }
    }

    /// Fails if a connection has ended. No connection may end before the run starts.
    fn check_none_ended(&mut self) -> Result<(), Error> {
        match self.clients.first_end.take() {
            Some(end) => Err(end.into()),
            None => Ok(()),
        }
    }

    /// Sends every message that is scheduled before `end`, even if it is late. Returns the time at
    /// which sending ended: `end`, or earlier if the run was interrupted.
    fn send_until(&mut self, end: Moment, phase: Phase) -> Result<Moment, Error> {
        loop {
            let now = Moment::now();
            let interrupted = self.supervisor.interrupted();
            // If the moment of the interruption has passed, the measured time ends now, so that the
            // messages that were measured since then count.
            let end = interrupted.map_or(end, |moment| moment.max(now).min(end));
            let now = now.min(end);
            let next = self.scenario.pump(&mut self.clients, now)?;
            if now == end {
                return Ok(end);
            }
            self.poll(next.min(end).min(now + TICK), phase)?;
        }
    }

    /// Waits for the messages in flight. Returns when all have arrived, when no socket has been
    /// ready for 2 s, or after [`SETTLE_TIMEOUT`].
    fn settle(&mut self) -> Result<(), Error> {
        let end = Moment::now() + SETTLE_TIMEOUT;
        // Counts waits instead of elapsed time: while the machine is suspended nothing can arrive.
        let mut quiet_waits = 0;
        while !self.scenario.is_settled() && quiet_waits < QUIET_WAITS {
            let now = Moment::now();
            if end <= now {
                return Ok(());
            }
            let handled = self.poll(now + TICK, Phase::Settling)?;
            quiet_waits = if handled > 0 { 0 } else { quiet_waits + 1 };
        }
        Ok(())
    }

    /// Fails if the server accepted no connection. Also fails if the connection that was the first
    /// to end ended because the server refused a publication or broke the protocol.
    fn check(&mut self) -> Result<(), Error> {
        let counts = &self.clients.counts;
        match self.clients.first_end.take() {
            Some(End::Failed(error @ (Error::Publish(_) | Error::Protocol(_)))) => Err(error),
            Some(end) if counts.opened == 0 && counts.failed > 0 => Err(end.into()),
            _ => Ok(()),
        }
    }

    fn received(&mut self) -> u64 {
        let report = &self.scenario.recorder().report;
        report.tally.received + report.churners.received
    }

    /// Waits for sockets until `until`, handles those that are ready, and reports progress if
    /// [`TICK`] has passed since the last report. Returns how many sockets were handled.
    fn poll(&mut self, until: Moment, phase: Phase) -> Result<usize, Error> {
        let handled = self.clients.poll(until, self.scenario.as_mut())?;
        let now = Moment::now();
        if now.since(self.reported) >= TICK {
            self.reported = now;
            let received = self.received();
            let counts = &self.clients.counts;
            self.supervisor.on_progress(&Progress {
                phase,
                now,
                received,
                open: self.clients.len() - self.clients.opening(),
                lost: counts.failed + counts.disconnected,
            });
        }
        Ok(handled)
    }
}

/// The handler of what happens when the result is complete.
struct Nobody;

impl Handler for Nobody {
    fn on_event(&mut self, _event: Event<'_>, _conn: &mut Conn<'_>, _now: Moment) {}
}

fn own_cpu() -> Cpu {
    // Fails only on a kernel without schedstat. The report then has no CPU time of the generator.
    Cpu::of(process::id()).unwrap_or_default()
}

/// Largest number of connections that are being opened at a time: fewer than fit into a listener's
/// usual backlog.
const OPENING_AT_ONCE: usize = 256;

/// Interval at which progress is reported. Also the longest wait for sockets: after each wait the
/// run loop looks for an interruption.
const TICK: Duration = Duration::from_millis(100);

/// Time after which the run fails if no further connection has opened or, once all are open, if a
/// subscription is still not confirmed. Arbitrary.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait for messages in flight at the end, even if some still arrive. Arbitrary.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Number of waits of a [`TICK`] without an arrival after which the messages in flight count as
/// lost. Arbitrary: a fan-out takes milliseconds.
const QUIET_WAITS: u32 = 20;
