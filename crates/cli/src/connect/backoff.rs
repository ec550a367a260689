//! The wait before reconnecting: exponential backoff with full jitter.
//!
//! Pure: the random number is an argument. The whole wait is random, not only a part of it:
//! otherwise all clients of a server that has just restarted would reconnect at nearly the same
//! time.

use std::time::Duration;

/// Upper limit of the first wait. Arbitrary: so short that a person does not notice it.
const BASE: Duration = Duration::from_millis(500);

/// Upper limit of every random wait, and of a wait that a server asks for. Arbitrary: the longest
/// time that a person should wait for a server that runs again.
pub(super) const CAP: Duration = Duration::from_secs(30);

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
