//! Connections that do the opening handshake and at once the closing handshake.

use crate::{
    account::report::{Recorder, Report},
    client::{
        clients::{Clients, Endpoint},
        event::{Conn, Event, Handler, Role},
    },
    clock::Moment,
    error::Error,
    plan,
    scenario::{Scenario, next_pump, schedule::Schedule},
};

#[derive(Debug)]
pub(crate) struct Handshake {
    plan: plan::Handshake,
    path: String,
    schedule: Option<Schedule>,
    /// Number of connections that were begun and have not ended yet.
    under_way: usize,
    is_over: bool,
    recorder: Recorder,
}

impl Handshake {
    pub(crate) fn new(plan: &plan::Handshake, path: &str) -> Self {
        Self {
            plan: plan.clone(),
            path: path.to_owned(),
            schedule: None,
            under_way: 0,
            is_over: false,
            recorder: Recorder::default(),
        }
    }

    /// Takes the next connection off the schedule, and returns the time for which it was scheduled.
    /// `None` if that time has not come, if the plan allows no more connections at the same time,
    /// or if the run is over. Without a schedule, a connection is always scheduled for `now`.
    fn take_due(&mut self, now: Moment) -> Option<Moment> {
        if self.is_over || self.under_way >= self.plan.connections {
            return None;
        }
        match &mut self.schedule {
            Some(schedule) => schedule.take_due(now).map(|(_, due)| due),
            None => Some(now),
        }
    }
}

impl Handler for Handshake {
    fn on_event(&mut self, event: Event<'_>, conn: &mut Conn<'_>, now: Moment) {
        match event {
            Event::Opened => {
                self.recorder.report.tally.received += 1;
                self.recorder.arrived(conn.dialed(), now);
                conn.leave();
            }
            Event::Ended => self.under_way -= 1,
            Event::Answered | Event::Message(_) => {}
        }
    }
}

impl Scenario for Handshake {
    fn connections(&self) -> usize {
        // All connections are opened in `pump`.
        0
    }

    fn dial(&mut self, _index: usize, _clients: &mut Clients, _due: Moment) -> Result<(), Error> {
        Ok(())
    }

    fn start(&mut self, start: Moment) {
        let per_second = self.plan.per_second;
        self.schedule = per_second.map(|rate| Schedule::new(start, rate));
    }

    fn pump(&mut self, clients: &mut Clients, now: Moment) -> Result<Moment, Error> {
        while let Some(due) = self.take_due(now) {
            clients.dial(Role::Churner, Endpoint::WebSocket(&self.path), due)?;
            self.under_way += 1;
            self.recorder.report.sent += 1;
            if self.schedule.is_some() {
                self.recorder.sent(due, now);
            }
        }
        let next = self
            .schedule
            .map_or_else(|| next_pump(now), |schedule| schedule.next());
        // At the limit, a connection whose time has come waits until another one ends.
        if next <= now {
            self.recorder.held_up(now);
            return Ok(next_pump(now));
        }
        Ok(next)
    }

    fn stop(&mut self, _end: Moment) {
        self.is_over = true;
    }

    fn is_settled(&self) -> bool {
        self.under_way == 0
    }

    fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    fn into_report(self: Box<Self>) -> Report {
        self.recorder.report
    }
}
