//! Signed deliveries whose id came before with another body.
//!
//! Of a delivery the first body counts. Another one under its id is no repetition: what it says is stored
//! nowhere, so it is held for a person.

use super::{
    Group,
    keys::{DELIVERY, KeyRow, Named, OwnedKey, owned_key},
};
use crate::store::StoreError;
use std::collections::{HashMap, HashSet};

impl<'a> Group<'a> {
    /// Which of the group have the id of a delivery that was stored, or that stands earlier in the group, and
    /// another body. One that was stored without its body's hash is known by its id alone.
    pub(super) async fn find_other_bodies(&self) -> Result<HashSet<usize>, StoreError> {
        let deliveries: Vec<(usize, KeyRow<'a>)> = (0..self.inbound.len())
            .filter_map(|at| self.delivery_key(at).map(|row| (at, row)))
            .collect();
        let rows: Vec<KeyRow<'a>> = deliveries.iter().map(|it| it.1).collect();
        let stored = self.read_keys(&rows).await?;
        Ok(other_bodies(&deliveries, &stored))
    }

    /// The key of the delivery at that place of the group, where it is an event and was signed with an id.
    pub(super) fn delivery_key(&self, at: usize) -> Option<KeyRow<'a>> {
        let (inbound, _) = self.event(at)?;
        let delivery = inbound.delivery.as_ref()?;
        Some(KeyRow {
            client_id: &inbound.client_id,
            channel: inbound.channel.0,
            kind: DELIVERY,
            key: &delivery.id,
            message_id: self.message_id(at),
            ttl: Some(delivery.kept_ms),
            body_hash: Some(&delivery.body_hash),
        })
    }

    /// Looks at the bodies once more, behind the claim of the keys, which waits for other transactions.
    ///
    /// # Errors
    /// A conflict where one of them has stored another body meanwhile: the repetition finds it.
    pub(super) fn look_at_bodies_again(
        &self,
        named: &HashMap<OwnedKey, Named>,
    ) -> Result<(), StoreError> {
        let differs = |row: KeyRow<'a>| {
            let first = named.get(&owned_key(&row)).and_then(|it| it.body_hash.as_deref());
            first.is_some() && first != row.body_hash
        };
        if (0..self.inbound.len()).filter_map(|at| self.delivery_key(at)).any(differs) {
            return Err(StoreError::Conflict("a delivery came with another body".to_owned()));
        }
        Ok(())
    }
}

fn other_bodies(
    deliveries: &[(usize, KeyRow<'_>)],
    stored: &HashMap<OwnedKey, Named>,
) -> HashSet<usize> {
    let mut firsts: HashMap<OwnedKey, Option<&str>> = HashMap::new();
    let mut others = HashSet::new();
    for (at, row) in deliveries {
        let key = owned_key(row);
        let first = *firsts.entry(key.clone()).or_insert_with(|| match stored.get(&key) {
            Some(it) => it.body_hash.as_deref(),
            None => row.body_hash,
        });
        if first.is_some() && first != row.body_hash {
            others.insert(*at);
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery<'a>(client_id: &'a str, key: &'a str, body: &'a str) -> KeyRow<'a> {
        let (channel, kind, body_hash) = ("sms", DELIVERY, Some(body));
        KeyRow { client_id, channel, kind, key, message_id: 1, ttl: Some(1), body_hash }
    }

    #[test]
    fn the_first_body_of_an_id_counts_and_others_are_other_bodies() {
        let stored = |body: Option<&str>| {
            let body_hash = body.map(str::to_owned);
            let key = owned_key(&delivery("a", "m1", ""));
            HashMap::from([(key, Named { id: 7, provider_id: None, body_hash })])
        };
        let rows = [
            (0, delivery("a", "m1", "one")),
            (2, delivery("a", "m1", "two")),
            (3, delivery("a", "m1", "one")),
            (5, delivery("b", "m1", "two")),
            (6, delivery("a", "m2", "two")),
        ];
        for (stored, expected) in [
            (HashMap::new(), &[2][..]),
            (stored(Some("one")), &[2]),
            (stored(Some("two")), &[0, 3]),
            (stored(Some("three")), &[0, 2, 3]),
            // From before hashes were kept.
            (stored(None), &[]),
        ] {
            let mut others: Vec<usize> = other_bodies(&rows, &stored).into_iter().collect();
            others.sort_unstable();
            assert_eq!(others, expected);
        }
    }
}
