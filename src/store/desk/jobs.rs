//! Reads one job or a page of jobs. A job's status is the table that has its row. One statement
//! reads all tables, because two would miss a job that moves between them.

use super::{
    Page, UNFINISHED, UNSUCCESSFUL, failures,
    job_views::{FailedAttempt, JobDetail, JobRow, JobView},
    values::{self, CLIENTS_OF_JOBS, KINDS_OF_JOBS},
};
use crate::domain::{Id, JobState, JobStatus, error_signature::error_signature};
use crate::store::engine::{
    Sql, StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{Tx, column, group, read},
};
use sea_orm::QueryResult;
use serde::Serialize;

sql! {
    /// Jobs with their places and their last run. By primary and unique keys. The line of a head is
    /// one of four: the job's own, its lead's, that of the lead into which its lead was merged, or
    /// that of another lead that was merged into the same one (by `leads_merged`). The last case is
    /// a job that runs during two merges: it stays in its line until its run ends.
    pub(in crate::store) static READ_JOBS =
        "select j.id, j.kind, j.client_id, j.lead_id, j.subject_id, j.message_id, j.draft_id, j.max_attempts, a.actor as last_actor, a.node as last_node, \
           (select x.id from deliveries x where x.draft_id = j.draft_id) as delivery_id, \
           case when j.in_lead_line then 1 when j.in_lead_line is null then null else 0 end as in_lead_line, j.channel, j.trace, l.merged_into, \
           @ms(coalesce(o.run_at, q.run_at, m.run_at, s.run_at, t.run_at, j.run_at)) as run_at, @ms(j.created_at) as created_at, \
           case when coalesce(o.line, q.line, m.line, s.line) is not null then 'head' when b.line is not null then 'blocked' \
             when t.line is not null then 'later' else 'ended' end as place, \
           coalesce(o.line, q.line, m.line, s.line, b.line, t.line) as line, coalesce(o.turn, q.turn, m.turn, s.turn) as turn, coalesce(o.held, q.held, m.held, s.held) as held, \
           coalesce(o.run, q.run, m.run, s.run, b.run, t.run, a.run, 0) as run, \
           coalesce(o.spared, q.spared, m.spared, s.spared, b.spared, t.spared, a.spared, 0) as spared, \
           coalesce(o.node, q.node, m.node, s.node) as node, \
           @ms(coalesce(o.locked_at, q.locked_at, m.locked_at, s.locked_at)) as locked_at, \
           @ms(@now) - @ms(coalesce(o.locked_at, q.locked_at, m.locked_at, s.locked_at)) as claimed_ms, \
           @ms((select x.started_at from job_attempts x where x.job_id = j.id and x.started_at is not null \
             order by x.run desc limit 1)) as started_at, \
           @ms(a.finished_at) as finished_at, a.outcome, case when a.ended then 1 else 0 end as ended, a.trace_id as run_trace_id, \
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
         where j.id @ids($1) order by j.id desc";

    /// The newest `$2` failed attempts of a job. By primary key.
    static READ_FAILURES =
        "select run, spared, outcome, node, actor, @ms(finished_at) as finished_at, \
           @ms(finished_at) - @ms(started_at) as duration_ms, error, trace_id \
         from job_attempts where job_id = $1 and outcome not in ('succeeded', 'snoozed', 'cancelled') \
         order by run desc limit $2";
}

/// The most failed attempts that are returned with a job, the newest ones. There may be many, since
/// a job can be retried by hand again and again.
const FAILURES_MAX: usize = 200;

/// The state of a head, as `JobState` names it.
macro_rules! head_state {
    () => {
        "case when node is not null then 'running' when held is not null then 'held' when run > spared then 'retrying' \
           when turn is not null then 'due' else 'later' end"
    };
}

