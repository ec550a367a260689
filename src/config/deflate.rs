//! Whether and how messages are compressed.

use crate::config::invalid::{InvalidSetting, in_range, invalid};

/// Whether and how messages are compressed: permessage-deflate, [RFC 7692].
///
/// [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deflate {
    /// Agree on it with clients that offer it. Default: false.
    ///
    /// `--deflate`
    pub enabled: bool,
    /// Messages of fewer bytes are sent as they are. Default: 64.
    ///
    /// `--deflate-min-bytes`
    pub min_bytes: usize,
    /// How many connections at one time may have their messages compressed in a context of their
    /// own. They get the smaller messages, but each costs 160 KiB, and every message is compressed
    /// for each of them again instead of once for all. Default: 0.
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

/// More would not fit into any machine's memory.
const MAX_CONTEXTS: usize = 1024 * 1024;
