//! The servers that are compared.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::paths::Paths;

/// A server, or a way to run one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    Framecast,
    /// framecast with two shards, both on the one core.
    TwoShards,
    /// framecast with additional subscribers that never read.
    BesideStalled,
    /// The floor for echoes.
    BareTcp,
    /// The floor for fan-out without batching.
    OneSend,
    /// The floor for fan-out with batching.
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

    /// Returns a description for the report.
    pub fn description(self) -> &'static str {
        match self {
            Self::Framecast => "`framecast serve --shards 1 --log warn`, as released",
            Self::TwoShards => "the same with `--shards 2`",
            Self::BesideStalled => "the same with 10 more subscribers, which never read",
            Self::BareTcp => "an epoll loop, one read and one write per wake-up, no WebSocket",
            Self::OneSend => "an epoll loop, one write for each frame and subscriber",
            Self::Batch => "the same, one write for all frames that one read has brought",
            Self::Fastwebsockets => "its example `echo_server`: hyper, one write for each frame",
            Self::Tungstenite => "its example `echo-server`: reads are forwarded to the sink",
            Self::Axum => "receives a message and sends it",
            Self::Tutorial => {
                "axum's example `chat`: a tokio `broadcast` channel, two tasks per connection"
            }
            Self::Node => "`ws` with `bufferutil`, no compression",
            Self::Bun => "`Bun.serve`; for fan-out its `publish`",
        }
    }

    /// Returns the command that starts the peer.
    ///
    /// # Errors
    ///
    /// The reason why the peer is left out.
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

    /// Returns the URL at which every connection gets every message. For framecast that is the
    /// topic `lobby`. Without the query, the load generator would choose a topic of its own, which
    /// the stalled subscribers could not know.
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
