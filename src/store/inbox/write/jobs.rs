//! The jobs of accepted messages, and the lines of leads that were merged.

use crate::{
    domain::Id,
    store::{
        Claim, FreePlaces,
        engine::{Database, StoreError, tx::Tx},
        inbox::{arrival::Arrival, decide::writes::Writes},
        tables::{
            born::{Born, put_born},
            lines::{self, Counts, Entering, Entry},
            merge::{Merge, Moving},
            reopened::{OpenedAgain, reopen},
        },
    },
};
use std::collections::HashMap;

/// Enqueues jobs in the order of arrival, opens those again whose message is to be judged again,
/// and moves the lines of merged leads. Returns the jobs that got one of the `places`: they are
/// stored as running jobs of this node. A group that merges leads uses none, because heads move
/// in it.
///
/// # Errors
/// A conflict if another group has made the missing job of a message meanwhile. The repetition of
/// the transaction answers with that job's id.
pub(super) async fn enqueue(
    db: &Database,
    tx: &Tx,
    writes: &Writes<'_>,
    merges: &[Merge],
    places: &[FreePlaces],
) -> Result<Vec<Born>, StoreError> {
    if writes.entries.is_empty() && writes.judged_again.is_empty() && merges.is_empty() {
        return Ok(Vec::new());
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
    let mut placed = lines::place(tx, entering, &writes.made_leads).await?;
    // 3. Write them in the order of locks: caps and turns, then heads. A head that is born running
    // takes no turn. Nobody else can see or lock it, so it may be written before turns are taken.
    let mut caps = lines::lock_caps(tx, &placed, moving.clients()).await?;
    let places = if merges.is_empty() { places } else { &[] };
    let born = put_born(tx, db.node(), places, &writes.entries, &mut placed, &mut caps).await?;
    let turns = lines::take_turns(tx, &placed).await?;
    moving.take_out(tx, &mut caps).await?;
    lines::write(tx, placed, turns, &mut caps).await?;
    caps.admit_and_write(tx).await?;
    // 4. Write the counts, which are last in every transaction.
    for entry in entries() {
        counts.add(entry.job.kind.0, "enqueued", 1);
    }
    counts.write(tx, db.node()).await?;
    Ok(born)
}

/// The claims of jobs that are born running.
pub(super) fn claims(writes: &Writes<'_>, arrivals: &[Arrival<'_>], born: &[Born]) -> Vec<Claim> {
    if born.is_empty() {
        return Vec::new();
    }
    let entries: HashMap<Id, &Entry> = writes.entries.iter().map(|it| (it.id, it)).collect();
    let requests: HashMap<Id, &str> =
        arrivals.iter().map(|it| (it.message_id, it.inbound.request_id.as_str())).collect();
    let claim = |born: &Born| {
        let job = &entries.get(&born.job_id)?.job;
        let request_id = job.message_id.and_then(|id| requests.get(&id));
        Some(Claim::of_born(*born, job, request_id.map(|id| (*id).to_owned())))
    };
    born.iter().filter_map(claim).collect()
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
