//! Connections that come and go, while others have to get a numbered stream whole.

use std::{collections::VecDeque, time::Duration};

use slotmap::SecondaryMap;

use crate::{
    account::{
        report::{Recorder, Report},
        sequence::Track,
    },
    client::{ClientKey, Hear, Line, News, Role, clients::Clients},
    clock::Moment,
    error::Error,
    plan::{self, Target},
    scenario::{
        Scenario,
        fanout::{Fanout, streams_per_topic},
        idle_from,
        publication::Delivered,
        schedule::Schedule,
    },
};

#[derive(Debug)]
pub(crate) struct Churn {
    fanout: Fanout,
    guests: SecondaryMap<ClientKey, Guest>,
    /// In the order in which they go.
    departures: VecDeque<(Moment, ClientKey)>,
    per_second: f64,
    /// How long a guest stays.
    stay: Duration,
    arrivals: Option<Schedule>,
}

#[derive(Debug)]
struct Guest {
    topic: usize,
    tracks: Vec<Track>,
    manner: Manner,
}

/// How a guest goes. In life there are both.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Goodbye,
    Vanish,
}

impl Churn {
    pub(crate) fn new(plan: &plan::Churn, target: &Target, processes: usize) -> Self {
        let stay = plan.guests as f64 / plan.per_second;
        Self {
            fanout: Fanout::new(&plan.fanout, target, processes),
            guests: SecondaryMap::new(),
            departures: VecDeque::new(),
            per_second: plan.per_second,
            stay: Duration::try_from_secs_f64(stay).unwrap_or(Duration::ZERO),
            arrivals: None,
        }
    }

    fn arrive(&mut self, number: u64, due: Moment, clients: &mut Clients) -> Result<(), Error> {
        let plan = self.fanout.plan();
        let topic = usize::try_from(number % plan.topics as u64).unwrap_or_default();
        let tracks = vec![Track::from_the_first_that_comes(); streams_per_topic(plan)];
        let manner = if number.is_multiple_of(2) {
            Manner::Goodbye
        } else {
            Manner::Vanish
        };
        let joining = self.fanout.joining();
        let key = joining.dial_subscriber(Role::Guest, topic, clients, due)?;
        let guest = Guest {
            topic,
            tracks,
            manner,
        };
        self.guests.insert(key, guest);
        self.departures.push_back((due + self.stay, key));
        Ok(())
    }

    fn depart(&mut self, clients: &mut Clients, now: Moment) {
        while let Some(&(due, key)) = self.departures.front() {
            if now < due {
                return;
            }
            self.departures.pop_front();
            match self.guests.get(key).map(|guest| guest.manner) {
                Some(Manner::Goodbye) => clients.leave(key),
                Some(Manner::Vanish) => clients.vanish(key),
                None => {}
            }
            if !clients.has(key) {
                self.guests.remove(key);
            }
        }
    }

    /// A guest may come at any message, but from then on it must get all of them.
    fn delivered(&mut self, key: ClientKey, message: &[u8]) {
        let Some(guest) = self.guests.get_mut(key) else {
            return;
        };
        let topics = self.fanout.plan().topics;
        let delivered = self.fanout.read(guest.topic, message);
        let tally = &mut self.fanout.recorder().report.guests;
        match delivered {
            Delivered::Stamp(stamp) => {
                guest.tracks[stamp.stream / topics].take(stamp.sequence, tally);
            }
            Delivered::Corrupted => tally.corrupted += 1,
            Delivered::Unstamped => {}
        }
    }
}

impl Hear for Churn {
    fn hear(&mut self, news: News<'_>, line: &mut Line<'_>, now: Moment) {
        if line.role != Role::Guest {
            return self.fanout.hear(news, line, now);
        }
        match news {
            News::Opened => {
                if let Some(guest) = self.guests.get(line.key) {
                    let topic = guest.topic;
                    self.fanout.joining().subscribe(topic, line);
                }
            }
            News::Ended => {
                self.guests.remove(line.key);
            }
            News::Message(message) => self.delivered(line.key, message),
            News::Answered => {}
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
            .map_or_else(|| idle_from(now), |arrivals| arrivals.next());
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
