//! Rows that take long to read, a few at a time.
//!
//! SQLite reads past all that stands before a column, megabytes of texts included. A statement of the admin API ends
//! after 2 s, and others wait for its connection.

use crate::domain::Id;

/// Bytes that one statement reads past at the most, unless its only row has more: some 50 ms on SQLite.
const PORTION_BYTES_MAX: i64 = 64 << 20;

/// A row that is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heavy {
    pub(super) id: Id,
    /// The bytes of its long texts.
    pub(super) weight: i64,
}

/// The ids of `rows`, in their order, for one statement after the other.
pub(super) fn portions(rows: &[Heavy]) -> Vec<Vec<Id>> {
    let mut portions: Vec<Vec<Id>> = Vec::new();
    let mut bytes = 0_i64;
    for row in rows {
        bytes = bytes.saturating_add(row.weight);
        match portions.last_mut() {
            Some(last) if bytes <= PORTION_BYTES_MAX => last.push(row.id),
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
