//! The settings of a hub and of a server, one file for each group.
//!
//! [`hub`] has the settings for all connections, in four groups: [`access`], [`limits`],
//! [`timeouts`] and [`deflate`]. A server adds [`registrations`] and what is in this file.
//! `public_url` parses the URL by which clients outside reach the server, [`memory`] finds how much
//! memory the process may use, and `invalid` is the error of a setting.

mod access;
mod deflate;
mod hub;
mod invalid;
mod limits;
mod memory;
mod public_url;
mod registrations;
mod timeouts;

use std::{net::SocketAddr, time::Duration};

use self::invalid::{in_time, invalid};
pub use self::{
    access::Access, deflate::Deflate, hub::HubConfig, invalid::InvalidSetting, limits::Limits,
    registrations::Registrations, timeouts::Timeouts,
};
pub(crate) use self::{access::allowed_host, public_url::PublicUrl};

/// The server's configuration. Every default is safe to run with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Address to listen on. Port 0 takes a free one. Default: `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Number and lifetime of registrations, which `POST /register` makes.
    pub registrations: Registrations,
    /// Time that the server has at shutdown to finish open requests, deliver what was published,
    /// and complete the closing handshakes. Default: 10 s.
    pub drain_timeout: Duration,
    /// Settings for all connections.
    pub hub: HubConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            registrations: Registrations::default(),
            drain_timeout: Duration::from_secs(10),
            hub: HubConfig::default(),
        }
    }
}

impl Config {
    /// Checks that every setting is in its range, and that they fit together.
    ///
    /// # Errors
    ///
    /// The first setting that a server can't start with, and the reason.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        self.check_listen()?;
        self.hub.check()?;
        self.registrations.check()?;
        in_time("drain-timeout", self.drain_timeout)
    }

    /// Refuses an address that other machines can reach, unless anonymous use is allowed.
    fn check_listen(&self) -> Result<(), InvalidSetting> {
        let listen = self.listen;
        if !listen.ip().is_loopback() && !self.hub.access.allow_anonymous {
            return Err(invalid(
                "listen",
                format!(
                    "anybody who reaches {listen} could publish; set allow-anonymous if that is meant"
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the error of a configuration with this `change`, or "accepted".
    fn verdict(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config
            .check()
            .map_or_else(|error| error.to_string(), |()| "accepted".into())
    }

    #[test]
    fn the_default_is_accepted() {
        assert_eq!(verdict(|_| {}), "accepted");
    }

    #[test]
    fn a_public_address_is_refused_without_allow_anonymous() {
        let public = SocketAddr::from(([0, 0, 0, 0], 8080));
        assert!(verdict(|config| config.listen = public).starts_with("listen: anybody"));
        let allowed = |config: &mut Config| {
            config.listen = public;
            config.hub.access.allow_anonymous = true;
        };
        assert_eq!(verdict(allowed), "accepted");
    }

    #[test]
    fn the_error_of_a_bad_value_names_its_setting() {
        assert_eq!(
            verdict(|config| config.hub.limits.message_bytes = 0),
            "max-message-bytes: 0 is not from 1 to 67108864"
        );
        assert_eq!(
            verdict(|c| c.hub.deflate.contexts = 1),
            "deflate-contexts: deflate is off"
        );
        let refused_by = |setting: &str, change: fn(&mut Config)| {
            assert_eq!(verdict(change).split(':').next(), Some(setting));
        };
        // The checks of hub, limits, registrations and timeouts are all called by `Config::check`.
        let two_days = Duration::from_secs(2 * 24 * 60 * 60);
        assert!(verdict(|c| c.drain_timeout = two_days).starts_with("drain-timeout:"));
        refused_by("max-fragments", |c| c.hub.limits.fragments = 0);
        refused_by("close-timeout", |c| c.hub.timeouts.close = Duration::ZERO);
        refused_by("registration-lifetime", |c| {
            c.registrations.lifetime = Duration::ZERO;
        });
    }
}
