//! `framecast serve`: runs the server until a signal.

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
    value::{self, Count, Time, Whole},
};

/// Run the server
///
/// Listens for WebSocket clients and for the HTTP interface on one address.
/// Ctrl-C, SIGTERM or SIGHUP drains it: it delivers what was published, writes what
/// is queued, and closes every connection with code 1012. A second Ctrl-C or
/// SIGTERM ends it at once. Under nohup it ignores SIGHUP.
///
/// A SIZE is in bytes, such as 65536, or in units of 1024: 64KiB, 200MiB, 1GiB.
/// A TIME has a unit: 250ms, 5s, 2m, 1h.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Read settings from this TOML file; options on the command line take precedence
    ///
    /// Each setting has the name of its option, for example: max-message-bytes = "200KiB"
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

/// The settings, which have the same names on the command line and in the settings file.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Settings {
    /// Address and port to listen on; port 0 chooses a free port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = value::address)]
    listen: Option<SocketAddr>,

    /// Number of threads that serve connections [default: the cores that this process may use]
    #[arg(long, value_name = "N")]
    shards: Option<Count>,

    /// Largest message that a client may send, all fragments together, such as 65536, 200KiB or
    /// 1MiB [default: 64KiB]
    #[arg(long, value_name = "SIZE")]
    max_message_bytes: Option<Size>,

    /// Most fragments of one message of a client [default: 1024]
    #[arg(long, value_name = "N")]
    max_fragments: Option<Whole<u32, 0, { u32::MAX as usize }>>,

    /// Most registrations (by POST /register) at one time [default: 100000]
    #[arg(long, value_name = "N")]
    max_registrations: Option<Whole>,

    /// Most memory that all clients together may make the server use, such as 200MiB [default: half
    /// of the memory of the machine or of its cgroup]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<Size>,

    /// Let web pages of this origin use the server, such as https://app.example, or an application,
    /// such as capacitor://localhost; * allows all origins; may be repeated [default: only the
    /// server's own]
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Option<Vec<String>>,

    /// Accept requests whose Host is this name, such as app.example, besides localhost, IP
    /// addresses and the host of --public-url; * accepts all names; may be repeated [default: none]
    #[arg(long, value_name = "NAME")]
    allow_host: Option<Vec<String>>,

    /// URL at which clients reach this server, such as https://app.example/rt: the URLs that
    /// /register returns begin with it [default: the Host of the request]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Allow a listen address that is not loopback: anybody who can reach it may then publish and
    /// subscribe
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    allow_anonymous: Option<bool>,

    /// Compress messages for clients that offer permessage-deflate
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    deflate: Option<bool>,

    /// Send messages below this size uncompressed [default: 64]
    #[arg(long, value_name = "SIZE")]
    deflate_min_bytes: Option<Size>,

    /// Number of connections that may have a compression context of their own, which takes 160 KiB
    /// each [default: 0]
    #[arg(long, value_name = "N")]
    deflate_contexts: Option<Whole>,

    /// Time within which the head of a request must arrive, and then again its body [default: 5s]
    #[arg(long, value_name = "TIME")]
    request_timeout: Option<Time>,

    /// Time that an HTTP connection may be idle between two requests [default: 75s]
    #[arg(long, value_name = "TIME")]
    keep_alive_timeout: Option<Time>,

    /// Send a Ping to a connection that was silent for this time [default: 25s]
    #[arg(long, value_name = "TIME")]
    ping_after: Option<Time>,

    /// End a connection that stays silent for this time after a Ping [default: 10s]
    #[arg(long, value_name = "TIME")]
    pong_within: Option<Time>,

    /// Time that the closing handshake may take [default: 5s]
    #[arg(long, value_name = "TIME")]
    close_timeout: Option<Time>,

    /// End a subscriber whose outbox is over its limit when its socket has taken nothing for this
    /// time [default: 1s]
    #[arg(long, value_name = "TIME")]
    slow_after: Option<Time>,

    /// End a subscriber whose oldest waiting message is older than this [default: 30s]
    #[arg(long, value_name = "TIME")]
    max_behind: Option<Time>,

    /// Forget a registration after this time without a connection [default: 5m]
    #[arg(long, value_name = "TIME")]
    registration_lifetime: Option<Time>,

    /// Time that draining at shutdown may take [default: 10s]
    #[arg(long, value_name = "TIME")]
    drain_timeout: Option<Time>,

    /// Levels of the log, in general and by target, such as info or info,framecast=debug [default:
    /// info]
    #[arg(long, env = "RUST_LOG", value_name = "FILTER")]
    log: Option<String>,

    /// Format of the log: text, or json for one JSON object a line [default: text]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    log_format: Option<logging::Format>,
}

