//! Echo: the server sends every message back, and each reply is compared with the message.

use std::mem;

use crate::{
    account::{
        report::{Recorder, Report},
        sequence::Track,
    },
    client::{
        clients::{Clients, Endpoint},
        event::{ClientKey, Conn, Event, Handler, Role},
        frame::Opcode,
        messages::Message,
    },
    clock::Moment,
    error::Error,
    plan::{self, Pace},
    scenario::{
        MAX_BACKLOG_BYTES, Scenario, next_pump,
        payload::{filler, hex, last_digits, put_hex},
        schedule::Schedule,
    },
};

/// Number of hexadecimal digits of the sequence number at the start of a message. A message of fewer
/// bytes consists of as many of the last digits as fit.
const DIGITS: usize = 12;

/// Number of hexadecimal digits of the caller's number. They follow the sequence number, as far as
/// they fit into the message. By them a caller recognizes a message of another caller, which the
/// server has sent back on the wrong connection.
const CALLER_DIGITS: usize = 8;

/// The echo scenario. Its connections are called callers.
#[derive(Debug)]
pub(crate) struct Echo {
    plan: plan::Echo,
    path: String,
    opcode: Opcode,
    filler: Vec<u8>,
    /// Index of this process's first caller among the callers of all processes, counted from 0.
    first: usize,
    callers: Vec<Caller>,
    state: State,
    /// The times at which an open loop sends. `None` in a closed loop, where each reply makes its
    /// caller send the next message.
    schedule: Option<Schedule>,
    /// Number of messages that were scheduled and never sent.
    unsent: u64,
    recorder: Recorder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The run has not started.
    Connecting,
    /// Every caller sends its first messages when [`pump`](Scenario::pump) is called next.
    Starting,
    Sending,
    /// Nothing more is sent; replies still count.
    Over,
}

#[derive(Debug, Default)]
struct Caller {
    /// The connection, while it is open.
    key: Option<ClientKey>,
    sent: u64,
    /// Number of replies that this caller has received to its messages, right or corrupted.
    answered: u64,
    track: Track,
    /// The times at which the messages in flight were scheduled. The time of message `n` is at
    /// index `n` modulo the length. Empty in an open loop, where the time follows from the number
    /// of the message.
    scheduled: Vec<Moment>,
}

impl Caller {
    /// Counts the next message as sent, and returns its sequence number.
    fn count_sent(&mut self, scheduled: Moment) -> u64 {
        let sequence = self.sent;
        self.sent += 1;
        if let Some(slot) = slot(&mut self.scheduled, sequence) {
            *slot = scheduled;
        }
        sequence
    }

    /// Returns the scheduled time of message `sequence`. `None` if the time of a later message has
    /// overwritten it.
    fn scheduled(&mut self, sequence: u64) -> Option<Moment> {
        let later = self.sent.saturating_sub(sequence);
        let has_slot = later <= self.scheduled.len() as u64;
        let slot = has_slot.then(|| slot(&mut self.scheduled, sequence))?;
        slot.map(|moment| *moment)
    }

    /// Counts a reply. Returns true if it belongs to a message that was sent and not answered yet,
    /// false if there was no such message.
    fn count_reply(&mut self) -> bool {
        let is_awaited = self.answered < self.sent;
        self.answered += u64::from(is_awaited);
        is_awaited
    }
}

/// The verdict on a message that a caller has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// A reply, although every message that was sent has been answered already.
    Again,
    /// A message that differs from all that the caller has sent.
    Corrupted,
    /// A message with the number of another caller.
    Foreign,
    /// The caller's own message with this sequence number.
    Own(u64),
}

/// Returns the element of `scheduled` for message `sequence`. `None` in an open loop, where
/// `scheduled` is empty.
fn slot(scheduled: &mut [Moment], sequence: u64) -> Option<&mut Moment> {
    let index = sequence.checked_rem(scheduled.len() as u64)?;
    scheduled.get_mut(usize::try_from(index).ok()?)
}

