//! `framecast load`: puts a WebSocket server under load, and reports the result.
//!
//! Each scenario has a file with its options: [`churn`], [`echo`], [`fanout`], [`handshake`],
//! [`idle`]. [`common`] has the options of all. [`interrupt`] handles Ctrl-C, and [`progress`]
//! shows the progress of a run. [`summary`] formats the result as a table. [`output`] writes it to
//! files, whose formats are in [`json`], [`hdr`] and [`plot`]. [`figures`] formats numbers, and
//! [`threshold`] checks whether the result is good enough.

mod churn;
mod common;
mod echo;
mod fanout;
mod figures;
mod handshake;
mod hdr;
mod idle;
mod interrupt;
mod json;
mod output;
mod plot;
mod progress;
mod summary;
mod threshold;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Subcommand;
use framecast_load::{
    Error, Plan, Progress, Report, ServerUse,
    plan::{self, Protocol, Scheme, TOPIC, Target},
};

use self::{common::Common, figures::time, output::Outputs, progress::Display};
use crate::{Interrupted, Misuse, descriptors};

/// Put a WebSocket server under load
///
/// Works against any WebSocket server. Latency is counted from the time at which a
/// message was scheduled, so that it includes the time for which a slow server
/// delays the sender.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = EXIT_STATUS)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  the run was finished, and its result meets all conditions
  1  the run failed; or the server has ended or refused connections; or no
     message has arrived, or one that was not sent; or --min-ratio or --max-p99
     is not met; or churn has missed a message. The last line on standard error
     says which
  2  the command line is wrong
  130  Ctrl-C has ended the measured time early; the result is that of the time
     until then. A second Ctrl-C ends the run at once, without a result";

// The variants have no doc comments, so that the help shows those of their `Args`.
#[derive(Debug, Subcommand)]
enum Command {
    Echo(echo::Args),
    Fanout(fanout::Args),
    Idle(idle::Args),
    Handshake(handshake::Args),
    Churn(churn::Args),
    #[command(hide = true)]
    Worker,
}

/// A scenario, with the options of its run.
struct Scenario {
    name: &'static str,
    /// The numbers of connections and messages, for the summary.
    description: String,
    default_url: &'static str,
    common: Common,
    plan: plan::Scenario,
    /// True if a run that misses a message fails even without `--min-ratio`.
    must_be_whole: bool,
}

/// Runs the load and reports the result. A result that misses a threshold is an error.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let descriptors = descriptors::raise_limit();
    let scenario = match args.command {
        Command::Echo(args) => args.scenario().map_err(Misuse)?,
        Command::Fanout(args) => args.scenario().map_err(Misuse)?,
        Command::Idle(args) => args.scenario(),
        Command::Handshake(args) => args.scenario(),
        Command::Churn(args) => args.scenario().map_err(Misuse)?,
        Command::Worker => return Ok(framecast_load::serve_worker()?),
    };
    scenario.run(descriptors)
}

/// A run and its result.
struct Outcome<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    processes: usize,
    report: &'a Report,
    server: Option<ServerUse>,
}

impl Scenario {
    fn run(&self, descriptors: usize) -> anyhow::Result<()> {
        let address = self.common.address(self.default_url)?;
        let plan = self.plan(address).map_err(Misuse)?;
        let processes = processes(&plan, descriptors, self.common.workers)?;
        let outputs = Outputs::create(&self.common)?;
        let interruption = interrupt::listen()?;
        let mut display = Display::new();
        let mut show = |progress: &Progress| display.show(progress);
        let done = framecast_load::run(&plan, processes, self.common.pid, interruption, &mut show);
        drop(display);
        let (report, server) = done.map_err(|error| match error {
            Error::Interrupted => Interrupted(error.to_string()).into(),
            error => anyhow!(error),
        })?;
        let outcome = Outcome {
            scenario: self,
            plan: &plan,
            processes,
            report: &report,
            server,
        };
        outcome.write(outputs)?;
        let missed = self.common.thresholds.missed(&report, self.must_be_whole);
        let missed = missed.or_else(|| {
            let pid = self.common.pid.filter(|_| server.is_none())?;
            Some(format!("process {pid} has ended"))
        });
        match (outcome.interrupted(), missed) {
            (Some(after), None) => bail!(Interrupted(format!("interrupted {after}"))),
            (Some(after), Some(missed)) => {
                bail!(Interrupted(format!("interrupted {after}; {missed}")))
            }
            (None, Some(missed)) => bail!(missed),
            (None, None) => Ok(()),
        }
    }

