//! Limits of messages and of memory.

use crate::{
    config::{
        invalid::{InvalidSetting, in_range, invalid},
        memory,
    },
    wire,
};

/// Limits of messages and of memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Size of the largest message, in bytes, from 1 to 64 MiB. Default: 64 KiB. A size of more
    /// than 256 KiB also raises the [limit of outboxes](Self::outbox_bytes): that limit is then 4
    /// times this size. A blocked subscriber whose outbox holds more than 8 times the limit is
    /// ended without delay.
    ///
    /// `--max-message-bytes`
    pub message_bytes: usize,
    /// Greatest number of fragments in which a client may send a message. Default: 1,024.
    ///
    /// `--max-fragments`
    pub fragments: u32,
    /// Bytes of memory that all clients together may make the server hold. Default: `None`, which
    /// is half of the machine's memory when the hub starts, or half of the limit of this process's
    /// cgroup if that is less.
    ///
    /// `--memory-budget`
    pub memory_budget: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            fragments: 1024,
            memory_budget: None,
        }
    }
}

impl Limits {
    /// Checks the limits for a hub with this number of shards.
    pub(super) fn check(&self, shards: usize) -> Result<(), InvalidSetting> {
        in_range(
            "max-message-bytes",
            self.message_bytes,
            1,
            MAX_MESSAGE_BYTES,
        )?;
        if self.fragments == 0 {
            return Err(invalid("max-fragments", "must be at least 1".into()));
        }
        self.check_memory(shards)
    }

    /// Checks that the memory budget is not too small for these limits and this number of shards.
    fn check_memory(&self, shards: usize) -> Result<(), InvalidSetting> {
        let least = self.least_memory() + shards as u64 * SHARD_MEMORY;
        let budget = self.budget_bytes();
        if budget >= least {
            return Ok(());
        }
        let mut reason = format!(
            "must be at least {least} ({}KiB) with max-message-bytes = {} and shards = {shards}",
            least.div_ceil(1024),
            self.message_bytes,
        );
        if self.memory_budget.is_none() {
            reason += &format!("; the default is half of the memory, which is {budget}");
        }
        Err(invalid("memory-budget", reason))
    }

    /// Returns how many bytes may wait for a blocked subscriber: 1 MiB, or four times the size of
    /// the largest message if that is more.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        (1024 * 1024).max(4 * self.message_bytes)
    }

    /// Returns the memory budget, in bytes. If none was set, this reads the system's memory.
    pub(crate) fn budget_bytes(&self) -> u64 {
        let half = || memory::available() / 2;
        self.memory_budget.unwrap_or_else(half)
    }

    /// Returns the smallest memory budget, in bytes, with which memory does not get short when a
    /// single WebSocket holds as much as these limits allow. A request or a list may hold more while
    /// it is read and parsed.
    pub(crate) fn least_memory(&self) -> u64 {
        let largest = self.outbox_bytes() + 4 * self.message_bytes + self.body_bytes();
        // Memory is short as soon as three quarters of the budget are held. So everything that one
        // connection may hold must fit into three quarters. The last quarter is for messages and
        // requests that are under way when memory gets short.
        (largest + 64 * 1024) as u64 / 3 * 4
    }

    /// Returns the size of the largest body of a request, in bytes: the largest message with every
    /// byte escaped in JSON (such as `\u001b`), and 16 KiB for the other fields.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        6 * self.message_bytes + 16 * 1024
    }

    /// Returns the limits that the validator and the fast path enforce.
    pub(crate) fn wire(&self) -> wire::validator::MessageLimits {
        wire::validator::MessageLimits {
            message_bytes: self.message_bytes,
            fragments: self.fragments,
        }
    }
}

/// Bytes by which each shard raises the smallest allowed memory budget: up to 16 KiB that the shard
/// holds but has not reported to the budget yet, and a margin.
const SHARD_MEMORY: u64 = 256 * 1024;

/// Greatest number that `message_bytes` may be set to. The value is arbitrary. There must be a
/// limit, because a message is held in memory as a whole, and more than once.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_budget_is_half_of_the_memory_at_the_start() {
        let mut limits = Limits::default();
        assert_eq!(limits.memory_budget, None);
        assert_eq!(limits.budget_bytes(), memory::available() / 2);
        limits.memory_budget = Some(1 << 20);
        assert_eq!(limits.budget_bytes(), 1 << 20);
    }

    #[test]
    fn the_error_of_a_budget_that_is_too_small_names_the_smallest_one() {
        let check = |bytes| {
            let limits = Limits {
                memory_budget: Some(bytes),
                ..Limits::default()
            };
            limits.check(2).map_err(|refused| refused.to_string())
        };
        // 2 x 256 KiB for the shards, and four thirds of the sum of 1 MiB for an outbox, 4 x 64 KiB
        // for messages, 400 KiB for a body, and 64 KiB.
        assert_eq!(
            check(2_905_427).unwrap_err(),
            "memory-budget: must be at least 2905428 (2838KiB) with max-message-bytes = 65536 and \
             shards = 2"
        );
        assert_eq!(check(2_905_428), Ok(()));
        assert_eq!(check(2838 * 1024), Ok(()));
    }
}
