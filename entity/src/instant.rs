//! Instants, which the two databases store differently.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColIdx, QueryResult, TryGetError, TryGetable, Value,
    sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr},
};

/// An instant in Unix milliseconds: an INTEGER on SQLite, a `timestamptz` on PostgreSQL.
///
/// The type is for reading only. A value does not know which database it goes to, so as a [`Value`]
/// it is always the number. SQLite accepts that; PostgreSQL refuses it, since it does not convert
/// `bigint` to `timestamptz`. An instant that is written through an `ActiveModel` therefore fails
/// on PostgreSQL. Code that writes or compares instants uses statements of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

impl From<Instant> for Value {
    fn from(instant: Instant) -> Self {
        Self::BigInt(Some(instant.0))
    }
}

impl From<DateTime<Utc>> for Instant {
    /// Rounds to the nearest millisecond, as the hand-written statements do.
    fn from(time: DateTime<Utc>) -> Self {
        Self((time.timestamp_micros() + 500).div_euclid(1_000))
    }
}

impl TryGetable for Instant {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        if row.try_as_pg_row().is_some() {
            return DateTime::<Utc>::try_get_by(row, index).map(Self::from);
        }
        i64::try_get_by(row, index).map(Self)
    }
}

impl ValueType for Instant {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <i64 as ValueType>::try_from(value).map(Self)
    }

    fn type_name() -> String {
        "Instant".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::BigInt
    }

    fn column_type() -> ColumnType {
        ColumnType::BigInteger
    }
}

impl Nullable for Instant {
    fn null() -> Value {
        Value::BigInt(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_round_to_the_nearest_millisecond() {
        for (micros, millis) in [(1_499, 1), (1_500, 2), (-1_499, -1), (-1_501, -2), (0, 0)] {
            let it = DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
            assert_eq!(Instant::from(it), Instant(millis), "{micros}");
        }
    }

    #[test]
    fn a_value_is_a_number_which_postgres_refuses_for_an_instant() {
        assert_eq!(Value::from(Instant(7)), Value::BigInt(Some(7)));
        assert_eq!(Value::from(None::<Instant>), Value::BigInt(None));
    }
}
