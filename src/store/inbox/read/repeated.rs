//! Reads the stored messages that webhooks of the group repeat.

use crate::{
    domain::{Id, JobKind},
    store::{
        engine::{StoreError, tx::Tx},
        inbox::{
            arrival::{Arrival, First},
            decide::known::{Brings, Repeated},
        },
        tables::messages::read_firsts,
    },
};
use std::collections::{BTreeMap, HashMap};

/// The messages by id, each with the facts that the group brings for it.
pub(super) async fn find_repeated(
    tx: &Tx,
    arrivals: &[Arrival<'_>],
) -> Result<HashMap<Id, Repeated>, StoreError> {
    let mut asked: BTreeMap<Id, JobKind> = BTreeMap::new();
    let mut brought: HashMap<Id, Brings> = HashMap::new();
    for arrival in arrivals {
        let (Some(First::Stored(id)), Some(understood)) = (arrival.first, arrival.understood())
        else {
            continue;
        };
        asked.entry(id).or_insert(understood.kind);
        if let Some(message) = understood.event.signal.message() {
            let brings = brought.entry(id).or_default();
            *brings = brings.with(message);
        }
    }
    let found = read_firsts(tx, &asked).await?.into_iter().map(|(id, message)| {
        let brings = brought.get(&id).copied().unwrap_or_default();
        (id, Repeated { message, brings })
    });
    Ok(found.collect())
}