sql! {
    /// Jobs, newest first. By primary key.
    static LIST_JOBS =
        "select j.id from jobs j where j.id < $1 order by j.id desc limit $2";

    /// The same for some clients and kinds, a page of each. By `jobs_listed`.
    static LIST_JOBS_BY =
        "select j.id from @rows($3, client_id text, kind text) g join jobs j on j.id @each( \
           select x.id from jobs x where x.client_id = g.client_id and x.kind = g.kind and x.id < $1 order by x.id desc limit $2) \
         order by j.id desc limit $2";
}

/// The common part of the other lists: the cursor, and two filters. A filter is off if its number
/// is 0.
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

sql! {
    /// Jobs that ended without success, with ids above the bound `$7`. By
    /// `job_attempts_unsuccessful`, in which a job has at most one row.
    static LIST_UNSUCCESSFUL = concat!(
        "select j.id from job_attempts a join jobs j on j.id = a.job_id where a.ended and a.outcome <> 'succeeded' \
           and a.job_id > $7 and a.job_id < $1 \
           and (($8 = 1 and a.outcome <> 'cancelled') or ($9 = 1 and a.outcome = 'cancelled')) and ",
        matching!("j", "a.job_id")
    );

    /// The id above which there are `$2` such jobs with ids below `$1`; 0 if there are fewer. By
    /// the same index.
    static UNSUCCESSFUL_BOUND =
        "select coalesce((select a.job_id from job_attempts a where a.ended and a.outcome <> 'succeeded' and a.job_id < $1 \
           order by a.job_id desc limit 1 offset $2), 0) as bound";

    /// Jobs that have not ended and have one of the states `$8`, with ids above the bound `$7`. By
    /// keys and `job_ready_of_leads`: a line that is not a lead's is its job's id, negated.
    static LIST_UNFINISHED = concat!(
        "select j.id from ( \
           select job_id as id, kind, client_id, ", head_state!(), " as state from job_ready where line < -$7 and line > -$1 \
           union all select job_id as id, kind, client_id, ", head_state!(), " as state from job_ready \
             where line > 0 and job_id > $7 and job_id < $1 \
           union all select job_id as id, kind, client_id, 'behind' as state from job_blocked where job_id > $7 and job_id < $1 \
           union all select job_id as id, kind, client_id, case when run > spared then 'retrying' else 'later' end as state \
             from job_later where job_id > $7 and job_id < $1) j \
         where j.state in (select g.state from @rows($8, state text) g) and ",
        matching!("j", "j.id")
    );

    /// The id above which each table has at most `$2` such jobs with ids below `$1`; 0 if there are
    /// fewer. By the same indexes.
    static UNFINISHED_BOUND =
        "select coalesce(max(f.id), 0) as bound from ( \
           select (select -line from job_ready where line < 0 and line > -$1 order by line limit 1 offset $2) as id \
           union all select (select job_id from job_ready where line > 0 and job_id < $1 order by job_id desc limit 1 offset $2) \
           union all select (select job_id from job_blocked where job_id < $1 order by job_id desc limit 1 offset $2) \
           union all select (select job_id from job_later where job_id < $1 order by job_id desc limit 1 offset $2)) f";

    /// Jobs about messages and drafts of leads. By `messages_of_lead`, `drafts_of_lead` and the
    /// unique key of jobs; the materialized steps make the planner use them.
    static LIST_JOBS_OF_LEADS = concat!(
        "with s as @materialized (select m.id from messages m where m.lead_id @ids($7) \
           union select d.id from drafts d where d.lead_id @ids($7)), \
         f as @materialized (select j.id, j.kind, j.client_id from s cross join jobs j where j.subject_id = s.id) \
         select f.id from f where ",
        matching!("f", "f.id")
    );
}

/// How many jobs are read at once if most of them do not have the requested status.
const STEP_MIN: usize = 500;
/// How many jobs are read at once if most of them have another error than the requested one.
const ERRORS_AT_ONCE: usize = 2_000;
/// The rows of each table that one search for rare jobs reads.
const WINDOW: usize = 20_000;
/// The most searches for one page. After that, a page that is not full has a cursor to continue
/// from.
const SEARCHES_MAX: usize = 12;

