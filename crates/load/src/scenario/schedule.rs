//! A schedule: moments at a constant rate, whatever has held up those before.

use std::time::Duration;

use crate::clock::Moment;

/// Moments that come at a constant rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Moment,
    per_second: f64,
    taken: u64,
}

impl Schedule {
    /// `per_second` must be more than 0.
    pub(crate) fn new(start: Moment, per_second: f64) -> Self {
        Self {
            start,
            per_second,
            taken: 0,
        }
    }

    /// Returns when the next one is due.
    pub(crate) fn next(&self) -> Moment {
        self.moment(self.taken)
    }

    /// Takes the next one if it is due, and returns its number and its moment.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<(u64, Moment)> {
        let (number, moment) = (self.taken, self.next());
        (moment <= now).then(|| {
            self.taken += 1;
            (number, moment)
        })
    }

    /// Returns the number of the next one.
    pub(crate) fn next_number(&self) -> u64 {
        self.taken
    }

    /// Returns when number `number` is due.
    pub(crate) fn moment(&self, number: u64) -> Moment {
        // From the start, not from the one before: errors do not add up.
        let seconds = number as f64 / self.per_second;
        self.start + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_up_keeps_its_moment() {
        let start = Moment::from_nanos(5);
        let mut schedule = Schedule::new(start, 1000.0);
        let late = start + Duration::from_micros(2500);
        let due: Vec<_> = std::iter::from_fn(|| schedule.take_due(late)).collect();
        let millis = |count| start + Duration::from_millis(count);
        assert_eq!(due, [(0, millis(0)), (1, millis(1)), (2, millis(2))]);
        assert_eq!(schedule.next(), millis(3));
    }

    #[test]
    fn nothing_is_due_before_its_moment() {
        let mut schedule = Schedule::new(Moment::from_nanos(5), 1.0);
        assert_eq!(schedule.take_due(Moment::from_nanos(4)), None);
        assert!(schedule.take_due(Moment::from_nanos(5)).is_some());
        assert_eq!(schedule.take_due(Moment::from_nanos(6)), None);
    }
}
