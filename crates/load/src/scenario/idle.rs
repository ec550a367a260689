//! Connections that are held open, and send nothing.

use crate::{
    account::report::{Recorder, Report},
    client::{
        clients::{Clients, Endpoint},
        event::{Conn, Event, Handler, Role},
    },
    clock::Moment,
    error::Error,
    plan,
    scenario::{Scenario, next_pump},
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

impl Handler for Idle {
    fn on_event(&mut self, event: Event<'_>, conn: &mut Conn<'_>, now: Moment) {
        match event {
            Event::Opened => {
                self.open += 1;
                self.recorder
                    .report
                    .latency
                    .record(now.since(conn.dialed()));
            }
            Event::Ended => self.open = self.open.saturating_sub(1),
            Event::Answered | Event::Message(_) => {}
        }
    }
}

impl Scenario for Idle {
    fn connections(&self) -> usize {
        self.plan.connections
    }

    fn dial(&mut self, _index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error> {
        let endpoint = Endpoint::WebSocket(&self.path);
        clients.dial(Role::Holder, endpoint, due)?;
        Ok(())
    }

    fn pump(&mut self, _clients: &mut Clients, now: Moment) -> Result<Moment, Error> {
        Ok(next_pump(now))
    }

    fn stop(&mut self, _end: Moment) {}

    fn is_settled(&self) -> bool {
        true
    }

    fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// Returns the report. Connections take the place of messages in it: `sent` is how many were
    /// planned, and `received` is how many are still open.
    fn into_report(self: Box<Self>) -> Report {
        let mut report = self.recorder.report;
        report.sent = self.plan.connections as u64;
        report.tally.received = self.open;
        report
    }
}