/// Selects jobs. The values of a field are alternatives; all fields must match; an empty field
/// matches all jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Their statuses.
    pub status: Vec<JobStatus>,
    /// States of jobs that wait: alternatives to the statuses.
    pub state: Vec<JobState>,
    /// Their kinds.
    pub kind: Vec<String>,
    /// Their clients.
    pub client: Vec<String>,
    /// The leads that their messages and drafts belong to.
    pub lead: Vec<Id>,
    /// Their own ids.
    pub id: Vec<Id>,
    /// Signatures of their last errors (`domain::error_signature`).
    pub error: Vec<String>,
}

impl JobFilter {
    /// True if it matches every job.
    pub const fn is_empty(&self) -> bool {
        self.is_any_status()
            && self.kind.is_empty()
            && self.client.is_empty()
            && self.lead.is_empty()
            && self.id.is_empty()
            && self.error.is_empty()
    }

    /// True if it matches jobs of every status.
    const fn is_any_status(&self) -> bool {
        self.status.is_empty() && self.state.is_empty()
    }

    /// The statuses of the jobs that it matches; none for all.
    pub(in crate::store) fn statuses(&self) -> Vec<JobStatus> {
        let mut statuses = self.status.clone();
        statuses.extend(self.state.iter().map(|it| it.status()));
        statuses.sort_unstable_by_key(|it| it.as_str());
        statuses.dedup();
        statuses
    }

    /// The states of the unfinished jobs that it matches, if it matches not all statuses.
    fn unfinished(&self) -> Vec<JobState> {
        let asks = |status: JobStatus| self.status.contains(&status);
        let is_wanted = |state: &JobState| asks(state.status()) || self.state.contains(state);
        let unfinished = |state: &JobState| UNFINISHED.contains(&state.status());
        JobState::ALL.into_iter().filter(unfinished).filter(is_wanted).collect()
    }

    /// True if it matches this job. Its leads are not compared: by those it was found.
    fn takes(&self, job: &JobView) -> bool {
        let is_of = |values: &[String], value: &String| values.is_empty() || values.contains(value);
        (self.is_any_status()
            || self.status.contains(&job.status)
            || self.state.contains(&job.state))
            && is_of(&self.kind, &job.kind)
            && is_of(&self.client, &job.client_id)
            && (self.error.is_empty() || self.takes_error(job.last_error.as_deref()))
    }

    /// True if it matches jobs with this last error.
    fn takes_error(&self, error: Option<&str>) -> bool {
        self.error.contains(&error_signature(error.unwrap_or_default()))
    }

    /// The same filter, for jobs with one of `statuses`; `None` if it cannot match any.
    pub(in crate::store) fn among(mut self, statuses: &[JobStatus]) -> Option<Self> {
        if self.is_any_status() {
            self.status = statuses.to_vec();
        } else {
            self.status.retain(|status| statuses.contains(status));
            self.state.retain(|state| statuses.contains(&state.status()));
        }
        (!self.is_any_status()).then_some(self)
    }
}

/// Jobs with all that is needed to move them, newest first, as a transaction sees them now.
pub(super) async fn rows(tx: &Tx, ids: &[Id]) -> Result<Vec<JobRow>, StoreError> {
    tx.all(&READ_JOBS, [group(ids)?]).await?.iter().map(JobRow::from_row).collect()
}

/// The same, outside a transaction.
pub(in crate::store) async fn views(
    reader: &Sessions,
    ids: &[Id],
) -> Result<Vec<JobView>, StoreError> {
    Ok(rows_outside(reader, ids).await?.into_iter().map(|row| row.view).collect())
}

