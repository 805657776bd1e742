//! The claim: the pending jobs with the smallest turns become running jobs of this node.

use super::{Claim, Want};
use crate::domain::{Id, JobKind, fairness::Turn, job::Job, trace::JobTrace};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{Finished, Tx, group, write_alone},
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::{collections::HashMap, fmt::Write as _, sync::OnceLock};

sql! {
    /// The claim on PostgreSQL. `$2` has one row per kind (kind, floor, slots, and the clients to
    /// leave out), and each row makes one limited scan of `job_ready_turn`. It never waits: rows
    /// that another node is claiming are skipped. Rows are chosen by line and not by ctid, because
    /// a row that changed since the snapshot would be locked and then missed. The statement also
    /// raises the node's clock and returns the jobs' facts, so that a claim is one round trip.
    pub(super) static CLAIM_POSTGRES =
        "with c as (update job_ready set node = $1, locked_at = now(), run = run + 1 where line = any(array( \
             select x.line from json_to_recordset($2::json) as k(kind text, floor bigint, slots bigint, not_of jsonb) cross join lateral ( \
               select r.line from job_ready r where r.kind = k.kind and r.turn >= k.floor and r.turn is not null and r.node is null \
                 and (k.not_of is null or not k.not_of ? r.client_id) \
               order by r.turn, r.client_id limit k.slots for update skip locked) x)) \
           returning job_id, run, spared, line, client_id, kind, turn), \
         v as (insert into job_clock (kind, node, turn) select kind, $1, max(turn) from c group by kind order by kind \
           on conflict (kind, node) do update set turn = greatest(job_clock.turn, excluded.turn)) \
         select c.*, j.lead_id, j.message_id, j.draft_id, j.max_attempts, j.channel, j.trace, m.request_id, \
           (extract(epoch from now()) * 1000)::bigint - (extract(epoch from j.run_at) * 1000)::bigint as waited_ms \
         from c join jobs j on j.id = c.job_id left join messages m on m.id = j.message_id order by c.turn, c.client_id";

    /// The facts of claimed jobs, for SQLite in the claim's transaction. By primary key.
    pub(super) static READ_FACTS =
        "select j.id, j.lead_id, j.message_id, j.draft_id, j.max_attempts, j.channel, j.trace, m.request_id, @ms(@now) - @ms(j.run_at) as waited_ms \
         from jobs j left join messages m on m.id = j.message_id where j.id @ids($1)";

    /// Raises the node's clock, for SQLite. By primary key.
    static RAISE_CLOCK =
        "insert into job_clock (kind, node, turn) select g.kind, $2, g.turn from @rows($1, kind text, turn bigint) g where true \
         on conflict (kind, node) do update set turn = max(job_clock.turn, excluded.turn)";
}

/// A claim from the row of its head and its job's facts. `None` if this version does not know its
/// kind.
pub(super) fn claim(
    row: &QueryResult,
    facts: &QueryResult,
    kinds: &[JobKind],
) -> Result<Option<Claim>, StoreError> {
    let kind: String = row.try_get("", "kind")?;
    let Some(kind) = kinds.iter().find(|it| it.0 == kind) else { return Ok(None) };
    let run = i64::from(row.try_get::<i32>("", "run")?);
    let spared = i64::from(row.try_get::<i32>("", "spared")?);
    let trace: Option<String> = facts.try_get("", "trace")?;
    let max_attempts: i32 = facts.try_get("", "max_attempts")?;
    Ok(Some(Claim {
        job: Job {
            id: row.try_get("", "job_id")?,
            kind: *kind,
            client_id: row.try_get("", "client_id")?,
            lead_id: facts.try_get("", "lead_id")?,
            message_id: facts.try_get("", "message_id")?,
            draft_id: facts.try_get("", "draft_id")?,
            run,
            attempt: u32::try_from(run - spared).unwrap_or(1),
            max_attempts: u32::try_from(max_attempts).unwrap_or(1),
            request_id: facts.try_get("", "request_id")?,
            channel: facts.try_get("", "channel")?,
            trace: trace.as_deref().and_then(JobTrace::parse),
        },
        line: row.try_get("", "line")?,
        turn: row.try_get("", "turn")?,
        run,
        spared,
        waited_ms: facts.try_get("", "waited_ms")?,
    }))
}

