//! The configuration of a hub: what holds for its connections, whoever has accepted them.

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
    /// How many threads serve connections. Default: the cores that this process may use.
    pub shards: NonZeroUsize,
    /// Who may connect, from where, and by which name.
    pub access: Access,
    /// How large things may be, and how many.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Whether and how messages are compressed.
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
    /// Checks what the types do not.
    ///
    /// # Errors
    ///
    /// The first setting that can't be started with, and why.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        in_range("shards", self.shards.get(), 1, MAX_SHARDS)?;
        self.limits.check(self.shards.get())?;
        self.deflate.check()?;
        self.access.check()?;
        self.timeouts.check()
    }

    /// Returns what a client may send.
    pub(crate) fn rules(&self, deflate: bool) -> wire::validator::Rules {
        wire::validator::Rules {
            role: wire::validator::Role::Server,
            deflate,
            limits: self.limits.wire(),
        }
    }
}

/// More threads than this are a mistake in a number.
const MAX_SHARDS: usize = 1024;