async fn rows_outside(reader: &Sessions, ids: &[Id]) -> Result<Vec<JobRow>, StoreError> {
    read(reader, &READ_JOBS, [group(ids)?]).await?.iter().map(JobRow::from_row).collect()
}

/// A job with its failed attempts.
pub(super) async fn detail(reader: &Sessions, id: Id) -> Result<Option<JobDetail>, StoreError> {
    let Some(JobRow { view: job, run_trace_id, .. }) = rows_outside(reader, &[id]).await?.pop()
    else {
        return Ok(None);
    };
    let rows = read(reader, &READ_FAILURES, [id.into(), count(FAILURES_MAX)]).await?;
    let errors = rows.iter().rev().map(FailedAttempt::from_row).collect::<Result<_, _>>()?;
    Ok(Some(JobDetail { job, errors, run_trace_id }))
}

/// A page of jobs. If a status is asked for, a job that changes its status meanwhile may be
/// missing, but the cursor stays valid. If matching jobs are rare, a page may have fewer than
/// `limit` jobs and yet a next page.
pub(super) async fn page(
    reader: &Sessions,
    filter: &JobFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<JobView>, StoreError> {
    let search = Search::of(reader, filter.clone()).await?;
    let mut before = cursor.unwrap_or(Id::MAX);
    let mut items: Vec<JobView> = Vec::new();
    for _ in 0..SEARCHES_MAX {
        let hits = search.candidates(reader, before, limit + 1).await?;
        let hits = hits.first(STEP_MIN.max(limit + 1));
        let views = views(reader, &hits.ids).await?;
        items.extend(views.into_iter().filter(|job| filter.takes(job)));
        if items.len() > limit {
            return Ok(Page::cut(items, limit, |it| it.id));
        }
        match hits.next {
            Some(next) => before = next,
            None => return Ok(Page { items, next: None }),
        }
    }
    Ok(Page { items, next: Some(before) })
}

/// The jobs that one search has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Hits {
    /// Jobs that match except for their status, newest first.
    pub(in crate::store) ids: Vec<Id>,
    /// Where the next search begins; `None` if there are no more jobs.
    pub(in crate::store) next: Option<Id>,
}

impl Hits {
    /// From a statement that returns at most `most` ids above `bound`, in any order, some of them
    /// twice.
    fn of(mut ids: Vec<Id>, most: usize, bound: Id) -> Self {
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        ids.truncate(most);
        let next = match ids.last() {
            Some(last) if ids.len() == most => Some(*last),
            _ if bound > 0 => Some(bound + 1),
            _ => None,
        };
        Self { ids, next }
    }

    /// The first `most` of them. The next search begins behind those.
    fn first(mut self, most: usize) -> Self {
        if self.ids.len() > most {
            self.ids.truncate(most);
            self.next = self.ids.last().copied();
        }
        self
    }
}

/// How the jobs of a filter are found.
pub(in crate::store) struct Search {
    filter: JobFilter,
    way: ListMethod,
}

/// The index that a search reads.
enum ListMethod {
    /// All of them.
    Newest,
    /// Those of these clients and kinds, which are a group parameter.
    Pairs(sea_orm::Value),
    /// Those about messages and drafts of the filter's leads.
    Leads,
    /// Those with the filter's ids.
    Ids,
    /// Those that have not ended, or ended without success: a window of each table at a time.
    Windows,
}

