//! The claim of suspects (jobs whose last attempt was rescued), one at a time.

use super::{
    Claim,
    claim::{READ_FACTS, claim},
};
use crate::domain::{Id, JobKind};
use crate::store::{
    engine::{
        StoreError,
        sql::sql,
        tx::{Finished, Tx, group},
    },
    tables::{
        caps::{self, Caps},
        suspects::is_suspect,
    },
};
use sea_orm::Value;

sql! {
    /// Suspects of these kinds that are due, without locks. Clients in the last parameter and
    /// clients at their caps are left out, so that their suspects delay nobody else's. By
    /// `job_ready_retry`, in which hardly anything else is due: other heads get their turn as soon
    /// as they are due.
    static READ_SUSPECTS = concat!(
        "select r.line, r.client_id from job_ready r where r.run_at is not null and r.run_at <= @now \
           and r.kind in (select g.kind from @rows($1, kind text) g) \
           and r.client_id not in (select g.client_id from @rows($2, client_id text) g) \
           and not exists (select 1 from job_caps c where c.client_id = r.client_id and c.admitted >= c.cap) and ",
        is_suspect!(),
        " order by r.run_at limit 20"
    );

    /// Claims the first of these heads that is still a suspect and due. By primary key. The
    /// subquery is scalar, so that it runs once.
    static CLAIM_SUSPECT = concat!(
        "update job_ready set node = $1, locked_at = @now, run = run + 1, run_at = null, \
           turn = coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) \
         where line = (select r.line from job_ready r where r.line @ids($2) and r.run_at is not null \
           and r.run_at <= @now and ",
        is_suspect!(),
        " order by r.run_at limit 1 @skip_locked) \
         returning job_id, run, spared, line, client_id, kind, turn"
    );
}

/// Claims one suspect of the `wanted` kinds, except those of the clients `not_of`. Caps come before
/// heads in the order of locks, so the caps of all clients concerned are locked first.
pub(super) async fn claim_one(
    tx: Tx,
    node: Id,
    wanted: Value,
    not_of: &[String],
    kinds: &[JobKind],
) -> Result<Finished<Option<Claim>>, StoreError> {
    let mut due: Vec<(Id, String)> = Vec::new();
    let excepted = caps::client_rows(not_of.iter().map(String::as_str))?;
    for row in tx.all(&READ_SUSPECTS, [wanted, excepted]).await? {
        due.push((row.try_get("", "line")?, row.try_get("", "client_id")?));
    }
    if due.is_empty() {
        return Ok(tx.roll_back(None));
    }
    let mut caps = Caps::lock(&tx, due.iter().map(|(_, client_id)| client_id.as_str())).await?;
    // A client at its cap must end a job first.
    due.retain(|(_, client_id)| caps.has_room(client_id));
    let lines: Vec<Id> = due.iter().map(|(line, _)| *line).collect();
    let claimed = tx.all(&CLAIM_SUSPECT, [node.into(), group(&lines)?]).await?;
    let Some(row) = claimed.first() else { return Ok(tx.roll_back(None)) };
    let facts = tx.all(&READ_FACTS, [group(&[row.try_get::<i64>("", "job_id")?])?]).await?;
    let Some(facts) = facts.first() else {
        let text = "a job is the head of a line and has no row in `jobs`";
        return Err(StoreError::Broken(text.to_owned()));
    };
    let claim = claim(row, facts, kinds)?;
    // The suspect is in turn now, and counts toward the cap.
    let client_id: String = row.try_get("", "client_id")?;
    caps.enters(&client_id);
    caps.admit_and_write(&tx).await?;
    tx.commit(claim).await
}
