//! A histogram of times, which can be handed from process to process.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Times from a nanosecond to an hour, each within 0.1 %.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// Adds a time.
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    /// Adds all of another one's times.
    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Returns how many times were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the time that a `share` of all, from 0 to 1, are not above.
    pub fn at(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// Returns the longest time.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// Returns the times, in nanoseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, HOUR_NANOS, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are valid"))
    }
}

/// Recorded values and how often each came: what is in a bucket is the same on both sides.
impl From<Latencies> for Vec<(u64, u64)> {
    fn from(latencies: Latencies) -> Self {
        let recorded = latencies.0.iter_recorded();
        recorded
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
            .collect()
    }
}

impl From<Vec<(u64, u64)>> for Latencies {
    fn from(buckets: Vec<(u64, u64)>) -> Self {
        let mut latencies = Self::default();
        for (value, count) in buckets {
            latencies.0.saturating_record_n(value, count);
        }
        latencies
    }
}

const HOUR_NANOS: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way_to_another_process() {
        let mut latencies = Latencies::default();
        for micros in 1..10_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let json = serde_json::to_string(&latencies).unwrap();
        let other: Latencies = serde_json::from_str(&json).unwrap();
        assert_eq!(other.count(), latencies.count());
        for share in [0.5, 0.9, 0.99, 0.999, 1.0] {
            assert_eq!(other.at(share), latencies.at(share));
        }
    }

    #[test]
    fn what_is_beyond_the_bounds_counts_at_the_bound() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_secs(10_000));
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max() >= Duration::from_secs(3_600));
    }
}
