//! Connections that are just there.

use crate::{
    account::report::{Recorder, Report},
    client::{Hear, Line, News, Role, clients::Clients},
    clock::Moment,
    error::Error,
    plan,
    scenario::{Scenario, idle_from},
};

#[derive(Debug)]
pub(crate) struct Idle {
    plan: plan::Idle,
    path: String,
    open: u64,
    recorder: Recorder,
}

impl Idle {
    pub(crate) fn new(plan: &plan::Idle, path: &str) -> Self {
        Self {
            plan: plan.clone(),
            path: path.to_owned(),
            open: 0,
            recorder: Recorder::default(),
        }
    }
}

impl Hear for Idle {
    fn hear(&mut self, news: News<'_>, line: &mut Line<'_>, now: Moment) {
        match news {
            News::Opened => {
                self.open += 1;
                self.recorder.report.latency.record(now.since(line.dialed));
            }
            News::Ended => self.open = self.open.saturating_sub(1),
            News::Answered | News::Message(_) => {}
        }
    }
}

impl Scenario for Idle {
    fn connections(&self) -> usize {
        self.plan.connections
    }

    fn dial(&mut self, _index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error> {
        clients.dial(Role::Holder, &self.path, due)?;
        Ok(())
    }

    fn pump(&mut self, _clients: &mut Clients, now: Moment) -> Result<Moment, Error> {
        Ok(idle_from(now))
    }

    fn stop(&mut self, _end: Moment) {}

    fn is_settled(&self) -> bool {
        true
    }

    fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// A connection is delivered if it is still there.
    fn into_report(self: Box<Self>) -> Report {
        let mut report = self.recorder.report;
        report.sent = self.plan.connections as u64;
        report.tally.received = self.open;
        report
    }
}