impl Search {
    /// Chooses how the jobs of `filter` are found.
    pub(in crate::store) async fn of(
        reader: &Sessions,
        filter: JobFilter,
    ) -> Result<Self, StoreError> {
        #[derive(Serialize)]
        struct Pair<'a> {
            client_id: &'a str,
            kind: &'a str,
        }
        let is_any_status = filter.is_any_status() || filter.status.contains(&JobStatus::Succeeded);
        let way = if !filter.id.is_empty() {
            ListMethod::Ids
        } else if !filter.lead.is_empty() {
            ListMethod::Leads
        } else if !is_any_status {
            ListMethod::Windows
        } else if filter.client.is_empty() && filter.kind.is_empty() {
            ListMethod::Newest
        } else {
            let clients = values::clients(reader, &CLIENTS_OF_JOBS, &filter.client).await?;
            let pairs = values::pairs(reader, &KINDS_OF_JOBS, clients, &filter.kind).await?;
            let pairs: Vec<Pair<'_>> =
                pairs.iter().map(|(client_id, kind)| Pair { client_id, kind }).collect();
            ListMethod::Pairs(group(&pairs)?)
        };
        Ok(Self { filter, way })
    }

    /// As [`Self::find`], without the jobs that do not match the whole filter.
    pub(in crate::store) async fn matching(
        &self,
        reader: &Sessions,
        before: Id,
        wanted: usize,
    ) -> Result<Hits, StoreError> {
        let mut hits = self.candidates(reader, before, wanted).await?;
        if !matches!(self.way, ListMethod::Windows) {
            let views = views(reader, &hits.ids).await?;
            let matching = views.iter().filter(|job| self.filter.takes(job));
            hits.ids = matching.map(|it| it.id).collect();
        }
        Ok(hits)
    }

    /// As [`Self::find`], without the jobs that have another error. These are dropped here, and not
    /// with their views, because an error may be that of few jobs among many.
    async fn candidates(
        &self,
        reader: &Sessions,
        before: Id,
        wanted: usize,
    ) -> Result<Hits, StoreError> {
        if self.filter.error.is_empty() {
            return self.find(reader, before, wanted).await;
        }
        let mut hits = self.find(reader, before, wanted.max(ERRORS_AT_ONCE)).await?;
        let errors = failures::of(reader, &hits.ids).await?;
        let matching = errors.iter().filter(|it| self.filter.takes_error(it.error.as_deref()));
        hits.ids = matching.map(|it| it.id).collect();
        Ok(hits)
    }

    /// The next jobs before `before`: at least `wanted`, unless there are fewer, or they are rare.
    pub(super) async fn find(
        &self,
        reader: &Sessions,
        before: Id,
        wanted: usize,
    ) -> Result<Hits, StoreError> {
        let all = self.filter.is_any_status();
        let step = if all { wanted } else { STEP_MIN.max(wanted) };
        match &self.way {
            ListMethod::Newest => {
                let rows = read(reader, &LIST_JOBS, [before.into(), count(step)]).await?;
                Ok(Hits::of(ids(&rows)?, step, 0))
            }
            ListMethod::Pairs(pairs) => {
                let values = [before.into(), count(step), pairs.clone()];
                let rows = read(reader, &LIST_JOBS_BY, values).await?;
                Ok(Hits::of(ids(&rows)?, step, 0))
            }
            ListMethod::Leads => {
                let common = FilterParameters::of(&self.filter, before, step)?;
                let leads = [group(&self.filter.lead)?];
                let rows = common.read(reader, &LIST_JOBS_OF_LEADS, leads).await?;
                Ok(Hits::of(ids(&rows)?, step, 0))
            }
            ListMethod::Ids => {
                let mut ids = self.filter.id.clone();
                ids.retain(|id| *id < before);
                Ok(Hits::of(ids, step, 0))
            }
            ListMethod::Windows => self.window(reader, before, wanted).await,
        }
    }

    /// The jobs that match among the next rows of the tables of jobs that have not ended, or ended
    /// without success.
    async fn window(
        &self,
        reader: &Sessions,
        before: Id,
        wanted: usize,
    ) -> Result<Hits, StoreError> {
        let filter = &self.filter;
        let asks = |status: JobStatus| filter.status.contains(&status);
        let is_rare = !filter.client.is_empty()
            || !filter.kind.is_empty()
            || !(asks(JobStatus::Pending) || UNSUCCESSFUL.into_iter().all(asks));
        let window = if is_rare { WINDOW } else { wanted };
        let unfinished = filter.unfinished();
        let is_unsuccessful = UNSUCCESSFUL.into_iter().any(asks);
        // 1. Find the lower bound of the ids: above it, each table has at most a window of rows.
        let mut bound = 0;
        for (is_read, bound_of) in
            [(!unfinished.is_empty(), &UNFINISHED_BOUND), (is_unsuccessful, &UNSUCCESSFUL_BOUND)]
        {
            if is_read {
                let rows = read(reader, bound_of, [before.into(), count(window)]).await?;
                let of_this: Option<Id> =
                    rows.first().map(|row| row.try_get("", "bound")).transpose()?;
                bound = bound.max(of_this.unwrap_or_default());
            }
        }
        // 2. Find the jobs above it that match.
        let common = FilterParameters::of(filter, before, wanted)?;
        let mut found = Vec::new();
        if !unfinished.is_empty() {
            let states: Vec<&str> = unfinished.iter().map(|it| it.as_str()).collect();
            let more = [bound.into(), column("state", states)?];
            found.extend(ids(&common.read(reader, &LIST_UNFINISHED, more).await?)?);
        }
        if is_unsuccessful {
            let [failed, cancelled] = UNSUCCESSFUL.map(|status| i64::from(asks(status)).into());
            let more = [bound.into(), failed, cancelled];
            found.extend(ids(&common.read(reader, &LIST_UNSUCCESSFUL, more).await?)?);
        }
        Ok(Hits::of(found, wanted, bound))
    }
}

