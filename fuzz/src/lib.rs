//! Code that the fuzz targets share: the oracles to compare with, and connections driven by a
//! script.

pub mod client;
pub mod connection;
pub mod conversation;
pub mod deflate;
pub mod extensions;
pub mod hub_model;
pub mod inflate;
pub mod input;
pub mod oracle;
pub mod outbox_model;
pub mod parts;
pub mod peer;
pub mod response;
pub mod server_frame;

use std::{num::NonZeroUsize, sync::LazyLock};

use framecast::HubConfig;

/// Returns the default configuration for a hub with this many shards.
pub fn config(shards: usize) -> HubConfig {
    // Computed once: the default asks the system for its cores, which takes longer than most runs.
    static DEFAULT: LazyLock<HubConfig> = LazyLock::new(HubConfig::default);
    let mut config = DEFAULT.clone();
    config.shards = NonZeroUsize::new(shards).expect("a hub has at least one shard");
    config
}
