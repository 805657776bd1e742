//! The calls of models for the admin API, newest first.

use super::{Page, jobs::count};
use crate::domain::{Id, Timestamp};
use crate::store::engine::{
    Sql, StoreError,
    ids::first_at,
    sessions::Sessions,
    sql::sql,
    tx::{column, read},
};
use entity::model_calls;
use sea_orm::{FromQueryResult as _, Value};

pub use entity::model_calls::Model as ModelCallRow;

/// The columns of a [`ModelCallRow`] `c`.
macro_rules! call_rows {
    ($rest:literal) => {
        concat!(
            "select c.id, c.kind, c.feature, c.prompt, c.model, c.status, c.error, c.tokens_in, c.tokens_out, \
             c.latency_ms, c.retry, c.client_id, c.lead_id, c.job_id, c.node, c.created_at from ",
            $rest
        )
    };
}

sql! {
    /// Rows, newest first. By primary key.
    static LIST_MODEL_CALLS = call_rows!(
        "model_calls c where c.id >= $1 and c.id < $2 order by c.id desc limit $3"
    );

    /// The same of one of these jobs. By `model_calls_by_job`: written as pairs, because the
    /// planner of PostgreSQL would walk the primary key for a value that it takes to be common.
    static LIST_MODEL_CALLS_BY_JOB = call_rows!(
        "@rows($4, value bigint) g join model_calls c on c.id @each( \
           select x.id from model_calls x where (x.job_id, x.id) >= (g.value, $1) and (x.job_id, x.id) < (g.value, $2) \
             order by x.job_id desc, x.id desc limit $3) \
         order by c.id desc limit $3"
    );

    /// The same of one of these leads. By `model_calls_by_lead`.
    static LIST_MODEL_CALLS_BY_LEAD = call_rows!(
        "@rows($4, value bigint) g join model_calls c on c.id @each( \
           select x.id from model_calls x where (x.lead_id, x.id) >= (g.value, $1) and (x.lead_id, x.id) < (g.value, $2) \
             order by x.lead_id desc, x.id desc limit $3) \
         order by c.id desc limit $3"
    );

    /// The same of one of these clients. By `model_calls_by_client`.
    static LIST_MODEL_CALLS_BY_CLIENT = call_rows!(
        "@rows($4, value text) g join model_calls c on c.id @each( \
           select x.id from model_calls x where (x.client_id, x.id) >= (g.value, $1) and (x.client_id, x.id) < (g.value, $2) \
             order by x.client_id desc, x.id desc limit $3) \
         order by c.id desc limit $3"
    );

    /// The same with one of these statuses. By `model_calls_by_status`.
    static LIST_MODEL_CALLS_BY_STATUS = call_rows!(
        "@rows($4, value text) g join model_calls c on c.id @each( \
           select x.id from model_calls x where (x.status, x.id) >= (g.value, $1) and (x.status, x.id) < (g.value, $2) \
             order by x.status desc, x.id desc limit $3) \
         order by c.id desc limit $3"
    );

    /// The same of one of these features. By `model_calls_by_feature`.
    static LIST_MODEL_CALLS_BY_FEATURE = call_rows!(
        "@rows($4, value text) g join model_calls c on c.id @each( \
           select x.id from model_calls x where (x.feature, x.id) >= (g.value, $1) and (x.feature, x.id) < (g.value, $2) \
             order by x.feature desc, x.id desc limit $3) \
         order by c.id desc limit $3"
    );
}

/// How many rows one statement reads while other filters select among them.
const SOUGHT: usize = 1_000;
/// The most statements of one page.
const SEARCHES_MAX: usize = 10;

/// Selects calls. The values of a field are alternatives; all fields must match; an empty field
/// matches all calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelCallFilter {
    /// The clients of the jobs that asked.
    pub client: Vec<String>,
    /// The leads of the jobs that asked.
    pub lead: Vec<Id>,
    /// The jobs that asked.
    pub job: Vec<Id>,
    /// The kinds of the jobs that asked.
    pub kind: Vec<String>,
    /// What was asked for.
    pub feature: Vec<String>,
    /// How they ended.
    pub status: Vec<String>,
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

