//! What the comparison is made on, and with.

use std::{fmt::Write as _, fs, process::Command};

use anyhow::Context as _;

use crate::{peers::Peer, places::Places};

/// Said in the report.
#[derive(Debug)]
pub struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    commit: String,
    date: String,
    /// Of the minute before, per core.
    load: f64,
    versions: Vec<(Peer, String)>,
}

impl Machine {
    pub fn look(places: &Places) -> anyhow::Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo").context("looking at the processor")?;
        let names = cpus.lines().filter(|line| line.starts_with("model name"));
        let name = names.clone().next().and_then(|line| line.split_once(": "));
        let cores = names.count().max(1);
        let load = fs::read_to_string("/proc/loadavg")?;
        let load: f64 = load.split(' ').next().unwrap_or_default().parse()?;
        let root = places.root().to_string_lossy();
        Ok(Self {
            processor: name.map_or("unknown", |(_, name)| name).to_owned(),
            cores,
            kernel: said("uname", &["-sr"]),
            commit: said(
                "git",
                &[
                    "-C",
                    &root,
                    "describe",
                    "--always",
                    "--dirty",
                    "--exclude=*",
                ],
            ),
            date: said("date", &["-u", "+%F"]),
            load: load / cores as f64,
            versions: versions(places),
        })
    }

    /// A list for the head of the report.
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
            format!("- {date}, commit `{commit}`\n- {processor}, {cores} cores, {kernel}\n");
        if self.load > BUSY {
            let load = self.load;
            let _ = writeln!(
                text,
                "- **The machine was busy** when it began: load average {load:.1} a core"
            );
        }
        text
    }

    pub fn version(&self, peer: Peer) -> &str {
        let version = self.versions.iter().find(|(other, _)| *other == peer);
        version.map_or("", |(_, version)| version)
    }
}

/// Other work would share the two cores.
const BUSY: f64 = 0.3;

fn versions(places: &Places) -> Vec<(Peer, String)> {
    let locked = include_str!("../Cargo.lock");
    let node = said("node", &["--version"]);
    let ws = fs::read_to_string(places.js("node_modules/ws/package.json")).unwrap_or_default();
    let ws: serde_json::Value = serde_json::from_str(&ws).unwrap_or_default();
    let ws = ws["version"].as_str().unwrap_or("?");
    let bun = places.bun.as_ref().map(|bun| said(bun, &["--version"]));
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

/// The newest version of a package that is in a lock file.
fn locked_version(locked: &str, package: &str) -> String {
    let name = format!("name = \"{package}\"\nversion = \"");
    let last = locked.rsplit_once(&name).map_or("", |(_, rest)| rest);
    last.split('"').next().unwrap_or_default().to_owned()
}

/// What a program says; nothing if there is none.
fn said(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}
