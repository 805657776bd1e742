//! Reads jobs, one or a page. A job's status is where its row is; one statement reads it, because a job
//! that moves between two statements would be nowhere.

use super::{
    Page, UNFINISHED, UNSUCCESSFUL,
    job_views::{FailedAttempt, JobDetail, JobRow, JobView},
};
use crate::{
    domain::{Id, JobStatus},
    store::{
        StoreError,
        sessions::Sessions,
        sql::Sql,
        tx::{Tx, group, read},
    },
};
use sea_orm::QueryResult;
use serde::Serialize;

/// Jobs with where they are and their last run. By primary and unique keys: the head of a job's
/// line is the job itself, its lead, the lead that its lead was merged into, or another lead that
/// was merged into that one: a job that ran while two merges followed each other ends where it is.
/// The last by `leads_merged`.
pub(in crate::store) static READ_JOBS: Sql = Sql::new(
    "select j.id, j.kind, j.client_id, j.lead_id, j.subject_id, j.message_id, j.draft_id, j.max_attempts, \
       case when j.in_lead_line then 1 when j.in_lead_line is null then null else 0 end as in_lead_line, l.merged_into, \
       @ms(coalesce(o.run_at, q.run_at, m.run_at, s.run_at, t.run_at, j.run_at)) as run_at, @ms(j.created_at) as created_at, \
       case when coalesce(o.line, q.line, m.line, s.line) is not null then 'head' when b.line is not null then 'blocked' \
         when t.line is not null then 'later' else 'ended' end as place, \
       coalesce(o.line, q.line, m.line, s.line, b.line, t.line) as line, coalesce(o.turn, q.turn, m.turn, s.turn) as turn, \
       coalesce(o.run, q.run, m.run, s.run, b.run, t.run, a.run, 0) as run, \
       coalesce(o.spared, q.spared, m.spared, s.spared, b.spared, t.spared, a.spared, 0) as spared, \
       coalesce(o.node, q.node, m.node, s.node) as node, \
       @ms(coalesce(o.locked_at, q.locked_at, m.locked_at, s.locked_at)) as locked_at, \
       @ms(@now) - @ms(coalesce(o.locked_at, q.locked_at, m.locked_at, s.locked_at)) as held_ms, \
       @ms((select x.started_at from job_attempts x where x.job_id = j.id and x.started_at is not null \
         order by x.run desc limit 1)) as started_at, \
       @ms(a.finished_at) as finished_at, a.outcome, case when a.ended then 1 else 0 end as ended, \
       (select x.error from job_attempts x where x.job_id = j.id and x.error is not null order by x.run desc limit 1) as error \
     from jobs j left join leads l on l.id = j.lead_id \
       left join job_ready o on o.line = -j.id \
       left join job_ready q on q.line = j.lead_id and q.job_id = j.id \
       left join job_ready m on m.line = l.merged_into and m.job_id = j.id \
       left join job_ready s on s.line = (select x.id from leads x join job_ready r on r.line = x.id \
         where x.merged_into = l.merged_into and x.id <> l.id and r.job_id = j.id) \
       left join job_blocked b on b.job_id = j.id \
       left join job_later t on t.job_id = j.id \
       left join job_attempts a on a.job_id = j.id and a.run = (select max(x.run) from job_attempts x where x.job_id = j.id) \
     where j.id @ids($1) order by j.id desc",
);

/// The failed attempts of a job. By primary key.
pub(in crate::store) static READ_FAILURES: Sql = Sql::new(
    "select run, spared, outcome, node, actor, @ms(finished_at) as finished_at, \
       @ms(finished_at) - @ms(started_at) as duration_ms, error \
     from job_attempts where job_id = $1 and outcome not in ('succeeded', 'snoozed', 'cancelled') order by run",
);

/// What the lists of jobs have in common: the cursor, and filters that are off where their number is 0.
macro_rules! matching {
    ($table:literal, $id:literal) => {
        concat!(
            $id,
            " < $1 \
             and ($2 = 0 or ",
            $table,
            ".kind in (select g.kind from @rows($3, kind text) g)) \
             and ($4 = 0 or ",
            $table,
            ".client_id in (select g.client_id from @rows($5, client_id text) g)) \
             order by ",
            $id,
            " desc limit $6"
        )
    };
}

/// All jobs, back from the newest by primary key.
pub(in crate::store) static LIST_JOBS: Sql =
    Sql::new(concat!("select j.id from jobs j where ", matching!("j", "j.id")));

