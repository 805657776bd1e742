//! The stored messages that webhooks of the group repeat.

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

/// Reads them, each with what the group brings for it.
pub(super) async fn find_repeated(
    tx: &Tx,
    arrivals: &[Arrival<'_>],
) -> Result<HashMap<Id, Repeated>, StoreError> {
    let mut asked: BTreeMap<Id, JobKind> = BTreeMap::new();
    let mut brought: HashMap<Id, Brings> = HashMap::new();
    for arrival in arrivals {
        let (Some(First::Stored(id)), Some(it)) = (arrival.first, arrival.understood()) else {
            continue;
        };
        asked.entry(id).or_insert(it.kind);
        if let Some(message) = it.event.signal.message() {
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
