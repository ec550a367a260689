//! The outcome of comparing a result with a threshold, for the table and for the JSON.
//!
//! Pure.

use serde::Serialize;

/// A threshold of the command line, and whether a result holds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Check {
    pub(super) option: &'static str,
    /// The limit, and the value of the result: in microseconds for `--max-p99`.
    limit: f64,
    value: f64,
    pub(super) is_held: bool,
    /// The text for the table.
    #[serde(skip)]
    pub(super) text: String,
}

impl Check {
    /// Returns the check of a value, which `shown` says in words. `missed` says why the threshold is
    /// missed, if it is.
    pub(super) fn new(
        option: &'static str,
        [limit, value]: [f64; 2],
        shown: &str,
        missed: Option<String>,
    ) -> Self {
        Self {
            option,
            limit,
            value,
            is_held: missed.is_none(),
            text: match missed {
                None => format!("✓ held: {shown}"),
                Some(missed) => format!("✗ missed: {missed}"),
            },
        }
    }
}
