//! The server: listens, hands sockets to the shards, answers HTTP, and ends in good order.
//!
//! [`accept`](self) hands each socket to a shard; there `http` reads its requests, `routes` finds
//! what answers them, `upgrade` turns one into a connection. An HTTP connection has `turns`, too.

mod accept;
mod api;
mod body;
mod host;
mod http;
#[cfg(feature = "internals")]
pub(crate) mod internals;
mod origin;
mod page;
mod reply;
mod routes;
mod socket;
#[cfg(test)]
mod tests;
mod turns;
mod upgrade;

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::spawn_local,
    time::{interval, sleep, timeout},
};
use tracing::{error, info};

use self::{http::Lifetime, routes::Site};
pub use self::{
    reply::Reply,
    upgrade::{Endpoint, upgrade},
};
use crate::{
    config::Config,
    error::Error,
    hub::{Hub, shard::Shard},
};

/// A server that listens, and whose shards run.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    site: Arc<Site>,
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
        let listener = accept::listen(config.listen, config.timeouts.request).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let hub = Hub::start(config)?;
        let site = Arc::new(Site::new(hub, Instant::now()));
        Ok(Self {
            listener,
            address,
            site,
        })
    }

    /// The address listened on, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The hub that the connections belong to.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.site.hub.clone()
    }

    /// Serves until `shutdown` completes, and then drains: accepts nothing more, lets requests
    /// finish, delivers what was published, writes what is queued, and closes every connection
    /// with 1012.
    ///
    /// # Errors
    ///
    /// [`Error::DrainTimeout`], if that took longer than [`drain`](crate::Timeouts::drain);
    /// [`Error::Broken`], at once, if a shard has panicked.
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
        let Self { listener, site, .. } = self;
        start_accepting(listener, Arc::clone(&site), lifetime);
        tokio::select! {
            () = housekeeping(&site) => {}
            () = site.hub.broken() => return Err(Error::Broken),
            _ = shutdown => {}
        }
        info!("draining");
        let _ = end.send(true);
        drain(&site, &mut all_closed).await
    }
}

/// Accepts on the first shard, until the end.
fn start_accepting(listener: std::net::TcpListener, site: Arc<Site>, lifetime: Lifetime) {
    let hub = site.hub.clone();
    hub.run_on(ACCEPTING_SHARD, |shard| {
        let shard = Rc::clone(shard);
        spawn_local(async move {
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return error!(%error, "nothing can be accepted"),
            };
            let mut is_ending = lifetime.is_ending.clone();
            let is_room = || !site.hub.budget().is_full();
            let accepting = accept::accept(listener, &site.accept_errors, is_room, |socket| {
                hand_over(&shard, &site, socket, lifetime.clone());
            });
            tokio::select! {
                () = accepting => {}
                _ = is_ending.wait_for(|&is_ending| is_ending) => {}
            }
        });
    });
}

/// Gives a socket to the shard whose turn it is.
fn hand_over(here: &Rc<Shard>, site: &Arc<Site>, socket: TcpStream, lifetime: Lifetime) {
    let site = Arc::clone(site);
    let hub = site.hub.clone();
    let index = hub.next_shard();
    if index == ACCEPTING_SHARD {
        spawn_local(http::serve(Rc::clone(here), socket, site, lifetime));
        return;
    }
    let Ok(socket) = socket.into_std() else {
        return;
    };
    hub.run_on(index, move |shard| {
        if let Ok(socket) = TcpStream::from_std(socket) {
            spawn_local(http::serve(Rc::clone(shard), socket, site, lifetime));
        }
    });
}

/// Forgets registrations whose time has come.
async fn housekeeping(site: &Site) {
    let mut interval = interval(HOUSEKEEPING);
    loop {
        interval.tick().await;
        while site.registry.expire(Instant::now()) {
            sleep(BETWEEN_EXPIRIES).await;
        }
    }
}

/// Ends what is open, within the time for it: requests get at most half of that.
async fn drain(site: &Site, all_closed: &mut mpsc::Receiver<Infallible>) -> Result<(), Error> {
    let within = site.hub.config().timeouts.drain;
    let started = Instant::now();
    let _ = timeout(within / 2, all_closed.recv()).await;
    let left = within.saturating_sub(started.elapsed());
    if site.hub.drain(left).await {
        Ok(())
    } else {
        Err(Error::DrainTimeout)
    }
}

/// There always is a first one.
const ACCEPTING_SHARD: usize = 0;

/// How long those who wait for the registry have it to themselves.
const BETWEEN_EXPIRIES: Duration = Duration::from_millis(1);

/// How exact the lifetime of a registration is.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
