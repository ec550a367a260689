//! Latencies over time: a small histogram for each step of the measured time.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Histograms of the latencies of the messages that were scheduled in each step. A step without a
/// message has none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LatencySteps(Vec<Option<Step>>);

/// A histogram of times from a nanosecond to an hour, each with an error of at most 1 %. It takes 36
/// KiB, a seventh of [`Latencies`](crate::Latencies).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
struct Step(Histogram<u64>);

/// The latencies of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLatencies {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The longest time.
    pub max: Duration,
}

impl LatencySteps {
    /// Counts `time` in the step with this index.
    pub(crate) fn record(&mut self, index: usize, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.step(index).0.saturating_record(nanos);
    }

    /// Adds all times of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        for (index, step) in other.0.iter().enumerate() {
            if let Some(step) = step {
                // Fails only if the bounds differ, and all histograms here have the same.
                let _ = self.step(index).0.add(&step.0);
            }
        }
    }

    /// Returns the latencies of each step, up to the last one with a message.
    pub fn iter(&self) -> impl Iterator<Item = Option<StepLatencies>> {
        self.0.iter().map(|step| step.as_ref().map(Step::latencies))
    }

    fn step(&mut self, index: usize) -> &mut Step {
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        self.0[index].get_or_insert_default()
    }
}

impl Step {
    fn latencies(&self) -> StepLatencies {
        let at = |share| Duration::from_nanos(self.0.value_at_quantile(share));
        StepLatencies {
            p50: at(0.5),
            p99: at(0.99),
            max: Duration::from_nanos(self.0.max()),
        }
    }
}

impl Default for Step {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, HOUR_NANOS, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are valid"))
    }
}

/// Converts a histogram to pairs of a value and its count, as [`Latencies`](crate::Latencies) does.
impl From<Step> for Vec<(u64, u64)> {
    fn from(step: Step) -> Self {
        let recorded = step.0.iter_recorded();
        recorded
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
            .collect()
    }
}

impl From<Vec<(u64, u64)>> for Step {
    fn from(buckets: Vec<(u64, u64)>) -> Self {
        let mut step = Self::default();
        for (value, count) in buckets {
            step.0.saturating_record_n(value, count);
        }
        step
    }
}

const HOUR_NANOS: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_own_latencies_and_a_step_without_a_message_has_none() {
        let mut steps = LatencySteps::default();
        steps.record(2, Duration::from_millis(7));
        steps.record(0, Duration::from_millis(1));
        let max: Vec<_> = steps
            .iter()
            .map(|step| step.map(|step| step.max.as_millis()))
            .collect();
        assert_eq!(max, [Some(1), None, Some(7)]);
    }

    #[test]
    fn the_steps_of_several_processes_add_up_and_can_be_sent() {
        let mut steps = LatencySteps::default();
        steps.record(0, Duration::from_millis(1));
        let mut other = LatencySteps::default();
        other.record(0, Duration::from_millis(9));
        other.record(1, Duration::from_millis(3));
        let json = serde_json::to_string(&other).unwrap();
        steps.add(&serde_json::from_str(&json).unwrap());
        let max: Vec<_> = steps
            .iter()
            .map(|step| step.unwrap().max.as_millis())
            .collect();
        assert_eq!(max, [9, 3]);
    }
}
