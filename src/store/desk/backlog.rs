//! Counts the jobs that wait and run, by kind and client (docs/decisions/0045-counts.md).
//!
//! A short backlog is counted by one statement. A long one is counted in portions that see one
//! instant: no statement takes longer because more jobs wait.

use crate::domain::{Id, Timestamp};
use crate::store::engine::{
    StoreError,
    ids::given_out_at,
    sessions::Sessions,
    snapshot::{Snapshot, in_snapshot},
    sql::sql,
    tx::read,
};
use sea_orm::{ConnectionTrait, DatabaseBackend, QueryResult, Value};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::time::Instant;

sql! {
    /// A portion of the backlog: pending and running jobs by kind and client, and since when the
    /// one is due that has been due longest. Of each table at most `$5` rows: heads after line
    /// `$1`, followers after line `$2` and position `$3`, and later ones after job `$4`, with the
    /// last row of each. Jobs that wait behind another, for their time, their retry or their
    /// client's cap are not due. And by state, the jobs that were accepted and that have ended,
    /// over all nodes. By primary keys; `job_counts` is small. Clients come before kinds, because
    /// SQLite sorts by them, and most rows have one kind.
    static READ_BACKLOG =
        "select 'ready' as part, kind, client_id, count(*) as jobs, count(node) as running, @ms(min(due_at)) as due_ms, \
           min(undated_id) as undated_id, max(line) as last, cast(null as bigint) as last_pos from ( \
           select line, kind, client_id, node, \
             case when node is not null then null when turn is not null then due_at when run_at <= @now then run_at end as due_at, \
             case when node is null and turn is not null and due_at is null then job_id end as undated_id \
           from job_ready where line > $1 order by line limit $5) as heads group by client_id, kind \
         union all select 'blocked', kind, client_id, count(*), 0, cast(null as bigint), cast(null as bigint), cast(null as bigint), \
           cast(null as bigint) from ( \
           select kind, client_id from job_blocked where (line, pos) > ($2, $3) order by line, pos limit $5) as followers \
           group by client_id, kind \
         union all select 'blocked', cast(null as text), cast(null as text), 0, 0, cast(null as bigint), cast(null as bigint), \
           line, pos from ( \
           select line, pos from job_blocked where (line, pos) > ($2, $3) order by line, pos limit 1 offset $5 - 1) as follower \
         union all select 'later', kind, client_id, count(*), 0, @ms(min(due_at)), cast(null as bigint), max(job_id), \
           cast(null as bigint) from ( \
           select job_id, kind, client_id, case when run_at <= @now then run_at end as due_at \
           from job_later where job_id > $4 order by job_id limit $5) as later group by client_id, kind \
         union all select 'ended', cast(null as text), state, cast(sum(count) as bigint), 0, cast(null as bigint), \
           cast(null as bigint), cast(null as bigint), cast(null as bigint) from job_counts group by state";
}

/// Rows of each table in a portion on SQLite, which sorts them: short runs are sorted faster.
const PORTION_SQLITE: i64 = 20_000;
/// And on PostgreSQL, which does not.
const PORTION_POSTGRES: i64 = 50_000;
/// How long the portions of one count may take together.
const COUNTED_WITHIN: Duration = Duration::from_secs(5);
/// Before the first row of a table, and behind the last one.
const START: i64 = -i64::MAX;
const END: i64 = i64::MAX;

/// The jobs of a client and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The kind.
    pub kind: String,
    /// The client.
    pub client_id: String,
    /// Jobs that wait.
    pub pending: i64,
    /// Jobs that run.
    pub running: i64,
    /// Since when the job is due that has been due longest, of those that no node has claimed.
    pub oldest_at: Option<Timestamp>,
}

/// The last rows that were read of each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BacklogCursor {
    head: Id,
    follower: (Id, i64),
    later: Id,
}

impl BacklogCursor {
    const START: Self = Self { head: START, follower: (START, START), later: START };
    const END: Self = Self { head: END, follower: (END, END), later: END };

    fn values(self, portion: i64) -> [Value; 5] {
        [
            self.head.into(),
            self.follower.0.into(),
            self.follower.1.into(),
            self.later.into(),
            portion.into(),
        ]
    }
}

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct CountedJobs {
    /// By kind and client.
    unfinished: BTreeMap<(String, String), Backlog>,
    by_state: HashMap<String, i64>,
}

impl CountedJobs {
    /// Pending and running jobs, by kind and client.
    pub(super) fn unfinished(self) -> Vec<Backlog> {
        self.unfinished.into_values().collect()
    }

    /// How many jobs were ever stored (`enqueued`), or have ended in this state.
    pub(super) fn in_state(&self, state: &str) -> i64 {
        self.by_state.get(state).copied().unwrap_or_default()
    }

