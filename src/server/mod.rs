//! The server: listens, hands sockets to the shards, answers HTTP, and ends in good order.
//!
//! [`accept`](self) hands each socket to a shard; there `http` reads its requests, `routes` finds
//! what answers them, `upgrade` turns one into a connection.

mod accept;
mod api;
mod http;
#[cfg(feature = "internals")]
pub(crate) mod internals;
mod origin;
mod page;
mod reply;
mod routes;
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
    time::{interval, timeout},
};
use tracing::info;

use self::{http::Lifetime, routes::Site};
pub use self::{
    reply::Reply,
    upgrade::{Endpoint, upgrade},
};
use crate::{config::Config, error::Error, hub::Hub};

/// A server that listens, and whose shards run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
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
    ///
    /// # Panics
    ///
    /// If it is not called within a tokio runtime.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let refused = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener = accept::listen(config.listen).map_err(refused)?;
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
        tokio::select! {
            () = self.accept(&lifetime) => {}
            () = self.housekeeping() => {}
            () = self.site.hub.broken() => return Err(Error::Broken),
            _ = shutdown => {}
        }
        let Self { listener, site, .. } = self;
        drop(listener);
        drop(lifetime);
        info!("draining");
        let _ = end.send(true);
        drain(&site, &mut all_closed).await
    }

    async fn accept(&self, lifetime: &Lifetime) {
        accept::accept(&self.listener, &self.site.accept_errors, |socket| {
            self.hand_over(socket, lifetime.clone());
        })
        .await;
    }

    /// Gives a socket to the shard whose turn it is.
    fn hand_over(&self, socket: TcpStream, lifetime: Lifetime) {
        let Ok(socket) = socket.into_std() else {
            return;
        };
        let site = Arc::clone(&self.site);
        let hub = &self.site.hub;
        hub.run_on(hub.next_shard(), move |shard| {
            spawn_local(http::serve(Rc::clone(shard), socket, site, lifetime));
        });
    }

    /// Forgets registrations whose time has come.
    async fn housekeeping(&self) {
        let mut interval = interval(HOUSEKEEPING);
        loop {
            interval.tick().await;
            self.site.registry.expire(Instant::now());
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

/// How exact the lifetime of a registration is.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
