//! What a run is to do. Plain data, so that it can be handed to worker processes.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// A run, or the part of it that one process makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// The load.
    pub work: Work,
    /// Over which connections are opened evenly; none: as fast as the server takes them.
    pub ramp: Duration,
    /// Before the measured time, with the same load.
    pub warm_up: Duration,
    /// The measured time.
    pub duration: Duration,
    /// Connections that those processes of the same run open that come before this one.
    pub others: usize,
    /// How many processes make the run.
    pub processes: usize,
}

/// A server, and how it is asked for a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What is spoken.
    pub scheme: Scheme,
    /// Where it listens.
    pub address: SocketAddr,
    /// For the `Host` header.
    pub authority: String,
    /// With its query; [`TOPIC`] stands for the name of a topic.
    pub path: String,
    /// Further lines of the opening handshake.
    pub headers: Vec<String>,
}

/// What the server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Nothing: every byte comes back, from the request for the handshake on. What a WebSocket
    /// server costs can be compared with this.
    Tcp,
    /// WebSocket (RFC 6455).
    #[default]
    Ws,
}

/// A kind of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Publications to subscribers while other connections come and go.
    Churn(Churn),
    /// Messages that come back to their sender.
    Echo(Echo),
    /// Publications to subscribers.
    Fanout(Fanout),
    /// Connections that are opened and closed.
    Handshake(Handshake),
    /// Connections that do nothing.
    Idle(Idle),
}

/// How fast messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pace {
    /// The next one when one has arrived: so many are under way per sender.
    InFlight(usize),
    /// So many in a second over all senders, whatever has become of those before.
    PerSecond(f64),
}

/// The messages that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Of a message, in bytes.
    pub size: usize,
    /// Binary messages, not text.
    pub is_binary: bool,
}

/// Connections that get their own messages back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Connections that send.
    pub connections: usize,
    /// The messages.
    pub shape: Shape,
    /// How fast they are sent.
    pub pace: Pace,
}

/// Publishers and subscribers of some topics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fanout {
    /// Tells this run's topics from those of others.
    pub run: u32,
    /// Subscribers in this process.
    pub subscribers: usize,
    /// The number of the first subscriber, for the topic that it follows.
    pub first: usize,
    /// 0 where another process publishes.
    pub publishers: usize,
    /// Topics over which subscribers and streams are spread.
    pub topics: usize,
    /// Each is a publisher with a topic; the same number in all processes.
    pub streams: usize,
    /// The messages.
    pub shape: Shape,
    /// How fast they are published.
    pub pace: Pace,
    /// How the server is told to subscribe and to publish.
    pub via: Via,
}

/// How a server is told to subscribe and to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    /// framecast's relay, below this path: `/register` and `/publish`.
    Relay(String),
    /// Messages on a WebSocket.
    WebSocket(Words),
}

/// Messages of a server's own protocol, with [`TOPIC`] and [`PAYLOAD`] in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Sent by each subscriber; without it, connecting subscribes.
    pub subscribe: Option<String>,
    /// What a message holds that says that the subscription is in force.
    pub subscribed: Option<String>,
    /// Without it, a publication is the payload alone.
    pub publish: Option<String>,
}

/// The place of a topic's name in [`Words`] and in a path.
pub const TOPIC: &str = "{topic}";
/// The place of the payload in [`Words`].
pub const PAYLOAD: &str = "{payload}";

/// Connections that do nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// How many.
    pub connections: usize,
}

/// Opening and closing handshakes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handshake {
    /// So many are made at a time.
    pub connections: usize,
    /// So many in a second are begun; without it, the next one when one has ended.
    pub per_second: Option<f64>,
}

/// Publications while other subscribers come and go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// The stable subscribers, and those who publish.
    pub fanout: Fanout,
    /// Connections that come and go: so many at a time.
    pub guests: usize,
    /// So many come in a second, and as many go.
    pub per_second: f64,
}

impl Plan {
    /// Connections that this needs at a time.
    pub fn connections(&self) -> usize {
        match &self.work {
            Work::Churn(churn) => churn.guests + churn.fanout.connections(),
            Work::Echo(echo) => echo.connections,
            Work::Fanout(fanout) => fanout.connections(),
            Work::Handshake(handshake) => handshake.connections,
            Work::Idle(idle) => idle.connections,
        }
    }

    /// The same run, shared out to `processes`. All that publish are in the first one.
    pub(crate) fn share_out(&self, processes: usize) -> Vec<Self> {
        let mut others = 0;
        let share = |index| {
            let mut plan = self.clone();
            plan.work = self.work.share(index, processes);
            plan.processes = processes;
            plan.others = others;
            others += plan.connections();
            plan
        };
        (0..processes).map(share).collect()
    }
}

