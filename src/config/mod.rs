//! What an operator may choose.
//!
//! [`access`] is who may connect, `public_url` where the server is found from outside, [`memory`] how
//! much memory there is, and `invalid` why a choice is refused.

mod access;
mod invalid;
mod memory;
mod public_url;

use std::{net::SocketAddr, num::NonZeroUsize, thread, time::Duration};

use self::invalid::{in_range, invalid};
pub use self::{access::Access, invalid::InvalidSetting};
pub(crate) use self::{access::allowed_host, public_url::PublicUrl};
use crate::wire;

/// The server's configuration. Every default is safe to run with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen; port 0 takes a free one. Default: `127.0.0.1:8080`.
    pub listen: SocketAddr,
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

/// How large things may be, and how many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message, in bytes, from 1 to 64 MiB. Default: 64 KiB. With more than 256 KiB a
    /// blocked subscriber may have 4 of them waiting, and 32 before it is ended at once.
    pub message_bytes: usize,
    /// The most fragments that a message may come in. Default: 1,024.
    pub fragments: u32,
    /// Registrations at one time. Default: 100,000.
    pub registrations: usize,
    /// Bytes that all clients together may make the server hold. Default: `None`, which is half of
    /// what the machine has when the hub starts, or of the limit of this process's cgroup if that is
    /// less.
    pub memory_budget: Option<u64>,
}

/// How long things may take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// For the head of a request, from when it is waited for to its last byte, and as long again
    /// for its body. Default: 5 s.
    pub request: Duration,
    /// A connection that was silent for so long is pinged. Default: 25 s.
    pub ping_after: Duration,
    /// A connection that stays silent for so long after a ping is ended. Default: 10 s.
    pub pong_within: Duration,
    /// For the closing handshake. Default: 5 s.
    pub close: Duration,
    /// A subscriber whose outbox is over its bound is ended when its socket has taken nothing
    /// for so long. Default: 1 s.
    pub blocked: Duration,
    /// A registration that nobody is connected to is forgotten after so long. Default: 5 min.
    pub registration: Duration,
    /// A subscriber whose oldest waiting message is older than this is ended. Default: 30 s.
    pub behind: Duration,
    /// For finishing everything at shutdown. Default: 10 s.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            shards: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            access: Access::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            deflate: Deflate::default(),
        }
    }
}

/// Whether and how messages are compressed: permessage-deflate, [RFC 7692].
///
/// [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deflate {
    /// Agree on it with clients that offer it. Default: false.
    pub enabled: bool,
    /// Messages of fewer bytes are sent as they are. Default: 64.
    pub min_bytes: usize,
    /// How many connections at one time may have their messages compressed in a context of their
    /// own. They get the smaller messages, but each costs 160 KiB, and every message is compressed
    /// for each of them again instead of once for all. Default: 0.
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            fragments: 1024,
            registrations: 100_000,
            memory_budget: None,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            ping_after: Duration::from_secs(25),
            pong_within: Duration::from_secs(10),
            close: Duration::from_secs(5),
            blocked: Duration::from_secs(1),
            registration: Duration::from_secs(5 * 60),
            behind: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Checks what the types do not.
    ///
    /// # Errors
    ///
    /// The first setting that can't be started with, and why.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        self.check_listen()?;
        self.check_hub()
    }

    fn check_listen(&self) -> Result<(), InvalidSetting> {
        let listen = self.listen;
        if !listen.ip().is_loopback() && !self.access.allow_anonymous {
            return Err(invalid(
                "listen",
                format!(
                    "anybody who reaches {listen} could publish; set allow-anonymous if that is meant"
                ),
            ));
        }
        Ok(())
    }

    /// Checks what a hub needs, which does not listen.
    pub(crate) fn check_hub(&self) -> Result<(), InvalidSetting> {
        in_range("shards", self.shards.get(), 1, MAX_SHARDS)?;
        in_range(
            "max-message-bytes",
            self.limits.message_bytes,
            1,
            MAX_MESSAGE_BYTES,
        )?;
        in_range("deflate-contexts", self.deflate.contexts, 0, MAX_CONTEXTS)?;
        if self.deflate.contexts > 0 && !self.deflate.enabled {
            return Err(invalid("deflate-contexts", "deflate is off".into()));
        }
        self.check_memory()?;
        if self.limits.fragments == 0 {
            return Err(invalid("max-fragments", "must be at least 1".into()));
        }
        self.access.check()?;
        self.timeouts.check()
    }

    fn check_memory(&self) -> Result<(), InvalidSetting> {
        let least = self.limits.least_memory() + self.shards.get() as u64 * SHARD_MEMORY;
        let budget = self.limits.budget_bytes();
        if budget >= least {
            return Ok(());
        }
        let mut reason = format!(
            "must be at least {least} ({}KiB) with max-message-bytes = {} and shards = {}",
            least.div_ceil(1024),
            self.limits.message_bytes,
            self.shards
        );
        if self.limits.memory_budget.is_none() {
            reason += &format!("; the default is half of the memory, which is {budget}");
        }
        Err(invalid("memory-budget", reason))
    }
}