/// Jobs that ended well: most of them did.
pub(in crate::store) static LIST_SUCCEEDED: Sql = Sql::new(concat!(
    "select j.id from jobs j where exists (select 1 from job_attempts a where a.job_id = j.id and a.ended \
       and a.outcome = 'succeeded') and ",
    matching!("j", "j.id")
));

/// Jobs that ended otherwise. By `job_attempts_unsuccessful`; a job has at most one run that ended it.
pub(in crate::store) static LIST_UNSUCCESSFUL: Sql = Sql::new(concat!(
    "select j.id from job_attempts a join jobs j on j.id = a.job_id where a.ended and a.outcome <> 'succeeded' \
       and (($7 = 1 and a.outcome <> 'cancelled') or ($8 = 1 and a.outcome = 'cancelled')) and ",
    matching!("j", "a.job_id")
));

/// Jobs that have not ended. Scans the small tables.
pub(in crate::store) static LIST_UNFINISHED: Sql = Sql::new(concat!(
    "select j.id from ( \
       select job_id as id, kind, client_id from job_ready where ($7 = 1 and node is null) or ($8 = 1 and node is not null) \
       union all select job_id as id, kind, client_id from job_blocked where $7 = 1 \
       union all select job_id as id, kind, client_id from job_later where $7 = 1) j where ",
    matching!("j", "j.id")
));

/// Jobs about messages and drafts of leads. By `messages_of_lead`, `drafts_of_lead` and the unique key of
/// jobs, which the materialized steps keep the planner to.
pub(in crate::store) static LIST_JOBS_OF_LEADS: Sql = Sql::new(concat!(
    "with s as @materialized (select m.id from messages m where m.lead_id @ids($7) \
       union select d.id from drafts d where d.lead_id @ids($7)), \
     f as @materialized (select j.id, j.kind, j.client_id from s cross join jobs j where j.subject_id = s.id) \
     select f.id from f where ",
    matching!("f", "f.id")
));

/// A lead's jobs are looked through for a status in pages of at least this many, and so many pages.
const LEAD_PAGE_MIN: usize = 100;
const LEAD_PAGES_MAX: usize = 20;

/// Which jobs. Values of one field are alternatives, fields must all match; an empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Where they stand.
    pub status: Vec<JobStatus>,
    /// Their kinds.
    pub kind: Vec<String>,
    /// Their clients.
    pub client: Vec<String>,
    /// The leads whose messages and drafts they are about.
    pub lead: Vec<Id>,
}

impl JobFilter {
    /// True where it matches every job.
    pub const fn is_empty(&self) -> bool {
        self.status.is_empty()
            && self.kind.is_empty()
            && self.client.is_empty()
            && self.lead.is_empty()
    }

    fn takes(&self, status: JobStatus) -> bool {
        self.status.is_empty() || self.status.contains(&status)
    }

    /// The same, for jobs with one of `statuses`; `None` where that matches none.
    pub(super) fn among(mut self, statuses: &[JobStatus]) -> Option<Self> {
        if self.status.is_empty() {
            self.status = statuses.to_vec();
        } else {
            self.status.retain(|it| statuses.contains(it));
        }
        (!self.status.is_empty()).then_some(self)
    }
}

/// Jobs with what it takes to move them, newest first, as a transaction sees them now.
pub(super) async fn rows(tx: &Tx, ids: &[Id]) -> Result<Vec<JobRow>, StoreError> {
    tx.all(&READ_JOBS, [group(ids)?]).await?.iter().map(JobRow::from_row).collect()
}

/// The same, outside a transaction.
async fn views(reader: &Sessions, ids: &[Id]) -> Result<Vec<JobView>, StoreError> {
    let rows = read(reader, &READ_JOBS, [group(ids)?]).await?;
    rows.iter().map(|row| Ok(JobRow::from_row(row)?.view)).collect()
}

/// A job with its failed attempts.
pub(super) async fn detail(reader: &Sessions, id: Id) -> Result<Option<JobDetail>, StoreError> {
    let Some(job) = views(reader, &[id]).await?.pop() else { return Ok(None) };
    let rows = read(reader, &READ_FAILURES, [id.into()]).await?;
    let errors = rows.iter().map(FailedAttempt::from_row).collect::<Result<_, _>>()?;
    Ok(Some(JobDetail { job, errors }))
}

