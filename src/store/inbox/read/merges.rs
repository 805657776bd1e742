//! Merges the leads that the group shows to be one person, and moves everything that belongs to
//! them.

use crate::{
    domain::{Id, Identity},
    store::{
        engine::{
            Database, StoreError,
            tx::{Tx, group},
        },
        inbox::{
            arrival::Arrival,
            decide::merges::{Merging, merge_leads},
        },
        tables::{
            drafts::end_drafts,
            identities::{StoredIdentity, of_leads},
            leads::Leads,
            merge::{self, Merge},
        },
    },
};
use std::collections::{BTreeSet, HashMap};

/// Merges leads that meet. All of them are locked. Returns the merges of stored leads; the jobs in
/// their lines have still to be moved.
pub(super) async fn merge_and_move(
    db: &Database,
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    leads: &mut Leads,
) -> Result<Vec<Merge>, StoreError> {
    let meeting: BTreeSet<Id> =
        arrivals.iter().flat_map(|arrival| arrival.meets.iter().copied()).collect();
    if meeting.is_empty() {
        return Ok(Vec::new());
    }
    let identities = identities_of(db, tx, &meeting).await?;
    let merging = merge_leads(arrivals, identities, leads);
    log(&merging, arrivals);
    // Drafts end before they move, because a lead has at most one pending draft per channel.
    end_drafts(db.channels(), tx, &merging.ended_drafts).await?;
    if !merging.made.is_empty() {
        tx.run(&merge::MOVE_IDENTITIES, [group(&merging.made)?]).await?;
    }
    if !merging.stored.is_empty() {
        merge::move_belongings(tx, &merging.stored).await?;
    }
    Ok(merging.stored)
}

/// The identities of leads, by lead.
async fn identities_of(
    db: &Database,
    tx: &Tx,
    leads: &BTreeSet<Id>,
) -> Result<HashMap<Id, Vec<Identity>>, StoreError> {
    let ids: Vec<Id> = leads.iter().copied().collect();
    let mut known: HashMap<Id, Vec<Identity>> = HashMap::new();
    for StoredIdentity { lead_id, kind, value } in of_leads(tx, &ids).await? {
        if let Some(kind) = db.channels().identity(&kind) {
            known.entry(lead_id).or_default().push(Identity { kind, value });
        }
    }
    Ok(known)
}

fn log(merging: &Merging, arrivals: &[Arrival<'_>]) {
    for (at, leads) in &merging.refused {
        if let Some(arrival) = arrivals.get(*at) {
            tracing::warn!(
                client.id = %arrival.inbound.client_id,
                request.id = %arrival.inbound.request_id,
                lead.ids = ?leads,
                "a webhook names two leads, whom a provider knows as two people: they are not merged"
            );
        }
    }
    for Merge { from_id, into_id } in &merging.stored {
        tracing::info!(lead.id = into_id, lead.merged = from_id, "two leads are one");
    }
}
