//! Instants, which the two databases keep differently.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColIdx, QueryResult, TryGetError, TryGetable, Value,
    sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr},
};

/// An instant in Unix milliseconds: an INTEGER on SQLite, a `timestamptz` on PostgreSQL.
///
/// It is for reading. A value does not know to which database it goes, so as a [`Value`] it is always
/// the number. SQLite takes that rightly; PostgreSQL refuses it, as it has no conversion from `bigint`
/// to `timestamptz`. So an instant that is written through an `ActiveModel` fails loudly there;
/// whatever writes or compares instants does so in statements of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

impl From<Instant> for Value {
    fn from(it: Instant) -> Self {
        Self::BigInt(Some(it.0))
    }
}

impl From<DateTime<Utc>> for Instant {
    /// To the nearest millisecond, as the statements round that are written by hand.
    fn from(it: DateTime<Utc>) -> Self {
        Self((it.timestamp_micros() + 500).div_euclid(1_000))
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
