//! The jobs of accepted messages, and the lines of leads that were merged.

use crate::{
    domain::Id,
    store::{
        engine::{Database, StoreError, tx::Tx},
        tables::{
            lines::{self, Counts, Entering, Entry},
            merge::{Merge, Moving},
        },
    },
};
use std::collections::HashSet;

/// Enqueues jobs in the order of arrival, and moves the lines of merged leads. `made_leads` have no
/// line yet.
///
/// # Errors
/// A conflict if another group has made the missing job of a message meanwhile. The repetition of
/// the transaction answers with that job's id.
pub(super) async fn enqueue(
    db: &Database,
    tx: &Tx,
    entries: &[Entry],
    merges: &[Merge],
    made_leads: &HashSet<Id>,
) -> Result<(), StoreError> {
    if entries.is_empty() && merges.is_empty() {
        return Ok(());
    }
    // 1. Store the facts of the jobs.
    let new = lines::put_jobs(tx, entries).await?;
    if new.len() < entries.len() {
        return Err(StoreError::Conflict("a missing job was made meanwhile".to_owned()));
    }
    // 2. Place the jobs: those that move from a merged lead's line, and new ones.
    let moving = Moving::read(tx, merges).await?;
    let mut entering: Vec<Entering> = moving.entering.clone();
    entering.extend(entries.iter().map(Entry::entering));
    let placed = lines::place(tx, entering, made_leads).await?;
    // 3. Write them in the order of locks: caps and turns, then heads.
    let (mut caps, turns) = lines::take_for(tx, &placed, moving.clients()).await?;
    moving.take_out(tx, &mut caps).await?;
    lines::write(tx, placed, turns, &mut caps).await?;
    caps.admit_and_write(tx).await?;
    // 4. Write the counts, which are last in every transaction.
    let mut counts = Counts::default();
    for entry in entries {
        counts.add(entry.job.kind.0, "enqueued", 1);
    }
    counts.write(tx, db.node()).await
}
