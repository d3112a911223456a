//! Durations and sizes as people write them: `250ms`, `30s`, `1h30m`; `64KiB`, `256MiB`.

use std::{fmt, str::FromStr, time::Duration};

use crate::text_form;

/// A span of time in a document: digits and a unit (`ms`, `s`, `m`, `h`, `d`), several in a
/// row from large to small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes in a document: digits and `B`, `KiB`, `MiB` or `GiB` (1024), or `KB`,
/// `MB`, `GB` (1000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// What is wrong with a span or size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a span of time.
    #[error("`{0}` is not a duration; write digits and a unit, such as 250ms, 30s, 5m, 48h or 2d")]
    Span(String),
    /// Not a size.
    #[error("`{0}` is not a size; write digits and a unit, such as 64KiB, 10MiB or 1GiB")]
    Size(String),
}

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl Size {
    /// So many kibibytes.
    #[must_use]
    pub const fn kib(kib: u64) -> Self {
        Self(kib * 1024)
    }
}

/// Unit, its length in milliseconds; from large to small, the order they must stand in.
const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Splits `12abc...` into 12 and the letters that follow; the rest is returned too.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..digits].parse().ok()?;
    let after = &text[digits..];
    let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
    Some((number, &after[..letters], &after[letters..]))
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Span(text.to_owned());
        let (mut rest, mut total, mut next_unit) = (text.trim(), 0u64, 0);
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let (number, unit, after) = number_and_unit(rest).ok_or_else(wrong)?;
            let at = SPAN_UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
            if at < next_unit {
                return Err(wrong());
            }
            next_unit = at + 1;
            let millis = number.checked_mul(SPAN_UNITS[at].1).ok_or_else(wrong)?;
            total = total.checked_add(millis).ok_or_else(wrong)?;
            rest = after;
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in SPAN_UNITS {
            if left >= millis {
                write!(f, "{}{unit}", left / millis)?;
                left %= millis;
            }
        }
        Ok(())
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Size(text.to_owned());
        let (number, unit, rest) = number_and_unit(text.trim()).ok_or_else(wrong)?;
        let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        if !rest.is_empty() {
            return Err(wrong());
        }
        number.checked_mul(*bytes).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, bytes) in [SIZE_UNITS[3], SIZE_UNITS[2], SIZE_UNITS[1]] {
            if self.0 >= bytes && self.0.is_multiple_of(bytes) {
                return write!(f, "{}{unit}", self.0 / bytes);
            }
        }
        write!(f, "{}B", self.0)
    }
}

text_form!(
    Span,
    "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
    "A duration: 250ms, 30s, 5m, 48h, 1h30m."
);
text_form!(Size, "^[0-9]+(B|KiB|MiB|GiB|KB|MB|GB)$", "A size: 64KiB, 10MiB, 1GiB.");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Size, Span, UnitError};

    #[test]
    fn spans_are_read_as_people_write_them() {
        let table = [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("48h", 172_800_000),
            ("1h30m", 5_400_000),
            ("1m500ms", 60_500),
            ("0s", 0),
        ];
        for (text, millis) in table {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5s",
            "5x",
            "1s1m",
            "1s1s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(text.parse::<Span>(), Err(UnitError::Span(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("10B", 10), ("64KiB", 65_536), ("256MiB", 268_435_456), ("1MB", 1_000_000)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "10", "KiB", "1kib", "1KiB2B", "18446744073709551615GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in 0..u64::MAX / 4, bytes: u64) {
            let span = Span(Duration::from_millis(millis));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            let size = Size(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = text.parse::<Span>();
            let _ = text.parse::<Size>();
        }
    }
}
