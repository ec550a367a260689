//! The server: listens, hands sockets to the shards, answers HTTP, and drains before it ends.
//!
//! ```text
//!  listener ─► http ─► routes ─┬─► api, publish, page ─► response
//!   accepts,   reads,          │
//!   hands to   on its shard    └─► upgrade ─► upgraded ─► connection
//!   a shard                         101        socket
//! ```
//!
//! A [`listener`] accepts sockets, and hands each to a shard. There `http` reads its requests from
//! a [`stream`], in `turns` like those of a connection. [`answer`] begins and ends the answer to a
//! request for the [`site`], and [`routes`] finds the code for its path: [`api`], [`publish`] and
//! [`page`] answer with a [`response`], `upgrade` makes a WebSocket connection for the request, and
//! [`upgraded`] brings the socket to that connection. [`head`] and [`body`] read a request within
//! limits, [`encoding`] checks how its body is encoded, and [`query`] parses the topics in its
//! target. [`host`] and [`origin`] check whether the request is let in.
//!
//! [`underway`] has the requests that a drain waits for. The `watchdog` notices shards that stand
//! still, as [`standing`] decides. A client that no shard can serve gets one answer, from `brief`.
//! [`incident_log`] logs what goes wrong, at a limited rate, and `internals` opens private parts for
//! `fuzz/`.

mod answer;
mod api;
mod body;
mod brief;
mod encoding;
mod head;
mod host;
mod http;
mod incident_log;
#[cfg(feature = "internals")]
pub(crate) mod internals;
mod listener;
mod origin;
mod page;
mod publish;
mod query;
mod response;
mod routes;
mod site;
mod standing;
mod stream;
#[cfg(test)]
mod tests;
mod turns;
mod underway;
mod upgrade;
mod upgraded;
mod watchdog;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    join,
    sync::{mpsc, watch},
    time::{interval, sleep, timeout},
};
use tracing::{info, warn};

use self::{
    http::Lifetime,
    incident_log::IncidentLog,
    listener::{Listener, handoff::Handoff},
    site::Site,
};
pub use self::{
    response::Response,
    upgrade::{upgrade, upgrade_as},
};
use crate::{
    config::Config,
    error::Error,
    hub::{Hub, bounds::drain_time::DrainTime},
    metrics::Drained,
};

/// A server whose listeners are bound and whose shards run. It accepts nothing before
/// [`serve`](Self::serve) is called.
#[derive(Debug)]
pub struct Server {
    /// All listeners. There is at least one.
    listeners: Vec<Listener>,
    site: Arc<Site>,
    /// Time between two checks of the shards by the watchdog.
    check_interval: Duration,
}

impl Server {
    /// Checks `config`, listens, and starts the shards.
    ///
    /// # Errors
    ///
    /// A setting is wrong, the server can't listen on the address, or a thread can't be started.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let cannot_listen = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener =
            Listener::bind(config.listen, config.hub.timeouts.request).map_err(cannot_listen)?;
        let hub = Hub::start(&config.hub)?;
        let site = Arc::new(Site::new(hub, config, Instant::now()));
        Ok(Self {
            listeners: vec![listener],
            site,
            check_interval: watchdog::CHECK_INTERVAL,
        })
    }

    /// Returns the address that the server listens on. If the configuration has port 0, this has
    /// the port that the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listeners[0].address
    }

    /// Returns the hub that the connections belong to.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.site.hub.clone()
    }

    /// Serves until `shutdown` completes or a shard panics, and then drains: accepts no more
    /// sockets, answers the requests that it has begun to answer, delivers all publications, writes
    /// the outboxes, and closes every connection with 1012. The connections of a shard that panicked
    /// were closed with 1011.
    ///
    /// What goes wrong meanwhile is logged by [`tracing`], at most once a second for each kind.
    ///
    /// # Errors
    ///
    /// [`Error::Watchdog`], immediately, if the watchdog can't be started;
    /// [`Error::ShardPanicked`], after the drain, if a shard has panicked; [`Error::DrainTimeout`],
    /// if the drain took longer than [`drain_timeout`](Config::drain_timeout).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server accepts no more sockets. Its connections stay open
    /// while a [`Hub`] handle exists.
    pub async fn serve(self, shutdown: impl Future) -> Result<(), Error> {
        let (end, is_ending) = watch::channel(false);
        // Nothing is sent on this channel. It closes when all clones of `open` are dropped.
        let (open, all_closed) = mpsc::channel(1);
        let (requests, running, all_answered) = underway::requests();
        let lifetime = Lifetime {
            is_ending,
            requests,
            _open: open,
        };
        let Self {
            listeners,
            site,
            check_interval,
        } = self;
        let handoff = Handoff {
            site: Arc::clone(&site),
            lifetime,
        };
        let watched: io::Result<_> = listeners.iter().map(Listener::try_clone).collect();
        let watched = watched.map_err(Error::Watchdog)?;
        watchdog::start(watched, handoff.clone(), check_interval).map_err(Error::Watchdog)?;
        for listener in listeners {
            handoff.clone().start(listener);
        }
        // Every open connection holds a clone of the lifetime, and the drain must wait for these
        // clones alone.
        drop(handoff);
        let ends = Ends {
            all_answered,
            all_closed,
        };
        let mut log = IncidentLog::default();
        tokio::select! {
            () = housekeeping(&site, &mut log) => {}
            () = site.hub.shard_panicked() => {}
            _ = shutdown => {}
        }
        let started = Instant::now();
        info!(connections = site.hub.metrics().connections, "draining");
        let _ = end.send(true);
        drop(running);
        let drained = tokio::select! {
            drained = drain(&site, ends) => drained,
            () = log_incidents(&site, &mut log) => Ok(()),
        };
        log.log_rest(site.hub.incidents(), site.hub.budget().metrics());
        log_drained(&site, &drained, started);
        if site.hub.has_panicked() {
            return Err(Error::ShardPanicked);
        }
        drained
    }
}

