//! Reads the stored facts about a group's webhooks, and takes the locks.
//!
//! [`claim`] claims keys and identities, sorted, and finds the leads. [`lock`] locks the leads by
//! id, and reads the facts that need these locks. Each function of the files below runs a few
//! statements, whatever the size of the group.

mod campaigns;
mod changes;
mod chats;
mod echoes;
mod keys;
mod leads;
mod merges;
mod quoted;
mod repeated;

use super::{
    arrival::Arrival,
    decide::{changes::follow_echoes, known::Known},
};
use crate::store::{
    engine::{Database, StoreError, tx::Tx},
    tables::merge,
};

/// Claims the keys and identities of the group, and fills in the message and the lead of each
/// webhook.
///
/// # Errors
/// A conflict if another transaction has claimed one of them meanwhile.
pub(super) async fn claim(
    db: &Database,
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
) -> Result<Known, StoreError> {
    let next_id = || db.next_id();
    // 1. Mark deliveries with another body, and events that are nobody's.
    keys::find_other_bodies(tx, arrivals).await?;
    let chats = chats::find_chats(tx, arrivals).await?;
    // 2. Claim their keys: the first webhook with a key is the message, the others repeat it.
    keys::claim_keys(tx, arrivals).await?;
    // 3. Find their leads, and claim identities that are new.
    let suppressed = leads::find_leads(db, tx, arrivals, chats).await?;
    campaigns::find_campaigns(tx, arrivals, &next_id).await?;
    // 4. Read the stored messages that they repeat or are about: their leads have to be locked,
    // too.
    let repeated = repeated::find_repeated(tx, arrivals).await?;
    let mut known = Known { repeated, suppressed, ..Known::default() };
    changes::find_changed(tx, arrivals).await?;
    changes::read_changeable(tx, arrivals, &mut known.changeable).await?;
    Ok(known)
}

/// Locks the leads of the group, merges those that are found to be one person, and fills in the
/// facts that need their locks.
///
/// # Errors
/// A conflict if a lead was merged since it was found, or a text came over its other path.
pub(super) async fn lock(
    db: &Database,
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    known: &mut Known,
) -> Result<(), StoreError> {
    // 1. Lock them. On SQLite there is one writer, so no other path can come in between.
    known.leads = leads::lock_leads(tx, arrivals, known).await?;
    let suppressed = std::mem::take(&mut known.suppressed);
    leads::opt_out_suppressed(db, tx, &mut known.leads, suppressed).await?;
    if !db.is_sqlite() {
        keys::check_other_paths(tx, arrivals).await?;
    }
    // 2. Merge leads that are one person.
    known.merges = merges::merge_and_move(db, tx, arrivals, &mut known.leads).await?;
    for repeated in known.repeated.values_mut() {
        repeated.message.lead_id = merge::resolve(&known.merges, repeated.message.lead_id);
    }
    // 3. Find the echoes of our own sends. Events about an echo change the message of its delivery.
    echoes::find_echoes(tx, arrivals, &known.leads).await?;
    follow_echoes(arrivals);
    changes::read_changeable(tx, arrivals, &mut known.changeable).await?;
    // 4. Cut from answers the parts that repeat our messages.
    quoted::find_quoted(tx, arrivals, &known.repeated, &known.leads).await
}
