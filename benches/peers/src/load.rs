//! Runs `framecast load`, and parses its results.

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
    paths::Paths,
    server::Server,
};

/// The results of one run, as `framecast load --json` writes them. Other fields are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Outcome {
    /// Number of messages that were received in the whole run: in the warm-up, in the measured
    /// time, and in the wait for the last messages after it.
    pub received: u64,
    pub delivery_ratio: f64,
    pub latency_us: Option<Percentiles>,
    pub connections: Connections,
    /// The CPU time and memory that the server used. `None` if its process was not observed.
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
    /// True if the load generator, and not the server, has limited the run.
    pub is_bottleneck: bool,
    /// True if the load generator had to wait for its core, because of other work on the machine.
    pub is_starved: bool,
}

/// A run of `framecast load`.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub paths: &'a Paths,
    pub cell: &'a Cell,
    pub server: &'a Server,
    pub connections: usize,
    pub duration: Duration,
}

impl Load<'_> {
    /// Runs `framecast load` to its end. Returns its results.
    pub fn run(self) -> anyhow::Result<Outcome> {
        self.run_under(&[])
    }

    /// Runs `framecast load` to its end under another command, such as `perf stat`. Returns the
    /// results of `framecast load`. `wrapper` is the beginning of the command line.
    pub fn run_under(self, wrapper: &[OsString]) -> anyhow::Result<Outcome> {
        let json = self.paths.scratch_file("json");
        let mut words = wrapper.to_vec();
        words.push(self.paths.framecast().into());
        words.extend(self.arguments().into_iter().map(OsString::from));
        words.extend(["--json".into(), json.clone().into()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        let output = command.output().context("running framecast load")?;
        // The exit code is not checked: it is not zero if the peer made errors, but then there are
        // results, too.
        let text = fs::read_to_string(&json).unwrap_or_default();
        if text.is_empty() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!(
                "framecast load: {}",
                stderr.lines().last().unwrap_or("has failed")
            );
        }
        fs::remove_file(&json)?;
        serde_json::from_str(&text).context("reading the result of a run")
    }

    /// Returns the arguments with which `framecast` makes this run, without the option `--json`.
    fn arguments(self) -> Vec<String> {
        let Self { cell, server, .. } = self;
        let mut words = vec!["load".to_owned()];
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        option("--pid", server.pid().to_string());
        option("--duration", format!("{}ms", self.duration.as_millis()));
        if matches!(cell.kind, Kind::Idle | Kind::EchoOnce) {
            // The connections are made slowly: hundreds of simultaneous handshakes would make the
            // server allocate memory that idle connections do not need.
            option("--ramp", "4s".to_owned());
        }
        let connections = self.connections.to_string();
        match cell.kind {
            Kind::Echo { depth } => {
                option("--connections", connections);
                option("--depth", depth.to_string());
            }
            Kind::EchoOnce => {
                option("--connections", connections.clone());
                option("--rate", connections);
            }
            Kind::Fanout { in_flight } => {
                option("--subscribers", connections);
                option("--in-flight", in_flight.to_string());
            }
            Kind::FanoutAt { rate } => {
                option("--subscribers", connections);
                option("--rate", rate.to_string());
            }
            Kind::Handshake | Kind::Idle => option("--connections", connections),
        }
        if cell.has_messages() {
            option("--size", cell.size.to_string());
            words.push("--binary".into());
        }
        // Some floors know no closing handshake.
        words.push("--abort".into());
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
