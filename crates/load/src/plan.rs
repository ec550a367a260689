//! The plan of a run: plain data, so that it can be sent to worker processes.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// The plan of a whole run, or of the share of it that one process executes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// The connections of the run, and what they send.
    pub scenario: Scenario,
    /// Time over which the connections are opened at an even rate. If zero, they are opened as fast
    /// as the server accepts them.
    pub ramp: Duration,
    /// Time before the measured time. Messages are sent in it, too, but not measured.
    pub warm_up: Duration,
    /// The length of the measured time.
    pub duration: Duration,
    /// Number of connections that the processes with a lower index have open at the same time. It
    /// is the index of this process's first connection among the connections of all processes.
    pub connection_offset: usize,
    /// Number of processes that share the run.
    pub processes: usize,
}

/// The address of a server, and the opening handshake that the connections send to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The protocol that the server speaks.
    pub scheme: Scheme,
    /// The address on which it listens.
    pub address: SocketAddr,
    /// The value of the `Host` header.
    pub authority: String,
    /// Path and query of the request. [`TOPIC`] in it is replaced by the name of a topic.
    pub path: String,
    /// Further header lines of the opening handshake, and of the requests to the relay.
    pub headers: Vec<String>,
    /// Number of messages that the server sends on each connection before any other. They do not
    /// count.
    pub greetings: u32,
    /// True if the connections end by a reset: those that are open at the end of the run without a
    /// closing handshake, and others as soon as the server has answered it.
    pub aborts: bool,
}

/// The protocol that a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// No protocol: the server sends every byte back, the request for the handshake included. This
    /// shows the cost of a bare TCP connection, for comparison with a WebSocket server.
    Tcp,
    /// WebSocket (RFC 6455).
    #[default]
    Ws,
}

/// A scenario: the connections of a run, and what they send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scenario {
    /// Publications to subscribers, while other subscribers connect and leave.
    Churn(Churn),
    /// Messages that the server sends back to their sender.
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
    /// A closed loop: each sender has this many messages in flight, and sends the next one when one
    /// of them has arrived.
    InFlight(usize),
    /// An open loop: all senders together send this many messages in a second, at fixed times,
    /// whether or not earlier ones have arrived.
    PerSecond(f64),
}

/// The size and the type of the messages that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFormat {
    /// Length of a message in bytes.
    pub size: usize,
    /// True for binary messages, false for text.
    pub is_binary: bool,
}

/// Connections that send messages, each of which the server sends back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Number of connections, each of which sends messages.
    pub connections: usize,
    /// Size and type of the messages.
    pub format: MessageFormat,
    /// The pace at which the messages are sent.
    pub pace: Pace,
}

/// Publishers and subscribers of some topics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fanout {
    /// A number that distinguishes this run from simultaneous ones. It is part of the topics'
    /// names, so that each run has its own topics.
    pub run: u32,
    /// Number of subscribers in this process.
    pub subscribers: usize,
    /// Index of this process's first subscriber among all subscribers of the run, counted from 0.
    /// Subscriber `n` of the run subscribes to topic `n` modulo the number of topics.
    pub first: usize,
    /// Number of publishers. It is 0 in all processes but the first, which makes all publications.
    pub publishers: usize,
    /// Number of topics, over which subscribers and streams are spread evenly.
    pub topics: usize,
    /// Number of streams of the whole run, the same in the plan of every process. A stream is the
    /// publications of one publisher to one topic, which are numbered from 0.
    pub streams: usize,
    /// Size and type of the messages.
    pub format: MessageFormat,
    /// The pace at which the messages are published.
    pub pace: Pace,
    /// The protocol by which the server takes subscriptions and publications.
    pub protocol: Protocol,
}

/// The protocol by which a server takes subscriptions and publications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// The protocol of framecast's relay: HTTP requests to `/register` and `/publish` below this
    /// path.
    Relay(String),
    /// The protocol of any other server: WebSocket messages made from templates.
    Template(ProtocolTemplate),
}

