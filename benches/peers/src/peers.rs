//! Lists the servers that are compared: how each is started, and at which URLs it answers.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::paths::Paths;

/// A server, or framecast run in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    Framecast,
    /// framecast with two shards, both on the one core.
    TwoShards,
    /// framecast with additional subscribers that never read.
    BesideStalled,
    /// The floor for echoes: a program that only makes the system calls of an echo.
    BareTcp,
    /// The floor for fan-out without batching: one write for each frame and subscriber.
    OneSend,
    /// The floor for fan-out with batching: one write for all frames of a read.
    Batch,
    Fastwebsockets,
    Tungstenite,
    Axum,
    /// axum with a tokio `broadcast` channel.
    Tutorial,
    Node,
    Bun,
}

/// All peers, in the order in which the report shows them.
pub const ALL: &[Peer] = &[
    Peer::BareTcp,
    Peer::OneSend,
    Peer::Batch,
    Peer::Framecast,
    Peer::TwoShards,
    Peer::BesideStalled,
    Peer::Fastwebsockets,
    Peer::Tungstenite,
    Peer::Axum,
    Peer::Tutorial,
    Peer::Node,
    Peer::Bun,
];

/// The peers that have an echo.
pub const ECHO: &[Peer] = &[
    Peer::BareTcp,
    Peer::Framecast,
    Peer::Fastwebsockets,
    Peer::Tungstenite,
    Peer::Axum,
    Peer::Node,
    Peer::Bun,
];

/// The peers that speak WebSocket, whose idle connections are compared.
pub const IDLE: &[Peer] = ECHO.split_at(1).1;

/// The peers that have a fan-out.
pub const FANOUT: &[Peer] = &[
    Peer::OneSend,
    Peer::Batch,
    Peer::Framecast,
    Peer::Bun,
    Peer::Tutorial,
];

/// The peers that have a fan-out, and framecast with two shards, which shows the cost of the
/// communication between shards.
pub const FANOUT_AND_TWO_SHARDS: &[Peer] = &[
    Peer::OneSend,
    Peer::Batch,
    Peer::Framecast,
    Peer::TwoShards,
    Peer::Bun,
    Peer::Tutorial,
];

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Framecast => "framecast",
            Self::TwoShards => "framecast, 2 shards",
            Self::BesideStalled => "framecast, 10 stalled",
            Self::BareTcp => "bare TCP (floor)",
            Self::OneSend => "one send (floor)",
            Self::Batch => "one send a batch (floor)",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Tungstenite => "tokio-tungstenite",
            Self::Axum => "axum",
            Self::Tutorial => "axum + broadcast",
            Self::Node => "ws on Node",
            Self::Bun => "Bun",
        }
    }

    /// Returns a description for the report's table of servers.
    pub fn description(self) -> &'static str {
        match self {
            Self::Framecast => "`framecast serve --shards 1 --log warn`, as released",
            Self::TwoShards => "framecast with `--shards 2`, both on the one core",
            Self::BesideStalled => "framecast with 10 more subscribers, which never read",
            Self::BareTcp => "an epoll loop, one read and one write per wake-up, no WebSocket",
            Self::OneSend => "an epoll loop, one write for each frame and subscriber",
            Self::Batch => {
                "an epoll loop, one write for all frames that one read has brought, and subscriber"
            }
            Self::Fastwebsockets => {
                "fastwebsockets' example `echo_server`: hyper, one write for each frame"
            }
            Self::Tungstenite => {
                "tokio-tungstenite's example `echo-server`: reads are forwarded to the sink"
            }
            Self::Axum => "an echo: receives a message and sends it",
            Self::Tutorial => {
                "axum's example `chat`: a tokio `broadcast` channel, two tasks per connection"
            }
            Self::Node => "an echo: `ws` with `bufferutil`, no compression",
            Self::Bun => "an echo with `Bun.serve`; for fan-out Bun's `publish`",
        }
    }

    /// Returns the command that starts the peer.
    ///
    /// # Errors
    ///
    /// The peer is not installed, and must be left out.
    pub fn command(self, paths: &Paths, port: u16) -> anyhow::Result<Command> {
        let (program, arguments): (_, &[&str]) = match self {
            Self::Framecast | Self::BesideStalled => return Ok(framecast(paths, port, "1")),
            Self::TwoShards => return Ok(framecast(paths, port, "2")),
            Self::BareTcp => (paths.peer("floor_echo"), &[]),
            Self::OneSend => (paths.peer("floor_fanout"), &["one-send"]),
            Self::Batch => (paths.peer("floor_fanout"), &["batch"]),
            Self::Fastwebsockets => (paths.peer("fastwebsockets"), &[]),
            Self::Tungstenite => (paths.peer("tungstenite"), &[]),
            Self::Axum | Self::Tutorial => (paths.peer("axum"), &[]),
            Self::Node => return node(paths, port),
            Self::Bun => return bun(paths, port),
        };
        let mut command = Command::new(program);
        command.arg(port.to_string()).args(arguments);
        Ok(command)
    }

    /// Returns the number of additional subscribers that never read.
    pub fn stalled(self) -> usize {
        match self {
            Self::BesideStalled => 10,
            _ => 0,
        }
    }

    /// Returns the URL of the echo.
    pub fn echo_url(self, port: u16) -> String {
        match self {
            Self::BareTcp => format!("tcp://127.0.0.1:{port}"),
            _ => format!("ws://127.0.0.1:{port}/echo"),
        }
    }

    /// Returns the URL at which every connection gets every message. On framecast all connections
    /// are to be in the topic `lobby`, as those are that name no topic. The load generator must not
    /// add a topic of its own to the URL, because the stalled subscribers could not know it. So the
    /// query gives it another place for the name of the topic, which the server ignores.
    pub fn fanout_url(self, port: u16) -> String {
        match self {
            Self::Framecast | Self::TwoShards | Self::BesideStalled => {
                format!("ws://127.0.0.1:{port}/ws?run={{topic}}")
            }
            _ => format!("ws://127.0.0.1:{port}/chat"),
        }
    }
}

fn framecast(paths: &Paths, port: u16, shards: &str) -> Command {
    let mut command = Command::new(paths.framecast());
    command.args(["serve", "--log", "warn", "--shards", shards]);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command
}

fn node(paths: &Paths, port: u16) -> anyhow::Result<Command> {
    if !paths.has_node {
        bail!("Node or its package `ws` is not installed");
    }
    let mut command = Command::new("node");
    command.arg(paths.js("node.js")).arg(port.to_string());
    Ok(command)
}

fn bun(paths: &Paths, port: u16) -> anyhow::Result<Command> {
    let program = paths.bun.as_ref().context("Bun is not installed")?;
    let mut command = Command::new(program);
    command.arg(paths.js("bun.js")).arg(port.to_string());
    Ok(command)
}
