//! Registrations: connections that `POST /register` announces before they are made.

use std::time::Duration;

use crate::config::invalid::{InvalidSetting, in_time};

/// Number and lifetime of registrations: connections that `POST /register` announces.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Registrations {
    /// Greatest number of registrations that exist at the same time. Default: 100,000.
    ///
    /// `--max-registrations`
    pub most: usize,
    /// Time after which a registration is deleted if it has no connection. Default: 5 min.
    ///
    /// `--registration-lifetime`
    pub lifetime: Duration,
}

impl Default for Registrations {
    fn default() -> Self {
        Self {
            most: 100_000,
            lifetime: Duration::from_secs(5 * 60),
        }
    }
}

impl Registrations {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        in_time("registration-lifetime", self.lifetime)
    }
}
