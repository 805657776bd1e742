//! The features that the weights know, by their keys, in few bytes.

use super::features::KEY_BITS;
use std::borrow::Cow;

/// The bits of a key that are stored for each key. The bits before them say in which group it is.
const LOW_BITS: u32 = 16;
/// How many groups there are.
const GROUPS: usize = 1 << (KEY_BITS - LOW_BITS);

/// Keys in order, each once.
///
/// A feature that is not among them has no weight. Without that, each feature that no reply of the
/// training had would be given the weight of some other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KnownKeys {
    /// Of each group, the place behind its last key.
    ends: [u32; GROUPS],
    /// Of each key its low bits, the more significant byte first.
    lows: Cow<'static, [[u8; 2]]>,
}

impl KnownKeys {
    /// No keys.
    pub(super) const EMPTY: Self = Self { ends: [0; GROUPS], lows: Cow::Borrowed(&[]) };

    /// These keys, which must be in order, each once.
    pub(super) fn of(keys: &[u32]) -> Self {
        let mut ends = [0; GROUPS];
        for (group, end) in ends.iter_mut().enumerate() {
            *end = keys.partition_point(|key| group_of(*key) <= group) as u32;
        }
        let lows = keys.iter().map(|key| low_of(*key)).collect();
        Self { ends, lows: Cow::Owned(lows) }
    }

    /// Reads keys from the beginning of a file, and gives what is behind them.
    pub(super) fn read(file: &'static [u8]) -> Option<(Self, &'static [u8])> {
        let (numbers, rest) = file.split_at_checked(GROUPS * 4)?;
        let mut ends = [0; GROUPS];
        for (end, bytes) in ends.iter_mut().zip(numbers.as_chunks().0) {
            *end = u32::from_le_bytes(*bytes);
        }
        let (lows, rest) = rest.split_at_checked(*ends.last()? as usize * 2)?;
        Some((Self { ends, lows: Cow::Borrowed(lows.as_chunks().0) }, rest))
    }

    /// The bytes that [`KnownKeys::read`] reads.
    pub(super) fn file(&self) -> Vec<u8> {
        let ends = self.ends.iter().flat_map(|end| end.to_le_bytes());
        ends.chain(self.lows.iter().flatten().copied()).collect()
    }

    /// How many keys there are.
    pub(super) fn count(&self) -> usize {
        self.lows.len()
    }

    /// The place of a key in the order; `None` if it is not known.
    pub(super) fn place(&self, key: u32) -> Option<usize> {
        let group = group_of(key);
        let start = group.checked_sub(1).map_or(Some(&0), |before| self.ends.get(before))?;
        let (start, end) = (*start as usize, *self.ends.get(group)? as usize);
        let lows = self.lows.get(start..end)?;
        Some(start + lows.binary_search(&low_of(key)).ok()?)
    }
}

const fn group_of(key: u32) -> usize {
    (key >> LOW_BITS) as usize
}

const fn low_of(key: u32) -> [u8; 2] {
    let [.., high, low] = key.to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_key_has_its_place_and_others_have_none(
            keys in prop::collection::btree_set(0_u32..1 << KEY_BITS, 0..200),
            other in 0_u32..1 << KEY_BITS,
        ) {
            let sorted: Vec<u32> = keys.iter().copied().collect();
            let known = KnownKeys::of(&sorted);
            for (place, key) in sorted.iter().enumerate() {
                prop_assert_eq!(known.place(*key), Some(place));
            }
            prop_assert_eq!(known.place(other).is_some(), keys.contains(&other));
            prop_assert_eq!(known.count(), keys.len());
            let (read, rest) = KnownKeys::read(known.file().leak()).expect("keys");
            prop_assert_eq!(&read, &known);
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn keys_at_the_ends_of_groups_are_found() {
        let keys: BTreeSet<u32> =
            [0, 0xffff, 0x1_0000, 0x1_ffff, 0xff_0000, 0xff_ffff].into_iter().collect();
        let sorted: Vec<u32> = keys.into_iter().collect();
        let known = KnownKeys::of(&sorted);
        for key in [0, 0xffff, 0x1_0000, 0xff_ffff] {
            assert!(known.place(key).is_some(), "{key:x}");
        }
        assert_eq!(known.place(0x2_0000), None);
        assert_eq!(KnownKeys::EMPTY.place(0), None);
        assert_eq!(KnownKeys::read(&[1; 100]), None);
    }
}
