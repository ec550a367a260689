//! Errors of a server that can't start or that stops, and of a drain.

use std::{io, net::SocketAddr};

use crate::config::InvalidSetting;

/// The error of a server that can't start, or that stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside its range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The server can't listen on the address.
    #[error("listen: {address} can't be used")]
    Listen {
        /// The address that the server was to listen on.
        address: SocketAddr,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// A shard's thread or event loop could not be started.
    #[error("a shard can't be started")]
    Shard(#[source] io::Error),
    /// The watchdog's thread or event loop could not be started.
    #[error("the watchdog can't be started")]
    Watchdog(#[source] io::Error),
    /// A shard has panicked. Its connections were closed with the code 1011.
    #[error("a shard has panicked")]
    ShardPanicked,
    /// Connections were still open when the time for the drain was over.
    #[error(transparent)]
    DrainTimeout(#[from] DrainTimeout),
}

/// The error of a drain that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connections were still open when the time for the drain was over")]
#[expect(clippy::exhaustive_structs, reason = "the error needs no fields")]
pub struct DrainTimeout;
