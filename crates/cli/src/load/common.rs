//! Options that all scenarios share: the server, the time, and the files for the result.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::builder::{PathBufValueParser, TypedValueParser};
use framecast_load::plan::{MessageFormat, Scheme, TOPIC, Target};

use crate::{
    Misuse,
    dial::ADDRESS_TIMEOUT,
    header::{Header, Headers},
    load::{output::is_stdout, threshold::Thresholds},
    size::Size,
    url::Url,
    value::{Count, Time, Whole},
};

/// Help of `--url` in the scenarios that do not support a bare TCP server.
pub(super) const WEBSOCKET_URL: &str =
    "URL of the server [default: the endpoint of framecast serve for this, on 127.0.0.1:8080]";

#[derive(Debug, clap::Args)]
pub(super) struct CommonArgs {
    /// URL of the server; use tcp:// for one that sends every byte back, to measure the cost of
    /// connections without WebSocket [default: the endpoint of framecast serve for this, on
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Add a header to all requests, such as "Origin: https://app.example"; a Host replaces that of
    /// the URL; may be repeated
    #[arg(long = "header", value_name = "LINE")]
    headers: Vec<Header>,

    /// Measured time; before it comes a warm-up of a fifth of it, at most 1 s
    #[arg(long, value_name = "TIME", default_value = "5s")]
    duration: Time,

    /// Open the connections evenly over this time [default: as fast as the server accepts them]
    #[arg(long, value_name = "TIME")]
    ramp: Option<Time>,

    /// Spread the connections over at least this many processes, of which the first one publishes
    /// [default: as many as the limit on file descriptors makes necessary]
    #[arg(long, value_name = "N")]
    workers: Option<Count>,

    /// Ignore the first N messages on each connection, of a server that greets its clients
    #[arg(long, value_name = "N", default_value = "0")]
    skip: Greetings,

    /// End the connections by a reset (RST): those that are open at the end without a closing
    /// handshake, and others as soon as the server has answered it
    #[arg(long)]
    abort: bool,

    /// Process id of the server, to measure its CPU time and memory, and to tell whether it was the
    /// bottleneck
    #[arg(long, value_name = "PID")]
    pid: Option<Pid>,

    /// Write the result to this file as JSON; - is standard output, and the table then goes to
    /// standard error
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    json: Option<PathBuf>,

    /// Write the latencies to this file as an HdrHistogram percentile distribution; - is standard
    /// output, as with --json
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    hdr: Option<PathBuf>,

    /// Draw latency over percentiles and time, and throughput, to this file; the memory of an idle
    /// server with --pid
    #[arg(long, value_name = "FILE.svg", help_heading = "Results", value_parser = svg_file())]
    plot: Option<PathBuf>,

    /// Fail if the 99th percentile of the latency is above this, such as 5ms
    #[arg(long, value_name = "TIME", help_heading = "Results")]
    max_p99: Option<Time>,

    /// Fail if less than this share of the messages has arrived, from 0 to 1, or if any has arrived
    /// twice, out of order or corrupted
    #[arg(long, value_name = "RATIO", help_heading = "Results")]
    min_ratio: Option<Ratio>,
}

/// The values of [`CommonArgs`], in the types that a run needs.
#[derive(Debug)]
pub(super) struct Common {
    url: Option<String>,
    headers: Vec<Header>,
    pub(super) duration: Duration,
    pub(super) ramp: Duration,
    pub(super) workers: Option<usize>,
    skip: u32,
    abort: bool,
    pub(super) pid: Option<u32>,
    pub(super) json: Option<PathBuf>,
    pub(super) hdr: Option<PathBuf>,
    pub(super) plot: Option<PathBuf>,
    pub(super) thresholds: Thresholds,
}

impl From<CommonArgs> for Common {
    fn from(args: CommonArgs) -> Self {
        Self {
            url: args.url,
            headers: args.headers,
            duration: args.duration.0,
            ramp: args.ramp.map_or(Duration::ZERO, |ramp| ramp.0),
            workers: args.workers.map(|Whole(workers)| workers.get()),
            skip: args.skip.0,
            abort: args.abort,
            pid: args.pid.map(|pid| pid.0),
            json: args.json,
            hdr: args.hdr,
            plot: args.plot,
            thresholds: Thresholds {
                max_p99: args.max_p99.map(|time| time.0),
                min_ratio: args.min_ratio.map(|ratio| ratio.0),
            },
        }
    }
}

impl Common {
    /// Returns the URL of the command line, or `default` if it has none.
    pub(super) fn url<'a>(&'a self, default: &'a str) -> &'a str {
        self.url.as_deref().unwrap_or(default)
    }