impl Config {
    /// What a client may send.
    pub(crate) fn rules(&self, deflate: bool) -> wire::walk::Rules {
        wire::walk::Rules {
            role: wire::walk::Role::Server,
            deflate,
            limits: self.limits.wire(),
        }
    }
}

impl Timeouts {
    fn check(&self) -> Result<(), InvalidSetting> {
        let named = [
            ("request-timeout", self.request),
            ("ping-after", self.ping_after),
            ("pong-within", self.pong_within),
            ("close-timeout", self.close),
            ("slow-after", self.blocked),
            ("max-behind", self.behind),
            ("registration-lifetime", self.registration),
            ("drain-timeout", self.drain),
        ];
        match named
            .into_iter()
            .find(|(_, time)| !(MIN_TIME..=MAX_TIME).contains(time))
        {
            Some((setting, _)) => Err(invalid(setting, "must be from 1 ms to 1 day".into())),
            None => Ok(()),
        }
    }
}

impl Limits {
    /// What may wait for a blocked subscriber: 1 MiB, or four of the largest messages.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        (1024 * 1024).max(4 * self.message_bytes)
    }

    /// Returns the memory budget, in bytes. If it was not chosen, this looks at the system.
    pub(crate) fn budget_bytes(&self) -> u64 {
        let half = || memory::available() / 2;
        self.memory_budget.unwrap_or_else(half)
    }

    /// Returns the least memory that will do, in bytes: what these limits allow one connection.
    pub(crate) fn least_memory(&self) -> u64 {
        let largest = self.outbox_bytes() + 4 * self.message_bytes + self.body_bytes();
        // A quarter of the budget is for what is under way while it is short.
        (largest + 64 * 1024) as u64 / 3 * 4
    }

    /// The largest body of a request: the largest message with every byte escaped in JSON
    /// (`\u001b` for one), and room for the rest.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        6 * self.message_bytes + 16 * 1024
    }

    pub(crate) fn wire(&self) -> wire::walk::Limits {
        wire::walk::Limits {
            message_bytes: self.message_bytes,
            fragments: self.fragments,
        }
    }
}

/// The least memory of the budget for each shard, in bytes: what it holds before it is known to all.
const SHARD_MEMORY: u64 = 256 * 1024;

/// More threads than this are a mistake in a number.
const MAX_SHARDS: usize = 1024;

/// Arbitrary: a message is held whole, and more than once.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// More would not fit into any machine's memory.
const MAX_CONTEXTS: usize = 1024 * 1024;

const MIN_TIME: Duration = Duration::from_millis(1);
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config
            .check()
            .map_or_else(|error| error.to_string(), |()| "accepted".into())
    }

    #[test]
    fn the_default_is_accepted() {
        assert_eq!(refused(|_| {}), "accepted");
    }

    #[test]
    fn a_budget_that_was_not_chosen_is_half_of_what_there_is_at_the_start() {
        let mut limits = Limits::default();
        assert_eq!(limits.memory_budget, None);
        assert_eq!(limits.budget_bytes(), memory::available() / 2);
        limits.memory_budget = Some(1 << 20);
        assert_eq!(limits.budget_bytes(), 1 << 20);
    }

    #[test]
    fn a_budget_that_is_too_small_is_refused_by_the_least_that_will_do() {
        let with_budget = |config: &mut Config, bytes| {
            config.shards = NonZeroUsize::new(2).unwrap();
            config.limits.memory_budget = Some(bytes);
        };
        let said = refused(|config| with_budget(config, 2_905_427));
        assert_eq!(
            said,
            "memory-budget: must be at least 2905428 (2838KiB) with max-message-bytes = 65536 and \
             shards = 2"
        );
        assert_eq!(refused(|config| with_budget(config, 2_905_428)), "accepted");
        assert_eq!(
            refused(|config| with_budget(config, 2838 * 1024)),
            "accepted"
        );
    }

    #[test]
    fn a_public_address_must_be_meant() {
        let public = SocketAddr::from(([0, 0, 0, 0], 8080));
        assert!(refused(|config| config.listen = public).starts_with("listen: anybody"));
        let meant = |config: &mut Config| {
            config.listen = public;
            config.access.allow_anonymous = true;
        };
        assert_eq!(refused(meant), "accepted");
    }

    #[test]
    fn a_bad_value_is_refused_by_the_name_of_its_setting() {
        assert_eq!(
            refused(|config| config.limits.message_bytes = 0),
            "max-message-bytes: 0 is not from 1 to 67108864"
        );
        assert_eq!(
            refused(|c| c.deflate.contexts = 1),
            "deflate-contexts: deflate is off"
        );
        assert!(refused(|c| c.limits.fragments = 0).starts_with("max-fragments:"));
        assert!(refused(|c| c.timeouts.close = Duration::ZERO).starts_with("close-timeout:"));
        assert!(refused(|c| c.timeouts.drain = 2 * MAX_TIME).starts_with("drain-timeout:"));
    }
}