    /// Returns the plan for the server at `address`. Fails if the command line is wrong.
    fn plan(&self, address: SocketAddr) -> anyhow::Result<Plan> {
        let common = &self.common;
        ensure!(
            !common.duration.is_zero(),
            "--duration: must be more than 0"
        );
        let mut target = common.target(self.default_url, address)?;
        let mut scenario = self.plan.clone();
        if let Some(fanout) = scenario.fanout() {
            ensure!(
                target.scheme == Scheme::Ws,
                "the URL must start with ws://: a bare TCP server has no subscribers"
            );
            address_topics(&mut fanout.protocol, &mut target)?;
        }
        let warm_up = match scenario {
            // An idle run sends nothing that could warm up.
            plan::Scenario::Idle(_) => Duration::ZERO,
            _ => common.warm_up(),
        };
        Ok(Plan {
            target,
            scenario,
            ramp: common.ramp,
            warm_up,
            duration: common.duration,
            connection_offset: 0,
            processes: 1,
        })
    }
}

/// Adds `topic={topic}` to the query of the target, unless its path has `{topic}` or subscribers
/// send a message that subscribes. For the relay, moves the path of the target to `protocol`.
fn address_topics(protocol: &mut Protocol, target: &mut Target) -> anyhow::Result<()> {
    match protocol {
        Protocol::Relay(base) => {
            ensure!(!target.path.contains('?'), "the URL must not contain `?`");
            target.path.trim_end_matches('/').clone_into(base);
        }
        Protocol::Template(template)
            if template.subscribe.is_none() && !target.path.contains(TOPIC) =>
        {
            let separator = if target.path.contains('?') { '&' } else { '?' };
            target.path = format!("{}{separator}topic={TOPIC}", target.path);
        }
        Protocol::Template(_) => {}
    }
    Ok(())
}

impl Outcome<'_> {
    /// Returns how long the run had measured when it was interrupted, and how long it should have.
    /// `None` if it was not interrupted.
    fn interrupted(&self) -> Option<String> {
        let (done, whole) = (self.report.duration, self.plan.duration);
        (done < whole).then(|| format!("after {} of {}", time(done), time(whole)))
    }

    fn write(&self, outputs: Outputs) -> anyhow::Result<()> {
        let summary = summary::table(self);
        let mut stdout = io::stdout();
        stdout
            .write_all(summary.as_bytes())
            .context("writing to standard output")?;
        outputs.json.write(|| json::document(self))?;
        outputs
            .hdr
            .write(|| Ok(hdr::percentiles(&self.report.latency)))?;
        outputs.plot.write(|| plot::svg(self))
    }
}

/// Returns the number of processes: as many as the connections need, or `asked` if that is more.
fn processes(plan: &Plan, descriptors: usize, asked: Option<usize>) -> anyhow::Result<usize> {
    let each = descriptors.saturating_sub(OTHER_DESCRIPTORS);
    if each == 0 {
        bail!("only {descriptors} file descriptors are allowed, which is too few");
    }
    let connections = plan.connections();
    let needed = connections.div_ceil(each).max(1);
    let processes = asked.unwrap_or(needed).max(needed);
    // Further processes would have no connection.
    Ok(processes.min(connections.max(1)))
}

/// File descriptors that are left for files, pipes and libraries. Arbitrary.
const OTHER_DESCRIPTORS: usize = 64;

#[cfg(test)]
mod tests {
    use framecast_load::plan::{Idle, ProtocolTemplate};

    use super::*;

    /// Returns a plan with this number of connections, in which nothing else matters.
    fn plan(connections: usize) -> Plan {
        Plan {
            target: Target {
                scheme: Scheme::Ws,
                address: ([127, 0, 0, 1], 1).into(),
                authority: "h".into(),
                path: "/".into(),
                headers: vec![],
            },
            scenario: plan::Scenario::Idle(Idle { connections }),
            ramp: Duration::ZERO,
            warm_up: Duration::ZERO,
            duration: Duration::ZERO,
            connection_offset: 0,
            processes: 1,
        }
    }

    #[test]
    fn the_topic_goes_to_its_place_in_the_url_or_into_the_query() {
        let path = |path: &str, subscribe: Option<&str>| {
            let mut target = plan(1).target;
            path.clone_into(&mut target.path);
            let mut protocol = Protocol::Template(ProtocolTemplate {
                subscribe: subscribe.map(str::to_owned),
                ..ProtocolTemplate::default()
            });
            address_topics(&mut protocol, &mut target).unwrap();
            target.path
        };
        assert_eq!(path("/ws", None), "/ws?topic={topic}");
        assert_eq!(path("/ws?a=b", None), "/ws?a=b&topic={topic}");
        assert_eq!(path("/{topic}/x", None), "/{topic}/x");
        assert_eq!(path("/ws", Some("sub {topic}")), "/ws");
    }

    #[test]
    fn more_connections_than_descriptors_take_more_processes() {
        let needed = |connections, asked| processes(&plan(connections), 20_000, asked).unwrap();
        assert_eq!(needed(19_000, None), 1);
        assert_eq!(needed(60_000, None), 4);
        assert_eq!(needed(60_000, Some(2)), 4);
        assert_eq!(needed(100, Some(3)), 3);
        assert_eq!(needed(2, Some(3)), 2);
        assert!(processes(&plan(1), 64, None).is_err());
    }
}
