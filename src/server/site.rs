//! What the server serves, and whom it answers.

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
    server::{host::Hosts, origin, response::Rejection, standing::Standing, upgrade},
};

/// What the server serves: one for all shards.
pub(super) struct Site {
    pub(super) hub: Hub,
    pub(super) registry: Arc<Registry>,
    pub(super) started: Instant,
    pub(super) drain_timeout: Duration,
    /// How often a connection could not be accepted.
    pub(super) accept_errors: SharedCounter,
    /// Which shards stand still.
    pub(super) standing: Standing,
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
        let standing = Standing::new(hub.shards());
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

    /// Checks by which name and from which page the server is asked; the name.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<Option<Authority>, Rejection> {
        let asked = upgrade::asked(request)?;
        if let Some(Authority { host, .. }) = &asked
            && !self.hosts.include(host)
        {
            return Err(Rejection::ForeignHost(host.to_string()));
        }
        let access = &self.hub.config().access;
        origin::check(request.headers(), asked.as_ref(), access)?;
        Ok(asked)
    }
}