impl Fanout {
    fn connections(&self) -> usize {
        let publishing = if self.publishers > 0 { self.streams } else { 0 };
        self.subscribers + publishing
    }

    fn share(&self, index: usize, of: usize) -> Self {
        Self {
            subscribers: part(self.subscribers, index, of),
            first: (0..index)
                .map(|before| part(self.subscribers, before, of))
                .sum(),
            publishers: if index == 0 { self.publishers } else { 0 },
            ..self.clone()
        }
    }
}

impl Work {
    /// What there is to say about subscribing and publishing, if anything.
    pub fn fanout(&mut self) -> Option<&mut Fanout> {
        match self {
            Self::Fanout(fanout) | Self::Churn(Churn { fanout, .. }) => Some(fanout),
            Self::Echo(_) | Self::Handshake(_) | Self::Idle(_) => None,
        }
    }

    fn share(&self, index: usize, of: usize) -> Self {
        let rate = |rate: f64, mine: usize, all: usize| rate * mine as f64 / all.max(1) as f64;
        match self {
            Self::Churn(churn) => {
                let guests = part(churn.guests, index, of);
                Self::Churn(Churn {
                    fanout: churn.fanout.share(index, of),
                    guests,
                    per_second: rate(churn.per_second, guests, churn.guests),
                })
            }
            Self::Echo(echo) => {
                let connections = part(echo.connections, index, of);
                let pace = match echo.pace {
                    Pace::PerSecond(all) => {
                        Pace::PerSecond(rate(all, connections, echo.connections))
                    }
                    depth @ Pace::InFlight(_) => depth,
                };
                Self::Echo(Echo {
                    connections,
                    pace,
                    ..echo.clone()
                })
            }
            Self::Fanout(fanout) => Self::Fanout(fanout.share(index, of)),
            Self::Handshake(handshake) => {
                let connections = part(handshake.connections, index, of);
                let per_second = handshake.per_second;
                Self::Handshake(Handshake {
                    connections,
                    per_second: per_second.map(|all| rate(all, connections, handshake.connections)),
                })
            }
            Self::Idle(idle) => Self::Idle(Idle {
                connections: part(idle.connections, index, of),
            }),
        }
    }
}

/// The part of `whole` that process `index` gets.
fn part(whole: usize, index: usize, of: usize) -> usize {
    whole / of + usize::from(index < whole % of)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan of which only the work matters.
    pub(crate) fn plan(work: Work) -> Plan {
        Plan {
            target: Target {
                scheme: Scheme::Ws,
                address: SocketAddr::from(([127, 0, 0, 1], 1)),
                authority: "h".into(),
                path: "/".into(),
                headers: vec![],
            },
            work,
            ramp: Duration::ZERO,
            warm_up: Duration::ZERO,
            duration: Duration::ZERO,
            others: 0,
            processes: 1,
        }
    }

    #[test]
    fn shares_make_up_the_whole() {
        let shares = plan(Work::Idle(Idle { connections: 11 })).share_out(3);
        let counts: Vec<_> = shares
            .iter()
            .map(|share| (share.connections(), share.others))
            .collect();
        assert_eq!(counts, [(4, 0), (4, 4), (3, 8)]);
    }

    #[test]
    fn only_the_first_share_publishes_and_subscribers_keep_their_numbers() {
        let fanout = Fanout {
            run: 1,
            subscribers: 5,
            first: 0,
            publishers: 2,
            topics: 3,
            streams: 3,
            shape: Shape {
                size: 64,
                is_binary: false,
            },
            pace: Pace::InFlight(1),
            via: Via::WebSocket(Words::default()),
        };
        let shares = plan(Work::Fanout(fanout)).share_out(2);
        assert_eq!(
            (shares[0].connections(), shares[1].connections()),
            (3 + 3, 2)
        );
        let Work::Fanout(second) = &shares[1].work else {
            panic!()
        };
        assert_eq!((second.first, second.publishers, second.streams), (3, 0, 3));
    }

    #[test]
    fn a_rate_is_shared_like_the_connections() {
        let handshake = Handshake {
            connections: 4,
            per_second: Some(100.0),
        };
        let shares = plan(Work::Handshake(handshake)).share_out(3);
        let rates = shares.iter().map(|share| match &share.work {
            Work::Handshake(handshake) => handshake.per_second.unwrap(),
            _ => panic!(),
        });
        assert_eq!(rates.collect::<Vec<_>>(), [50.0, 25.0, 25.0]);
    }
}
