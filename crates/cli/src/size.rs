//! Sizes in bytes, in options and in the settings file.
//!
//! Pure. The crates that parse sizes also accept some whose exact meaning is unclear: fractions,
//! which they round, units of 1000 beside those of 1024, and signs.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use crate::value::InvalidValue;

/// A size of at most `MOST` bytes, which is written like `65536`, `64KiB` or `200Mi`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size<const MOST: usize = { usize::MAX }>(pub(crate) usize);

impl<const MOST: usize> Size<MOST> {
    fn new(bytes: usize) -> Option<Self> {
        (bytes <= MOST).then_some(Self(bytes))
    }

    fn expected() -> String {
        let example = "a size such as 65536, 64KiB, 200MiB or 1GiB";
        match MOST {
            // A limit that nobody reaches would only confuse.
            usize::MAX => example.into(),
            most => format!("{example}, at most {}", written(most)),
        }
    }
}

impl<const MOST: usize> FromStr for Size<MOST> {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let in_units = UNITS.into_iter().find_map(|(unit, bytes)| {
            // Kubernetes writes these units without the B.
            let text = text.strip_suffix('B').unwrap_or(text);
            let count = text.strip_suffix(unit)?;
            Some((count, bytes))
        });
        let (count, unit) = in_units.unwrap_or((text, 1));
        // `parse` would accept a sign.
        let is_count = count.bytes().all(|digit| digit.is_ascii_digit());
        let count = count.parse::<usize>().ok().filter(|_| is_count);
        let bytes = count.and_then(|count| count.checked_mul(unit));
        let size = bytes.and_then(Self::new);
        size.ok_or_else(|| InvalidValue(Self::expected()))
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Size<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

/// Deserializes a size in the settings file, where it is a number or a text.
struct SizeVisitor<const MOST: usize>;

impl<const MOST: usize> Visitor<'_> for SizeVisitor<MOST> {
    type Value = Size<MOST>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Size::<MOST>::expected())
    }

    // TOML's numbers are signed.
    fn visit_i64<E: Error>(self, number: i64) -> Result<Size<MOST>, E> {
        let size = usize::try_from(number).ok().and_then(Size::new);
        size.ok_or_else(|| E::custom(format!("{number} is not {}", Size::<MOST>::expected())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size<MOST>, E> {
        let invalid = |InvalidValue(expected)| E::custom(format!("{text:?} is not {expected}"));
        text.parse().map_err(invalid)
    }
}

/// Formats a number of bytes in the largest unit of which it is a multiple: `64KiB`.
fn written(bytes: usize) -> String {
    let unit = UNITS
        .into_iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit));
    match unit {
        Some((unit, of)) if bytes > 0 => format!("{}{unit}B", bytes / of),
        _ => bytes.to_string(),
    }
}

/// The units, largest first. Others are ambiguous: `M` is 1,048,576 for systemd, Docker and nginx,
/// and 1,000,000 for Kubernetes; `MB` is either.
const UNITS: [(&str, usize); 3] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<usize> {
        text.parse().ok().map(|Size::<{ usize::MAX }>(bytes)| bytes)
    }

    #[test]
    fn a_size_is_in_bytes_or_in_powers_of_1024() {
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("65536"), Some(65_536));
        assert_eq!(bytes("64KiB"), Some(65_536));
        assert_eq!(bytes("200MiB"), Some(209_715_200));
        assert_eq!(bytes("1GiB"), Some(1_073_741_824));
        assert_eq!(bytes("64Ki"), Some(65_536));
        assert_eq!(bytes("200Mi"), Some(209_715_200));
        assert_eq!(bytes("1Gi"), Some(1_073_741_824));
        let most = format!("{}KiB", usize::MAX >> 10);
        assert_eq!(bytes(&most), Some(usize::MAX - 1023));
    }

    #[test]
    fn a_text_that_is_no_size_or_is_ambiguous_is_refused() {
        // The digit of `١KiB` is an Arabic one.
        for text in [
            "", "KiB", "Ki", "B", "64B", "64KiBB", "64Kii", "64ki", "64M", "-1", "+1", "-1KiB",
            "+1KiB", "1.5MiB", "1e6", "1_000", "1,000", "64k", "64K", "64KB", "64kib", "64Kib",
            "64MB", "1TiB", "64 KiB", " 64", "64 ", "0x10", "1KiBKiB", "١KiB", "big",
        ] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_size_that_overflows_is_refused() {
        let (half, all) = (usize::MAX / 2 + 1, usize::MAX);
        for text in [format!("{half}KiB"), format!("{all}0"), format!("{all}GiB")] {
            assert_eq!(bytes(&text), None, "{text}");
        }
    }

    #[test]
    fn the_error_of_a_wrong_size_says_what_is_expected() {
        let error = "64MB".parse::<Size>().err().unwrap().to_string();
        assert_eq!(error, "not a size such as 65536, 64KiB, 200MiB or 1GiB");
        let error = "65MiB".parse::<Size<{ 64 << 20 }>>().err().unwrap();
        let error = error.to_string();
        assert!(error.ends_with("or 1GiB, at most 64MiB"), "{error}");
        assert_eq!("64MiB".parse::<Size<{ 64 << 20 }>>().unwrap().0, 64 << 20);
        assert_eq!([0, 1000, 1536 << 10].map(written), ["0", "1000", "1536KiB"]);
    }

    #[test]
    fn a_size_in_the_settings_file_is_a_number_or_a_text() {
        #[derive(Debug, Deserialize)]
        struct Settings {
            size: Size,
        }
        let size = |text: &str| toml::from_str::<Settings>(text).map(|settings| settings.size.0);
        assert_eq!(size("size = 65536"), Ok(65_536));
        assert_eq!(size("size = '64KiB'"), Ok(65_536));
        for wrong in ["-1", "1.5", "true", "'64MB'", "'-1'", "[1]"] {
            let error = size(&format!("size = {wrong}")).unwrap_err();
            assert!(error.message().contains("a size such as"), "{error}");
        }
    }
}
