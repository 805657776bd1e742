//! Instants in Unix milliseconds, UTC.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, time::Duration};

/// An instant in Unix milliseconds. Shown and serialized as RFC 3339 in UTC with milliseconds
/// (`2026-01-18T14:03:11.120Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The least instant that RFC 3339 can spell and both databases can keep: the start of the year
/// 0001.
const MILLIS_MIN: i64 = -62_135_596_800_000;
/// The greatest instant that jiff takes. It is a little before the year 10000, so that it can be
/// shown in every zone.
const MILLIS_MAX: i64 = 253_402_207_200_000;

impl Timestamp {
    /// From Unix milliseconds. An instant outside the years 0001–9999 becomes the nearest one
    /// inside.
    pub const fn from_millis(millis: i64) -> Self {
        if millis < MILLIS_MIN {
            Self(MILLIS_MIN)
        } else if millis > MILLIS_MAX {
            Self(MILLIS_MAX)
        } else {
            Self(millis)
        }
    }

    /// Unix milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to this instant; negative if `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// This instant moved by `millis`.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This instant moved by `duration`, into the future.
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_millis(whole_millis(duration))
    }
}

/// The median of times in milliseconds; the shorter of the two in the middle if their number is
/// even. `None` if there are none.
pub fn median_ms(mut times: Vec<i64>) -> Option<i64> {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) / 2).copied()
}

/// The whole milliseconds of a duration, or the most that the type holds.
pub fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(instant: jiff::Timestamp) -> Self {
        Self::from_millis(instant.as_millisecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "date-time",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
            "description": "An instant in UTC, with milliseconds (RFC 3339)",
        })
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let instant: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(instant.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_spelled_with_milliseconds_and_zone() {
        let it = Timestamp::from_millis(1_768_744_991_120);
        assert_eq!(it.to_string(), "2026-01-18T14:03:11.120Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_no_calendar_can_spell_is_clamped() {
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-30T22:00:00.000Z");
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), "0001-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(7).plus(Duration::MAX), Timestamp::from_millis(i64::MAX));
    }

    #[test]
    fn a_duration_is_added_in_whole_milliseconds() {
        let later = Timestamp::from_millis(7).plus(Duration::from_micros(2_999));
        assert_eq!(later, Timestamp::from_millis(9));
        assert_eq!(whole_millis(Duration::MAX), i64::MAX);
    }
}
