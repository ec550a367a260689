//! `framecast load`: puts a WebSocket server under load, and reports the result.
//!
//! Each scenario has a file with its options: [`churn`], [`echo`], [`fanout`], [`handshake`],
//! [`idle`]. [`common`] has the options of all, and [`help`] the end of the help. [`interrupt`]
//! handles Ctrl-C, and [`progress`] shows the progress of a run. [`outcome`] is a run with its
//! result. [`summary`] formats it as a table. [`output`] writes it to files, whose formats are in
//! [`json`] (with the [`settings`]), [`hdr`] and [`plot`]. [`figures`] formats numbers.
//! [`threshold`] checks whether the result is good enough, with a [`check`] for each option, and
//! [`verdict`] whether it is about the server or about the generator.

mod check;
mod churn;
mod common;
mod echo;
mod fanout;
mod figures;
mod handshake;
mod hdr;
mod help;
mod idle;
mod interrupt;
mod json;
mod outcome;
mod output;
mod plot;
mod progress;
mod settings;
mod summary;
mod threshold;
mod verdict;

use std::time::{Duration, SystemTime};

use anyhow::{anyhow, bail, ensure};
use clap::Subcommand;
use framecast_load::{
    Error, Plan, Progress,
    plan::{self, Protocol, Scheme, TOPIC, Target},
};

use self::{common::Common, outcome::Outcome, output::Outputs, progress::Display};
use crate::{Interrupted, Misuse, descriptors};

/// Put a WebSocket server under load
///
/// Works against any WebSocket server. Latency is counted from the time at which a
/// message was scheduled, so that it includes the time for which a slow server
/// delays the sender.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = help::AFTER)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

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
    /// A text for the summary that says how many connections the scenario has, and what they send.
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

impl Scenario {
    fn run(&self, descriptors: usize) -> anyhow::Result<()> {
        // The command line is checked before anything is connected.
        let mut plan = self.plan().map_err(Misuse)?;
        plan.target.address = self.common.address(self.default_url)?;
        let processes = processes(&plan, descriptors, self.common.workers)?;
        let outputs = Outputs::create(&self.common)?;
        let interruption = interrupt::listen()?;
        let mut display = Display::new();
        let mut show = |progress: &Progress| display.show(progress);
        let started = SystemTime::now();
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
            started,
            report: &report,
            server,
        };
        outcome.write(outputs)?;
        let missed = self.common.thresholds.missed(&report, self.must_be_whole);
        let missed = missed.or_else(|| {
            // The use of CPU and memory is missing although `--pid` was given.
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

    /// Returns the URL of the server.
    fn url(&self) -> &str {
        self.common.url(self.default_url)
    }

    /// Returns the plan for a server whose address is not looked up yet. Fails if the command line is
    /// wrong.
    fn plan(&self) -> anyhow::Result<Plan> {
        let common = &self.common;
        ensure!(
            !common.duration.is_zero(),
            "--duration: must be more than 0"
        );
        common.check_outputs()?;
        let mut target = common.target(self.default_url)?;
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

/// Makes the requests of a run name their topics. For a protocol of templates, adds `topic={topic}`
/// to the query of the target's URL, unless the URL has `{topic}` already, or subscribers send a
/// message to subscribe. For the relay, copies the path of the URL into `protocol` instead: the
/// paths of its HTTP requests begin with it.
fn address_topics(protocol: &mut Protocol, target: &mut Target) -> anyhow::Result<()> {
    match protocol {
        Protocol::Relay(base) => {
            ensure!(!target.path.contains('?'), "the URL must not contain `?`");
            let mut names = target
                .headers
                .iter()
                .filter_map(|line| line.split(':').next());
            ensure!(
                !names.any(|name| name.eq_ignore_ascii_case("content-type")),
                "--header: `Content-Type` cannot be added with --relay"
            );
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

/// Returns the number of processes: as many as the connections need if each process may have
/// `descriptors` file descriptors, or `asked`, the number from `--workers`, if that is more. At
/// most one process for each connection.
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

/// Number of file descriptors of each process that are not used for connections, but left for
/// files, pipes and libraries. Arbitrary.
const OTHER_DESCRIPTORS: usize = 64;

#[cfg(test)]
mod tests {
    use framecast_load::plan::{Idle, ProtocolTemplate};

    use super::*;

    /// Returns a plan with this number of connections. The tests do not depend on its other fields.
    fn plan(connections: usize) -> Plan {
        Plan {
            target: Target {
                scheme: Scheme::Ws,
                address: ([127, 0, 0, 1], 1).into(),
                authority: "h".into(),
                path: "/".into(),
                headers: vec![],
                greetings: 0,
                aborts: false,
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
        // 19,936 of the 20,000 descriptors are for connections.
        let count = |connections, asked| processes(&plan(connections), 20_000, asked).unwrap();
        assert_eq!(count(19_000, None), 1);
        assert_eq!(count(60_000, None), 4);
        // Fewer processes than necessary are asked for.
        assert_eq!(count(60_000, Some(2)), 4);
        // More are asked for.
        assert_eq!(count(100, Some(3)), 3);
        // More are asked for than there are connections.
        assert_eq!(count(2, Some(3)), 2);
        assert!(processes(&plan(1), OTHER_DESCRIPTORS, None).is_err());
    }
}