/// The settings of the log.
#[derive(Debug, Default)]
struct LogSettings {
    filter: Option<String>,
    format: logging::Format,
}

/// Runs the server until a signal stops it.
pub(crate) async fn run(args: Args, log_lines: Lines) -> anyhow::Result<()> {
    let (mut config, mut log) = (Config::default(), LogSettings::default());
    if let Some(file) = &args.config {
        read(file)?.apply(&mut config, &mut log);
    }
    args.settings.apply(&mut config, &mut log);
    let filter = log.filter.filter(|filter| !filter.is_empty());
    let filter = filter.as_deref().unwrap_or("info");
    logging::start(filter, log.format, log_lines).map_err(Misuse)?;
    let descriptors = descriptors::raise_limit();
    // Before the address is announced, so that a signal from a reader of the address drains the
    // server instead of killing it.
    let mut stop = signals::listen()?;
    let server = Server::bind(&config).map_err(|error| match error {
        Error::Setting(setting) => Misuse(setting.into()).into(),
        error => anyhow!(error),
    })?;
    let address = server.local_addr();
    log_start(&config, &server, descriptors);
    let is_stopped = tokio::select! {
        // On a thread of its own: standard output may be a full pipe, which blocks.
        announced = spawn_blocking(move || announce(address)) => {
            announced.context("standard output")??;
            false
        }
        // The server still runs, to drain: a client may have read the address and connected.
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

/// Logs the address and the limits of a server that has started, by the names of their settings.
fn log_start(config: &Config, server: &Server, descriptors: usize) {
    let hub = &config.hub;
    let (limits, timeouts) = (&hub.limits, &hub.timeouts);
    let time = Time;
    info!(
        version = %env!("CARGO_PKG_VERSION"),
        listen = %server.local_addr(),
        shards = hub.shards,
        descriptors,
        memory_budget = server.hub().metrics().memory.budget_bytes,
        max_message_bytes = limits.message_bytes,
        max_fragments = limits.fragments,
        max_registrations = config.registrations.most,
        deflate = hub.deflate.enabled,
        request_timeout = %time(timeouts.request),
        keep_alive_timeout = %time(config.keep_alive_timeout),
        ping_after = %time(timeouts.ping_after),
        pong_within = %time(timeouts.pong_within),
        close_timeout = %time(timeouts.close),
        slow_after = %time(timeouts.blocked),
        max_behind = %time(timeouts.behind),
        registration_lifetime = %time(config.registrations.lifetime),
        drain_timeout = %time(config.drain_timeout),
        "started"
    );
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
    /// Writes the settings that are given to `config` and `log`, and leaves the others unchanged.
    fn apply(self, config: &mut Config, log: &mut LogSettings) {
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
        set(
            &mut config.keep_alive_timeout,
            time(self.keep_alive_timeout),
        );
        set(&mut config.drain_timeout, time(self.drain_timeout));

        set(&mut log.filter, self.log.map(Some));
        set(&mut log.format, self.log_format);
    }
}

/// Prints the server's address to standard output. A program that starts the server with port 0
/// reads there which port the system has chosen.
fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let mut stdout = io::stdout();
    let printed =
        writeln!(stdout, "framecast listens on http://{address}").and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            bail!("standard output: {error}")
        }
        _ => Ok(()),
    }
}
