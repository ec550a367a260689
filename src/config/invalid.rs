//! The error of a setting that is refused, and checks of ranges.

use std::time::Duration;

/// A setting that the server can't start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {reason}")]
#[non_exhaustive]
pub struct InvalidSetting {
    /// Its name, on the command line and in the configuration file.
    pub setting: &'static str,
    /// The reason why it is refused.
    pub reason: String,
}

/// Checks that `value` is from `min` to `max`, both included.
pub(super) fn in_range(
    setting: &'static str,
    value: usize,
    min: usize,
    max: usize,
) -> Result<(), InvalidSetting> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(invalid(
        setting,
        format!("{value} is not from {min} to {max}"),
    ))
}

pub(super) fn invalid(setting: &'static str, reason: String) -> InvalidSetting {
    InvalidSetting { setting, reason }
}

/// Checks that a timeout is from 1 ms to 1 day.
pub(super) fn in_time(setting: &'static str, time: Duration) -> Result<(), InvalidSetting> {
    if (MIN_TIME..=MAX_TIME).contains(&time) {
        return Ok(());
    }
    Err(invalid(setting, "must be from 1 ms to 1 day".into()))
}

const MIN_TIME: Duration = Duration::from_millis(1);
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);
