//! Churn: subscribers that connect and leave, while others must receive every message of numbered
//! streams.

use std::{collections::VecDeque, time::Duration};

use slotmap::SecondaryMap;

use crate::{
    account::{
        report::{Recorder, Report},
        sequence::Track,
    },
    client::{
        clients::Clients,
        event::{ClientKey, Conn, Event, Handler, Role},
        messages::Message,
    },
    clock::Moment,
    error::Error,
    plan::{self, Target},
    scenario::{
        Scenario,
        fanout::{Fanout, streams_per_topic},
        next_pump,
        publication::{Delivered, Rest},
        schedule::Schedule,
    },
};

/// The churn scenario: a fan-out whose subscribers stay, and churners, which connect and leave.
#[derive(Debug)]
pub(crate) struct Churn {
    fanout: Fanout,
    churners: SecondaryMap<ClientKey, Churner>,
    /// The churners in the order in which they leave, each with the time at which it leaves.
    departures: VecDeque<(Moment, ClientKey)>,
    per_second: f64,
    /// Time for which a churner stays connected.
    stay: Duration,
    /// The times at which churners connect. `None` before the start and after the end.
    arrivals: Option<Schedule>,
}

#[derive(Debug)]
struct Churner {
    topic: usize,
    tracks: Vec<Track>,
    leave: LeaveKind,
}

/// The way in which a churner leaves. Half of the churners leave in each way, as real clients leave
/// in both.
#[derive(Clone, Copy, Debug)]
enum LeaveKind {
    /// The socket is closed without a closing handshake.
    Abort,
    /// The closing handshake.
    Close,
}

impl Churn {
    pub(crate) fn new(plan: &plan::Churn, target: &Target, processes: usize) -> Self {
        let stay = plan.churners as f64 / plan.per_second;
        Self {
            fanout: Fanout::new(&plan.fanout, target, processes),
            churners: SecondaryMap::new(),
            departures: VecDeque::new(),
            per_second: plan.per_second,
            stay: Duration::try_from_secs_f64(stay).unwrap_or(Duration::ZERO),
            arrivals: None,
        }
    }

    /// Begins to connect churner `number`, which was scheduled for `due`.
    fn arrive(&mut self, number: u64, due: Moment, clients: &mut Clients) -> Result<(), Error> {
        let plan = self.fanout.plan();
        let topic = usize::try_from(number % plan.topics as u64).unwrap_or_default();
        let tracks = vec![Track::from_first_received(); streams_per_topic(plan)];
        let leave = if number.is_multiple_of(2) {
            LeaveKind::Close
        } else {
            LeaveKind::Abort
        };
        let subscribing = self.fanout.subscribing();
        let key = subscribing.dial_subscriber(Role::Churner, topic, clients, due)?;
        let churner = Churner {
            topic,
            tracks,
            leave,
        };
        self.churners.insert(key, churner);
        self.departures.push_back((due + self.stay, key));
        Ok(())
    }

    /// Lets those churners leave whose time to stay is over.
    fn depart(&mut self, clients: &mut Clients, now: Moment) {
        while let Some(&(due, key)) = self.departures.front() {
            if now < due {
                return;
            }
            self.departures.pop_front();
            match self.churners.get(key).map(|churner| churner.leave) {
                Some(LeaveKind::Close) => clients.leave(key),
                Some(LeaveKind::Abort) => clients.abort(key),
                None => {}
            }
            // A churner in the closing handshake stays in the table, and still counts messages.
            if !clients.has(key) {
                self.churners.remove(key);
            }
        }
    }

    /// Counts a message to a churner. The first publication of a stream may have any number, but
    /// the numbers of all later ones must follow that number without a gap.
    fn on_message(&mut self, key: ClientKey, message: Message<'_>) {
        let Some(churner) = self.churners.get_mut(key) else {
            return;
        };
        let topics = self.fanout.plan().topics;
        let topic = churner.topic;
        let mut rest = Rest::whole(message);
        while let Some(delivered) = self.fanout.delivery().next(topic, &mut rest) {
            let tally = &mut self.fanout.recorder().report.churners;
            match delivered {
                Delivered::Stamp(stamp) => {
                    churner.tracks[stamp.stream / topics].take(stamp.sequence, tally);
                }
                Delivered::Corrupted => tally.corrupted += 1,
            }
        }
    }
}

impl Handler for Churn {
    fn on_event(&mut self, event: Event<'_>, conn: &mut Conn<'_>, now: Moment) {
        if conn.role() != Role::Churner {
            return self.fanout.on_event(event, conn, now);
        }
        match event {
            Event::Opened => {
                if let Some(churner) = self.churners.get(conn.key) {
                    let topic = churner.topic;
                    self.fanout.subscribing().subscribe(topic, conn);
                }
            }
            Event::Ended => {
                self.churners.remove(conn.key);
            }
            Event::Message(message) => self.on_message(conn.key, message),
            Event::Answered => {}
        }
    }
}

impl Scenario for Churn {
    fn connections(&self) -> usize {
        self.fanout.connections()
    }

    fn dial(&mut self, index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error> {
        self.fanout.dial(index, clients, due)
    }

    fn is_ready(&self, now: Moment) -> bool {
        self.fanout.is_ready(now)
    }

    fn start(&mut self, start: Moment) {
        self.fanout.start(start);
        self.arrivals = (self.per_second > 0.0).then(|| Schedule::new(start, self.per_second));
    }

    fn pump(&mut self, clients: &mut Clients, now: Moment) -> Result<Moment, Error> {
        self.depart(clients, now);
        if let Some(mut arrivals) = self.arrivals {
            while let Some((number, due)) = arrivals.take_due(now) {
                self.arrive(number, due, clients)?;
            }
            self.arrivals = Some(arrivals);
        }
        let published = self.fanout.pump(clients, now)?;
        let next = self
            .arrivals
            .map_or_else(|| next_pump(now), |arrivals| arrivals.next());
        Ok(published.min(next))
    }

    fn stop(&mut self, end: Moment) {
        self.arrivals = None;
        self.fanout.stop(end);
    }

    fn is_settled(&self) -> bool {
        self.fanout.is_settled()
    }

    fn recorder(&mut self) -> &mut Recorder {
        self.fanout.recorder()
    }

    fn into_report(self: Box<Self>) -> Report {
        Box::new(self.fanout).into_report()
    }
}