    /// Adds what a portion has. Returns where the next one begins: at the end of each table of
    /// which it has fewer rows than it may have.
    fn add(&mut self, rows: &[QueryResult], portion: i64) -> Result<BacklogCursor, StoreError> {
        let (mut heads, mut later) = (PortionRead::default(), PortionRead::default());
        let mut next = BacklogCursor::END;
        for row in rows {
            let part: String = row.try_get("", "part")?;
            let (jobs, running): (i64, i64) =
                (row.try_get("", "jobs")?, row.try_get("", "running")?);
            let last: Option<i64> = row.try_get("", "last")?;
            let name: Option<String> = row.try_get("", "client_id")?;
            let Some(name) = name else {
                next.follower = (last.unwrap_or(END), row.try_get("", "last_pos")?);
                continue;
            };
            let Some(kind) = row.try_get::<Option<String>>("", "kind")? else {
                self.by_state.insert(name, jobs);
                continue;
            };
            match part.as_str() {
                "ready" => heads.add(jobs, last),
                "later" => later.add(jobs, last),
                _ => {}
            }
            let waiting = Backlog {
                kind,
                client_id: name,
                pending: jobs - running,
                running,
                oldest_at: due_since(row)?,
            };
            self.add_to(waiting);
        }
        next.head = heads.next(portion);
        next.later = later.next(portion);
        Ok(next)
    }

    fn add_to(&mut self, more: Backlog) {
        let key = (more.kind.clone(), more.client_id.clone());
        match self.unfinished.get_mut(&key) {
            None => _ = self.unfinished.insert(key, more),
            Some(of) => {
                of.pending += more.pending;
                of.running += more.running;
                of.oldest_at = [of.oldest_at, more.oldest_at].into_iter().flatten().min();
            }
        }
    }
}

/// What a portion has of one table.
#[derive(Debug, Default)]
struct PortionRead {
    rows: i64,
    last: Option<i64>,
}

impl PortionRead {
    fn add(&mut self, rows: i64, last: Option<i64>) {
        self.rows += rows;
        self.last = self.last.max(last);
    }

    /// Where the next portion begins.
    fn next(self, portion: i64) -> i64 {
        self.last.filter(|_| self.rows >= portion).unwrap_or(END)
    }
}

/// Since when the job of a row is due that has been due longest. An earlier version has not stored
/// it: such a job counts from when it was stored.
fn due_since(row: &QueryResult) -> Result<Option<Timestamp>, StoreError> {
    let since_ms: Option<i64> = row.try_get("", "due_ms")?;
    let undated: Option<Id> = row.try_get("", "undated_id")?;
    let since = [since_ms.map(Timestamp::from_millis), undated.map(given_out_at)];
    Ok(since.into_iter().flatten().min())
}

/// Counts all jobs, at one instant.
pub(super) async fn count_jobs(reader: &Sessions) -> Result<CountedJobs, StoreError> {
    let is_sqlite = reader.get_database_backend() == DatabaseBackend::Sqlite;
    let portion = if is_sqlite { PORTION_SQLITE } else { PORTION_POSTGRES };
    // One statement sees one instant by itself.
    let mut counted = CountedJobs::default();
    let rows = read(reader, &READ_BACKLOG, BacklogCursor::START.values(portion)).await?;
    if counted.add(&rows, portion)? == BacklogCursor::END {
        return Ok(counted);
    }
    reader.timed(in_portions(reader, portion)).await
}

async fn in_portions(reader: &Sessions, portion: i64) -> Result<CountedJobs, StoreError> {
    in_snapshot(reader, async |snapshot: Snapshot| {
        let begun = Instant::now();
        let (mut counted, mut cursor) = (CountedJobs::default(), BacklogCursor::START);
        while cursor != BacklogCursor::END {
            if begun.elapsed() > COUNTED_WITHIN {
                let text =
                    format!("counting all jobs that wait takes more than {COUNTED_WITHIN:?}");
                return Err(StoreError::Busy(text));
            }
            let rows = snapshot.all(&READ_BACKLOG, cursor.values(portion)).await?;
            cursor = counted.add(&rows, portion)?;
        }
        Ok(counted)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_on_behind_the_last_row_of_a_full_portion() {
        let read = |counts: &[(i64, i64)]| {
            let mut read = PortionRead::default();
            counts.iter().for_each(|(rows, last)| read.add(*rows, Some(*last)));
            read.next(10)
        };
        assert_eq!(read(&[]), END);
        assert_eq!(read(&[(4, -7), (5, -2)]), END, "fewer rows than it may have");
        assert_eq!(read(&[(4, -2), (6, -7)]), -2);
    }

    #[test]
    fn what_portions_have_of_a_client_and_kind_is_added() {
        let backlog = |client: &str, pending, oldest_ms: Option<i64>| Backlog {
            kind: "A".to_owned(),
            client_id: client.to_owned(),
            pending,
            running: 1,
            oldest_at: oldest_ms.map(Timestamp::from_millis),
        };
        let mut counted = CountedJobs::default();
        for part in [
            backlog("b", 3, None),
            backlog("a", 1, Some(9)),
            backlog("b", 4, Some(7)),
            backlog("b", 0, Some(8)),
        ] {
            counted.add_to(part);
        }
        let of_b = Backlog { running: 3, ..backlog("b", 7, Some(7)) };
        assert_eq!(counted.unfinished(), [backlog("a", 1, Some(9)), of_b]);
    }
}
