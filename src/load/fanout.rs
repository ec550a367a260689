//! Publishers, and subscribers that keep account of every numbered message.

use std::time::Duration;

use super::{
    client::{ClientKey, Hear, Line, News, Role},
    clients::Clients,
    clock::Moment,
    error::Error,
    frame::Opcode,
    payload::Stamp,
    plan::{self, Pace, TOPIC, Target, Via, Words},
    publication::{Delivered, Delivery, Publication},
    relay::Registrar,
    report::{Recorder, Report},
    scenario::{MAX_BACKLOG_BYTES, Scenario, idle_from},
    schedule::Schedule,
    sequence::Track,
    spread::Spread,
    streams::Stream,
};

#[derive(Debug)]
pub(crate) struct Fanout {
    plan: plan::Fanout,
    target: Target,
    registrar: Option<Registrar>,
    publications: Vec<Publication>,
    delivery: Delivery,
    streams: Vec<Stream>,
    spreads: Vec<Spread>,
    /// Of each subscriber one for each stream of its topic, one subscriber after the other.
    tracks: Vec<Track>,
    readiness: Readiness,
    state: State,
    /// When something last came.
    heard: Moment,
    recorder: Recorder,
}

/// Subscribers whose subscription is in force.
#[derive(Debug, Default)]
struct Readiness {
    is_subscribed: Vec<bool>,
    count: usize,
    /// When the last one has asked for it.
    asked: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No more is published, or not yet.
    Silent,
    Closed {
        in_flight: u64,
    },
    Open(Schedule),
}

