//! The phases of a run on one thread: connect, warm up, measure, wait for what is under way.

use std::{process, time::Duration};

use crate::{
    account::{report::Report, usage::Cpu},
    client::{End, clients::Clients},
    clock::Moment,
    error::Error,
    plan::{Plan, Work},
    run::progress::{Phase, Progress},
    scenario::{
        Scenario, churn::Churn, echo::Echo, fanout::Fanout, handshake::Handshake, idle::Idle,
        schedule::Schedule,
    },
};

/// Who watches a run, and says when it goes on.
pub(crate) trait Host {
    /// All connections are open; when the run starts.
    fn ready(&mut self) -> Result<Moment, Error>;

    /// The measured time begins.
    fn opens(&mut self);

    /// The measured time has ended.
    fn closes(&mut self);

    fn progress(&mut self, progress: &Progress);

    /// When the run is to end early, if it is.
    fn interrupted(&self) -> Option<Moment>;
}

/// Does what `plan` says.
pub(crate) fn drive(plan: &Plan, host: &mut dyn Host) -> Result<Report, Error> {
    let drive = Drive {
        clients: Clients::new(&plan.target, plan.others)?,
        scenario: scenario(plan),
        plan,
        host,
        shown: Moment::default(),
    };
    drive.run()
}

fn scenario(plan: &Plan) -> Box<dyn Scenario> {
    let Plan {
        target,
        others,
        processes,
        ..
    } = plan;
    match &plan.work {
        Work::Churn(churn) => Box::new(Churn::new(churn, target, *processes)),
        Work::Echo(echo) => Box::new(Echo::new(echo, &target.path, *others)),
        Work::Fanout(fanout) => Box::new(Fanout::new(fanout, target, *processes)),
        Work::Handshake(handshake) => Box::new(Handshake::new(handshake, &target.path)),
        Work::Idle(idle) => Box::new(Idle::new(idle, &target.path)),
    }
}

struct Drive<'a> {
    plan: &'a Plan,
    clients: Clients,
    scenario: Box<dyn Scenario>,
    host: &'a mut dyn Host,
    /// When progress was last shown.
    shown: Moment,
}

impl Drive<'_> {
    fn run(mut self) -> Result<Report, Error> {
        self.connect()?;
        let start = self.host.ready()?;
        let from = start + self.plan.warm_up;
        let to = from + self.plan.duration;
        self.scenario.recorder().measure(from, self.plan.duration);
        while Moment::now() < start {
            self.turn(start, Phase::WarmUp)?;
        }
        self.scenario.start(start);
        if self.send_until(from, Phase::WarmUp)? < from {
            return Err(Error::Interrupted);
        }
        self.host.opens();
        let before = own_cpu();
        let phase = Phase::Measuring {
            from,
            duration: self.plan.duration,
        };
        let to = self.send_until(to, phase)?;
        self.scenario.recorder().end(to);
        let generator = own_cpu().since(before);
        self.host.closes();
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
            if self.host.interrupted().is_some() {
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
            self.turn(until, Phase::Connecting { open, wanted })?;
            self.check_none_ended()?;
            let open = dialed - self.clients.opening();
            if open != last.0 || dialed < wanted && now < due {
                last = (open, now);
            } else if now.since(last.1) > PATIENCE {
                if open == wanted {
                    return Err(Error::Unconfirmed(PATIENCE));
                }
                return Err(Error::Stuck {
                    open,
                    wanted,
                    after: PATIENCE,
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

    /// Sends all that is due before `end`, even if that is late; when it has really ended.
    fn send_until(&mut self, end: Moment, phase: Phase) -> Result<Moment, Error> {
        loop {
            let now = Moment::now();
            let asked = self.host.interrupted();
            // What has happened since it was asked for stays.
            let end = asked.map_or(end, |asked| asked.max(now).min(end));
            let now = now.min(end);
            let next = self.scenario.pump(&mut self.clients, now)?;
            if now == end {
                return Ok(end);
            }
            self.turn(next.min(end).min(now + TICK), phase)?;
        }
    }

    /// Waits for what is under way, until it is all there or nothing comes any more.
    fn settle(&mut self) -> Result<(), Error> {
        let end = Moment::now() + PATIENCE_AT_THE_END;
        // Waits, and not the clock: on a machine that stands still nothing can come.
        let mut quiet_waits = 0;
        while !self.scenario.is_settled() && quiet_waits < QUIET_WAITS {
            let now = Moment::now();
            if end <= now {
                return Ok(());
            }
            let handled = self.turn(now + TICK, Phase::Settling)?;
            quiet_waits = if handled > 0 { 0 } else { quiet_waits + 1 };
        }
        Ok(())
    }

    /// A run in which the server took no connection, or refused publications, has failed.
    fn check(&mut self) -> Result<(), Error> {
        let counts = &self.clients.counts;
        match self.clients.first_end.take() {
            Some(End::Failed(error @ (Error::Publish(_) | Error::Violation(_)))) => Err(error),
            Some(end) if counts.opened == 0 && counts.failed > 0 => Err(end.into()),
            _ => Ok(()),
        }
    }

    fn received(&mut self) -> u64 {
        let report = &self.scenario.recorder().report;
        report.tally.received + report.guests.received
    }

    fn turn(&mut self, until: Moment, phase: Phase) -> Result<usize, Error> {
        let handled = self.clients.turn(until, self.scenario.as_mut())?;
        let now = Moment::now();
        if now.since(self.shown) >= TICK {
            self.shown = now;
            let received = self.received();
            let counts = &self.clients.counts;
            self.host.progress(&Progress {
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
    // Only a kernel without schedstat has none; then the generator can't say how busy it is.
    Cpu::of(process::id()).unwrap_or_default()
}

/// Handshakes at a time: fewer than fit into a listener's usual backlog.
const OPENING_AT_ONCE: usize = 256;

/// How often progress is shown, and what waits without a schedule looks up.
const TICK: Duration = Duration::from_millis(100);

/// Without any new connection. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(10);

/// For what is under way at the end, while some of it still comes. Arbitrary.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(60);

/// When nothing has come in so many waits of a tenth of a second, nothing will. Arbitrary; a
/// broadcast takes milliseconds.
const QUIET_WAITS: u32 = 20;
