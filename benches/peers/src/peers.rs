//! Who is compared.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::places::Places;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    Framecast,
    /// With two shards, both on the one core.
    TwoShards,
    /// With subscribers that never read.
    BesideStalled,
    /// The floor of an echo.
    BareTcp,
    /// The floor of a fan-out without batching.
    OneSend,
    /// The floor of a fan-out with batching.
    Batch,
    Fastwebsockets,
    Tungstenite,
    Axum,
    /// axum again, with a tokio `broadcast` channel.
    Tutorial,
    Node,
    Bun,
}

/// In the order in which they are shown.
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

/// Who echoes.
pub const ECHO: &[Peer] = &[
    Peer::BareTcp,
    Peer::Framecast,
    Peer::Fastwebsockets,
    Peer::Tungstenite,
    Peer::Axum,
    Peer::Node,
    Peer::Bun,
];

/// Who has connections that speak WebSocket.
pub const IDLE: &[Peer] = ECHO.split_at(1).1;

/// Who sends one message to many.
pub const FANOUT: &[Peer] = &[
    Peer::OneSend,
    Peer::Batch,
    Peer::Framecast,
    Peer::Bun,
    Peer::Tutorial,
];

/// The same, and whether it matters that the shards have to talk.
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

    /// What it is, for those who want to know.
    pub fn what(self) -> &'static str {
        match self {
            Self::Framecast => "`framecast serve --shards 1 --log warn`, as released",
            Self::TwoShards => "the same with `--shards 2`",
            Self::BesideStalled => "the same with 10 more subscribers, which never read",
            Self::BareTcp => "an epoll loop, one read and one write a wake-up, no WebSocket",
            Self::OneSend => "an epoll loop, one write for each frame and subscriber",
            Self::Batch => "the same, one write for all frames that one read has brought",
            Self::Fastwebsockets => "its example `echo_server`: hyper, one write for each frame",
            Self::Tungstenite => "its example `echo-server`: reads are forwarded to the sink",
            Self::Axum => "receive, send",
            Self::Tutorial => "axum's example `chat`: a tokio `broadcast` channel, two tasks each",
            Self::Node => "`ws` with `bufferutil`, no compression",
            Self::Bun => "`Bun.serve`; for fan-out its `publish`",
        }
    }

    /// Its program, or why it is left out.
    pub fn command(self, places: &Places, port: u16) -> anyhow::Result<Command> {
        let (program, arguments): (_, &[&str]) = match self {
            Self::Framecast | Self::BesideStalled => return Ok(framecast(places, port, "1")),
            Self::TwoShards => return Ok(framecast(places, port, "2")),
            Self::BareTcp => (places.peer("floor_echo"), &[]),
            Self::OneSend => (places.peer("floor_fanout"), &["one-send"]),
            Self::Batch => (places.peer("floor_fanout"), &["batch"]),
            Self::Fastwebsockets => (places.peer("fastwebsockets"), &[]),
            Self::Tungstenite => (places.peer("tungstenite"), &[]),
            Self::Axum | Self::Tutorial => (places.peer("axum"), &[]),
            Self::Node => return node(places, port),
            Self::Bun => return bun(places, port),
        };
        let mut command = Command::new(program);
        command.arg(port.to_string()).args(arguments);
        Ok(command)
    }

    /// Subscribers beside those of the load that never read.
    pub fn stalled(self) -> usize {
        match self {
            Self::BesideStalled => 10,
            _ => 0,
        }
    }

    /// Where it echoes.
    pub fn echo_url(self, port: u16) -> String {
        match self {
            Self::BareTcp => format!("tcp://127.0.0.1:{port}"),
            _ => format!("ws://127.0.0.1:{port}/echo"),
        }
    }

    /// Where everybody gets what anybody says. For framecast that is the lobby: without the query
    /// the load would take a topic of its own, which stalled subscribers could not know.
    pub fn fanout_url(self, port: u16) -> String {
        match self {
            Self::Framecast | Self::TwoShards | Self::BesideStalled => {
                format!("ws://127.0.0.1:{port}/ws?run={{topic}}")
            }
            _ => format!("ws://127.0.0.1:{port}/chat"),
        }
    }
}

fn framecast(places: &Places, port: u16, shards: &str) -> Command {
    let mut command = Command::new(places.framecast());
    command.args(["serve", "--log", "warn", "--shards", shards]);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command
}

fn node(places: &Places, port: u16) -> anyhow::Result<Command> {
    if !places.has_node {
        bail!("Node or its package `ws` is not installed");
    }
    let mut command = Command::new("node");
    command.arg(places.js("node.js")).arg(port.to_string());
    Ok(command)
}

fn bun(places: &Places, port: u16) -> anyhow::Result<Command> {
    let program = places.bun.as_ref().context("Bun is not installed")?;
    let mut command = Command::new(program);
    command.arg(places.js("bun.js")).arg(port.to_string());
    Ok(command)
}
