//! A schedule: times at a constant rate. A delay of one message does not move the times of later
//! ones.

use std::time::Duration;

use crate::clock::Moment;

/// Times at a constant rate, of which some are already taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Moment,
    per_second: f64,
    taken: u64,
}

impl Schedule {
    /// Returns a schedule whose first time is `start`. `per_second` must be more than 0.
    pub(crate) fn new(start: Moment, per_second: f64) -> Self {
        Self {
            start,
            per_second,
            taken: 0,
        }
    }

    /// Returns the next time that is not taken yet.
    pub(crate) fn next(&self) -> Moment {
        self.moment(self.taken)
    }

    /// Takes the next time off the schedule if it is not after `now`. Returns its number and the
    /// time.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<(u64, Moment)> {
        let (number, moment) = (self.taken, self.next());
        (moment <= now).then(|| {
            self.taken += 1;
            (number, moment)
        })
    }

    /// Returns the number of the next time.
    pub(crate) fn next_number(&self) -> u64 {
        self.taken
    }

    /// Returns the time with number `number`.
    pub(crate) fn moment(&self, number: u64) -> Moment {
        // Counted from the start instead of the time before, so that rounding errors do not add up.
        let seconds = number as f64 / self.per_second;
        self.start + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_taken_late_keep_their_schedule() {
        let start = Moment::from_nanos(5);
        let mut schedule = Schedule::new(start, 1000.0);
        let late = start + Duration::from_micros(2500);
        let due: Vec<_> = std::iter::from_fn(|| schedule.take_due(late)).collect();
        let millis = |count| start + Duration::from_millis(count);
        assert_eq!(due, [(0, millis(0)), (1, millis(1)), (2, millis(2))]);
        assert_eq!(schedule.next(), millis(3));
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut schedule = Schedule::new(Moment::from_nanos(5), 1.0);
        assert_eq!(schedule.take_due(Moment::from_nanos(4)), None);
        assert!(schedule.take_due(Moment::from_nanos(5)).is_some());
        assert_eq!(schedule.take_due(Moment::from_nanos(6)), None);
    }
}
