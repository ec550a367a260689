//! The wait before reconnecting: exponential backoff with full jitter.
//!
//! Pure: the random number is an argument. The whole wait is random, not only a part of it:
//! otherwise all clients of a server that has just restarted would reconnect at nearly the same
//! time. A time that the server asks for comes before the random wait, for the same reason.

use std::time::Duration;

/// Upper limit of the first wait. Arbitrary: so short that a person does not notice it.
const BASE: Duration = Duration::from_millis(500);

/// Upper limit of every random wait, and of the time that a server asks for, so that both together
/// are at most twice as long. Arbitrary: the longest time that a person should wait for a server
/// that runs again.
const CAP: Duration = Duration::from_secs(30);

/// Returns the wait before reconnecting for the `attempt`th time, counted from 0.
///
/// `asked` is the time that the server asks for, and `random` a fraction from 0 to 1, drawn anew for
/// every wait.
pub(super) fn delay(attempt: u32, asked: Duration, random: f64) -> Duration {
    let ceiling = BASE.saturating_mul(2_u32.saturating_pow(attempt)).min(CAP);
    asked.min(CAP) + ceiling.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the wait after a connection whose server has asked for none.
    fn unasked(attempt: u32, random: f64) -> Duration {
        delay(attempt, Duration::ZERO, random)
    }

    #[test]
    fn the_ceiling_doubles_with_every_attempt() {
        assert_eq!(unasked(0, 1.0), Duration::from_millis(500));
        assert_eq!(unasked(1, 1.0), Duration::from_secs(1));
        assert_eq!(unasked(5, 1.0), Duration::from_secs(16));
    }

    #[test]
    fn the_ceiling_stops_at_the_cap_however_many_attempts_failed() {
        assert_eq!(unasked(6, 1.0), CAP);
        assert_eq!(unasked(31, 1.0), CAP);
        assert_eq!(unasked(u32::MAX, 1.0), CAP);
    }

    #[test]
    fn the_time_that_the_server_asks_for_comes_before_the_random_wait() {
        let seconds = Duration::from_secs;
        assert_eq!(delay(1, seconds(7), 0.0), seconds(7));
        assert_eq!(delay(1, seconds(7), 1.0), seconds(8));
        assert_eq!(delay(1, CAP, 1.0), seconds(31));
        for too_long in [CAP + seconds(1), Duration::MAX] {
            assert_eq!(delay(1, too_long, 0.0), CAP);
            assert_eq!(delay(9, too_long, 1.0), 2 * CAP);
        }
    }

    #[test]
    fn the_whole_range_below_the_ceiling_is_used() {
        assert_eq!(unasked(3, 0.0), Duration::ZERO);
        assert_eq!(unasked(3, 0.25), Duration::from_secs(1));
        assert_eq!(unasked(3, 0.5), Duration::from_secs(2));
    }
}