impl Fanout {
    /// `processes` make the run together.
    pub(crate) fn new(plan: &plan::Fanout, target: &Target, processes: usize) -> Self {
        let publication = |stream: usize| {
            let topic = topic_name(stream % plan.topics);
            Publication::new(&plan.via, plan.shape, &topic, &target.authority)
        };
        let count = plan.streams;
        // Subscribers of other processes would be missing in it.
        let remembered = if processes == 1 {
            (REMEMBERED / count).max(16)
        } else {
            0
        };
        let mut fanout = Self {
            publications: (0..count).map(publication).collect(),
            delivery: Delivery::new(plan.shape),
            streams: (0..count).map(|_| Stream::default()).collect(),
            spreads: (0..count).map(|_| Spread::new(remembered)).collect(),
            tracks: vec![Track::from_the_start(); plan.subscribers * streams_per_topic(plan)],
            readiness: Readiness {
                is_subscribed: vec![false; plan.subscribers],
                ..Readiness::default()
            },
            plan: plan.clone(),
            target: target.clone(),
            registrar: None,
            state: State::Silent,
            heard: Moment::default(),
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

    fn followers(&self) -> Vec<u64> {
        let mut followers = vec![0; self.plan.topics];
        for subscriber in 0..self.plan.subscribers {
            followers[self.topic(subscriber)] += 1;
        }
        followers
    }

    /// The topic that a subscriber follows.
    fn topic(&self, subscriber: usize) -> usize {
        (self.plan.first + subscriber) % self.plan.topics
    }

    /// Begins a connection that follows `topic`.
    pub(crate) fn dial_subscriber(
        &mut self,
        role: Role,
        topic: usize,
        clients: &mut Clients,
        due: Moment,
    ) -> Result<ClientKey, Error> {
        let name = topic_name(topic);
        let path = match &self.plan.via {
            Via::Relay(base) => {
                let registrar = match &mut self.registrar {
                    Some(registrar) => registrar,
                    None => {
                        let Target {
                            address, authority, ..
                        } = &self.target;
                        let registrar = Registrar::connect(*address, authority, base);
                        let registrar = registrar.map_err(|error| Error::Connect(*address, error));
                        self.registrar.insert(registrar?)
                    }
                };
                registrar.register(topic, &name)?
            }
            Via::WebSocket(_) => self.target.path.replace(TOPIC, &name),
        };
        clients.dial(role, &path, due)
    }

    /// The message that subscribes to `topic`, if one is needed.
    pub(crate) fn subscribe_message(&self, topic: usize) -> Option<Vec<u8>> {
        let subscribe = self.words()?.subscribe.as_ref()?;
        Some(subscribe.replace(TOPIC, &topic_name(topic)).into_bytes())
    }

    fn words(&self) -> Option<&Words> {
        match &self.plan.via {
            Via::Relay(_) => None,
            Via::WebSocket(words) => Some(words),
        }
    }

    /// Reads what a subscriber of `topic` was sent. The stamp's stream is one of this topic.
    pub(crate) fn read(&mut self, topic: usize, message: &[u8]) -> Delivered {
        match self.delivery.read(message) {
            Delivered::Stamp(stamp)
                if stamp.stream % self.plan.topics != topic
                    || stamp.stream >= self.streams.len() =>
            {
                Delivered::Corrupted
            }
            delivered => delivered,
        }
    }

    pub(crate) fn plan(&self) -> &plan::Fanout {
        &self.plan
    }

    fn opened(&mut self, line: &mut Line<'_>, now: Moment) {
        match line.role {
            Role::Publisher(stream) => self.streams[stream].key = Some(line.key),
            Role::Subscriber(subscriber) => {
                let Some(message) = self.subscribe_message(self.topic(subscriber)) else {
                    return self.subscribed(subscriber);
                };
                line.send(Opcode::Text, &[&message]);
                self.readiness.asked = Some(now);
                if self.words().is_some_and(|words| words.subscribed.is_none()) {
                    self.subscribed(subscriber);
                }
            }
            _ => {}
        }
    }

    fn subscribed(&mut self, subscriber: usize) {
        let is_subscribed = &mut self.readiness.is_subscribed[subscriber];
        if !*is_subscribed {
            *is_subscribed = true;
            self.readiness.count += 1;
        }
    }

    fn ended(&mut self, role: Role) {
        match role {
            Role::Publisher(stream) => self.streams[stream].key = None,
            Role::Subscriber(subscriber) => {
                let first = subscriber * streams_per_topic(&self.plan);
                let streams =
                    (self.topic(subscriber)..self.streams.len()).step_by(self.plan.topics);
                for (index, stream) in streams.enumerate() {
                    // What it got no longer counts, and nor does what it will not get.
                    self.streams[stream].followers -= 1;
                    self.streams[stream].progress -= self.tracks[first + index].next();
                }
            }
            _ => {}
        }
    }

    fn delivered(&mut self, subscriber: usize, message: &[u8], now: Moment) {
        self.heard = now;
        match self.read(self.topic(subscriber), message) {
            Delivered::Stamp(stamp) => self.count(subscriber, stamp, now),
            Delivered::Corrupted => self.recorder.report.tally.corrupted += 1,
            Delivered::Unstamped => self.heard_words(subscriber, message),
        }
    }

    fn count(&mut self, subscriber: usize, stamp: Stamp, now: Moment) {
        let index = stamp.stream / self.plan.topics;
        let track = &mut self.tracks[subscriber * streams_per_topic(&self.plan) + index];
        let tally = &mut self.recorder.report.tally;
        let duplicates = tally.duplicates;
        let advance = track.take(stamp.sequence, tally);
        if tally.duplicates != duplicates {
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

    /// A message without a stamp may be the one that says that the subscription is in force.
    fn heard_words(&mut self, subscriber: usize, message: &[u8]) {
        let words = self.words().and_then(|words| words.subscribed.as_ref());
        let is_it = words.is_some_and(|words| {
            let words = words.as_bytes();
            message
                .windows(words.len().max(1))
                .any(|bytes| bytes == words)
        });
        if is_it {
            self.subscribed(subscriber);
        }
    }

    /// Publishes the next message of a stream; whether there was room for it.
    fn publish(&mut self, stream: usize, scheduled: Moment, clients: &mut Clients) -> bool {
        let key = self.streams[stream].key;
        let Some((key, backlog)) = key.and_then(|key| Some((key, clients.backlog(key)?))) else {
            return false;
        };
        if backlog > MAX_BACKLOG_BYTES {
            return false;
        }
        let stamp = Stamp {
            stream,
            sequence: self.streams[stream].published,
            scheduled,
        };
        self.streams[stream].published += 1;
        let (before, after) = self.publications[stream].around();
        let parts = [before, &stamp.to_bytes(), after];
        match (&self.plan.via, self.plan.shape.is_binary) {
            (Via::Relay(_), _) => clients.send_raw(key, &parts),
            (Via::WebSocket(_), true) => clients.send(key, Opcode::Binary, &parts),
            (Via::WebSocket(_), false) => clients.send(key, Opcode::Text, &parts),
        }
        true
    }

    /// Publishes as much as may be under way.
    fn publish_closed(
        &mut self,
        in_flight: u64,
        clients: &mut Clients,
        now: Moment,
    ) -> Result<(), Error> {
        let is_stalled = now.since(self.heard) > STALL;
        for stream in 0..self.streams.len() {
            let mut room = self.streams[stream].room(in_flight);
            if is_stalled && room == 0 && self.streams[stream].followers > 0 {
                // What is under way must be lost. The next one will show it.
                room = 1;
                self.recorder.report.stalls += 1;
            }
            let published = (0..room)
                .take_while(|_| self.publish(stream, now, clients))
                .count();
            if let (1.., Some(key)) = (published, self.streams[stream].key) {
                clients.flush(key)?;
            }
        }
        if is_stalled {
            self.heard = now;
        }
        Ok(())
    }

    /// Publishes what is due, one stream after the other; when the next one is.
    fn publish_open(
        &mut self,
        mut schedule: Schedule,
        clients: &mut Clients,
        now: Moment,
    ) -> Result<Moment, Error> {
        let count = self.streams.len();
        let first = schedule.next_number();
        while schedule.next() <= now {
            let number = schedule.next_number();
            let stream = usize::try_from(number % count as u64).unwrap_or_default();
            if !self.publish(stream, schedule.next(), clients) {
                break;
            }
            schedule.take_due(now);
        }
        let sent = usize::try_from(schedule.next_number() - first).unwrap_or(count);
        for number in (first..).take(sent.min(count)) {
            let stream = usize::try_from(number % count as u64).unwrap_or_default();
            if let Some(key) = self.streams[stream].key {
                clients.flush(key)?;
            }
        }
        self.state = State::Open(schedule);
        let next = schedule.next();
        Ok(if next <= now { now + RETRY } else { next })
    }
}

/// How many streams one subscriber follows at most.
pub(crate) fn streams_per_topic(plan: &plan::Fanout) -> usize {
    plan.streams.div_ceil(plan.topics)
}

fn topic_name(topic: usize) -> String {
    format!("load-{topic}")
}

/// Publications that are remembered at a time for their spread, over all streams: 1.5 MiB.
const REMEMBERED: usize = 1 << 16;

/// A closed loop in which nothing arrives for so long goes on nevertheless. Arbitrary.
const STALL: Duration = Duration::from_secs(1);

/// When a publisher whose socket is full is looked at again.
const RETRY: Duration = Duration::from_millis(1);

/// How long subscriptions that nobody confirms are given. Arbitrary.
const SETTLING: Duration = Duration::from_millis(500);

impl Hear for Fanout {
    fn hear(&mut self, news: News<'_>, line: &mut Line<'_>, now: Moment) {
        match (news, line.role) {
            (News::Opened, _) => self.opened(line, now),
            (News::Ended, role) => self.ended(role),
            (News::Message(message), Role::Subscriber(subscriber)) => {
                self.delivered(subscriber, message, now);
            }
            // A publisher in the chat gets its own messages: they are not counted.
            (News::Message(_) | News::Answered, _) => {}
        }
    }
}

impl Scenario for Fanout {
    fn connections(&self) -> usize {
        let publishing = if self.plan.publishers > 0 {
            self.plan.streams
        } else {
            0
        };
        self.plan.subscribers + publishing
    }

    fn dial(&mut self, index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error> {
        let key = match index.checked_sub(self.plan.subscribers) {
            None => {
                let topic = self.topic(index);
                self.dial_subscriber(Role::Subscriber(index), topic, clients, due)
            }
            Some(stream) => match &self.plan.via {
                Via::Relay(_) => clients.dial_http(Role::Publisher(stream), due),
                Via::WebSocket(_) => {
                    let topic = topic_name(stream % self.plan.topics);
                    let path = self.target.path.replace(TOPIC, &topic);
                    clients.dial(Role::Publisher(stream), &path, due)
                }
            },
        };
        key.map(|_| ())
    }

    fn is_ready(&self, now: Moment) -> bool {
        let is_confirmed = self.words().is_some_and(|words| words.subscribed.is_some());
        let is_settled = match self.readiness.asked {
            Some(asked) if !is_confirmed => now.since(asked) >= SETTLING,
            _ => true,
        };
        is_settled && self.readiness.count == self.plan.subscribers
    }

    fn start(&mut self, start: Moment) {
        self.heard = start;
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
            State::Silent => Ok(idle_from(now)),
            State::Closed { in_flight } => {
                self.publish_closed(in_flight, clients, now)?;
                Ok(idle_from(now))
            }
            State::Open(schedule) => self.publish_open(schedule, clients, now),
        }
    }

    fn stop(&mut self) {
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
        report
    }
}
