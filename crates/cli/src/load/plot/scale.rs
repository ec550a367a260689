//! Scales of axes: where on an axis a value is, and which values have a tick.
//!
//! Pure.

/// A scale from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    is_logarithmic: bool,
}

impl Scale {
    /// Returns a linear scale.
    pub(super) fn linear(from: f64, to: f64) -> Self {
        Self {
            from,
            to: if to > from { to } else { from + 1.0 },
            is_logarithmic: false,
        }
    }

    /// Returns a scale for values from `least` to `most`: linear from 0, or logarithmic if they span
    /// more than two decades, of which a linear scale would show only the last one.
    pub(super) fn fitting(least: f64, most: f64) -> Self {
        if least > 0.0 && most / least > LINEAR_SPAN {
            Self {
                from: round_down(least),
                to: round_up(most),
                is_logarithmic: true,
            }
        } else {
            Self::linear(0.0, most * HEADROOM)
        }
    }

    /// Returns the place of `value`: 0 at the start of the scale, 1 at its end. A value outside of
    /// the scale is at its nearest end.
    pub(super) fn place(self, value: f64) -> f64 {
        let place = if self.is_logarithmic {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        place.clamp(0.0, 1.0)
    }

    /// Returns the values that have a tick: round ones.
    pub(super) fn ticks(self) -> Vec<f64> {
        if self.is_logarithmic {
            self.logarithmic_ticks()
        } else {
            let step = round_up((self.to - self.from) / MOST_TICKS);
            let ticks = (0..100).map(|index| self.from + step * f64::from(index));
            ticks.take_while(|tick| *tick <= self.to).collect()
        }
    }

    fn logarithmic_ticks(self) -> Vec<f64> {
        let decades = (self.to / self.from).log10();
        let factors: &[f64] = if decades <= 3.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        // A factor of rounding errors.
        let (from, to) = (self.from * 0.999, self.to * 1.001);
        let mut ticks = Vec::new();
        let mut decade = 10_f64.powf(self.from.log10().floor());
        while decade <= to {
            let values = factors.iter().map(|factor| decade * factor);
            ticks.extend(values.filter(|value| from <= *value && *value <= to));
            decade *= 10.0;
        }
        ticks
    }
}

/// Returns the largest of 1, 2 and 5 times a power of ten that is not above `value`.
fn round_down(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let factors = [5.0, 2.0, 1.0];
    let factor = factors.iter().find(|factor| **factor * decade <= value);
    factor.unwrap_or(&1.0) * decade
}

/// Returns the smallest of 1, 2, 5 and 10 times a power of ten that is not below `value`.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let factors = [1.0, 2.0, 5.0];
    let factor = factors.iter().find(|factor| **factor * decade >= value);
    factor.unwrap_or(&10.0) * decade
}

/// Largest quotient of two values that a linear scale shows: two decades.
const LINEAR_SPAN: f64 = 100.0;

/// Space above the largest value of a linear scale.
const HEADROOM: f64 = 1.05;

/// Largest number of steps between ticks.
const MOST_TICKS: f64 = 6.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_near(values: &[f64], expected: &[f64]) {
        assert_eq!(values.len(), expected.len(), "{values:?}");
        for (value, expected) in values.iter().zip(expected) {
            assert!((value / expected - 1.0).abs() < 1e-6 || value == expected);
        }
    }

    #[test]
    fn values_within_two_decades_have_a_linear_scale_from_zero() {
        let scale = Scale::fitting(10.0, 1000.0);
        assert_near(&[scale.place(525.0)], &[0.5]);
        assert_near(&scale.ticks(), &[0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
    }

    #[test]
    fn values_over_more_than_two_decades_have_a_logarithmic_scale() {
        let scale = Scale::fitting(30.0, 4000.0);
        // From 20 to 5,000.
        assert_near(&[scale.place(20.0), scale.place(5000.0)], &[0.0, 1.0]);
        let ticks = [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];
        assert_near(&scale.ticks(), &ticks);
        let wide = Scale::fitting(1.0, 1e6).ticks();
        assert_near(&wide, &[1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
    }

    #[test]
    fn a_value_outside_of_a_scale_is_at_its_end() {
        for scale in [Scale::linear(1.0, 2.0), Scale::fitting(1.0, 1000.0)] {
            assert_near(&[scale.place(0.0), scale.place(1e9)], &[0.0, 1.0]);
        }
    }

    #[test]
    fn a_single_value_and_none_have_a_scale() {
        for scale in [Scale::fitting(0.0, 0.0), Scale::fitting(7.0, 7.0)] {
            assert!(scale.place(0.0).is_finite());
            assert!((2..=8).contains(&scale.ticks().len()), "{scale:?}");
        }
    }
}
