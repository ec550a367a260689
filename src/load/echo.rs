//! Messages that come back: every reply is compared with what was sent.

use std::mem;

use super::{
    client::{ClientKey, Hear, Line, News, Role},
    clients::Clients,
    clock::Moment,
    error::Error,
    frame::Opcode,
    payload::{filler, hex, put_hex},
    plan::{self, Pace},
    report::{Recorder, Report},
    scenario::{MAX_BACKLOG_BYTES, Scenario, idle_from},
    schedule::Schedule,
    sequence::Track,
};

/// Digits of the sequence number that a message begins with, if it is long enough.
const DIGITS: usize = 12;

#[derive(Debug)]
pub(crate) struct Echo {
    plan: plan::Echo,
    path: String,
    opcode: Opcode,
    filler: Vec<u8>,
    callers: Vec<Caller>,
    state: State,
    /// Without one, a reply is answered with the next message.
    schedule: Option<Schedule>,
    recorder: Recorder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the start.
    Connecting,
    /// At the next pump, every caller sends its first messages.
    Starting,
    Sending,
    /// Only replies are taken.
    Over,
}

#[derive(Debug, Default)]
struct Caller {
    key: Option<ClientKey>,
    sent: u64,
    track: Track,
    /// When the messages under way were to be sent, by number modulo the length.
    scheduled: Vec<Moment>,
}

impl Caller {
    /// Takes down that the next message is sent; its number.
    fn sends(&mut self, scheduled: Moment) -> u64 {
        let sequence = self.sent;
        self.sent += 1;
        if let Some(slot) = slot(&mut self.scheduled, sequence) {
            *slot = scheduled;
        }
        sequence
    }
}

fn slot(scheduled: &mut [Moment], sequence: u64) -> Option<&mut Moment> {
    let index = sequence.checked_rem(scheduled.len() as u64)?;
    scheduled.get_mut(usize::try_from(index).ok()?)
}

impl Echo {
    pub(crate) fn new(plan: &plan::Echo, path: &str) -> Self {
        let shape = plan.shape;
        let depth = match plan.pace {
            Pace::InFlight(depth) => depth,
            Pace::PerSecond(_) => 0,
        };
        let caller = || Caller {
            scheduled: vec![Moment::default(); depth],
            ..Caller::default()
        };
        Self {
            plan: plan.clone(),
            path: path.to_owned(),
            opcode: if shape.is_binary {
                Opcode::Binary
            } else {
                Opcode::Text
            },
            filler: filler(shape.size - DIGITS.min(shape.size)),
            callers: (0..plan.connections).map(|_| caller()).collect(),
            state: State::Connecting,
            schedule: None,
            recorder: Recorder::default(),
        }
    }

    /// The number in a reply, if it is one to what was sent.
    fn read(&self, caller: &Caller, payload: &[u8]) -> Option<u64> {
        let digits = DIGITS.min(self.plan.shape.size);
        let (number, rest) = payload.split_at_checked(digits)?;
        if rest != self.filler {
            return None;
        }
        if digits == DIGITS {
            return hex(number);
        }
        // Too short to tell more than whether it is the one that is expected.
        let mut expected = [0; DIGITS];
        put_hex(&mut expected[..digits], caller.track.next());
        (number == &expected[..digits]).then(|| caller.track.next())
    }

    fn reply(&mut self, index: usize, payload: &[u8], now: Moment) {
        let Some(sequence) = self.read(&self.callers[index], payload) else {
            self.recorder.report.tally.corrupted += 1;
            return;
        };
        let caller = &mut self.callers[index];
        let advance = caller.track.take(sequence, &mut self.recorder.report.tally);
        if advance == 0 {
            return;
        }
        let scheduled = match &self.schedule {
            Some(schedule) => {
                let callers = self.plan.connections as u64;
                schedule.moment(sequence * callers + index as u64)
            }
            None => match slot(&mut caller.scheduled, sequence) {
                Some(scheduled) => *scheduled,
                None => return,
            },
        };
        self.recorder.arrived(scheduled, now);
    }

    /// The digits of a message, in an array that may be longer.
    fn digits(&self, sequence: u64) -> ([u8; DIGITS], usize) {
        let digits = DIGITS.min(self.plan.shape.size);
        let mut number = [0; DIGITS];
        put_hex(&mut number[..digits], sequence);
        (number, digits)
    }

    /// Sends what is due; when the next one is.
    fn send_due(
        &mut self,
        mut schedule: Schedule,
        clients: &mut Clients,
        now: Moment,
    ) -> Result<Moment, Error> {
        let callers = self.callers.len() as u64;
        while schedule.next() <= now {
            let index = usize::try_from(schedule.next_number() % callers).unwrap_or_default();
            let key = self.callers[index].key;
            let backlog = key.and_then(|key| clients.backlog(key));
            if backlog.is_some_and(|backlog| backlog > MAX_BACKLOG_BYTES) {
                self.schedule = Some(schedule);
                return Ok(idle_from(now));
            }
            if let Some((_, due)) = schedule.take_due(now) {
                self.send(index, due, clients)?;
            }
        }
        self.schedule = Some(schedule);
        Ok(schedule.next())
    }

    fn send(&mut self, index: usize, due: Moment, clients: &mut Clients) -> Result<(), Error> {
        let sequence = self.callers[index].sends(due);
        let (number, digits) = self.digits(sequence);
        let Some(key) = self.callers[index].key else {
            return Ok(());
        };
        clients.send(key, self.opcode, &[&number[..digits], &self.filler]);
        clients.flush(key)
    }
}

impl Hear for Echo {
    fn hear(&mut self, news: News<'_>, line: &mut Line<'_>, now: Moment) {
        let Role::Caller(index) = line.role else {
            return;
        };
        match news {
            News::Opened => self.callers[index].key = Some(line.key),
            News::Ended => self.callers[index].key = None,
            News::Answered => {}
            News::Message(payload) => {
                self.reply(index, payload, now);
                if self.state == State::Sending && self.schedule.is_none() {
                    let sequence = self.callers[index].sends(now);
                    let (number, digits) = self.digits(sequence);
                    line.send(self.opcode, &[&number[..digits], &self.filler]);
                }
            }
        }
    }
}

impl Scenario for Echo {
    fn connections(&self) -> usize {
        self.plan.connections
    }

    fn dial(&mut self, index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error> {
        clients.dial(Role::Caller(index), &self.path, due)?;
        Ok(())
    }

    fn start(&mut self, start: Moment) {
        self.state = State::Starting;
        if let Pace::PerSecond(rate) = self.plan.pace {
            self.schedule = Some(Schedule::new(start, rate));
        }
    }

    fn pump(&mut self, clients: &mut Clients, now: Moment) -> Result<Moment, Error> {
        let is_first = mem::replace(&mut self.state, State::Sending) == State::Starting;
        match (self.plan.pace, self.schedule) {
            (_, Some(schedule)) => return self.send_due(schedule, clients, now),
            (Pace::InFlight(depth), None) if is_first => {
                for number in 0..depth * self.callers.len() {
                    self.send(number / depth, now, clients)?;
                }
            }
            _ => {}
        }
        Ok(idle_from(now))
    }

    fn stop(&mut self) {
        self.state = State::Over;
    }

    fn is_settled(&self) -> bool {
        let has_all = |caller: &Caller| caller.key.is_none() || caller.track.next() == caller.sent;
        self.callers.iter().all(has_all)
    }

    fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    fn into_report(self: Box<Self>) -> Report {
        let mut report = self.recorder.report;
        report.sent = self.callers.iter().map(|caller| caller.sent).sum();
        report
    }
}
