//! Formats numbers and times for people.
//!
//! Pure.

use std::time::Duration;

/// Formats a number with commas: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a rate with commas, rounded to a whole number or, below 10, to two decimals.
pub(super) fn rate(per_second: f64) -> String {
    if per_second < 10.0 {
        return short((per_second.max(0.0) * 100.0).round() / 100.0);
    }
    let number = format!("{per_second:.0}");
    count(number.parse().unwrap_or(u64::MAX))
}

/// Formats a rate of messages: `1 message/s`, `5,000 messages/s`.
pub(super) fn message_rate(per_second: f64) -> String {
    let rate = rate(per_second);
    let end = if rate == "1" { "" } else { "s" };
    format!("{rate} message{end}/s")
}

/// Formats a number of things: `1 connection`, `2 connections`.
pub(super) fn plural(number: u64, word: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {word}{end}", count(number))
}

/// Formats a time with three significant digits: `7.25 ms`.
pub(super) fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        ..1e3 => (micros, "µs"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// Formats a number with at most three decimals, and without zeros at the end: `0.25`, `20`.
pub(super) fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Formats a share of a whole: `93 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Formats a size: `812 B`, `4.0 KiB`.
pub(super) fn bytes(bytes: f64) -> String {
    let (value, unit) = match bytes {
        ..1024.0 => return format!("{bytes:.0} B"),
        ..1_048_576.0 => (bytes / 1024.0, "KiB"),
        ..1_073_741_824.0 => (bytes / 1_048_576.0, "MiB"),
        _ => (bytes / 1_073_741_824.0, "GiB"),
    };
    format!("{value:.1} {unit}")
}

/// Formats the change of a size: `grown by 4.0 KiB`, `shrunk by 812 B`.
pub(super) fn change(difference: f64) -> String {
    let verb = if difference <= -0.5 {
        "shrunk"
    } else {
        "grown"
    };
    format!("{verb} by {}", bytes(difference.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rate(99_999.6), "100,000");
        assert_eq!(plural(1, "topic"), "1 topic");
        assert_eq!(plural(2000, "topic"), "2,000 topics");
    }

    #[test]
    fn a_low_rate_has_decimals() {
        assert_eq!([0.0, 0.2, 9.5, 10.5].map(rate), ["0", "0.2", "9.5", "10"]);
        assert_eq!(message_rate(0.5), "0.5 messages/s");
        assert_eq!(message_rate(1.0), "1 message/s");
    }

    #[test]
    fn times_and_sizes_have_a_fitting_unit() {
        assert_eq!(time(Duration::from_nanos(7_254)), "7.25 µs");
        assert_eq!(time(Duration::from_micros(72_540)), "72.5 ms");
        assert_eq!(time(Duration::from_millis(1_500)), "1.50 s");
        assert_eq!(time(Duration::from_micros(725)), "725 µs");
        assert_eq!(bytes(812.4), "812 B");
        assert_eq!(bytes(4096.0), "4.0 KiB");
    }

    #[test]
    fn a_short_number_has_no_zeros_at_its_end() {
        let texts = [0.0, 0.25, 20.0, 0.1 + 0.2, 1e6].map(short);
        assert_eq!(texts, ["0", "0.25", "20", "0.3", "1000000"]);
        assert_eq!(percent(0.934), "93 %");
    }

    #[test]
    fn a_negative_change_is_a_shrinkage_unless_it_rounds_to_zero() {
        assert_eq!(change(4096.0), "grown by 4.0 KiB");
        assert_eq!(change(0.0), "grown by 0 B");
        assert_eq!(change(-3_145_728.0), "shrunk by 3.0 MiB");
        assert_eq!(change(-0.3), "grown by 0 B");
    }
}
