//! Fan-out: publishers, and subscribers of which each counts every numbered message.

use std::time::Duration;

use crate::{
    account::{
        report::{Recorder, Report},
        sequence::Track,
        spread::Spread,
    },
    client::{
        clients::Clients,
        event::{Conn, Event, Handler, Role},
        frame::Opcode,
        messages::Message,
    },
    clock::Moment,
    error::Error,
    plan::{self, Pace, Protocol, Target},
    scenario::{
        MAX_BACKLOG_BYTES, Scenario, next_pump,
        payload::Stamp,
        publication::{Delivered, Delivery, Publication, Rest},
        schedule::Schedule,
        streams::Stream,
        subscribing::{Subscribing, topic_name},
    },
};

#[derive(Debug)]
pub(crate) struct Fanout {
    plan: plan::Fanout,
    subscribing: Subscribing,
    publications: Vec<Publication>,
    delivery: Delivery,
    streams: Vec<Stream>,
    spreads: Vec<Spread>,
    /// All tracks, subscriber by subscriber. Each subscriber has [`streams_per_topic`] of them.
    tracks: Vec<Track>,
    state: State,
    /// Time of the last arrival.
    last_arrival: Moment,
    /// Number of calls of [`pump`](Scenario::pump) since the last arrival.
    quiet_pumps: u32,
    recorder: Recorder,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing is published: before the start, after the end, or in a process without publishers.
    Silent,
    /// A closed loop ([`Pace::InFlight`]).
    Closed { in_flight: u64 },
    /// An open loop ([`Pace::PerSecond`]).
    Open(Schedule),
}

/// The outcome of an attempt to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Published {
    Done,
    /// The publisher has no connection.
    Gone,
    /// Too many bytes wait for the publisher's socket. The publication must be tried again later.
    Held,
}

impl Fanout {
    /// Returns the scenario of this process, which is one of `processes`.
    pub(crate) fn new(plan: &plan::Fanout, target: &Target, processes: usize) -> Self {
        let publication = |stream: usize| {
            let topic = topic_name(plan.run, stream % plan.topics);
            Publication::new(&plan.protocol, plan.format, &topic, target)
        };
        let count = plan.streams;
        // The spread is over all subscribers, and this process knows only its own.
        let remembered = if processes == 1 {
            (REMEMBERED / count).max(16)
        } else {
            0
        };
        let mut fanout = Self {
            publications: (0..count).map(publication).collect(),
            delivery: Delivery::new(plan),
            streams: (0..count).map(|_| Stream::default()).collect(),
            spreads: (0..count).map(|_| Spread::new(remembered)).collect(),
            tracks: vec![Track::from_the_start(); plan.subscribers * streams_per_topic(plan)],
            subscribing: Subscribing::new(plan, target),
            plan: plan.clone(),
            state: State::Silent,
            last_arrival: Moment::default(),
            quiet_pumps: 0,
            recorder: Recorder::default(),
        };
        for subscriber in 0..plan.subscribers {
            let topic = fanout.topic(subscriber);
            for stream in (topic..count).step_by(plan.topics) {
                fanout.streams[stream].followers += 1;
            }
        }
        fanout.recorder.report.followers = fanout.followers();
        fanout
    }

    /// Returns the number of this process's subscribers of each topic.
    fn followers(&self) -> Vec<u64> {
        let mut followers = vec![0; self.plan.topics];
        for subscriber in 0..self.plan.subscribers {
            followers[self.topic(subscriber)] += 1;
        }
        followers
    }

    /// Returns the topic of a subscriber of this process.
    fn topic(&self, subscriber: usize) -> usize {
        (self.plan.first + subscriber) % self.plan.topics
    }

    /// Returns the stream that publishes at time `number` of the schedule, counted from 0.
    fn stream(&self, number: u64) -> usize {
        usize::try_from(number % self.streams.len() as u64).unwrap_or_default()
    }

    pub(crate) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    pub(crate) fn subscribing(&mut self) -> &mut Subscribing {
        &mut self.subscribing
    }

    pub(crate) fn plan(&self) -> &plan::Fanout {
        &self.plan
    }

    fn on_opened(&mut self, conn: &mut Conn<'_>, now: Moment) {
        match conn.role() {
            Role::Publisher(stream) => self.streams[stream].key = Some(conn.key),
            Role::Subscriber(subscriber) => {
                let topic = self.topic(subscriber);
                self.subscribing.on_opened(subscriber, topic, conn, now);
            }
            _ => {}
        }
    }

