//! Splits rows with long texts into portions that one statement reads quickly.
//!
//! To reach a column, SQLite reads everything before it in the row, even megabytes of text. A
//! statement of the admin API ends after 2 s, and others wait for its connection.

use crate::domain::Id;

/// The most bytes that one statement reads, unless its only row has more. This takes some 50 ms on
/// SQLite.
const PORTION_BYTES_MAX: i64 = 64 << 20;

/// A row to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heavy {
    pub(super) id: Id,
    /// The size of its long texts, in bytes.
    pub(super) weight: i64,
}

/// The ids of `rows` in their order, split into one portion per statement.
pub(super) fn portions(rows: &[Heavy]) -> Vec<Vec<Id>> {
    portions_below(rows, PORTION_BYTES_MAX)
}

/// The same with portions of at most `most` bytes, or one row.
pub(super) fn portions_below(rows: &[Heavy], most: i64) -> Vec<Vec<Id>> {
    let mut portions: Vec<Vec<Id>> = Vec::new();
    let mut bytes = 0_i64;
    for row in rows {
        bytes = bytes.saturating_add(row.weight);
        match portions.last_mut() {
            Some(last) if bytes <= most => last.push(row.id),
            Some(_) | None => {
                portions.push(vec![row.id]);
                bytes = row.weight;
            }
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_reads_so_much_and_at_least_one_row() {
        const MOST: i64 = PORTION_BYTES_MAX;
        for (weights, expected) in [
            (&[][..], vec![]),
            (&[1, 1, 1], vec![vec![1, 2, 3]]),
            (&[MOST / 2, MOST / 2, 1], vec![vec![1, 2], vec![3]]),
            (&[MOST + 1, 1, 1], vec![vec![1], vec![2, 3]]),
            (&[1, MOST + 1, MOST], vec![vec![1], vec![2], vec![3]]),
        ] {
            let rows: Vec<Heavy> =
                (1..).zip(weights).map(|(id, weight)| Heavy { id, weight: *weight }).collect();
            assert_eq!(portions(&rows), expected, "{weights:?}");
        }
    }
}