/// Logs incidents and deletes expired registrations, for ever.
async fn housekeeping(site: &Site, log: &mut IncidentLog) {
    tokio::join!(log_incidents(site, log), expire_registrations(site));
}

/// Logs incidents, for ever.
async fn log_incidents(site: &Site, log: &mut IncidentLog) {
    let mut interval = interval(HOUSEKEEPING_INTERVAL);
    loop {
        interval.tick().await;
        let memory = site.hub.budget().metrics();
        log.log(site.hub.incidents(), memory, Instant::now());
    }
}

/// Logs the end of a drain: how many connections were closed in an orderly way, how many had to be
/// cut, and how many are left.
fn log_drained(site: &Site, drained: &Result<(), Error>, started: Instant) {
    let Drained {
        closed,
        cut,
        undelivered,
    } = site.hub.drained();
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match drained {
        Ok(()) => info!(closed, cut, undelivered, duration_ms, "drained"),
        Err(_) => {
            let left = site.hub.metrics().connections;
            warn!(
                closed,
                cut, left, undelivered, duration_ms, "not drained in time"
            );
        }
    }
}

/// Deletes expired registrations, for ever.
async fn expire_registrations(site: &Site) {
    let mut interval = interval(HOUSEKEEPING_INTERVAL);
    loop {
        interval.tick().await;
        while site.registry.expire(Instant::now()) {
            sleep(EXPIRY_PAUSE).await;
        }
    }
}

/// The ends of requests and of connections. Nothing is sent on either channel.
struct Ends {
    /// Closed when every request that is complete is answered.
    all_answered: mpsc::Receiver<Infallible>,
    /// Closed when every HTTP connection is closed.
    all_closed: mpsc::Receiver<Infallible>,
}

/// Waits until all complete requests are answered, and then drains the hub. Both together take at
/// most the drain timeout. Meanwhile a client that has sent a part of a request may send the rest,
/// and this request is then rejected. The drain of the hub does not wait for such clients.
async fn drain(site: &Site, mut ends: Ends) -> Result<(), Error> {
    let time = DrainTime(site.drain_timeout);
    let started = Instant::now();
    let _ = timeout(time.for_requests(), ends.all_answered.recv()).await;
    let elapsed = started.elapsed();
    let rest = time.for_requests().saturating_sub(elapsed);
    let closed = timeout(rest, ends.all_closed.recv());
    let drained = site.hub.drain(time.0.saturating_sub(elapsed));
    let (drained, _) = join!(drained, closed);
    Ok(drained?)
}

/// Pause between two batches of deletions of expired registrations. During the pause the shards can
/// take the registry's lock.
const EXPIRY_PAUSE: Duration = Duration::from_millis(1);

/// Time between two searches for expired registrations, and between two looks at the incidents. A
/// registration may outlive its lifetime by so much.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(250);