    fn parse_url(&self, default_url: &str) -> anyhow::Result<(Scheme, Url)> {
        // `{topic}` is replaced while the URL is parsed, because braces are not allowed in a URL.
        let text = self.url(default_url);
        let (_, rest) = text.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '\\', '?']).next().unwrap_or_default();
        ensure!(
            !authority.contains(TOPIC),
            "the host in the URL must not contain {TOPIC}"
        );
        let text = text.replace(TOPIC, TOPIC_PLACEHOLDER);
        let (scheme, written) = match text.split_once(':') {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("tcp") => (Scheme::Tcp, "tcp"),
            _ => (Scheme::Ws, "ws"),
        };
        Ok((scheme, Url::parse(&text, written)?))
    }

    /// Looks the server's name up, and returns the address to connect to. If the name has several
    /// addresses, tries to connect to one after the other until one accepts, so call this only
    /// once.
    pub(super) fn address(&self, default_url: &str) -> anyhow::Result<SocketAddr> {
        let (_, url) = self.parse_url(default_url).map_err(Misuse)?;
        address(&url)
    }

    /// Fails if two results are to go to standard output.
    pub(super) fn check_outputs(&self) -> anyhow::Result<()> {
        let is_stdout = |path: &Option<PathBuf>| path.as_deref().is_some_and(is_stdout);
        let both = is_stdout(&self.json) && is_stdout(&self.hdr);
        ensure!(!both, "--json and --hdr cannot both go to standard output");
        Ok(())
    }

    /// Returns the target: the server, without its address, and the opening handshake for it. Does
    /// no I/O, and fails if the command line is wrong.
    pub(super) fn target(&self, default_url: &str) -> anyhow::Result<Target> {
        let (scheme, url) = self.parse_url(default_url)?;
        let headers = Headers::new(self.headers.clone())?;
        let path = match &url.query {
            Some(query) => format!("{}?{query}", url.path),
            None => url.path.clone(),
        };
        Ok(Target {
            scheme,
            // `address` looks it up later.
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
            path: path.replace(TOPIC_PLACEHOLDER, TOPIC),
            headers: headers.lines(),
            greetings: self.skip,
            aborts: self.abort,
            authority: headers.host.unwrap_or(url.authority),
        })
    }

    /// Returns the length of the warm-up. It is longer than caches, buffers and branch predictors
    /// need to warm up.
    pub(super) fn warm_up(&self) -> Duration {
        (self.duration / 5).min(Duration::from_secs(1))
    }
}

fn address(url: &Url) -> anyhow::Result<SocketAddr> {
    let addresses = (url.host.as_str(), url.port).to_socket_addrs();
    let mut addresses: Vec<_> = addresses
        .with_context(|| format!("cannot find {}", url.authority))?
        .collect();
    // IPv4 first: by default, a server whose name has both kinds of addresses usually listens on
    // IPv4.
    addresses.sort_by_key(|address| !address.is_ipv4());
    reachable(&addresses, ADDRESS_TIMEOUT).with_context(|| format!("cannot find {}", url.authority))
}

/// Returns the first address that accepts a connection within the time `each`. If none does, returns
/// the first address, so that the run fails with the error of connecting to it. If there is only one
/// address, returns it without a connection.
fn reachable(addresses: &[SocketAddr], each: Duration) -> Option<SocketAddr> {
    let (first, others) = addresses.split_first()?;
    if others.is_empty() {
        return Some(*first);
    }
    let accepts = |address: &&SocketAddr| TcpStream::connect_timeout(address, each).is_ok();
    Some(*addresses.iter().find(accepts).unwrap_or(first))
}

/// The text that replaces [`TOPIC`] in a URL while the URL is parsed:
/// a parser would refuse the braces of `{topic}`.
const TOPIC_PLACEHOLDER: &str = "framecast-topic-goes-here";

/// Parses the file name of the plot. Refuses the extension of another format, as the plot is an
/// SVG.
fn svg_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|file| {
        let extension = file.extension().unwrap_or_default();
        if extension.eq_ignore_ascii_case("svg") {
            Ok(file)
        } else {
            Err("the plot is an SVG, whose name must end in .svg")
        }
    })
}

/// Options for the messages that are sent.
#[derive(Debug, clap::Args)]
pub(super) struct MessageArgs {
    /// Size of a message in bytes, such as 100 or 16KiB
    #[arg(long, value_name = "SIZE", default_value = "64")]
    size: Size<MAX_SIZE>,

    /// Send binary messages instead of text
    #[arg(long)]
    binary: bool,
}

impl MessageArgs {
    /// Returns the format of the messages. Fails with the text `reason` if `--size` is less than
    /// `least` bytes.
    pub(super) fn format(&self, least: usize, reason: &str) -> anyhow::Result<MessageFormat> {
        let Size(size) = self.size;
        ensure!(
            size >= least,
            "--size: {size} is less than {least}, {reason}"
        );
        Ok(MessageFormat {
            size,
            is_binary: self.binary,
        })
    }
}

/// Length of the longest message that the generator can receive, in bytes.
const MAX_SIZE: usize = 64 << 20;

/// The id of a process.
type Pid = Whole<u32, 1, { u32::MAX as usize }>;

/// A number of messages at the start of a connection.
type Greetings = Whole<u32, 0, { u32::MAX as usize }>;

/// A rate per second, above 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(pub(super) f64);

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(Self(rate)),
            _ => Err("not a number from above 0 to 1e9"),
        }
    }
}

/// Highest rate: one event per nanosecond.
const MAX_RATE: f64 = 1e9;

#[derive(Clone, Copy, Debug)]
struct Ratio(f64);

impl FromStr for Ratio {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Self(ratio)),
            _ => Err("not a number from 0 to 1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::dial::tests::silent;

    #[test]
    fn of_several_addresses_the_first_that_accepts_a_connection_is_used() {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (open, closed) = (listen(), listen());
        let open_address = open.local_addr().unwrap();
        let closed_address = closed.local_addr().unwrap();
        drop(closed);
        let (silent_address, _silent) = silent();
        let each = Duration::from_millis(200);
        let reached = |addresses: &[SocketAddr]| reachable(addresses, each).unwrap();
        assert_eq!(reached(&[silent_address, open_address]), open_address);
        assert_eq!(reached(&[closed_address, open_address]), open_address);
        assert_eq!(reached(&[open_address, closed_address]), open_address);
        // None accepts a connection.
        assert_eq!(reached(&[closed_address, closed_address]), closed_address);
        assert_eq!(reached(&[closed_address]), closed_address);
        assert_eq!(reachable(&[], each), None);
    }
}
