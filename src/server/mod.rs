//! The server: listens, hands sockets to the shards, answers HTTP, and ends in good order.
//!
//! A [`listener`] takes each socket, and hands it to a shard; there `http` reads its requests,
//! `routes` finds what answers them for the [`site`], `upgrade` turns one into a connection. An
//! HTTP connection has `turns`, too. The `watchdog` notices a shard that stands still; who can't be
//! served then, or for want of descriptors, is answered in `brief`.
//!
//! [`routes`] answers by [`api`] and [`page`], with a [`response`]; [`head`] and [`body`] are what it reads of a
//! request, [`host`] and [`origin`] who may ask. [`upgraded`] is how a socket gets to its connection.
//! [`standing`] decides for the watchdog, [`shortage_log`] is what
//! is logged while memory is short, and `internals` opens what `fuzz/` needs.

mod api;
mod body;
mod brief;
mod head;
mod host;
mod http;
#[cfg(feature = "internals")]
pub(crate) mod internals;
mod listener;
mod origin;
mod page;
mod response;
mod routes;
mod shortage_log;
mod site;
mod standing;
#[cfg(test)]
mod tests;
mod turns;
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
    sync::{mpsc, watch},
    time::{interval, sleep, timeout},
};
use tracing::info;

use self::{
    http::Lifetime,
    listener::{Listener, arrivals::Arrivals},
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

/// A server that listens, and whose shards run.
#[derive(Debug)]
pub struct Server {
    /// At least one.
    listeners: Vec<Listener>,
    site: Arc<Site>,
    /// How often the watchdog looks at the shards.
    look_every: Duration,
}

impl Server {
    /// Checks `config`, listens, and starts the shards.
    ///
    /// # Errors
    ///
    /// A setting that can't be started with, an address that can't be listened on, or a thread
    /// that can't be started.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let refused = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener =
            Listener::bind(config.listen, config.hub.timeouts.request).map_err(refused)?;
        let hub = Hub::start(&config.hub)?;
        let site = Arc::new(Site::new(hub, config, Instant::now()));
        Ok(Self {
            listeners: vec![listener],
            site,
            look_every: watchdog::LOOK_EVERY,
        })
    }

    /// The address listened on, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listeners[0].address
    }

    /// The hub that the connections belong to.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.site.hub.clone()
    }

    /// Serves until `shutdown` completes or a shard panics, and then drains: accepts nothing more,
    /// lets requests finish, delivers what was published, writes what is queued, and closes every
    /// connection with 1012. Those of a shard that has panicked were closed with 1011.
    ///
    /// # Errors
    ///
    /// [`Error::Watchdog`], at once; [`Error::ShardPanicked`], after the drain, if a shard has panicked;
    /// [`Error::DrainTimeout`], if that took longer than [`drain_timeout`](Config::drain_timeout).
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops accepting. Connections live on while there is a [`Hub`] handle.
    pub async fn serve(self, shutdown: impl Future) -> Result<(), Error> {
        let (end, is_ending) = watch::channel(false);
        let (open, mut all_closed) = mpsc::channel(1);
        let lifetime = Lifetime {
            is_ending,
            _open: open,
        };
        let Self {
            listeners,
            site,
            look_every,
        } = self;
        let arrivals = Arrivals {
            site: Arc::clone(&site),
            lifetime,
        };
        let watched: io::Result<_> = listeners.iter().map(Listener::try_clone).collect();
        let watched = watched.map_err(Error::Watchdog)?;
        watchdog::start(watched, arrivals.clone(), look_every).map_err(Error::Watchdog)?;
        for listener in listeners {
            arrivals.clone().start(listener);
        }
        // A connection that is open holds it; nobody waits for this one.
        drop(arrivals);
        tokio::select! {
            () = housekeeping(&site) => {}
            () = site.hub.shard_panicked() => {}
            _ = shutdown => {}
        }
        info!("draining");
        let _ = end.send(true);
        let drained = drain(&site, &mut all_closed).await;
        if site.hub.has_panicked() {
            return Err(Error::ShardPanicked);
        }
        drained
    }
}

/// Forgets registrations whose time has come, and logs what memory was too short for.
async fn housekeeping(site: &Site) {
    let mut interval = interval(HOUSEKEEPING);
    let (mut shortage, mut logged) = (ShortageLog::default(), Instant::now());
    loop {
        interval.tick().await;
        if logged.elapsed() >= BETWEEN_LOGS {
            shortage.log(&site.hub.metrics());
            logged = Instant::now();
        }
        while site.registry.expire(Instant::now()) {
            sleep(BETWEEN_EXPIRIES).await;
        }
    }
}

/// Ends what is open, within the time for it.
async fn drain(site: &Site, all_closed: &mut mpsc::Receiver<Infallible>) -> Result<(), Error> {
    let time = DrainTime(site.drain_timeout);
    let started = Instant::now();
    let _ = timeout(time.for_requests(), all_closed.recv()).await;
    let left = time.0.saturating_sub(started.elapsed());
    Ok(site.hub.drain(left).await?)
}

/// How long those who wait for the registry have it to themselves.
const BETWEEN_EXPIRIES: Duration = Duration::from_millis(1);

/// A line of the log for each kind of shortage comes once in so long.
const BETWEEN_LOGS: Duration = Duration::from_secs(1);

/// How exact the lifetime of a registration is.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
