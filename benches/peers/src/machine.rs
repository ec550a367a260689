//! Finds out facts about the machine of the comparison, and the versions of the peers.

use std::{fmt::Write as _, fs, process::Command};

use anyhow::Context as _;

use crate::{commit, paths::Paths, peers::Peer};

/// Facts about the machine for the head of the report.
#[derive(Debug)]
pub struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    commit: String,
    date: String,
    /// Load average per core in the minute before the comparison.
    load: f64,
    versions: Vec<(Peer, String)>,
}

impl Machine {
    pub fn inspect(paths: &Paths) -> anyhow::Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
        let names = cpus.lines().filter(|line| line.starts_with("model name"));
        let name = names.clone().next().and_then(|line| line.split_once(": "));
        let cores = names.count().max(1);
        let load = fs::read_to_string("/proc/loadavg")?;
        let load: f64 = load.split(' ').next().unwrap_or_default().parse()?;
        Ok(Self {
            processor: name.map_or("unknown", |(_, name)| name).to_owned(),
            cores,
            kernel: output_of("uname", &["-sr"]),
            commit: commit::describe(paths.root()),
            date: output_of("date", &["-u", "+%F"]),
            load: load / cores as f64,
            versions: versions(paths),
        })
    }

    /// Returns these facts as a Markdown list, for the head of the report.
    pub fn describe(&self) -> String {
        let Self {
            processor,
            cores,
            kernel,
            commit,
            date,
            ..
        } = self;
        let mut text =
            format!("- {date}, commit {commit}\n- {processor}, {cores} cores, {kernel}\n");
        if self.load > BUSY {
            let load = self.load;
            let _ = writeln!(
                text,
                "- **The machine was busy** at the beginning: load average {load:.1} per core"
            );
        }
        text
    }

    pub fn version(&self, peer: Peer) -> &str {
        let version = self.versions.iter().find(|(other, _)| *other == peer);
        version.map_or("", |(_, version)| version)
    }
}

/// Load average per core above which the machine counts as busy, because other work may use the two
/// cores of the comparison.
const BUSY: f64 = 0.3;

/// Returns the versions of the peers, from the lock file, from `package.json`, and from the
/// programs themselves.
fn versions(paths: &Paths) -> Vec<(Peer, String)> {
    let locked = include_str!("../Cargo.lock");
    let node = output_of("node", &["--version"]);
    let ws = fs::read_to_string(paths.js("node_modules/ws/package.json")).unwrap_or_default();
    let ws: serde_json::Value = serde_json::from_str(&ws).unwrap_or_default();
    let ws = ws["version"].as_str().unwrap_or("?");
    let bun = paths.bun.as_ref().map(|bun| output_of(bun, &["--version"]));
    vec![
        (
            Peer::Fastwebsockets,
            locked_version(locked, "fastwebsockets"),
        ),
        (
            Peer::Tungstenite,
            locked_version(locked, "tokio-tungstenite"),
        ),
        (Peer::Axum, locked_version(locked, "axum")),
        (Peer::Tutorial, locked_version(locked, "axum")),
        (Peer::Node, format!("{ws} on {node}")),
        (Peer::Bun, bun.unwrap_or_default()),
    ]
}

/// Returns the version of a package in a lock file. If there are several versions, this is the
/// newest.
fn locked_version(locked: &str, package: &str) -> String {
    let name = format!("name = \"{package}\"\nversion = \"");
    let last = locked.rsplit_once(&name).map_or("", |(_, rest)| rest);
    last.split('"').next().unwrap_or_default().to_owned()
}

/// Returns the output of a program, or an empty string if the program does not exist.
fn output_of(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}
