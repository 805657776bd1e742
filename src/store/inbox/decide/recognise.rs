//! Decides which webhooks of a group repeat which message, by their keys and by the stored keys
//! (docs/RULES.md P9 to P11).

use crate::{
    domain::Id,
    store::inbox::arrival::{First, Key, KeyClaim, Keys},
};
use std::collections::{BTreeMap, HashMap};

/// The message that a stored key names.
#[derive(Clone, Debug)]
pub(crate) struct NamedMessage {
    /// Its id.
    pub(crate) id: Id,
    /// The provider's id of it.
    pub(crate) provider_id: Option<String>,
    /// For a delivery: the hash of its body. `None` if it was stored before hashes were kept.
    pub(crate) body_hash: Option<String>,
}

/// Finds the deliveries that have the id of an earlier one and another body, in the order of
/// arrival. If the earlier one was stored without its body's hash, every body counts as the same.
pub(crate) struct FirstBodies<'a> {
    /// By delivery id: the stored delivery.
    stored: HashMap<Key<'a>, NamedMessage>,
    /// By delivery id: the hash of the first body, or `None` if it is not known.
    firsts: HashMap<Key<'a>, Option<String>>,
}

impl<'a> FirstBodies<'a> {
    /// With the stored deliveries that have ids of the group's deliveries.
    pub(crate) fn new(stored: HashMap<Key<'a>, NamedMessage>) -> Self {
        Self { stored, firsts: HashMap::new() }
    }

    /// True if this delivery has another body than the first of its id.
    pub(crate) fn differs(&mut self, delivery: &KeyClaim<'a>) -> bool {
        let first = self.firsts.entry(delivery.key).or_insert_with(|| {
            match self.stored.get(&delivery.key) {
                Some(stored) => stored.body_hash.clone(),
                None => delivery.body_hash.map(str::to_owned),
            }
        });
        first.is_some() && first.as_deref() != delivery.body_hash
    }
}

/// The keys that a group claims, each with the message that it is to name. That is the message of
/// the first webhook with the key; for a key of the other path, it is that of the last webhook.
pub(crate) fn claims<'a>(
    group: &[&Keys<'a>],
    message_ids: &[Id],
) -> BTreeMap<Key<'a>, (KeyClaim<'a>, Id)> {
    let roots = by_own_keys(group);
    let mut claims = BTreeMap::new();
    for (at, keys) in group.iter().enumerate() {
        let id = |index: usize| message_ids.get(index).copied().unwrap_or_default();
        let root = roots.root_of(at);
        for claim in &keys.own {
            claims.entry(claim.key).or_insert((*claim, id(root)));
        }
        for claim in &keys.for_other_path {
            claims.insert(claim.key, (*claim, id(at)));
        }
    }
    claims
}

