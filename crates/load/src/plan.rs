//! The plan of a run: plain data, so that it can be handed to worker processes.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// A run, or the part of it that one process makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// The connections that it has, and what they send.
    pub scenario: Scenario,
    /// Time over which connections are opened evenly; zero: as fast as the server takes them.
    pub ramp: Duration,
    /// Time before the measured one, with the same load.
    pub warm_up: Duration,
    /// The measured time.
    pub duration: Duration,
    /// Connections that earlier processes of the same run open: those of this one are numbered from here.
    pub connection_offset: usize,
    /// Processes that make the run together.
    pub processes: usize,
}

/// A server, and the handshake that it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The protocol that the server speaks.
    pub scheme: Scheme,
    /// The address on which it listens.
    pub address: SocketAddr,
    /// The value of the `Host` header.
    pub authority: String,
    /// Path and query; [`TOPIC`] stands for the name of a topic.
    pub path: String,
    /// Further lines of the opening handshake.
    pub headers: Vec<String>,
}

/// The protocol that a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// None: every byte comes back, from the request for the handshake on. The cost of a WebSocket
    /// server can be compared with that.
    Tcp,
    /// WebSocket (RFC 6455).
    #[default]
    Ws,
}

/// A scenario: which connections there are, and what they send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scenario {
    /// Publications to subscribers, while other connections come and go.
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

/// The pace at which messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pace {
    /// A closed loop: each sender has this many under way, and sends the next one when one has arrived.
    InFlight(usize),
    /// An open loop: this many in a second over all senders, whatever became of those before.
    PerSecond(f64),
}

/// The size and the type of the messages that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFormat {
    /// Bytes of a message.
    pub size: usize,
    /// True for binary messages, false for text.
    pub is_binary: bool,
}

/// Connections that get their own messages back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Connections that send.
    pub connections: usize,
    /// The messages.
    pub format: MessageFormat,
    /// The pace at which they are sent.
    pub pace: Pace,
}

/// Publishers and subscribers of some topics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fanout {
    /// Part of the topics' names, so that runs at the same time don't mix.
    pub run: u32,
    /// Subscribers in this process.
    pub subscribers: usize,
    /// The number of the first subscriber in the run, which decides about its topic.
    pub first: usize,
    /// Publishers; 0 where another process publishes.
    pub publishers: usize,
    /// Topics; subscribers and streams are spread over them.
    pub topics: usize,
    /// Streams: each is a publisher with a topic. The same number in all processes.
    pub streams: usize,
    /// The messages.
    pub format: MessageFormat,
    /// The pace at which they are published.
    pub pace: Pace,
    /// The protocol by which the server takes subscriptions and publications.
    pub protocol: Protocol,
}

/// The protocol by which a server takes subscriptions and publications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// That of framecast's relay, `/register` and `/publish` below this path.
    Relay(String),
    /// A protocol of its own: messages on a WebSocket, made from templates.
    Template(ProtocolTemplate),
}

/// Templates of the messages of a server's own protocol, with [`TOPIC`] and [`PAYLOAD`] in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolTemplate {
    /// The message that each subscriber sends; without it, connecting subscribes.
    pub subscribe: Option<String>,
    /// The text in a message of the server that confirms a subscription.
    pub subscribed: Option<String>,
    /// The message that publishes; without it, a publication is the payload alone.
    pub publish: Option<String>,
}

/// The place of a topic's name in [`ProtocolTemplate`] and in a path.
pub const TOPIC: &str = "{topic}";
/// The place of the payload in [`ProtocolTemplate`].
pub const PAYLOAD: &str = "{payload}";

/// Connections that do nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// The number of connections.
    pub connections: usize,
}

/// Opening and closing handshakes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handshake {
    /// Handshakes under way at a time.
    pub connections: usize,
    /// Handshakes begun in a second; without it, the next one begins when one has ended.
    pub per_second: Option<f64>,
}

/// Publications while other subscribers come and go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// The subscribers that stay, and the publishers.
    pub fanout: Fanout,
    /// Connections that come and go, at a time.
    pub churners: usize,
    /// Connections that come in a second; as many go.
    pub per_second: f64,
}

impl Plan {
    /// Returns how many connections this needs at a time.
    pub fn connections(&self) -> usize {
        match &self.scenario {
            Scenario::Churn(churn) => churn.churners + churn.fanout.connections(),
            Scenario::Echo(echo) => echo.connections,
            Scenario::Fanout(fanout) => fanout.connections(),
            Scenario::Handshake(handshake) => handshake.connections,
            Scenario::Idle(idle) => idle.connections,
        }
    }

    /// Shares the run out to `processes`. All publishers are in the first one.
    pub(crate) fn share_out(&self, processes: usize) -> Vec<Self> {
        let mut connection_offset = 0;
        let share = |index| {
            let mut plan = self.clone();
            plan.scenario = self.scenario.share(index, processes);
            plan.processes = processes;
            plan.connection_offset = connection_offset;
            connection_offset += plan.connections();
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

impl Scenario {
    /// Returns the part about subscribing and publishing, if there is one.
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
                let churners = part(churn.churners, index, of);
                Self::Churn(Churn {
                    fanout: churn.fanout.share(index, of),
                    churners,
                    per_second: rate(churn.per_second, churners, churn.churners),
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

/// Returns the part of `whole` that process `index` gets.
fn part(whole: usize, index: usize, of: usize) -> usize {
    whole / of + usize::from(index < whole % of)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan of which only the scenario matters.
    pub(crate) fn plan(scenario: Scenario) -> Plan {
        Plan {
            target: Target {
                scheme: Scheme::Ws,
                address: SocketAddr::from(([127, 0, 0, 1], 1)),
                authority: "h".into(),
                path: "/".into(),
                headers: vec![],
            },
            scenario,
            ramp: Duration::ZERO,
            warm_up: Duration::ZERO,
            duration: Duration::ZERO,
            connection_offset: 0,
            processes: 1,
        }
    }

    #[test]
    fn shares_make_up_the_whole() {
        let shares = plan(Scenario::Idle(Idle { connections: 11 })).share_out(3);
        let counts: Vec<_> = shares
            .iter()
            .map(|share| (share.connections(), share.connection_offset))
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
            format: MessageFormat {
                size: 64,
                is_binary: false,
            },
            pace: Pace::InFlight(1),
            protocol: Protocol::Template(ProtocolTemplate::default()),
        };
        let shares = plan(Scenario::Fanout(fanout)).share_out(2);
        assert_eq!(
            (shares[0].connections(), shares[1].connections()),
            (3 + 3, 2)
        );
        let Scenario::Fanout(second) = &shares[1].scenario else {
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
        let shares = plan(Scenario::Handshake(handshake)).share_out(3);
        let rates = shares.iter().map(|share| match &share.scenario {
            Scenario::Handshake(handshake) => handshake.per_second.unwrap(),
            _ => panic!(),
        });
        assert_eq!(rates.collect::<Vec<_>>(), [50.0, 25.0, 25.0]);
    }
}
