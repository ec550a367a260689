//! Formats latencies as an HdrHistogram percentile distribution, a text that its plotters read.
//!
//! Pure.

use std::fmt::Write as _;

use framecast_load::Latencies;

/// Returns the distribution, with times in milliseconds as is usual in this format.
pub(super) fn percentiles(latencies: &Latencies) -> String {
    let histogram = latencies.histogram();
    let millis = |nanos: f64| nanos / 1e6;
    let mut text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
    let mut total = 0;
    for bucket in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += bucket.count_since_last_iteration();
        let (value, share) = (
            millis(bucket.value_iterated_to() as f64),
            bucket.quantile_iterated_to(),
        );
        // Writing to a string does not fail.
        let _ = write!(text, "{value:12.3} {share:2.12} {total:10}");
        let _ = if share < 1.0 {
            writeln!(text, " {:14.2}", 1.0 / (1.0 - share))
        } else {
            writeln!(text)
        };
    }
    let (mean, deviation) = (millis(histogram.mean()), millis(histogram.stdev()));
    let (max, count) = (millis(latencies.max().as_nanos() as f64), latencies.count());
    let buckets = histogram.buckets();
    let _ = writeln!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    );
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let _ = writeln!(
        text,
        "#[Buckets = {buckets:12}, SubBuckets     = {SUB_BUCKETS:12}]"
    );
    text
}

/// Number of sub-buckets of a histogram with three significant digits, which the last line of the
/// text has.
const SUB_BUCKETS: u32 = 2048;

/// Number of rows each time that the distance to 100 % halves. It is HdrHistogram's own default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_distribution_ends_with_the_largest_value_and_counts_all() {
        let mut latencies = Latencies::default();
        for millis in 1..=100 {
            latencies.record(Duration::from_millis(millis));
        }
        let text = percentiles(&latencies);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_whitespace()
                    .map(|field| field.parse().unwrap())
                    .collect()
            })
            .collect();
        let last = rows.last().unwrap();
        assert!((last[0] - 100.0).abs() < 0.1, "{text}");
        assert_eq!(last[1..], [1.0, 100.0]);
        assert!(rows.is_sorted_by(|one, next| one[0] <= next[0] && one[1] <= next[1]));
        assert!(text.contains("Total count    =          100]"), "{text}");
    }
}