    fn on_ended(&mut self, role: Role) {
        match role {
            Role::Publisher(stream) => self.streams[stream].key = None,
            Role::Subscriber(subscriber) => {
                // Takes the subscriber out of the averages by which a closed loop publishes
                // (`Stream::credit`), because its progress would stand still.
                let topic = self.topic(subscriber);
                let first_track = subscriber * streams_per_topic(&self.plan);
                // Streams `t`, `t + topics`, `t + 2 * topics` and so on are for topic `t`.
                let streams = (topic..self.streams.len()).step_by(self.plan.topics);
                for (index, stream) in streams.enumerate() {
                    self.streams[stream].followers -= 1;
                    self.streams[stream].progress -= self.tracks[first_track + index].next();
                }
            }
            _ => {}
        }
    }

    fn on_message(&mut self, subscriber: usize, message: Message<'_>, now: Moment) {
        self.last_arrival = now;
        self.quiet_pumps = 0;
        self.subscribing.on_message(subscriber, message.payload);
        let (topic, mut rest) = (self.topic(subscriber), Rest::whole(message));
        while let Some(delivered) = self.delivery.next(topic, &mut rest) {
            match delivered {
                Delivered::Stamp(stamp) => self.count_delivery(subscriber, stamp, now),
                Delivered::Corrupted => self.recorder.report.tally.corrupted += 1,
            }
        }
    }

    fn count_delivery(&mut self, subscriber: usize, stamp: Stamp, now: Moment) {
        // Only the process with the publishers knows which numbers were published.
        let publishes_here = self.plan.publishers > 0;
        if publishes_here && self.streams[stamp.stream].published <= stamp.sequence {
            self.recorder.report.tally.corrupted += 1;
            return;
        }
        let index = stamp.stream / self.plan.topics;
        let track = &mut self.tracks[subscriber * streams_per_topic(&self.plan) + index];
        let tally = &mut self.recorder.report.tally;
        let duplicates_before = tally.duplicates;
        let advance = track.take(stamp.sequence, tally);
        if tally.duplicates != duplicates_before {
            return;
        }
        let stream = &mut self.streams[stamp.stream];
        stream.progress += advance;
        self.recorder.arrived(stamp.scheduled, now);
        let spread = &mut self.spreads[stamp.stream];
        if let Some(first) = spread.take(stamp.sequence, stream.followers, now) {
            self.recorder.spread(first, now);
        }
    }

    /// Queues the next publication of a stream. If it can't, the outcome says why.
    fn publish(&mut self, stream: usize, scheduled: Moment, clients: &mut Clients) -> Published {
        let key = self.streams[stream].key;
        let Some((key, backlog)) = key.and_then(|key| Some((key, clients.backlog(key)?))) else {
            return Published::Gone;
        };
        if backlog > MAX_BACKLOG_BYTES {
            return Published::Held;
        }
        let stamp = Stamp {
            stream,
            sequence: self.streams[stream].published,
            scheduled,
        };
        self.streams[stream].published += 1;
        let (before, after) = self.publications[stream].around_stamp();
        let parts = [before, &stamp.to_bytes(), after];
        match (self.subscribing.protocol(), self.plan.format.is_binary) {
            (Protocol::Relay(_), _) => clients.post(key, &parts),
            (Protocol::Template(_), true) => clients.send(key, Opcode::Binary, &parts),
            (Protocol::Template(_), false) => clients.send(key, Opcode::Text, &parts),
        }
        Published::Done
    }

    /// Publishes until `in_flight` publications of each stream are in flight.
    fn publish_closed(
        &mut self,
        in_flight: u64,
        clients: &mut Clients,
        now: Moment,
    ) -> Result<(), Error> {
        self.quiet_pumps += 1;
        // Counts pumps, too: while the machine is suspended time passes, but nothing can arrive.
        let is_stalled = now.since(self.last_arrival) > STALL && self.quiet_pumps > STALL_PUMPS;
        for stream in 0..self.streams.len() {
            let mut credit = self.streams[stream].credit(in_flight);
            if is_stalled && credit == 0 && self.streams[stream].followers > 0 {
                // All publications in flight must be lost. The next one will show them as a gap.
                credit = 1;
                self.recorder.report.stalls += 1;
            }
            let published = (0..credit)
                .take_while(|_| self.publish(stream, now, clients) == Published::Done)
                .count();
            if let (1.., Some(key)) = (published, self.streams[stream].key) {
                clients.flush(key)?;
            }
        }
        if is_stalled {
            self.last_arrival = now;
            self.quiet_pumps = 0;
        }
        Ok(())
    }

