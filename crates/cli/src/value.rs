//! Values of options and of the settings file. The error of a wrong value says what is expected.
//!
//! Pure.

use std::{
    fmt, marker::PhantomData, net::SocketAddr, num::NonZeroUsize, str::FromStr, time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// A whole number of at least 1.
pub(crate) type Count = Whole<NonZeroUsize, 1>;

/// A whole number from `LEAST` to `MOST`, both of which must be values of `T`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<T = usize, const LEAST: usize = 0, const MOST: usize = { usize::MAX }>(
    pub(crate) T,
);

impl<T: TryFrom<usize>, const LEAST: usize, const MOST: usize> Whole<T, LEAST, MOST> {
    fn new(number: usize) -> Option<Self> {
        let number = Some(number).filter(|number| (LEAST..=MOST).contains(number));
        number.and_then(|number| T::try_from(number).ok()).map(Self)
    }

    fn expected() -> String {
        match MOST {
            // A limit that nobody reaches would only confuse.
            usize::MAX => format!("a whole number from {LEAST}"),
            most => format!("a whole number from {LEAST} to {most}"),
        }
    }
}

impl<T: TryFrom<usize>, const LEAST: usize, const MOST: usize> FromStr for Whole<T, LEAST, MOST> {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let number = text.parse().ok().and_then(Self::new);
        number.ok_or_else(|| InvalidValue(Self::expected()))
    }
}

impl<'de, T, const LEAST: usize, const MOST: usize> Deserialize<'de> for Whole<T, LEAST, MOST>
where
    T: TryFrom<usize>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(NumberVisitor(PhantomData))
    }
}

/// Deserializes a number in the settings file.
struct NumberVisitor<W>(PhantomData<W>);

impl<T, const LEAST: usize, const MOST: usize> Visitor<'_> for NumberVisitor<Whole<T, LEAST, MOST>>
where
    T: TryFrom<usize>,
{
    type Value = Whole<T, LEAST, MOST>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Self::Value::expected())
    }

    // TOML's numbers are signed.
    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        let value = usize::try_from(number).ok().and_then(Self::Value::new);
        value.ok_or_else(|| E::custom(format!("{number} is not {}", Self::Value::expected())))
    }
}

/// A time with a unit, such as `25s`, `5m` or `250ms`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Duration);

/// Formats the time as the settings have it: a whole number of the largest unit that fits.
impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let units = [
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
        ];
        let fits = |(unit, _): &(u128, _)| nanoseconds.is_multiple_of(*unit);
        let (unit, name) = units.into_iter().find(fits).unwrap_or((1, "ns"));
        write!(formatter, "{}{name}", nanoseconds / unit)
    }
}

impl FromStr for Time {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let time = humantime::parse_duration(text).map(Self);
        time.map_err(|_| InvalidValue(TIME.into()))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeVisitor)
    }
}

/// Deserializes a time in the settings file.
struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(TIME)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
        let invalid = |InvalidValue(expected)| E::custom(format!("{text:?} is not {expected}"));
        text.parse().map_err(invalid)
    }
}

/// Parses the address of a listener on the command line.
pub(crate) fn address(text: &str) -> Result<SocketAddr, InvalidValue> {
    let expected = "an IP address and a port such as 127.0.0.1:8080";
    text.parse().map_err(|_| InvalidValue(expected.to_owned()))
}

const TIME: &str = "a time such as 250ms, 5s or 2m";

/// The error of a wrong value, with a description of the values that are right.
#[derive(Debug, thiserror::Error)]
#[error("not {0}")]
pub(crate) struct InvalidValue(pub(crate) String);

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of<T: FromStr<Err = InvalidValue>>(text: &str) -> String {
        text.parse::<T>().err().unwrap().to_string()
    }

    #[test]
    fn the_error_of_a_wrong_number_says_what_is_expected() {
        for text in ["0", "-1", "abc", "", "1.5", "99999999999999999999999"] {
            assert_eq!(error_of::<Count>(text), "not a whole number from 1");
        }
        for text in ["8", "-1"] {
            assert_eq!(
                error_of::<Whole<u32, 0, 7>>(text),
                "not a whole number from 0 to 7"
            );
        }
    }

    #[test]
    fn a_number_in_its_range_is_accepted() {
        assert_eq!("1".parse::<Count>().unwrap().0.get(), 1);
        assert_eq!("0".parse::<Whole>().unwrap().0, 0);
        assert_eq!("7".parse::<Whole<u32, 0, 7>>().unwrap().0, 7);
    }

    #[test]
    fn a_time_is_shown_with_the_largest_unit_of_which_it_is_a_whole_number() {
        for text in ["75s", "5m", "90m", "1500ms", "1us", "7ns"] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_time_has_a_unit() {
        for text in ["1500ms", "1.5s", "1s 500ms", "1s500ms", "1500 ms"] {
            let time = text.parse::<Time>().unwrap().0;
            assert_eq!(time.as_millis(), 1500, "{text}");
        }
        for (unit, seconds) in [("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86_400)] {
            let time = format!("2{unit}").parse::<Time>().unwrap().0;
            assert_eq!(time.as_secs(), 2 * seconds, "{unit}");
        }
        for text in ["5", "soon", "", "-5s", "5S", "5MS", "5 000ms5"] {
            assert_eq!(
                error_of::<Time>(text),
                "not a time such as 250ms, 5s or 2m",
                "{text}"
            );
        }
    }
}
