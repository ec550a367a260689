//! Runs `framecast load`, and reads what it has found.

use std::{
    ffi::OsString,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{
    cells::{Cell, Kind},
    places::Places,
    server::Server,
};

/// What one run has found.
#[derive(Clone, Debug, Deserialize)]
pub struct Outcome {
    /// Over the whole run, the warm-up and the end included.
    pub received: u64,
    pub delivery_ratio: f64,
    pub latency_us: Option<Percentiles>,
    pub connections: Connections,
    /// There is none if the server was not watched.
    pub server: Option<ServerUse>,
    pub generator: Generator,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Percentiles {
    pub p99: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Connections {
    pub disconnected: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ServerUse {
    pub cpu_us_per_message: Option<f64>,
    pub resident_bytes: u64,
    pub resident_bytes_per_connection: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Generator {
    /// It was at its own limit.
    pub is_bottleneck: bool,
    /// It had to wait for its core.
    pub is_starved: bool,
}

/// A run that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub places: &'a Places,
    pub cell: &'a Cell,
    pub server: &'a Server,
    pub connections: usize,
    pub duration: Duration,
}

impl Load<'_> {
    /// Makes it.
    pub fn run(self) -> anyhow::Result<Outcome> {
        self.run_under(&[])
    }

    /// Makes it as the command of another one, which `wrapper` begins.
    pub fn run_under(self, wrapper: &[OsString]) -> anyhow::Result<Outcome> {
        let json = self.places.scratch_file("json");
        let mut words = wrapper.to_vec();
        words.push(self.places.framecast().into());
        words.extend(self.arguments().into_iter().map(OsString::from));
        words.extend(["--json".into(), json.clone().into()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        let output = command.output().context("running framecast load")?;
        // What a peer does wrong fails a run, but is a result all the same.
        let text = fs::read_to_string(&json).unwrap_or_default();
        if text.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "framecast load: {}",
                said.lines().last().unwrap_or("has failed")
            );
        }
        fs::remove_file(&json)?;
        serde_json::from_str(&text).context("reading the result of a run")
    }

    fn arguments(self) -> Vec<String> {
        let Self { cell, server, .. } = self;
        let mut words = vec!["load".to_owned()];
        let mut say = |word: &str, value: String| words.extend([word.to_owned(), value]);
        say("--pid", server.pid().to_string());
        say("--duration", format!("{}ms", self.duration.as_millis()));
        if matches!(cell.kind, Kind::Idle | Kind::EchoOnce) {
            // What hundreds of handshakes at a time take is not what idle connections do.
            say("--ramp", "4s".to_owned());
        }
        let connections = self.connections.to_string();
        match cell.kind {
            Kind::Echo { depth } => {
                say("--connections", connections);
                say("--depth", depth.to_string());
            }
            Kind::EchoOnce => {
                say("--connections", connections.clone());
                say("--rate", connections);
            }
            Kind::Fanout { in_flight } => {
                say("--subscribers", connections);
                say("--in-flight", in_flight.to_string());
            }
            Kind::FanoutAt { rate } => {
                say("--subscribers", connections);
                say("--rate", rate.to_string());
            }
            Kind::Handshake | Kind::Idle => say("--connections", connections),
        }
        if cell.has_messages() {
            say("--size", cell.size.to_string());
            words.push("--binary".into());
        }
        let (kind, url) = match cell.kind {
            Kind::Echo { .. } | Kind::EchoOnce => ("echo", server.peer.echo_url(server.port)),
            Kind::Fanout { .. } | Kind::FanoutAt { .. } => {
                ("fanout", server.peer.fanout_url(server.port))
            }
            Kind::Handshake => ("handshake", server.peer.echo_url(server.port)),
            Kind::Idle => ("idle", server.peer.echo_url(server.port)),
        };
        words.insert(1, kind.into());
        words.extend(["--url".into(), url]);
        words
    }
}
