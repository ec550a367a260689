//! The wait before connecting again: exponential backoff with full jitter.
//!
//! Pure: the randomness is an argument. Full jitter, not a jittered part, because what it has to
//! spread is every client of a server that has just restarted.

use std::time::Duration;

/// The ceiling of the first wait. Arbitrary: short enough to go unnoticed by a person.
const BASE: Duration = Duration::from_millis(500);

/// The ceiling of every wait. Arbitrary: the longest a person should have to wait for a server
/// that has come back.
const CAP: Duration = Duration::from_secs(30);

/// Returns the wait before reconnecting for the `attempt`th time, counted from 0.
///
/// `random` is a fraction from 0 to 1, drawn anew for every wait.
pub(super) fn delay(attempt: u32, random: f64) -> Duration {
    let ceiling = BASE.saturating_mul(2_u32.saturating_pow(attempt)).min(CAP);
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_with_every_attempt() {
        assert_eq!(delay(0, 1.0), Duration::from_millis(500));
        assert_eq!(delay(1, 1.0), Duration::from_secs(1));
        assert_eq!(delay(5, 1.0), Duration::from_secs(16));
    }

    #[test]
    fn the_ceiling_stops_at_the_cap_however_many_attempts_failed() {
        assert_eq!(delay(6, 1.0), CAP);
        assert_eq!(delay(31, 1.0), CAP);
        assert_eq!(delay(u32::MAX, 1.0), CAP);
    }

    #[test]
    fn the_whole_range_below_the_ceiling_is_used() {
        assert_eq!(delay(3, 0.0), Duration::ZERO);
        assert_eq!(delay(3, 0.25), Duration::from_secs(1));
        assert_eq!(delay(3, 0.5), Duration::from_secs(2));
    }
}
