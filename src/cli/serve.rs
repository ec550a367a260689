//! `framecast serve`: the server, until a signal.

use std::{
    future::Future,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use framecast::{Config, Error, Server};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Deserialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

use super::{
    Misuse,
    value::{Count, Time, Whole},
};

/// Run the server
///
/// Listens for WebSocket clients and for the HTTP interface on one address.
/// Ctrl-C or SIGTERM drains it: what was published is delivered, what is queued
/// is written, every connection is closed with code 1012. A second signal ends it
/// at once.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Read settings from this TOML file; what is given on the command line wins
    ///
    /// The names are those of the options, for example: max-message-bytes = 65536
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

/// What can be set, on the command line and in the file by the same names.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Settings {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// Threads that serve connections [default: the cores that this process may use]
    #[arg(long, value_name = "N")]
    shards: Option<Count>,

    /// The largest message of a client, over all its fragments [default: 65536]
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<Whole>,

    /// The most fragments of one message [default: 1024]
    #[arg(long, value_name = "N")]
    max_fragments: Option<Whole<u32, 0, { u32::MAX as usize }>>,

    /// The most registrations at one time [default: 100000]
    #[arg(long, value_name = "N")]
    max_registrations: Option<Whole>,

    /// Let web pages of this origin use the server, such as https://app.example; * for every
    /// page; may be repeated [default: only the server's own]
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Option<Vec<String>>,

    /// Let anybody who reaches a public listen address publish and subscribe
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    allow_anonymous: Option<bool>,

    /// Compress messages for clients that offer permessage-deflate
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    deflate: Option<bool>,

    /// Send messages of fewer bytes uncompressed [default: 64]
    #[arg(long, value_name = "BYTES")]
    deflate_min_bytes: Option<Whole>,

    /// Connections that may have a compression context of their own, which is not shared and
    /// costs 160 KiB [default: 0]
    #[arg(long, value_name = "N")]
    deflate_contexts: Option<Whole>,

    /// Time for the head of a request, and as much for its body [default: 5s]
    #[arg(long, value_name = "TIME")]
    request_timeout: Option<Time>,

    /// Ping a connection that was silent for so long [default: 25s]
    #[arg(long, value_name = "TIME")]
    ping_after: Option<Time>,

    /// End a connection that stays silent for so long after a ping [default: 10s]
    #[arg(long, value_name = "TIME")]
    pong_within: Option<Time>,

    /// Time for the closing handshake [default: 5s]
    #[arg(long, value_name = "TIME")]
    close_timeout: Option<Time>,

    /// End a subscriber whose outbox is over its bound when its socket has taken nothing for so
    /// long [default: 1s]
    #[arg(long, value_name = "TIME")]
    slow_after: Option<Time>,

    /// Forget a registration that nobody is connected to after so long [default: 5m]
    #[arg(long, value_name = "TIME")]
    registration_lifetime: Option<Time>,

    /// Time for finishing everything at shutdown [default: 10s]
    #[arg(long, value_name = "TIME")]
    drain_timeout: Option<Time>,

    /// What to log, by target and level, such as info or info,framecast=debug [default: info]
    #[arg(long, env = "RUST_LOG", value_name = "FILTER")]
    log: Option<String>,
}

/// Runs the server until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut settings = match &args.config {
        Some(file) => read(file)?,
        None => Settings::default(),
    };
    settings.override_with(args.settings);
    let log = settings.log.as_deref().filter(|log| !log.is_empty());
    start_logging(log.unwrap_or("info")).map_err(Misuse)?;
    raise_descriptor_limit();
    // Taken before the address is announced: a signal that comes after that drains.
    let stop = stop_signal()?;
    let server = Server::bind(&settings.into_config()).map_err(|error| match error {
        Error::Setting(setting) => Misuse(setting.into()).into(),
        error => anyhow!(error),
    })?;
    announce(&server)?;
    server.serve(stop).await?;
    info!("stopped");
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Settings> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("config: {name}"))?;
    toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text[..start].matches('\n').count() + 1;
        let reason = error.message().replace('\n', " ");
        Misuse(anyhow!("config: {name}, line {line}: {reason}")).into()
    })
}

