//! The run loop of one process: connect, warm up, measure, wait for what is under way.

use std::{process, time::Duration};

use crate::{
    account::{report::Report, usage::Cpu},
    client::{clients::Clients, event::End},
    clock::Moment,
    error::Error,
    plan::{self, Plan},
    run::progress::{Phase, Progress},
    scenario::{
        Scenario, churn::Churn, echo::Echo, fanout::Fanout, handshake::Handshake, idle::Idle,
        schedule::Schedule,
    },
};

/// Starts and interrupts a run, and is told how far it is.
pub(crate) trait Supervisor {
    /// Takes note that all connections are open, and returns when the run starts.
    fn on_ready(&mut self) -> Result<Moment, Error>;

    /// Takes note that the measured time begins.
    fn on_measuring(&mut self);

    /// Takes note that the measured time has ended.
    fn on_measured(&mut self);

    fn on_progress(&mut self, progress: &Progress);

    /// Returns when the run is to end early, if it is.
    fn interrupted(&self) -> Option<Moment>;
}

/// Makes the run of `plan` in this process.
pub(crate) fn run_here(plan: &Plan, supervisor: &mut dyn Supervisor) -> Result<Report, Error> {
    let run_loop = RunLoop {
        clients: Clients::new(&plan.target, plan.connection_offset)?,
        scenario: scenario(plan),
        plan,
        supervisor,
        shown: Moment::default(),
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
    /// The moment at which progress was last shown.
    shown: Moment,
}

impl RunLoop<'_> {
    fn run(mut self) -> Result<Report, Error> {
        self.connect()?;
        let start = self.supervisor.on_ready()?;
        let from = start + self.plan.warm_up;
        let to = from + self.plan.duration;
        self.scenario.recorder().measure(from, self.plan.duration);
        while Moment::now() < start {
            self.poll(start, Phase::WarmUp)?;
        }
        self.scenario.start(start);
        if self.send_until(from, Phase::WarmUp)? < from {
            return Err(Error::Interrupted);
        }
        self.supervisor.on_measuring();
        let before = own_cpu();
        let phase = Phase::Measuring {
            from,
            duration: self.plan.duration,
        };
        let to = self.send_until(to, phase)?;
        self.scenario.recorder().end(to);
        let generator = own_cpu().since(before);
        self.supervisor.on_measured();
        self.scenario.stop(to);
        self.settle()?;
        self.check()?;
        let mut report = self.scenario.into_report();
        report.connections = self.clients.counts;
        report.generator = generator;
        Ok(report)
    }

    /// Opens all connections, as fast as the ramp says or the server answers.
    fn connect(&mut self) -> Result<(), Error> {
        let wanted = self.scenario.connections();
        let begun = Moment::now();
        let seconds = self.plan.ramp.as_secs_f64();
        let mut ramp = (seconds > 0.0).then(|| Schedule::new(begun, wanted as f64 / seconds));
        let mut dialed = 0;
        let mut last = (0, begun);
        loop {
            if self.supervisor.interrupted().is_some() {
                return Err(Error::Interrupted);
            }
            let now = Moment::now();
            let due = ramp.map_or(now, |ramp| ramp.next());
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
            let until = if now < due { due.min(tick) } else { tick };
            self.poll(until, Phase::Connecting { open, wanted })?;
            self.check_none_ended()?;
            let open = dialed - self.clients.opening();
            if open != last.0 || dialed < wanted && now < due {
                last = (open, now);
            } else if now.since(last.1) > CONNECT_TIMEOUT {
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

    fn check_none_ended(&mut self) -> Result<(), Error> {
        match self.clients.first_end.take() {
            Some(end) => Err(end.into()),
            None => Ok(()),
        }
    }

    /// Sends all that is due before `end`, even if that is late. Returns when the sending ended, which
    /// is earlier if the run was interrupted.
    fn send_until(&mut self, end: Moment, phase: Phase) -> Result<Moment, Error> {
        loop {
            let now = Moment::now();
            let asked = self.supervisor.interrupted();
            // Nothing of what was measured since the interruption is taken back.
            let end = asked.map_or(end, |asked| asked.max(now).min(end));
            let now = now.min(end);
            let next = self.scenario.pump(&mut self.clients, now)?;
            if now == end {
                return Ok(end);
            }
            self.poll(next.min(end).min(now + TICK), phase)?;
        }
    }

    /// Waits for what is under way, until it is all there or nothing comes any more.
    fn settle(&mut self) -> Result<(), Error> {
        let end = Moment::now() + SETTLE_TIMEOUT;
        // Counts waits instead of elapsed time: while the machine is suspended nothing can come.
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

    /// Fails a run in which the server took no connection, or refused publications.
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

    /// Handles what sockets are ready for, and shows progress if it is time. Returns how many sockets
    /// were ready.
    fn poll(&mut self, until: Moment, phase: Phase) -> Result<usize, Error> {
        let handled = self.clients.poll(until, self.scenario.as_mut())?;
        let now = Moment::now();
        if now.since(self.shown) >= TICK {
            self.shown = now;
            let received = self.received();
            let counts = &self.clients.counts;
            self.supervisor.on_progress(&Progress {
                phase,
                now,
                received,
                lost: counts.failed + counts.disconnected,
            });
        }
        Ok(handled)
    }
}

fn own_cpu() -> Cpu {
    // Only a kernel without schedstat has none; then it is not known how busy the generator was.
    Cpu::of(process::id()).unwrap_or_default()
}

/// Handshakes under way at a time: fewer than fit into a listener's usual backlog.
const OPENING_AT_ONCE: usize = 256;

/// Interval at which progress is shown; also the longest wait where nothing is scheduled.
const TICK: Duration = Duration::from_millis(100);

/// The longest time without a new connection. Arbitrary.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time for what is under way at the end, while some of it still comes. Arbitrary.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits of a tenth of a second without an arrival after which nothing more is expected. Arbitrary;
/// a broadcast takes milliseconds.
const QUIET_WAITS: u32 = 20;