impl ModelCallFilter {
    /// How many of the fields are given that are about more than time.
    fn given(&self) -> usize {
        let Self { client, lead, job, kind, feature, status, since: _, until: _ } = self;
        let words = [client, kind, feature, status].iter().filter(|it| !it.is_empty()).count();
        words + [lead, job].iter().filter(|it| !it.is_empty()).count()
    }

    /// True if no field has an index, and the primary key is walked.
    fn is_walked(&self) -> bool {
        !self.kind.is_empty() && self.given() == 1
    }

    fn matches(&self, row: &ModelCallRow) -> bool {
        let has = |values: &[String], value: &String| values.is_empty() || values.contains(value);
        has(&self.client, &row.client_id)
            && has(&self.kind, &row.kind)
            && has(&self.feature, &row.feature)
            && has(&self.status, &row.status)
            && (self.job.is_empty() || self.job.contains(&row.job_id))
            && (self.lead.is_empty() || row.lead_id.is_some_and(|lead| self.lead.contains(&lead)))
    }
}

/// A page of calls. If several fields of the filter are given, or the kind, it may have fewer than
/// `limit` rows and yet a next page: rows are found by one field, and only so many are read.
pub(super) async fn page(
    reader: &Sessions,
    filter: &ModelCallFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<ModelCallRow>, StoreError> {
    let first = filter.since.map_or(0, first_at);
    let until = filter.until.map_or(Id::MAX, first_at);
    let mut before = cursor.unwrap_or(Id::MAX).min(until);
    let is_sought = filter.given() > 1 || filter.is_walked();
    let step = if is_sought { SOUGHT.max(limit + 1) } else { limit + 1 };
    let mut found = Vec::new();
    for _ in 0..SEARCHES_MAX {
        let listed = listed(reader, filter, (first, before), step).await?;
        let is_last = listed.len() < step;
        before = listed.last().map_or(before, |row| row.id);
        found.extend(listed.into_iter().filter(|row| filter.matches(row)));
        if found.len() > limit || is_last {
            return Ok(Page::cut(found, limit, |row| row.id));
        }
    }
    Ok(Page { items: found, next: Some(before) })
}

/// The statement for the field whose values usually have the fewest rows, with those values.
fn found_by(filter: &ModelCallFilter) -> Result<Option<(&'static Sql, Value)>, StoreError> {
    for (sql, ids) in
        [(&LIST_MODEL_CALLS_BY_JOB, &filter.job), (&LIST_MODEL_CALLS_BY_LEAD, &filter.lead)]
    {
        if !ids.is_empty() {
            return Ok(Some((sql, column("value", distinct(ids))?)));
        }
    }
    for (sql, words) in [
        (&LIST_MODEL_CALLS_BY_CLIENT, &filter.client),
        (&LIST_MODEL_CALLS_BY_STATUS, &filter.status),
        (&LIST_MODEL_CALLS_BY_FEATURE, &filter.feature),
    ] {
        if !words.is_empty() {
            return Ok(Some((sql, column("value", distinct(words))?)));
        }
    }
    Ok(None)
}

fn distinct<T: Ord + Clone>(values: &[T]) -> Vec<T> {
    let mut values = values.to_vec();
    values.sort();
    values.dedup();
    values
}

/// The next `most` rows in a range of ids.
async fn listed(
    reader: &Sessions,
    filter: &ModelCallFilter,
    (first, before): (Id, Id),
    most: usize,
) -> Result<Vec<ModelCallRow>, StoreError> {
    let [first, before, most] = [first.into(), before.into(), count(most)];
    let rows = match found_by(filter)? {
        Some((sql, values)) => read(reader, sql, [first, before, most, values]).await?,
        None => read(reader, &LIST_MODEL_CALLS, [first, before, most]).await?,
    };
    let row = |row| model_calls::Model::from_query_result(row, "");
    Ok(rows.iter().map(row).collect::<Result<_, _>>()?)
}