impl Settings {
    /// Takes what `other` has set.
    fn override_with(&mut self, other: Self) {
        fn set<T>(own: &mut Option<T>, other: Option<T>) {
            if other.is_some() {
                *own = other;
            }
        }
        set(&mut self.listen, other.listen);
        set(&mut self.shards, other.shards);
        set(&mut self.max_message_bytes, other.max_message_bytes);
        set(&mut self.max_fragments, other.max_fragments);
        set(&mut self.max_registrations, other.max_registrations);
        set(&mut self.allow_origin, other.allow_origin);
        set(&mut self.allow_anonymous, other.allow_anonymous);
        set(&mut self.deflate, other.deflate);
        set(&mut self.deflate_min_bytes, other.deflate_min_bytes);
        set(&mut self.deflate_contexts, other.deflate_contexts);
        set(&mut self.request_timeout, other.request_timeout);
        set(&mut self.ping_after, other.ping_after);
        set(&mut self.pong_within, other.pong_within);
        set(&mut self.close_timeout, other.close_timeout);
        set(&mut self.slow_after, other.slow_after);
        set(&mut self.registration_lifetime, other.registration_lifetime);
        set(&mut self.drain_timeout, other.drain_timeout);
        set(&mut self.log, other.log);
    }

    /// The configuration: what is not set has its default.
    fn into_config(self) -> Config {
        fn set<T>(own: &mut T, setting: Option<T>) {
            if let Some(setting) = setting {
                *own = setting;
            }
        }
        let mut config = Config::default();
        let number = |number: Option<Whole>| number.map(|number| number.0);
        let time = |time: Option<Time>| time.map(|time| time.0);
        set(&mut config.listen, self.listen);
        set(&mut config.shards, self.shards.map(|shards| shards.0));
        set(
            &mut config.limits.message_bytes,
            number(self.max_message_bytes),
        );
        set(
            &mut config.limits.fragments,
            self.max_fragments.map(|most| most.0),
        );
        set(
            &mut config.limits.registrations,
            number(self.max_registrations),
        );
        set(&mut config.access.allowed_origins, self.allow_origin);
        set(&mut config.access.allow_anonymous, self.allow_anonymous);
        set(&mut config.deflate.enabled, self.deflate);
        set(
            &mut config.deflate.min_bytes,
            number(self.deflate_min_bytes),
        );
        set(&mut config.deflate.contexts, number(self.deflate_contexts));
        set(&mut config.timeouts.request, time(self.request_timeout));
        set(&mut config.timeouts.ping_after, time(self.ping_after));
        set(&mut config.timeouts.pong_within, time(self.pong_within));
        set(&mut config.timeouts.close, time(self.close_timeout));
        set(&mut config.timeouts.blocked, time(self.slow_after));
        set(
            &mut config.timeouts.registration,
            time(self.registration_lifetime),
        );
        set(&mut config.timeouts.drain, time(self.drain_timeout));
        config
    }
}

/// Logs go to standard error. `Debug` of what clients sent is logged, which escapes it.
fn start_logging(filter: &str) -> anyhow::Result<()> {
    // A word alone would be taken for a target, and all others would be off.
    for directive in filter.split(',').map(str::trim) {
        let is_target = directive.contains('=') && !directive.contains('[');
        let is_level = !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
        if !is_target && !is_level {
            bail!("log: {directive:?} is neither a level, such as info, nor target=level");
        }
    }
    let targets: Targets = match filter.parse() {
        Ok(targets) => targets,
        Err(error) => bail!("log: {filter:?}: {error}"),
    };
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .init();
    Ok(())
}

/// Allows as many connections as the system lets us; the usual soft limit is 1,024 descriptors.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it there are just fewer connections.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Completes at the first Ctrl-C or SIGTERM; the second one ends the process.
fn stop_signal() -> anyhow::Result<impl Future> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    Ok(async move {
        either(&mut interrupt, &mut terminate).await;
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(EXIT_AT_ONCE);
        });
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// As a shell reports a program that was interrupted.
const EXIT_AT_ONCE: i32 = 130;

/// Says where the server is, on standard output, for people and for whoever has chosen port 0.
fn announce(server: &Server) -> anyhow::Result<()> {
    let address = server.local_addr();
    let mut stdout = io::stdout();
    let said =
        writeln!(stdout, "framecast listens on http://{address}").and_then(|()| stdout.flush());
    match said {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            bail!("standard output: {error}")
        }
        _ => Ok(()),
    }
}
