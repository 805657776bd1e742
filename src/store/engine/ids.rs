//! Ids that grow with arrival, assigned by the node that inserts.

use crate::domain::{Id, Timestamp};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// Bits of an id below its milliseconds: 10 for the node's slot, then 12 for the number within the
/// millisecond.
const SLOT_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
/// 2024-01-01T00:00:00Z: 41 bits of milliseconds from here last until 2093.
const EPOCH_MS: i64 = 1_704_067_200_000;
/// The greatest number of nodes at once: each holds a slot of its own.
pub(in crate::store) const SLOT_COUNT: i64 = 1 << SLOT_BITS;

/// The wall clock. It dates receipts and ids. Due times and leases are judged by the database's
/// clock.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_clock() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// Assigns ids, which consist of milliseconds, slot, and a number within the millisecond.
///
/// Within a process they rise strictly, even if the clock steps back: then the last id's time is
/// used until the clock has caught up. If there are more than 4,096 in a millisecond, the next
/// millisecond is used.
#[derive(Debug)]
pub(in crate::store) struct Ids {
    /// The slot of this node, below [`SLOT_COUNT`].
    slot: i64,
    /// The last id without its slot: milliseconds since [`EPOCH_MS`] << 12 | number.
    last: AtomicI64,
}

impl Ids {
    /// For the node with this slot. `floor` is the greatest id ever stored.
    pub(in crate::store) fn new(slot: i64, floor: Id) -> Self {
        let floor_ms = floor >> (SLOT_BITS + SEQUENCE_BITS);
        Self { slot: slot % SLOT_COUNT, last: AtomicI64::new((floor_ms + 1) << SEQUENCE_BITS) }
    }

    /// The next id, greater than all before it.
    pub(in crate::store) fn next(&self) -> Id {
        self.next_at(wall_clock())
    }

    fn next_at(&self, now: Timestamp) -> Id {
        let earliest = (now.as_millis() - EPOCH_MS) << SEQUENCE_BITS;
        let before = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some((last + 1).max(earliest))
            })
            .unwrap_or_default();
        let state = (before + 1).max(earliest);
        let sequence = state & ((1 << SEQUENCE_BITS) - 1);
        (state >> SEQUENCE_BITS) << (SLOT_BITS + SEQUENCE_BITS)
            | self.slot << SEQUENCE_BITS
            | sequence
    }
}

/// The least id that could have been assigned at that time.
pub const fn first_at(time: Timestamp) -> Id {
    let ms = time.as_millis() - EPOCH_MS;
    if ms < 0 { 0 } else { ms << (SLOT_BITS + SEQUENCE_BITS) }
}

/// Ids may be ahead of the clock by at most this: clocks differ, and ids of later milliseconds may
/// have been used.
const AHEAD_MAX: Duration = Duration::from_secs(3_600);

/// How far the time of an id is ahead of `now`; `None` up to [`AHEAD_MAX`].
pub(in crate::store) fn ahead_of(id: Id, now: Timestamp) -> Option<Duration> {
    let ahead = u64::try_from(given_out_at(id).millis_since(now)).map(Duration::from_millis);
    ahead.ok().filter(|ahead| *ahead > AHEAD_MAX)
}

/// When an id was assigned.
pub const fn given_out_at(id: Id) -> Timestamp {
    Timestamp::from_millis((id >> (SLOT_BITS + SEQUENCE_BITS)) + EPOCH_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_rise_strictly_whatever_the_clock_does(
            steps in prop::collection::vec(-5_000..5_000_i64, 1..200), slot in 0..SLOT_COUNT,
        ) {
            let ids = Ids::new(slot, 0);
            let (mut now, mut last) = (Timestamp::from_millis(1_764_000_000_000), 0);
            for step in steps {
                now = now.plus_millis(step);
                let id = ids.next_at(now);
                prop_assert!(id > last);
                last = id;
            }
        }
    }

    #[test]
    fn two_slots_never_give_out_the_same_id() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let (one, two) = (Ids::new(1, 0), Ids::new(2, 0));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..20_000 {
            assert!(seen.insert(one.next_at(now)));
            assert!(seen.insert(two.next_at(now)));
        }
    }

    #[test]
    fn an_id_is_ahead_where_clocks_cannot_differ_by_as_much() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let id = |ms: i64| first_at(now.plus_millis(ms));
        let hour = 3_600_000;
        for (id, ahead) in [
            (0, None),
            (id(-hour), None),
            (id(0), None),
            (id(hour), None),
            (id(hour + 1), Some(Duration::from_millis(3_600_001))),
            (id(24 * hour), Some(Duration::from_secs(86_400))),
        ] {
            assert_eq!(ahead_of(id, now), ahead, "{id}");
        }
    }

    #[test]
    fn ids_go_on_above_what_was_stored_before_the_clock_stepped_back() {
        let stored = Ids::new(7, 0).next_at(Timestamp::from_millis(1_764_000_000_000));
        let next = Ids::new(3, stored).next_at(Timestamp::from_millis(1_700_000_000_000));
        assert!(next > stored);
        assert!(given_out_at(next).millis_since(Timestamp::from_millis(1_764_000_000_000)) <= 2);
    }
}