    /// Makes all publications that are due. Returns the time by which this must be called again.
    fn publish_open(
        &mut self,
        mut schedule: Schedule,
        clients: &mut Clients,
        now: Moment,
    ) -> Result<Moment, Error> {
        let count = self.streams.len();
        let first_number = schedule.next_number();
        while schedule.next() <= now {
            let (stream, due) = (self.stream(schedule.next_number()), schedule.next());
            match self.publish(stream, due, clients) {
                Published::Done => self.recorder.sent(due, now),
                Published::Gone => self.streams[stream].unpublished += 1,
                Published::Held => {
                    self.recorder.held_up(now);
                    break;
                }
            }
            schedule.take_due(now);
        }
        // Flushes once each stream that has published. Streams publish in turn.
        let sent = usize::try_from(schedule.next_number() - first_number).unwrap_or(count);
        for number in (first_number..).take(sent.min(count)) {
            let stream = self.stream(number);
            if let Some(key) = self.streams[stream].key {
                clients.flush(key)?;
            }
        }
        self.state = State::Open(schedule);
        let next = schedule.next();
        Ok(if next <= now { now + RETRY } else { next })
    }
}

/// Returns how many streams a topic has at most.
pub(crate) fn streams_per_topic(plan: &plan::Fanout) -> usize {
    plan.streams.div_ceil(plan.topics)
}

/// Number of publications, over all streams, whose spread is measured at a time (1.5 MiB in all).
const REMEMBERED: usize = 1 << 16;

/// Time without an arrival after which a closed loop takes messages in flight for lost. Arbitrary.
const STALL: Duration = Duration::from_secs(1);
/// Number of calls of [`pump`](Scenario::pump) without an arrival that must be exceeded, too,
/// before a closed loop takes messages for lost. While nothing happens, 8 calls take 0.8 s.
const STALL_PUMPS: u32 = 8;

/// Time after which a publisher that had too many bytes waiting tries to publish again.
const RETRY: Duration = Duration::from_millis(1);

impl Handler for Fanout {
    fn on_event(&mut self, event: Event<'_>, conn: &mut Conn<'_>, now: Moment) {
        match (event, conn.role()) {
            (Event::Opened, _) => self.on_opened(conn, now),
            (Event::Ended, role) => self.on_ended(role),
            (Event::Message(message), Role::Subscriber(subscriber)) => {
                self.on_message(subscriber, message, now);
            }
            // A chat sends a publisher its own messages, too. They do not count.
            (Event::Message(_) | Event::Answered, _) => {}
        }
    }
}

impl Scenario for Fanout {
    fn connections(&self) -> usize {
        self.plan.connections()
    }

    fn dial(&mut self, index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error> {
        // The subscribers come first, then a publisher for each stream.
        let key = match index.checked_sub(self.plan.subscribers) {
            None => {
                let (role, topic) = (Role::Subscriber(index), self.topic(index));
                self.subscribing.dial_subscriber(role, topic, clients, due)
            }
            Some(stream) => {
                let topic = stream % self.plan.topics;
                self.subscribing.dial_publisher(stream, topic, clients, due)
            }
        };
        key.map(|_| ())
    }

    fn is_ready(&self, now: Moment) -> bool {
        self.subscribing.is_ready(now)
    }

    fn start(&mut self, start: Moment) {
        self.last_arrival = start;
        self.state = match self.plan.pace {
            _ if self.plan.publishers == 0 => State::Silent,
            Pace::InFlight(count) => State::Closed {
                in_flight: count as u64,
            },
            Pace::PerSecond(rate) => State::Open(Schedule::new(start, rate)),
        };
    }

    fn pump(&mut self, clients: &mut Clients, now: Moment) -> Result<Moment, Error> {
        match self.state {
            State::Silent => Ok(next_pump(now)),
            State::Closed { in_flight } => {
                self.publish_closed(in_flight, clients, now)?;
                Ok(next_pump(now))
            }
            State::Open(schedule) => self.publish_open(schedule, clients, now),
        }
    }

    fn stop(&mut self, end: Moment) {
        if let State::Open(mut schedule) = self.state {
            while let Some((number, _)) = schedule.take_due(end) {
                let stream = self.stream(number);
                self.streams[stream].unpublished += 1;
            }
        }
        self.state = State::Silent;
    }

    fn is_settled(&self) -> bool {
        self.plan.publishers > 0 && self.streams.iter().all(Stream::is_settled)
    }

    fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    fn into_report(self: Box<Self>) -> Report {
        let mut report = self.recorder.report;
        report.published = self.streams.iter().map(|stream| stream.published).collect();
        let unpublished = self.streams.iter().map(|stream| stream.unpublished);
        report.unpublished = unpublished.collect();
        report
    }
}
