//! The jobs of accepted messages, and the lines of leads that were merged.

use crate::store::{
    engine::{Database, StoreError, tx::Tx},
    inbox::decide::writes::Writes,
    tables::{
        lines::{self, Counts, Entering, Entry},
        merge::{Merge, Moving},
        reopened::{OpenedAgain, reopen},
    },
};

/// Enqueues jobs in the order of arrival, opens those again whose message is to be judged again,
/// and moves the lines of merged leads.
///
/// # Errors
/// A conflict if another group has made the missing job of a message meanwhile. The repetition of
/// the transaction answers with that job's id.
pub(super) async fn enqueue(
    db: &Database,
    tx: &Tx,
    writes: &Writes<'_>,
    merges: &[Merge],
) -> Result<(), StoreError> {
    if writes.entries.is_empty() && writes.judged_again.is_empty() && merges.is_empty() {
        return Ok(());
    }
    // 1. Store the facts of the jobs. A job that was pruned is stored again.
    put_all(tx, &writes.entries).await?;
    let mut counts = Counts::default();
    let OpenedAgain { entering: reopened, missing } =
        reopen(tx, writes.judged_again.values(), &mut counts).await?;
    let made: Vec<Entry> = missing.into_iter().map(|job| Entry { id: db.next_id(), job }).collect();
    put_all(tx, &made).await?;
    // 2. Place the jobs: those that move from a merged lead's line, those that are opened again,
    // and new ones.
    let moving = Moving::read(tx, merges).await?;
    let entries = || writes.entries.iter().chain(&made);
    let mut entering: Vec<Entering> = moving.entering.clone();
    entering.extend(reopened);
    entering.extend(entries().map(Entry::entering));
    let placed = lines::place(tx, entering, &writes.made_leads).await?;
    // 3. Write them in the order of locks: caps and turns, then heads.
    let (mut caps, turns) = lines::take_for(tx, &placed, moving.clients()).await?;
    moving.take_out(tx, &mut caps).await?;
    lines::write(tx, placed, turns, &mut caps).await?;
    caps.admit_and_write(tx).await?;
    // 4. Write the counts, which are last in every transaction.
    for entry in entries() {
        counts.add(entry.job.kind.0, "enqueued", 1);
    }
    counts.write(tx, db.node()).await
}

/// Stores the facts of jobs.
///
/// # Errors
/// A conflict if another transaction has made one of them meanwhile.
async fn put_all(tx: &Tx, entries: &[Entry]) -> Result<(), StoreError> {
    let new = lines::put_jobs(tx, entries).await?;
    if new.len() < entries.len() {
        return Err(StoreError::Conflict("a missing job was made meanwhile".to_owned()));
    }
    Ok(())
}
