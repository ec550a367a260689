//! A histogram of times, which can be sent from one process to another.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A histogram of times from a nanosecond to an hour, each with an error of at most 0.1 %.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// Counts `time`. A time of more than an hour counts as an hour.
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    /// Adds all times of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        // Fails only if the bounds differ, and all histograms here have the same.
        let _ = self.0.add(&other.0);
    }

    /// Returns how many times were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the time that the share `share` of all times does not exceed. `share` is from 0 to
    /// 1: 0.99 stands for the 99th percentile.
    pub fn at(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// Returns the shortest time, or zero if there is none.
    pub fn min(&self) -> Duration {
        match self.0.len() {
            0 => Duration::ZERO,
            _ => Duration::from_nanos(self.0.min()),
        }
    }

    /// Returns the mean of all times, or zero if there is none.
    pub fn mean(&self) -> Duration {
        Duration::try_from_secs_f64(self.0.mean() / 1e9).unwrap_or_default()
    }

    /// Returns the longest time.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// Returns the histogram, whose values are nanoseconds.
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

/// Converts a histogram to the form in which a worker process sends it: pairs of a value and its
/// count, one for each bucket that is not empty. The receiving process has the same bucket
/// boundaries, so it puts each value into the same bucket.
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
    fn a_histogram_sent_to_another_process_is_unchanged() {
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
    fn a_time_beyond_a_bound_counts_as_the_bound() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_secs(10_000));
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max() >= Duration::from_secs(3_600));
    }
}
