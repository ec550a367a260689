//! `framecast serve`: the server, until a signal.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use framecast::{Config, Error, HubConfig, Server};
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tracing::info;

use crate::{
    Misuse, descriptors, logging, signals,
    size::Size,
    stderr::Lines,
    value::{Count, Time, Whole},
};

/// Run the server
///
/// Listens for WebSocket clients and for the HTTP interface on one address.
/// Ctrl-C, SIGTERM or SIGHUP drains it: what was published is delivered, what is
/// queued is written, every connection is closed with code 1012. A second Ctrl-C or
/// SIGTERM ends it at once. Under nohup it ignores SIGHUP.
///
/// A SIZE is in bytes, such as 65536, or in units of 1024: 64KiB, 200MiB, 1GiB.
/// A TIME has a unit: 250ms, 5s, 2m, 1h.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Read settings from this TOML file; what is given on the command line wins
    ///
    /// The names are those of the options, for example: max-message-bytes = "200KiB"
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

    /// The largest message of a client, over all its fragments, such as 65536, 200KiB or 1MiB
    /// [default: 64KiB]
    #[arg(long, value_name = "SIZE")]
    max_message_bytes: Option<Size>,

    /// The most fragments of one message [default: 1024]
    #[arg(long, value_name = "N")]
    max_fragments: Option<Whole<u32, 0, { u32::MAX as usize }>>,

    /// The most registrations at one time [default: 100000]
    #[arg(long, value_name = "N")]
    max_registrations: Option<Whole>,

    /// What all clients together may make the server hold, such as 200MiB [default: half of the
    /// memory of the machine or of its cgroup]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<Size>,

    /// Let web pages of this origin use the server, such as https://app.example; * for every
    /// page; may be repeated [default: only the server's own]
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Option<Vec<String>>,

    /// Answer to this name, such as app.example, and not only to localhost, to addresses and to
    /// the host of --public-url; * for every name; may be repeated [default: none]
    #[arg(long, value_name = "NAME")]
    allow_host: Option<Vec<String>>,

    /// Where those outside find this server, such as https://app.example/rt: what /register
    /// answers begins with it [default: where a request has asked]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Let anybody who reaches a public listen address publish and subscribe
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    allow_anonymous: Option<bool>,

    /// Compress messages for clients that offer permessage-deflate
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    deflate: Option<bool>,

    /// Send smaller messages uncompressed [default: 64]
    #[arg(long, value_name = "SIZE")]
    deflate_min_bytes: Option<Size>,

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

    /// End a subscriber whose oldest waiting message is older than this [default: 30s]
    #[arg(long, value_name = "TIME")]
    max_behind: Option<Time>,

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
pub(crate) async fn run(args: Args, log_lines: Lines) -> anyhow::Result<()> {
    let (mut config, mut log) = (Config::default(), None);
    if let Some(file) = &args.config {
        read(file)?.apply(&mut config, &mut log);
    }
    args.settings.apply(&mut config, &mut log);
    let log = log.filter(|log| !log.is_empty());
    logging::start(log.as_deref().unwrap_or("info"), log_lines).map_err(Misuse)?;
    descriptors::raise_limit();
    // Taken before the address is announced: a signal that comes after that drains.
    let mut stop = signals::listen()?;
    let server = Server::bind(&config).map_err(|error| match error {
        Error::Setting(setting) => Misuse(setting.into()).into(),
        error => anyhow!(error),
    })?;
    let address = server.local_addr();
    let is_stopped = tokio::select! {
        // On a thread of its own: standard output may be a pipe that is full.
        said = spawn_blocking(move || announce(address)) => {
            said.context("standard output")??;
            false
        }
        // Somebody may have read the address, and connected.
        _ = &mut stop => true,
    };
    let stopped = async {
        if !is_stopped {
            let _ = stop.await;
        }
    };
    server.serve(stopped).await?;
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
    /// Sets what is given here, and leaves the rest as it is.
    fn apply(self, config: &mut Config, log: &mut Option<String>) {
        fn set<T>(setting: &mut T, given: Option<T>) {
            if let Some(given) = given {
                *setting = given;
            }
        }
        let count = |given: Option<Whole>| given.map(|given| given.0);
        let size = |given: Option<Size>| given.map(|given| given.0);
        let time = |given: Option<Time>| given.map(|given| given.0);
        let HubConfig {
            shards,
            access,
            limits,
            timeouts,
            deflate,
            ..
        } = &mut config.hub;
        set(&mut config.listen, self.listen);
        set(shards, self.shards.map(|given| given.0));

        set(&mut limits.message_bytes, size(self.max_message_bytes));
        let fragments = self.max_fragments.map(|given| given.0);
        set(&mut limits.fragments, fragments);
        set(
            &mut config.registrations.most,
            count(self.max_registrations),
        );
        let budget = size(self.memory_budget).map(|bytes| Some(bytes as u64));
        set(&mut limits.memory_budget, budget);

        set(&mut access.allowed_origins, self.allow_origin);
        set(&mut access.allowed_hosts, self.allow_host);
        set(&mut access.public_url, self.public_url.map(Some));
        set(&mut access.allow_anonymous, self.allow_anonymous);

        set(&mut deflate.enabled, self.deflate);
        set(&mut deflate.min_bytes, size(self.deflate_min_bytes));
        set(&mut deflate.contexts, count(self.deflate_contexts));

        set(&mut timeouts.request, time(self.request_timeout));
        set(&mut timeouts.ping_after, time(self.ping_after));
        set(&mut timeouts.pong_within, time(self.pong_within));
        set(&mut timeouts.close, time(self.close_timeout));
        set(&mut timeouts.blocked, time(self.slow_after));
        set(&mut timeouts.behind, time(self.max_behind));
        set(
            &mut config.registrations.lifetime,
            time(self.registration_lifetime),
        );
        set(&mut config.drain_timeout, time(self.drain_timeout));

        set(log, self.log.map(Some));
    }
}

/// Says where the server is, on standard output, for people and for whoever has chosen port 0.
fn announce(address: SocketAddr) -> anyhow::Result<()> {
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
