//! The last phase of a group: writes the rows that were decided, and gives the answers that depend
//! on stored rows.

mod hints;
mod jobs;
mod messages;
mod quarantine;

use super::{
    arrival::Arrival,
    decide::{known::Known, writes::Writes},
};
use crate::{
    config::QuarantineBound,
    store::{
        Claim, FreePlaces,
        engine::{Database, StoreError, tx::Tx},
        tables::{drafts::end_drafts, message_keys},
    },
};

/// Writes a group, in the order of locks. No client may use more room in quarantine than `bound`.
/// Jobs that get one of the `places` are born running; returns those.
pub(super) async fn write(
    db: &Database,
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    mut known: Known,
    writes: Writes<'_>,
    bound: QuarantineBound,
    places: &[FreePlaces],
) -> Result<Vec<Claim>, StoreError> {
    messages::write_messages(tx, &writes).await?;
    message_keys::repoint(tx, &writes.echoed_keys).await?;
    hints::write_hints(tx, arrivals, &mut known.leads).await?;
    end_drafts(db.channels(), tx, &writes.ended_drafts).await?;
    known.leads.write(db, tx).await?;
    quarantine::write_held(tx, arrivals, bound).await?;
    let born = jobs::enqueue(db, tx, &writes, &known.merges, places).await?;
    Ok(jobs::claims(&writes, arrivals, &born))
}
