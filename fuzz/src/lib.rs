//! Code that the fuzz targets share.
//!
//! - Oracles: simple implementations, with whose results the targets compare those of the product.
//!   [`oracle`] and [`conversation`] are for frames and messages, [`inflate`] for compressed
//!   payloads, [`extensions`] for the header `Sec-WebSocket-Extensions`, and [`server_frame`] for
//!   the frames that a server sends.
//! - Models that run beside the product: [`hub_model`] and [`outbox_model`].
//! - Runs of a connection with a scripted [`peer`]: [`connection`] runs the server, [`client`] our
//!   client.
//! - Formats of inputs: [`input`] for bytes on the wire, [`parts`] for large messages. [`deflate`]
//!   compresses messages with a compressor other than the product's.
//! - [`response`] checks what the server answers over HTTP.

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
    // The default configuration is computed only once, because it asks the system for its cores,
    // which takes longer than most runs.
    static DEFAULT: LazyLock<HubConfig> = LazyLock::new(HubConfig::default);
    let mut config = DEFAULT.clone();
    config.shards = NonZeroUsize::new(shards).expect("a hub has at least one shard");
    config
}