/// Claims jobs on PostgreSQL, by one statement that is its own transaction. Jobs of the clients
/// `not_of` are left out.
pub(super) async fn claim_postgres(
    db: &Database,
    wants: &[Want],
    not_of: &[String],
    kinds: &[JobKind],
) -> Result<Vec<Claim>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(flatten)]
        want: &'a Want,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        not_of: &'a [String],
    }
    let rows: Vec<Row<'_>> = wants.iter().map(|want| Row { want, not_of }).collect();
    let values = [db.node().into(), group(&rows)?];
    let connections = db.connections();
    connections.faults.stage("claim", "before_commit");
    let claimed = write_alone(&connections.writer, &CLAIM_POSTGRES, values);
    let claimed = connections.timings.time("claim", claimed).await;
    let rows = claimed.inspect_err(|error| connections.last_failed_write.note("claim", error))?;
    if !rows.is_empty() {
        connections.last_failed_write.has_written("claim");
        connections.faults.stage("claim", "committed");
    }
    let mut claims = Vec::with_capacity(rows.len());
    for row in &rows {
        claims.extend(claim(row, row, kinds)?);
    }
    Ok(claims)
}

/// The text of SQLite's claim: one limited scan per kind. It depends only on the number of kinds,
/// so it stays prepared.
fn sqlite_claim_text(kind_count: usize) -> String {
    let mut branches = String::new();
    let not_of = 2 + kind_count * 3;
    for n in 0..kind_count {
        let (kind, floor, slots) = (2 + n * 3, 3 + n * 3, 4 + n * 3);
        let union = if n == 0 { "" } else { " union all " };
        // Writing to a `String` does not fail.
        let _infallible = write!(
            branches,
            "{union}select line from (select line from job_ready where kind = ${kind} and turn >= ${floor} \
             and turn is not null and node is null \
             and client_id not in (select value from json_each(${not_of})) order by turn, client_id limit ${slots})"
        );
    }
    format!(
        "update job_ready set node = $1, locked_at = cast(unixepoch('subsec') * 1000 as integer), run = run + 1 \
         where line in ({branches}) returning job_id, run, spared, line, client_id, kind, turn"
    )
}

/// SQLite's claims, by the number of kinds. For 16 kinds and more, the text is made for each claim.
static CLAIM_SQLITE: [OnceLock<String>; 16] = [const { OnceLock::new() }; 16];

/// SQLite's claim of `kind_count` kinds. Its parameters are the node, then kind, floor and slots of
/// each kind, then the clients to leave out.
pub(in crate::store) fn claim_sqlite_text(kind_count: usize) -> String {
    match CLAIM_SQLITE.get(kind_count) {
        Some(cell) => cell.get_or_init(|| sqlite_claim_text(kind_count)).clone(),
        None => sqlite_claim_text(kind_count),
    }
}

/// Claims jobs on SQLite. Jobs of the clients `not_of` are left out.
pub(super) async fn claim_sqlite(
    tx: Tx,
    node: Id,
    wants: &[Want],
    not_of: &[String],
    kinds: &[JobKind],
) -> Result<Finished<Vec<Claim>>, StoreError> {
    let mut values: Vec<sea_orm::Value> = vec![node.into()];
    for want in wants {
        let slots = i64::try_from(want.slots).unwrap_or(i64::MAX);
        values.extend([want.kind.into(), want.floor.into(), slots.into()]);
    }
    values.push(group(not_of)?);
    // 1. Claim the heads.
    let rows = tx.all_text(claim_sqlite_text(wants.len()), values).await?;
    if rows.is_empty() {
        return Ok(tx.roll_back(Vec::new()));
    }
    // 2. Read the facts of their jobs.
    let mut ids: Vec<Id> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get("", "job_id")?);
    }
    let mut facts: HashMap<Id, QueryResult> = HashMap::with_capacity(ids.len());
    for row in tx.all(&READ_FACTS, [group(&ids)?]).await? {
        facts.insert(row.try_get("", "id")?, row);
    }
    let mut claims = Vec::with_capacity(rows.len());
    for (row, id) in rows.iter().zip(&ids) {
        let Some(facts) = facts.get(id) else {
            let text = format!("job {id} is the head of a line and has no row in `jobs`");
            return Err(StoreError::Broken(text));
        };
        claims.extend(claim(row, facts, kinds)?);
    }
    // 3. Sort them by turn, and raise the clock.
    claims.sort_unstable_by(|a, b| {
        (a.turn, &a.job.client_id, a.line).cmp(&(b.turn, &b.job.client_id, b.line))
    });
    raise_clock(&tx, node, &claims).await?;
    tx.commit(claims).await
}

/// Notes the greatest turn of each claimed kind, from which V follows.
async fn raise_clock(tx: &Tx, node: Id, claims: &[Claim]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        kind: &'static str,
        turn: Turn,
    }
    let mut greatest: HashMap<&'static str, Turn> = HashMap::new();
    for claim in claims {
        let turn = greatest.entry(claim.job.kind.0).or_default();
        *turn = claim.turn.max(*turn);
    }
    let rows: Vec<Row> = greatest.into_iter().map(|(kind, turn)| Row { kind, turn }).collect();
    tx.run(&RAISE_CLOCK, [group(&rows)?, node.into()]).await?;
    Ok(())
}
