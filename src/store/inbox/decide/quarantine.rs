//! Decides which items fit into their clients' room in quarantine (docs/RULES.md P5).

use crate::{config::QuarantineBound, store::tables::quarantine_room::QuarantineRooms};
use serde::Serialize;
use std::collections::HashSet;

/// The key of an item: the same bytes over the same channel of a client are one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct ItemKey<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) channel: &'a str,
    pub(crate) body_hash: &'a str,
}

/// Returns those of `items` that are new and do not fit within `bound`. The others are counted in
/// `rooms`. `items` come in the order of arrival, with their size in bytes. An item that is
/// `known`, or that comes twice, needs no more room.
pub(crate) fn without_room<'a>(
    items: impl IntoIterator<Item = (ItemKey<'a>, i64)>,
    known: &HashSet<ItemKey<'a>>,
    rooms: &mut QuarantineRooms,
    bound: QuarantineBound,
) -> HashSet<ItemKey<'a>> {
    let (mut refused, mut seen) = (HashSet::new(), HashSet::new());
    for (key, size) in items {
        if known.contains(&key) || !seen.insert(key) {
            continue;
        }
        let used = rooms.of(key.client_id).with(size);
        if used.is_within(bound) {
            rooms.set(key.client_id, used);
        } else {
            refused.insert(key);
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn key(client_id: &'static str, body_hash: &'static str) -> ItemKey<'static> {
        ItemKey { client_id, channel: "sms", body_hash }
    }

    #[test]
    fn a_small_item_finds_room_behind_a_large_one_that_does_not() {
        let bound = QuarantineBound { items: 10, bytes: 100 };
        let items = [(key("a", "1"), 90), (key("a", "2"), 20), (key("a", "3"), 10)];
        let mut rooms = QuarantineRooms::default();
        let refused = without_room(items, &HashSet::new(), &mut rooms, bound);
        assert_eq!(refused, HashSet::from([key("a", "2")]));
    }

    proptest! {
        #[test]
        fn a_client_never_holds_more_than_its_bound_and_what_is_known_is_never_refused(
            items in prop::collection::vec((0..2_usize, 0..6_usize, 0..60_i64), 0..30),
            known in prop::collection::hash_set((0..2_usize, 0..6_usize), 0..4),
        ) {
            let of = |client: usize, item: usize| {
                key(["a", "b"][client], ["1", "2", "3", "4", "5", "6"][item])
            };
            let known: HashSet<_> = known.into_iter().map(|(client, item)| of(client, item)).collect();
            let items: Vec<_> =
                items.into_iter().map(|(client, item, size)| (of(client, item), size)).collect();
            let bound = QuarantineBound { items: 3, bytes: 100 };
            let mut rooms = QuarantineRooms::default();
            let refused = without_room(items.clone(), &known, &mut rooms, bound);
            prop_assert!(refused.is_disjoint(&known));
            for client_id in ["a", "b"] {
                prop_assert!(rooms.of(client_id).is_within(bound));
                let mut seen = HashSet::new();
                let new = items.iter().filter(|(key, _)| {
                    key.client_id == client_id && !known.contains(key) && seen.insert(*key)
                });
                let taken: Vec<_> = new.filter(|(key, _)| !refused.contains(key)).collect();
                let expected = taken.iter().fold(
                    QuarantineRooms::default().of(client_id), |used, (_, size)| used.with(*size),
                );
                prop_assert_eq!(rooms.of(client_id), expected);
            }
        }
    }
}
