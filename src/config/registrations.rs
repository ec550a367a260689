//! Connections that are announced by `POST /register`.

use std::time::Duration;

use crate::config::invalid::{InvalidSetting, in_time};

/// How many connections may be announced, and for how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Registrations {
    /// The most at one time. Default: 100,000.
    ///
    /// `--max-registrations`
    pub most: usize,
    /// One that nobody is connected to is forgotten after so long. Default: 5 min.
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