/// Finds the webhooks of the group that repeat others by their own keys, if none of these keys is
/// stored.
pub(crate) fn by_own_keys(group: &[&Keys<'_>]) -> Firsts {
    let mut firsts = Firsts::of(group.len());
    // By own key: the index of the first message with it.
    let mut owners: HashMap<Key<'_>, usize> = HashMap::new();
    for (at, keys) in group.iter().enumerate() {
        let owner = keys.own.iter().find_map(|claim| owners.get(&claim.key).copied());
        let root = owner.map(|owner| firsts.root_of(owner));
        if let Some(root) = root {
            firsts.set(at, First::InGroup(root));
        }
        for claim in &keys.own {
            owners.entry(claim.key).or_insert(root.unwrap_or(at));
        }
    }
    firsts
}

/// Finds the webhooks of the group that repeat others or stored messages. `stored` has the keys
/// that name messages from before the group.
pub(crate) fn recognise(group: &[&Keys<'_>], stored: &HashMap<Key<'_>, NamedMessage>) -> Firsts {
    let mut seen = Recognition {
        stored,
        firsts: Firsts::of(group.len()),
        owners: HashMap::new(),
        on_other_path: HashMap::new(),
        provider_ids: HashMap::new(),
    };
    for (at, keys) in group.iter().enumerate() {
        // 1. Note the providers' ids of the stored messages that its keys name.
        seen.note_stored_ids(keys);
        // 2. Recognise it by its own keys, else over its other path.
        let first = seen.by_own_keys(keys).or_else(|| seen.by_other_path(keys));
        // 3. If it is a stored message, so is the one that came over its other path just before.
        if let Some(First::Stored(id)) = first {
            seen.tell_other_path(keys, id);
        }
        // 4. Note it for those that follow.
        seen.note(at, keys, first);
    }
    seen.firsts
}

/// The claimed keys that name a webhook which turned out to be a duplicate, each with the message
/// that it is to name instead. `claimed` are the messages of the group that the keys name now.
pub(crate) fn wrongly_named<'a>(
    group: &[&Keys<'a>],
    message_ids: &[Id],
    firsts: &Firsts,
    claimed: &HashMap<Key<'a>, Id>,
) -> Vec<(Key<'a>, Id)> {
    let mut right: BTreeMap<Key<'a>, Id> = BTreeMap::new();
    for (at, keys) in group.iter().enumerate() {
        let message_id = match firsts.resolve(at) {
            First::Stored(id) => id,
            First::InGroup(root) => message_ids.get(root).copied().unwrap_or_default(),
        };
        for claim in &keys.own {
            right.entry(claim.key).or_insert(message_id);
        }
        for claim in &keys.for_other_path {
            right.insert(claim.key, message_id);
        }
    }
    right.retain(|key, message_id| claimed.get(key).is_some_and(|named| *named != *message_id));
    right.into_iter().collect()
}

/// True if two messages over two paths can be one: not if both have a provider's id, and the ids
/// differ.
pub(crate) fn is_one(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// By the index of a webhook in its group: the message that it repeats; `None` if it is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Firsts(Vec<Option<First>>);

impl Firsts {
    fn of(count: usize) -> Self {
        Self(vec![None; count])
    }

    fn get(&self, at: usize) -> Option<First> {
        self.0.get(at).copied().flatten()
    }

    fn set(&mut self, at: usize, first: First) {
        if let Some(slot) = self.0.get_mut(at) {
            *slot = Some(first);
        }
    }

    /// The index of the first webhook of the group that the one at `at` repeats, or `at` itself.
    fn root_of(&self, at: usize) -> usize {
        match self.get(at) {
            Some(First::InGroup(root)) => root,
            Some(First::Stored(_)) | None => at,
        }
    }

    /// The first message of the webhook at `at`, followed through the group; its own if it is the
    /// first.
    pub(crate) fn resolve(&self, at: usize) -> First {
        match self.get(at) {
            Some(First::Stored(id)) => First::Stored(id),
            Some(First::InGroup(root)) => match self.get(root) {
                Some(First::Stored(id)) => First::Stored(id),
                Some(First::InGroup(_)) | None => First::InGroup(root),
            },
            None => First::InGroup(at),
        }
    }

    /// The message that the webhook at `at` repeats, followed through the group; `None` if it is
    /// the first.
    pub(crate) fn repeated(&self, at: usize) -> Option<First> {
        self.get(at).map(|_| self.resolve(at))
    }
}

/// The webhooks of a group that were recognised so far.
struct Recognition<'k, 'a> {
    /// Keys that name messages from before the group.
    stored: &'k HashMap<Key<'a>, NamedMessage>,
    firsts: Firsts,
    /// By own key: the index of the first webhook with it.
    owners: HashMap<Key<'a>, usize>,
    /// By a key that webhooks have left for their other path: the index of the last of them.
    on_other_path: HashMap<Key<'a>, usize>,
    /// By message: the provider's id of it, if it is known.
    provider_ids: HashMap<First, &'k str>,
}

impl<'k, 'a> Recognition<'k, 'a> {
    /// Notes the providers' ids of the stored messages that these keys name.
    fn note_stored_ids(&mut self, keys: &Keys<'a>) {
        let own = keys.own.iter().map(|claim| &claim.key);
        for named in own.chain(&keys.of_other_path).filter_map(|key| self.stored.get(key)) {
            if let Some(provider_id) = &named.provider_id {
                self.provider_ids.entry(First::Stored(named.id)).or_insert(provider_id);
            }
        }
    }

    /// The message that one of the webhook's own keys names. A stored message comes before one of
    /// the group; then an earlier webhook with one of these keys repeats the stored message, too.
    fn by_own_keys(&mut self, keys: &Keys<'a>) -> Option<First> {
        let mut own = keys.own.iter().map(|claim| &claim.key);
        let stored = own.clone().find_map(|key| self.stored.get(key));
        let stored = stored.map(|named| First::Stored(named.id));
        let owner = own.find_map(|key| self.owners.get(key)).copied();
        let root = owner.map(|owner| self.firsts.root_of(owner));
        if let (Some(stored), Some(root)) = (stored, root)
            && self.firsts.get(root).is_none()
        {
            self.firsts.set(root, stored);
        }
        stored.or_else(|| root.map(|root| self.firsts.resolve(root)))
    }

    /// The message that came over the webhook's other path, of the group or stored, unless the
    /// provider's ids of the two differ.
    fn by_other_path(&self, keys: &Keys<'a>) -> Option<First> {
        let may_be_it =
            |first: &First| is_one(self.provider_ids.get(first).copied(), keys.provider_id);
        keys.of_other_path.iter().find_map(|key| {
            let in_group = self.on_other_path.get(key).map(|at| self.firsts.resolve(*at));
            let stored = self.stored.get(key).map(|named| First::Stored(named.id));
            in_group.into_iter().chain(stored).find(may_be_it)
        })
    }

    /// Given that a webhook repeats the stored message `id`: the message that came over its other
    /// path, earlier in the group, repeats it, too, unless the provider's ids of the two differ.
    fn tell_other_path(&mut self, keys: &Keys<'a>, id: Id) {
        let stored = First::Stored(id);
        let on_path = keys.of_other_path.iter().find_map(|key| self.on_other_path.get(key));
        let Some(earlier @ First::InGroup(root)) = on_path.map(|at| self.firsts.resolve(*at))
        else {
            return;
        };
        let called = self.provider_ids.get(&earlier).copied();
        if is_one(called, self.provider_ids.get(&stored).copied()) {
            self.firsts.set(root, stored);
            self.provider_ids.extend(called.map(|called| (stored, called)));
        }
    }

    /// Notes a webhook for those that follow: its keys, and the message that it repeats.
    fn note(&mut self, at: usize, keys: &Keys<'a>, first: Option<First>) {
        if let Some(called) = keys.provider_id {
            self.provider_ids.entry(first.unwrap_or(First::InGroup(at))).or_insert(called);
        }
        if let Some(first) = first {
            self.firsts.set(at, first);
        }
        for claim in &keys.own {
            self.owners.entry(claim.key).or_insert(at);
        }
        for claim in &keys.for_other_path {
            self.on_other_path.insert(claim.key, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::inbox::arrival::DELIVERY;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const NAMES: [&str; 4] = ["k0", "k1", "k2", "k3"];

    fn key(kind: &'static str, key: &'static str) -> Key<'static> {
        Key { client_id: "a", channel: "sms", kind, key }
    }

    fn claim(kind: &'static str, name: &'static str) -> KeyClaim<'static> {
        KeyClaim { key: key(kind, name), ttl: None, body_hash: None }
    }

    fn named(id: Id, provider_id: Option<&str>) -> NamedMessage {
        NamedMessage { id, provider_id: provider_id.map(str::to_owned), body_hash: None }
    }

    fn delivery<'a>(client_id: &'a str, id: &'a str, body: &'a str) -> KeyClaim<'a> {
        let key = Key { client_id, channel: "sms", kind: DELIVERY, key: id };
        KeyClaim { key, ttl: Some(1), body_hash: Some(body) }
    }

    #[test]
    fn the_first_body_of_an_id_counts_and_others_are_other_bodies() {
        let stored = |body: Option<&str>| {
            let body_hash = body.map(str::to_owned);
            let key = delivery("a", "m1", "").key;
            HashMap::from([(key, NamedMessage { body_hash, ..named(7, None) })])
        };
        let group = [
            delivery("a", "m1", "one"),
            delivery("a", "m1", "two"),
            delivery("a", "m1", "one"),
            delivery("b", "m1", "two"),
            delivery("a", "m2", "two"),
        ];
        for (stored, expected) in [
            (HashMap::new(), [false, true, false, false, false]),
            (stored(Some("one")), [false, true, false, false, false]),
            (stored(Some("two")), [true, false, true, false, false]),
            (stored(Some("three")), [true, true, true, false, false]),
            // From before hashes were kept.
            (stored(None), [false; 5]),
        ] {
            let mut bodies = FirstBodies::new(stored);
            assert_eq!(group.map(|delivery| bodies.differs(&delivery)), expected);
        }
    }

    /// Keys of a message: its own, those for its other path, and those of its other path.
    fn keys(
        own: &[&'static str],
        leaves: &[&'static str],
        looks_up: &[&'static str],
        provider_id: Option<&'static str>,
    ) -> Keys<'static> {
        Keys {
            own: own.iter().map(|name| claim("reply", name)).collect(),
            for_other_path: leaves.iter().map(|name| claim("path", name)).collect(),
            of_other_path: looks_up.iter().map(|name| key("path", name)).collect(),
            provider_id,
        }
    }

    /// What the webhooks of a group repeat.
    fn repeated(
        group: &[Keys<'static>],
        stored: &HashMap<Key<'_>, NamedMessage>,
    ) -> Vec<Option<First>> {
        let group: Vec<&Keys<'_>> = group.iter().collect();
        let firsts = recognise(&group, stored);
        (0..group.len()).map(|at| firsts.repeated(at)).collect()
    }

    #[test]
    fn p9_a_match_on_any_key_is_a_duplicate() {
        use First::{InGroup, Stored};
        let stored = HashMap::from([(key("reply", "k9"), named(7, None))]);
        for (group, expected) in [
            (vec![keys(&["k0"], &[], &[], None), keys(&["k1"], &[], &[], None)], [None, None]),
            (
                vec![keys(&["k0", "k1"], &[], &[], None), keys(&["k2", "k1"], &[], &[], None)],
                [None, Some(InGroup(0))],
            ),
            (
                vec![keys(&["k9"], &[], &[], None), keys(&["k0"], &[], &[], None)],
                [Some(Stored(7)), None],
            ),
            // The second shows that the first is the stored one, too.
            (
                vec![keys(&["k0"], &[], &[], None), keys(&["k0", "k9"], &[], &[], None)],
                [Some(Stored(7)), Some(Stored(7))],
            ),
        ] {
            assert_eq!(repeated(&group, &stored), expected, "{group:?}");
        }
    }

    #[test]
    fn one_text_over_two_paths_is_one_message_unless_its_provider_says_otherwise() {
        use First::{InGroup, Stored};
        let stored = HashMap::from([(key("path", "k9"), named(7, Some("p7")))]);
        let over = |provider_id| keys(&["k0"], &["x"], &[], provider_id);
        let other = |provider_id| keys(&["k1"], &[], &["x"], provider_id);
        for (group, expected) in [
            (vec![over(None), other(None)], [None, Some(InGroup(0))]),
            (vec![over(Some("p1")), other(Some("p1"))], [None, Some(InGroup(0))]),
            (vec![over(Some("p1")), other(Some("p2"))], [None, None]),
            (vec![other(None), over(None)], [None, None]),
            (
                vec![
                    keys(&["k0"], &[], &["k9"], Some("p7")),
                    keys(&["k1"], &[], &["k9"], Some("p8")),
                ],
                [Some(Stored(7)), None],
            ),
        ] {
            assert_eq!(repeated(&group, &stored), expected, "{group:?}");
        }
    }

    fn any_keys() -> impl Strategy<Value = Keys<'static>> {
        let names = |most| prop::collection::vec(prop::sample::select(&NAMES[..]), 0..most);
        let provider_id = prop::option::of(prop::sample::select(&["p1", "p2"][..]));
        (names(3), names(2), names(2), provider_id)
            .prop_map(|(own, leaves, looks_up, called)| keys(&own, &leaves, &looks_up, called))
    }

    fn any_stored() -> impl Strategy<Value = HashMap<Key<'static>, NamedMessage>> {
        let one = (
            prop::sample::select(&["reply", "path"][..]),
            prop::sample::select(&NAMES[..]),
            100..103_i64,
        );
        prop::collection::vec(one, 0..3).prop_map(|rows| {
            let called = [None, Some("p1"), Some("p2")];
            let of = |id: Id| called[usize::try_from(id - 100).unwrap()];
            rows.into_iter().map(|(kind, name, id)| (key(kind, name), named(id, of(id)))).collect()
        })
    }

    proptest! {
        #[test]
        fn p9_a_first_is_no_duplicate_and_came_before(
            group in prop::collection::vec(any_keys(), 0..8), stored in any_stored(),
        ) {
            let known: HashSet<Id> = stored.values().map(|named| named.id).collect();
            let repeated = repeated(&group, &stored);
            for (at, first) in repeated.iter().enumerate() {
                match first {
                    Some(First::InGroup(root)) => {
                        prop_assert!(*root < at);
                        prop_assert_eq!(repeated[*root], None, "a chain is one step");
                    }
                    Some(First::Stored(id)) => prop_assert!(known.contains(id)),
                    None => {}
                }
            }
        }

        #[test]
        fn p9_a_key_that_is_stored_or_came_before_makes_a_duplicate_and_nothing_else_does(
            group in prop::collection::vec(any_keys(), 0..8), stored in any_stored(),
        ) {
            let repeated = repeated(&group, &stored);
            let own = |keys: &Keys<'static>| -> HashSet<Key<'static>> {
                keys.own.iter().map(|claim| claim.key).collect()
            };
            for (at, keys) in group.iter().enumerate() {
                let is_stored = own(keys).iter().any(|key| stored.contains_key(key));
                let shares_one = |other: &Keys<'static>| !own(other).is_disjoint(&own(keys));
                let is_earlier = group[..at].iter().any(shares_one);
                if is_stored || is_earlier {
                    prop_assert!(repeated[at].is_some(), "{} of {:?}", at, group);
                } else if keys.of_other_path.is_empty() {
                    // A webhook that follows may still show that it is one.
                    let shows = |other: &Keys<'static>| {
                        shares_one(other) || !other.of_other_path.is_empty()
                    };
                    let is_shown = group[at + 1..].iter().any(shows);
                    prop_assert!(repeated[at].is_none() || is_shown, "{} of {:?}", at, group);
                }
                let by_key = keys.own.iter().find_map(|claim| stored.get(&claim.key));
                if let Some(named) = by_key {
                    prop_assert_eq!(repeated[at], Some(First::Stored(named.id)));
                }
            }
        }

        #[test]
        fn over_its_other_path_nothing_is_known_again_that_the_provider_calls_differently(
            group in prop::collection::vec(any_keys(), 0..8), stored in any_stored(),
        ) {
            let repeated = repeated(&group, &stored);
            for (at, keys) in group.iter().enumerate() {
                let shares = |claim: &KeyClaim<'_>| {
                    let has_it =
                        |keys: &&Keys<'_>| keys.own.iter().any(|own| own.key == claim.key);
                    stored.contains_key(&claim.key) || group.iter().filter(has_it).count() > 1
                };
                // Only the other path can have shown it.
                let by_path = !keys.own.iter().any(shares) && keys.for_other_path.is_empty();
                let root = match repeated[at] {
                    Some(First::InGroup(root)) if by_path => root,
                    _ => continue,
                };
                prop_assert!(is_one(group[root].provider_id, keys.provider_id), "{:?}", group);
            }
        }

        #[test]
        fn where_nothing_is_stored_and_there_is_one_path_own_keys_tell_all(
            mut group in prop::collection::vec(any_keys(), 0..8),
        ) {
            group.iter_mut().for_each(|keys| keys.of_other_path.clear());
            let group: Vec<&Keys<'_>> = group.iter().collect();
            prop_assert_eq!(by_own_keys(&group), recognise(&group, &HashMap::new()));
        }

        #[test]
        fn claimed_keys_name_the_first_message_in_the_end(
            group in prop::collection::vec(any_keys(), 0..8), stored in any_stored(),
        ) {
            let group: Vec<&Keys<'_>> = group.iter().collect();
            let ids: Vec<Id> = (1..).take(group.len()).collect();
            let firsts = recognise(&group, &stored);
            // Keys that are not stored, and all of the other path, are the group's after the claim.
            let mut names: HashMap<Key<'_>, Id> = claims(&group, &ids)
                .into_iter()
                .filter(|(key, _)| key.kind == "path" || !stored.contains_key(key))
                .map(|(key, (_, id))| (key, id))
                .collect();
            for (key, id) in wrongly_named(&group, &ids, &firsts, &names.clone()) {
                prop_assert_ne!(names.insert(key, id), Some(id), "what is right is left alone");
            }
            for (key, id) in &names {
                let is_own = |keys: &&Keys<'_>| keys.own.iter().any(|claim| claim.key == *key);
                if let Some(at) = group.iter().position(is_own) {
                    let expected = match firsts.resolve(at) {
                        First::Stored(id) => id,
                        First::InGroup(root) => ids[root],
                    };
                    prop_assert_eq!(*id, expected);
                }
            }
        }
    }
}