fn ids(rows: &[QueryResult]) -> Result<Vec<Id>, StoreError> {
    Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
}

/// The parameters that the lists with filters have.
struct FilterParameters([sea_orm::Value; 6]);

impl FilterParameters {
    fn of(filter: &JobFilter, before: Id, limit: usize) -> Result<Self, StoreError> {
        #[derive(Serialize)]
        struct KindRow<'a> {
            kind: &'a str,
        }
        #[derive(Serialize)]
        struct ClientRow<'a> {
            client_id: &'a str,
        }
        let kinds: Vec<KindRow<'_>> = filter.kind.iter().map(|kind| KindRow { kind }).collect();
        let clients: Vec<ClientRow<'_>> =
            filter.client.iter().map(|client_id| ClientRow { client_id }).collect();
        Ok(Self([
            before.into(),
            count(kinds.len()),
            group(&kinds)?,
            count(clients.len()),
            group(&clients)?,
            count(limit),
        ]))
    }

    /// Runs one of the lists, with its further parameters.
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

/// A number as the parameter of a statement.
pub(in crate::store) fn count(n: usize) -> sea_orm::Value {
    i64::try_from(n).unwrap_or(i64::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_on_behind_its_last_job_or_at_its_bound() {
        let hits = |ids: &[Id], bound| {
            let hits = Hits::of(ids.to_vec(), 3, bound);
            (hits.ids, hits.next)
        };
        assert_eq!(hits(&[4, 9, 7, 9], 0), (vec![9, 7, 4], Some(4)));
        assert_eq!(hits(&[4, 9, 7, 5], 2), (vec![9, 7, 5], Some(5)));
        assert_eq!(hits(&[9, 7], 0), (vec![9, 7], None));
        assert_eq!(hits(&[9, 7], 2), (vec![9, 7], Some(3)));
        assert_eq!(hits(&[], 2), (vec![], Some(3)));
    }

    #[test]
    fn a_filter_is_narrowed_to_what_can_be_acted_upon() {
        let all = JobFilter::default();
        assert_eq!(all.among(&UNFINISHED).unwrap().status, UNFINISHED);
        let failed = JobFilter { status: vec![JobStatus::Failed], ..JobFilter::default() };
        assert_eq!(failed.clone().among(&UNFINISHED), None);
        assert_eq!(failed.among(&UNSUCCESSFUL).unwrap().status, [JobStatus::Failed]);
    }
}