/// A page of jobs. A job that moves on while it is read may be missing from a page that asks for a
/// status, but the cursor stays true.
pub(super) async fn page(
    reader: &Sessions,
    filter: &JobFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<JobView>, StoreError> {
    let step = if filter.lead.is_empty() { limit + 1 } else { LEAD_PAGE_MIN.max(limit + 1) };
    let mut before = cursor.unwrap_or(Id::MAX);
    let mut items: Vec<JobView> = Vec::new();
    for _ in 0..LEAD_PAGES_MAX {
        let ids = candidates(reader, filter, before, step).await?;
        items.extend(views(reader, &ids).await?.into_iter().filter(|it| filter.takes(it.status)));
        if ids.len() < step || items.len() > limit {
            return Ok(Page::cut(items, limit, |it| it.id));
        }
        before = ids.last().copied().unwrap_or(before);
    }
    Ok(Page { items, next: Some(before) })
}

/// Ids of jobs that match, newest first, at most `limit`, those before `before`. Where leads are asked
/// for, their jobs of any status.
pub(super) async fn candidates(
    reader: &Sessions,
    filter: &JobFilter,
    before: Id,
    limit: usize,
) -> Result<Vec<Id>, StoreError> {
    let asks = |status: JobStatus| filter.status.contains(&status);
    let flag = |status: JobStatus| i64::from(asks(status)).into();
    let common = Common::of(filter, before, limit)?;
    let mut found: Vec<QueryResult> = Vec::new();
    if !filter.lead.is_empty() {
        found = common.read(reader, &LIST_JOBS_OF_LEADS, [group(&filter.lead)?]).await?;
    } else if filter.status.is_empty() {
        found = common.read(reader, &LIST_JOBS, []).await?;
    } else {
        if UNFINISHED.into_iter().any(asks) {
            let flags = UNFINISHED.map(flag);
            found.extend(common.read(reader, &LIST_UNFINISHED, flags).await?);
        }
        if UNSUCCESSFUL.into_iter().any(asks) {
            let flags = UNSUCCESSFUL.map(flag);
            found.extend(common.read(reader, &LIST_UNSUCCESSFUL, flags).await?);
        }
        if asks(JobStatus::Succeeded) {
            found.extend(common.read(reader, &LIST_SUCCEEDED, []).await?);
        }
    }
    let mut ids: Vec<Id> =
        found.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?;
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.dedup();
    ids.truncate(limit);
    Ok(ids)
}

/// The parameters that all lists have.
struct Common([sea_orm::Value; 6]);

impl Common {
    fn of(filter: &JobFilter, before: Id, limit: usize) -> Result<Self, StoreError> {
        #[derive(Serialize)]
        struct Kind<'a> {
            kind: &'a str,
        }
        #[derive(Serialize)]
        struct Client<'a> {
            client_id: &'a str,
        }
        let kinds: Vec<Kind<'_>> = filter.kind.iter().map(|kind| Kind { kind }).collect();
        let clients: Vec<Client<'_>> =
            filter.client.iter().map(|client_id| Client { client_id }).collect();
        Ok(Self([
            before.into(),
            count(kinds.len()),
            group(&kinds)?,
            count(clients.len()),
            group(&clients)?,
            count(limit),
        ]))
    }

    /// Runs one of the lists, with what it needs besides.
    async fn read<const N: usize>(
        &self,
        reader: &Sessions,
        sql: &Sql,
        more: [sea_orm::Value; N],
    ) -> Result<Vec<QueryResult>, StoreError> {
        let values = self.0.iter().cloned().chain(more).collect();
        read_with(reader, sql, values).await
    }
}

async fn read_with(
    reader: &Sessions,
    sql: &Sql,
    values: Vec<sea_orm::Value>,
) -> Result<Vec<QueryResult>, StoreError> {
    use sea_orm::{ConnectionTrait, Statement};
    let backend = reader.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql.text(backend), values);
    Ok(reader.query_all_raw(statement).await?)
}

/// A number as a parameter.
pub(super) fn count(n: usize) -> sea_orm::Value {
    i64::try_from(n).unwrap_or(i64::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_narrowed_to_what_can_be_acted_upon() {
        let all = JobFilter::default();
        assert_eq!(all.among(&UNFINISHED).unwrap().status, UNFINISHED);
        let failed = JobFilter { status: vec![JobStatus::Failed], ..JobFilter::default() };
        assert_eq!(failed.clone().among(&UNFINISHED), None);
        assert_eq!(failed.among(&UNSUCCESSFUL).unwrap().status, [JobStatus::Failed]);
    }
}