/// Templates of the messages that a server takes, with [`TOPIC`] and [`PAYLOAD`] in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolTemplate {
    /// Template of the message by which a subscriber subscribes. `None` if a connection is
    /// subscribed as soon as it is open.
    pub subscribe: Option<String>,
    /// A text that the server's confirmation of a subscription contains. `None` if the server
    /// confirms no subscription.
    pub subscribed: Option<String>,
    /// Template of the message that a publisher sends. `None` if it sends the payload alone.
    pub publish: Option<String>,
}

/// The placeholder of a topic's name in a [`ProtocolTemplate`] and in a path.
pub const TOPIC: &str = "{topic}";
/// The placeholder of the payload in a [`ProtocolTemplate`].
pub const PAYLOAD: &str = "{payload}";

/// Connections that do nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// The number of connections.
    pub connections: usize,
}

/// Connections that do the opening handshake and then the closing handshake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handshake {
    /// Largest number of connections that are open, or being opened, at the same time.
    pub connections: usize,
    /// Number of connections begun per second. If `None`, a new connection begins whenever an old
    /// one has ended.
    pub per_second: Option<f64>,
}

/// Publications to subscribers, while churners (further subscribers) connect and leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// The subscribers that stay, and the publishers.
    pub fanout: Fanout,
    /// Number of churners that are connected at the same time.
    pub churners: usize,
    /// Number of churners that connect per second, which is also the number that leave per second.
    pub per_second: f64,
}

impl Plan {
    /// Returns how many connections are open at the same time while this plan is executed.
    pub fn connections(&self) -> usize {
        match &self.scenario {
            Scenario::Churn(churn) => churn.churners + churn.fanout.connections(),
            Scenario::Echo(echo) => echo.connections,
            Scenario::Fanout(fanout) => fanout.connections(),
            Scenario::Handshake(handshake) => handshake.connections,
            Scenario::Idle(idle) => idle.connections,
        }
    }

    /// Divides the run among `processes` processes. Returns the plan of each process. Only the
    /// first plan has publishers.
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
    /// Returns how many connections this process needs: one for each subscriber and, in the process
    /// that publishes, one for each stream.
    pub(crate) fn connections(&self) -> usize {
        let publishing = if self.publishers > 0 { self.streams } else { 0 };
        self.subscribers + publishing
    }

    /// Returns the plan of process `index`, counted from 0, if `of` processes share this plan.
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
    /// Returns the plan of subscribers and publishers, if the scenario has any.
    pub fn fanout(&mut self) -> Option<&mut Fanout> {
        match self {
            Self::Fanout(fanout) | Self::Churn(Churn { fanout, .. }) => Some(fanout),
            Self::Echo(_) | Self::Handshake(_) | Self::Idle(_) => None,
        }
    }

    /// Returns the scenario of process `index`, counted from 0, if `of` processes share this
    /// scenario. Rates are divided in proportion to the connections.
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
                    // Counts for each connection, so it is not divided.
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

/// Divides `whole` as evenly as possible among `of` processes. Returns the part of process `index`,
/// counted from 0.
fn part(whole: usize, index: usize, of: usize) -> usize {
    whole / of + usize::from(index < whole % of)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the WebSocket server `h`. Nothing is connected to its address.
    pub(crate) fn target() -> Target {
        Target {
            scheme: Scheme::Ws,
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            authority: "h".into(),
            path: "/".into(),
            headers: vec![],
            greetings: 0,
            aborts: false,
        }
    }

    /// Returns a plan with this scenario. The tests do not depend on its other fields.
    pub(crate) fn plan(scenario: Scenario) -> Plan {
        Plan {
            target: target(),
            scenario,
            ramp: Duration::ZERO,
            warm_up: Duration::ZERO,
            duration: Duration::ZERO,
            connection_offset: 0,
            processes: 1,
        }
    }

    #[test]
    fn the_shares_add_up_to_all_connections() {
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
        // The first process has 3 of the 5 subscribers, and 3 streams; the second one 2
        // subscribers.
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
