//! Why the server could not start, or stopped.

use std::{io, net::SocketAddr};

use crate::config::InvalidSetting;

/// Why the server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting can't be started with.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The address can't be listened on.
    #[error("listen: {address} can't be used")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A shard's thread or event loop could not be started.
    #[error("a shard can't be started")]
    Shard(#[source] io::Error),
    /// The watchdog's thread or event loop could not be started.
    #[error("the watchdog can't be started")]
    Watchdog(#[source] io::Error),
    /// A shard has panicked: its connections were closed with 1011.
    #[error("a shard has panicked")]
    Broken,
    /// Connections were still open when the time for the drain was over.
    #[error("connections were still open when the time for the drain was over")]
    DrainTimeout,
}
