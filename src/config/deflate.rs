//! Compression of messages.

use crate::config::invalid::{InvalidSetting, in_range, invalid};

/// Compression of messages with permessage-deflate, [RFC 7692].
///
/// [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deflate {
    /// True if the server agrees to compression with clients that offer it. Default: false.
    ///
    /// `--deflate`
    pub enabled: bool,
    /// Size of the smallest message that is compressed, in bytes. Smaller ones are sent
    /// uncompressed. Default: 64.
    ///
    /// `--deflate-min-bytes`
    pub min_bytes: usize,
    /// Greatest number of open connections that have a compression context of their own (context
    /// takeover). Their messages become smaller. But each context costs 160 KiB, and every message
    /// is compressed again for each of these connections, instead of once for all connections.
    /// Default: 0.
    ///
    /// `--deflate-contexts`
    pub contexts: usize,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            enabled: false,
            min_bytes: 64,
            contexts: 0,
        }
    }
}

impl Deflate {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        in_range("deflate-contexts", self.contexts, 0, MAX_CONTEXTS)?;
        if self.contexts > 0 && !self.enabled {
            return Err(invalid("deflate-contexts", "deflate is off".into()));
        }
        Ok(())
    }
}

/// Greatest number that `contexts` may be set to. The value is arbitrary: so many contexts, of 160
/// KiB each, fit into no machine's memory.
const MAX_CONTEXTS: usize = 1024 * 1024;
