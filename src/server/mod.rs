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
//! [`shortage_log`] logs what is ended or refused while memory is short, and `internals` opens
//! private parts for `fuzz/`.

mod answer;
mod api;
mod body;
mod brief;
mod encoding;
mod head;
mod host;
mod http;
#[cfg(feature = "internals")]
pub(crate) mod internals;
mod listener;
mod origin;
mod page;
mod publish;
mod query;
mod response;
mod routes;
mod shortage_log;
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
use tracing::info;

use self::{
    http::Lifetime,
    listener::{Listener, handoff::Handoff},
    shortage_log::ShortageLog,
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
        tokio::select! {
            () = housekeeping(&site) => {}
            () = site.hub.shard_panicked() => {}
            _ = shutdown => {}
        }
        info!("draining");
        let _ = end.send(true);
        drop(running);
        let drained = drain(&site, ends).await;
        if site.hub.has_panicked() {
            return Err(Error::ShardPanicked);
        }
        drained
    }
}

/// Deletes expired registrations, and logs what was ended or refused for lack of memory.
async fn housekeeping(site: &Site) {
    let mut interval = interval(HOUSEKEEPING_INTERVAL);
    let (mut shortage, mut logged) = (ShortageLog::default(), Instant::now());
    loop {
        interval.tick().await;
        if logged.elapsed() >= LOG_INTERVAL {
            shortage.log(&site.hub.metrics());
            logged = Instant::now();
        }
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

/// Shortest time between two log lines about the same kind of shortage.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two searches for expired registrations. A registration may outlive its lifetime by
/// so much.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(250);
