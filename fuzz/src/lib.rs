//! What the targets share: an oracle to compare with, and a connection to drive.

pub mod client;
pub mod connection;
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
pub mod talk;

use std::{num::NonZeroUsize, sync::LazyLock};

use framecast::HubConfig;

/// The default configuration, of a hub with so many shards.
pub fn config(shards: usize) -> HubConfig {
    // To find it out the system is asked for its cores, which takes longer than most runs.
    static DEFAULT: LazyLock<HubConfig> = LazyLock::new(HubConfig::default);
    let mut config = DEFAULT.clone();
    config.shards = NonZeroUsize::new(shards).expect("a hub has shards");
    config
}
