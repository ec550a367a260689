//! The configuration of a hub: the settings for all of its connections, including those that an
//! application has accepted with an HTTP server of its own.

use std::{num::NonZeroUsize, thread};

use crate::{
    config::{
        access::Access,
        deflate::Deflate,
        invalid::{InvalidSetting, in_range},
        limits::Limits,
        timeouts::Timeouts,
    },
    wire,
};

/// The hub's configuration. Every default is safe to run with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubConfig {
    /// Number of threads that serve connections. Default: the number of cores that this process may
    /// use.
    pub shards: NonZeroUsize,
    /// Allowed origins of web pages, allowed host names, and anonymous use.
    pub access: Access,
    /// Limits of messages and of memory.
    pub limits: Limits,
    /// Timeouts of requests, of connections and of slow consumers.
    pub timeouts: Timeouts,
    /// Compression of messages.
    pub deflate: Deflate,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            shards: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            access: Access::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            deflate: Deflate::default(),
        }
    }
}

impl HubConfig {
    /// Checks that every setting is in its range, and that they fit together.
    ///
    /// # Errors
    ///
    /// The first setting that a hub can't start with, and the reason.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        in_range("shards", self.shards.get(), 1, MAX_SHARDS)?;
        self.limits.check(self.shards.get())?;
        self.deflate.check()?;
        self.access.check()?;
        self.timeouts.check()
    }

    /// Returns the rules by which frames from clients are checked. `deflate` is true if
    /// permessage-deflate was agreed on.
    pub(crate) fn rules(&self, deflate: bool) -> wire::validator::Rules {
        wire::validator::Rules {
            role: wire::validator::Role::Server,
            deflate,
            limits: self.limits.wire(),
        }
    }
}

/// Greatest number that `shards` may be set to. The value is arbitrary: a larger number is a
/// mistake.
const MAX_SHARDS: usize = 1024;
