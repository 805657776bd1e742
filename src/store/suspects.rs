//! Jobs whose last attempt was `rescued`: each may be the one that killed its node, so a node runs them one
//! at a time, and a poisonous job takes no other suspect along.
//!
//! A suspect never gets a turn: it stays where it waits for its retry, and is claimed from there, alone. So
//! claims of many need no look at history, and where there are no suspects, nothing is found by one index
//! lookup.

use super::{
    StoreError,
    caps::Caps,
    ledger::{Settlement, Transition},
    queue::{Claim, Queue, READ_FACTS, claim},
    sql::Sql,
    tx::{Tx, group, in_group},
};
use crate::domain::{JobKind, job::FailureReason};
use serde::Serialize;
use std::sync::Arc;

/// Whether the head `r` is a suspect, by its last row of history. By primary key.
macro_rules! is_suspect {
    () => {
        "coalesce((select a.outcome from job_attempts a where a.job_id = r.job_id order by a.run desc limit 1), '') = 'rescued'"
    };
}
pub(super) use is_suspect;

/// Claims one suspect that is due, of these kinds. By `job_ready_retry`, where little but suspects is due:
/// everything else gets its turn as soon as it is. The subquery is a scalar one, so that it runs once.
pub(super) static CLAIM_SUSPECT: Sql = Sql::new(concat!(
    "update job_ready set node = $1, locked_at = @now, run = run + 1, run_at = null, \
       turn = coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) \
     where line = (select r.line from job_ready r where r.run_at is not null and r.run_at <= @now \
       and r.kind in (select g.kind from @rows($2, kind text) g) and ",
    is_suspect!(),
    " order by r.run_at limit 1 @skip_locked) \
     returning job_id, run, spared, line, client_id, kind, turn"
));

/// What a settlement is for: jobs whose node is gone are settled by others.
pub(super) fn purpose_of(all: &[Settlement]) -> &'static str {
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
        let claim_one = async move {
            in_group(|| async {
                let tx = Tx::begin(store.connections(), "suspect").await?;
                let values = [store.node().into(), wanted.clone()];
                let claimed = tx.all(&CLAIM_SUSPECT, values).await?;
                let Some(row) = claimed.first() else { return Ok(None) };
                let facts =
                    tx.all(&READ_FACTS, [group(&[row.try_get::<i64>("", "job_id")?])?]).await?;
                let Some(facts) = facts.first() else {
                    return Err(StoreError::Broken("a job is in line and has no facts".to_owned()));
                };
                let claim = claim(row, facts, &kinds)?;
                // It comes into turn, and counts: a client at its cap has to end something first.
                let client_id: String = row.try_get("", "client_id")?;
                let mut caps = Caps::lock(&tx, [client_id.as_str()]).await?;
                if !caps.enters(&client_id) {
                    return Ok(None);
                }
                caps.settle(&tx).await?;
                tx.commit().await?;
                Ok(claim)
            })
            .await
        };
        self.0.spawn(claim_one).await
    }
}