impl Echo {
    /// Returns the scenario with the callers of this process. `first` is the index of its first
    /// caller among the callers of all processes, counted from 0.
    pub(crate) fn new(plan: &plan::Echo, path: &str, first: usize) -> Self {
        let format = plan.format;
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
            opcode: if format.is_binary {
                Opcode::Binary
            } else {
                Opcode::Text
            },
            filler: filler(format.size.saturating_sub(DIGITS + CALLER_DIGITS)),
            first,
            callers: (0..plan.connections).map(|_| caller()).collect(),
            state: State::Connecting,
            schedule: None,
            unsent: 0,
            recorder: Recorder::default(),
        }
    }

    /// Compares a message that caller `index` has received with what it sent.
    fn read(&self, index: usize, message: Message<'_>) -> Reply {
        let Message { is_binary, payload } = message;
        if is_binary != self.plan.format.is_binary {
            return Reply::Corrupted;
        }
        let caller = &self.callers[index];
        let digits = self.plan.format.size.min(DIGITS + CALLER_DIGITS);
        let Some((digits, rest)) = payload.split_at_checked(digits) else {
            return Reply::Corrupted;
        };
        // Skips the comparison of two empty slices. An empty `Vec` points to unmapped memory, and a
        // `memcmp` of length 0 at such an address costs 0.1 µs.
        let has_no_filler = rest.is_empty() && self.filler.is_empty();
        if !has_no_filler && rest != self.filler {
            return Reply::Corrupted;
        }
        let Some((number, whose)) = digits.split_at_checked(DIGITS) else {
            // Too short for a whole sequence number: only the next expected message is right.
            let next = caller.track.next();
            let (expected, len) = self.digits(index, next);
            let is_expected = digits == &expected[..len];
            return match (is_expected, next < caller.sent) {
                (true, true) => Reply::Own(next),
                (true, false) => Reply::Again,
                (false, _) => Reply::Corrupted,
            };
        };
        match (hex(number), hex(whose)) {
            (Some(_), Some(other)) if other != last_digits(self.number(index), whose.len()) => {
                Reply::Foreign
            }
            (Some(sequence), Some(_)) if sequence < caller.sent => Reply::Own(sequence),
            _ => Reply::Corrupted,
        }
    }

    /// Counts a message that caller `index` has received. Returns true if it is the reply to a
    /// message in flight.
    fn on_reply(&mut self, index: usize, message: Message<'_>, now: Moment) -> bool {
        let reply = self.read(index, message);
        let caller = &mut self.callers[index];
        let tally = &mut self.recorder.report.tally;
        let sequence = match reply {
            Reply::Again => {
                tally.received += 1;
                tally.duplicates += 1;
                return false;
            }
            Reply::Corrupted => {
                tally.corrupted += 1;
                return caller.count_reply();
            }
            Reply::Foreign => {
                tally.corrupted += 1;
                return false;
            }
            Reply::Own(sequence) => sequence,
        };
        let duplicates_before = tally.duplicates;
        caller.track.take(sequence, tally);
        if tally.duplicates != duplicates_before {
            return false;
        }
        let scheduled = match &self.schedule {
            Some(schedule) => {
                // The callers send in turn.
                let callers = self.plan.connections as u64;
                Some(schedule.moment(sequence * callers + index as u64))
            }
            None => caller.scheduled(sequence),
        };
        let is_answer = caller.count_reply();
        if let Some(scheduled) = scheduled {
            self.recorder.arrived(scheduled, now);
        }
        is_answer
    }

    /// Returns the digits with which a message of caller `index` begins, and how many of them are
    /// sent: not all if messages are shorter than the array.
    fn digits(&self, index: usize, sequence: u64) -> ([u8; DIGITS + CALLER_DIGITS], usize) {
        let len = self.plan.format.size.min(DIGITS + CALLER_DIGITS);
        let mut digits = [0; DIGITS + CALLER_DIGITS];
        put_hex(&mut digits[..len.min(DIGITS)], sequence);
        put_hex(&mut digits[DIGITS..len.max(DIGITS)], self.number(index));
        (digits, len)
    }

    /// Converts `index` among this process's callers to the index among the callers of all
    /// processes.
    fn number(&self, index: usize) -> u64 {
        (self.first + index) as u64
    }

    /// Sends the messages of an open loop whose scheduled time has come. The callers send in turn.
    /// Returns the time by which this must be called again.
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
                self.recorder.held_up(now);
                self.schedule = Some(schedule);
                return Ok(next_pump(now));
            }
            if let Some((_, due)) = schedule.take_due(now) {
                self.recorder.sent(due, now);
                self.send(index, due, clients)?;
            }
        }
        self.schedule = Some(schedule);
        Ok(schedule.next())
    }

    fn send(&mut self, index: usize, due: Moment, clients: &mut Clients) -> Result<(), Error> {
        let sequence = self.callers[index].count_sent(due);
        let (digits, len) = self.digits(index, sequence);
        // Without a connection the message counts as sent, and its reply as missing.
        let Some(key) = self.callers[index].key else {
            return Ok(());
        };
        clients.send(key, self.opcode, &[&digits[..len], &self.filler]);
        clients.flush(key)
    }
}

impl Handler for Echo {
    fn on_event(&mut self, event: Event<'_>, conn: &mut Conn<'_>, now: Moment) {
        let Role::Caller(index) = conn.role() else {
            return;
        };
        match event {
            Event::Opened => self.callers[index].key = Some(conn.key),
            Event::Ended => self.callers[index].key = None,
            Event::Answered => {}
            Event::Message(message) => {
                let is_answer = self.on_reply(index, message, now);
                if is_answer && self.state == State::Sending && self.schedule.is_none() {
                    let sequence = self.callers[index].count_sent(now);
                    let (digits, len) = self.digits(index, sequence);
                    conn.send(self.opcode, &[&digits[..len], &self.filler]);
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
        let endpoint = Endpoint::WebSocket(&self.path);
        clients.dial(Role::Caller(index), endpoint, due)?;
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
                // `depth` messages of each caller.
                for number in 0..depth * self.callers.len() {
                    self.send(number / depth, now, clients)?;
                }
            }
            _ => {}
        }
        Ok(next_pump(now))
    }

    fn stop(&mut self, end: Moment) {
        if let Some(schedule) = &mut self.schedule {
            while schedule.take_due(end).is_some() {
                self.unsent += 1;
            }
        }
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
        let sent = self.callers.iter().map(|caller| caller.sent);
        report.sent = sent.sum::<u64>() + self.unsent;
        report
    }
}
