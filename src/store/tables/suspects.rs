//! Jobs whose last attempt was `rescued`: each may be the one that killed its node, so a node runs them one
//! at a time, and a poisonous job takes no other suspect along.
//!
//! A suspect never gets a turn: it stays where it waits for its retry, and is claimed from there, alone. So
//! claims of many need no look at history, and where there are no suspects, nothing is found by one index
//! lookup.

use crate::domain::{Id, JobKind, job::FailureReason};
use crate::store::{
    Store, StoreError,
    caps::{self, Caps},
    ledger::{Settlement, Transition},
    queue::{Claim, Queue, READ_FACTS, claim},
    sql::Sql,
    tx::{Tx, group, in_group},
};
use sea_orm::Value;
use serde::Serialize;
use std::{collections::HashSet, sync::Arc};

/// Whether the head `r` is a suspect, by its last row of history. By primary key.
macro_rules! is_suspect {
    () => {
        "coalesce((select a.outcome from job_attempts a where a.job_id = r.job_id order by a.run desc limit 1), '') = 'rescued'"
    };
}
pub(in crate::store) use is_suspect;

/// Suspects of these kinds that are due, without locks; none of these other clients, nor of clients
/// that are at their caps, so that those hold up nobody else's. By `job_ready_retry`, where little
/// but suspects is due: everything else gets its turn as soon as it is.
pub(in crate::store) static READ_SUSPECTS: Sql = Sql::new(concat!(
    "select r.line, r.client_id from job_ready r where r.run_at is not null and r.run_at <= @now \
       and r.kind in (select g.kind from @rows($1, kind text) g) \
       and r.client_id not in (select g.client_id from @rows($2, client_id text) g) \
       and not exists (select 1 from job_caps c where c.client_id = r.client_id and c.admitted >= c.cap) and ",
    is_suspect!(),
    " order by r.run_at limit 20"
));

/// Claims the first of these suspects, if it still is one that is due. By primary key. The subquery
/// is a scalar one, so that it runs once.
pub(in crate::store) static CLAIM_SUSPECT: Sql = Sql::new(concat!(
    "update job_ready set node = $1, locked_at = @now, run = run + 1, run_at = null, \
       turn = coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) \
     where line = (select r.line from job_ready r where r.line @ids($2) and r.run_at is not null \
       and r.run_at <= @now and ",
    is_suspect!(),
    " order by r.run_at limit 1 @skip_locked) \
     returning job_id, run, spared, line, client_id, kind, turn"
));

/// Which of these jobs are suspects, by their last rows of history. By primary key.
pub(in crate::store) static READ_ARE_SUSPECTS: Sql =
    Sql::new(concat!("select r.job_id from @rows($1, job_id bigint) r where ", is_suspect!()));

/// Which of these jobs are suspects.
pub(in crate::store) async fn among(tx: &Tx, job_ids: &[Id]) -> Result<HashSet<Id>, StoreError> {
    #[derive(Serialize)]
    struct Row {
        job_id: Id,
    }
    let rows: Vec<Row> = job_ids.iter().map(|job_id| Row { job_id: *job_id }).collect();
    let mut suspects = HashSet::new();
    if !rows.is_empty() {
        for row in tx.all(&READ_ARE_SUSPECTS, [group(&rows)?]).await? {
            suspects.insert(row.try_get("", "job_id")?);
        }
    }
    Ok(suspects)
}

/// What a settlement is for: jobs whose node is gone are settled by others.
pub(in crate::store) fn purpose_of(all: &[Settlement]) -> &'static str {
    use FailureReason::Rescued;
    use Transition::{Fail, Retry};
    let is_rescue = |it: &Settlement| {
        matches!(&it.transition, Retry { reason: Rescued, .. } | Fail { reason: Rescued, .. })
    };
    if all.iter().any(is_rescue) { "rescue" } else { "settle" }
}

impl Queue {
    /// Claims one job whose last attempt was rescued, if one is due. The caller has no other in hand.
    ///
    /// # Errors
    /// When the database is away. A claim whose answer is lost shows up as held by this node.
    pub async fn claim_suspect(
        &self,
        wanted: &[&'static str],
        kinds: Arc<[JobKind]>,
    ) -> Result<Option<Claim>, StoreError> {
        #[derive(Serialize)]
        struct Row {
            kind: &'static str,
        }
        let wanted: Vec<Row> = wanted.iter().map(|it| Row { kind: it }).collect();
        let (store, wanted) = (self.0.clone(), group(&wanted)?);
        self.0
            .spawn(async move { in_group(|| claim_one(&store, wanted.clone(), &kinds)).await })
            .await
    }
}

/// Caps come before heads in the order of locks: those of the clients that may get one are locked
/// first.
async fn claim_one(
    store: &Store,
    wanted: Value,
    kinds: &[JobKind],
) -> Result<Option<Claim>, StoreError> {
    let tx = Tx::begin(store.connections(), "suspect").await?;
    let mut due: Vec<(Id, String)> = Vec::new();
    let left = store.left().names();
    let not_of = caps::client_rows(left.iter().map(String::as_str))?;
    for row in tx.all(&READ_SUSPECTS, [wanted, not_of]).await? {
        due.push((row.try_get("", "line")?, row.try_get("", "client_id")?));
    }
    if due.is_empty() {
        return Ok(None);
    }
    let mut caps = Caps::lock(&tx, due.iter().map(|it| it.1.as_str())).await?;
    // A client at its cap has to end something first.
    due.retain(|it| caps.has_room(&it.1));
    let lines: Vec<Id> = due.iter().map(|it| it.0).collect();
    let claimed = tx.all(&CLAIM_SUSPECT, [store.node().into(), group(&lines)?]).await?;
    let Some(row) = claimed.first() else { return Ok(None) };
    let facts = tx.all(&READ_FACTS, [group(&[row.try_get::<i64>("", "job_id")?])?]).await?;
    let Some(facts) = facts.first() else {
        return Err(StoreError::Broken("a job is in line and has no facts".to_owned()));
    };
    let claim = claim(row, facts, kinds)?;
    // It comes into turn, and counts.
    let client_id: String = row.try_get("", "client_id")?;
    caps.enters(&client_id);
    caps.settle(&tx).await?;
    tx.commit().await?;
    Ok(claim)
}
