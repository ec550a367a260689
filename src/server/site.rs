//! The site: the state of a server that all of its shards share, and the check of requests against
//! it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::Request;

use crate::{
    authority::Authority,
    config::{Config, PublicUrl, Registrations},
    hub::Hub,
    metrics::SharedCounter,
    protocol::relay::registry::Registry,
    server::{host::Hosts, origin, response::Rejection, standing::StandingShards, upgrade},
};

/// The state of a server that its shards share to answer requests.
pub(super) struct Site {
    pub(super) hub: Hub,
    pub(super) registry: Arc<Registry>,
    pub(super) started: Instant,
    pub(super) drain_timeout: Duration,
    /// Number of connections that could not be accepted.
    pub(super) accept_errors: SharedCounter,
    /// The shards that stand still.
    pub(super) standing: StandingShards,
    pub(super) public_url: Option<PublicUrl>,
    hosts: Hosts,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

impl Site {
    pub(super) fn new(hub: Hub, config: &Config, started: Instant) -> Self {
        let budget = Arc::clone(hub.budget());
        let Registrations { most, lifetime, .. } = config.registrations;
        let registry = Registry::new(lifetime, most, budget);
        let access = &config.hub.access;
        let (public_url, hosts) = (access.public(), Hosts::new(access));
        let standing = StandingShards::new(hub.shards());
        Self {
            hub,
            registry,
            started,
            drain_timeout: config.drain_timeout,
            standing,
            accept_errors: SharedCounter::default(),
            public_url,
            hosts,
        }
    }

    /// Checks that a request is for a host name of the server, and that its web page, if a page has
    /// sent it, may use the server. Returns the host that the request names.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<Option<Authority>, Rejection> {
        let requested = upgrade::requested_host(request)?;
        if let Some(Authority { host, .. }) = &requested
            && !self.hosts.include(host)
        {
            return Err(Rejection::ForeignHost(host.to_string()));
        }
        let access = &self.hub.config().access;
        origin::check(request.headers(), requested.as_ref(), access)?;
        Ok(requested)
    }
}
