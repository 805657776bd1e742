//! The calls of models for the admin API, newest first.

use super::{
    Page,
    found_by::{NewestBy, given, newest_by},
};
use crate::domain::{Id, Timestamp};
use crate::store::engine::{StoreError, sessions::Sessions, sql::sql};

pub use entity::model_calls::Model as ModelCallRow;

/// The columns of a [`ModelCallRow`] `r`.
macro_rules! call_columns {
    () => {
        "r.id, r.kind, r.feature, r.prompt, r.model, r.status, r.error, r.tokens_in, r.tokens_out, r.latency_ms, r.retry, \
         r.client_id, r.lead_id, r.job_id, r.node, r.created_at"
    };
}

sql! {
    /// Rows, newest first. By primary key.
    static LIST_MODEL_CALLS = newest_by!(call_columns, "model_calls");

    /// The same of one of these jobs. By `model_calls_by_job`.
    static LIST_MODEL_CALLS_BY_JOB = newest_by!(call_columns, "model_calls", "job_id", "bigint");

    /// The same of one of these leads. By `model_calls_by_lead`.
    static LIST_MODEL_CALLS_BY_LEAD = newest_by!(call_columns, "model_calls", "lead_id", "bigint");

    /// The same of one of these clients. By `model_calls_by_client`.
    static LIST_MODEL_CALLS_BY_CLIENT = newest_by!(call_columns, "model_calls", "client_id", "text");

    /// The same with one of these statuses. By `model_calls_by_status`.
    static LIST_MODEL_CALLS_BY_STATUS = newest_by!(call_columns, "model_calls", "status", "text");

    /// The same of one of these features. By `model_calls_by_feature`.
    static LIST_MODEL_CALLS_BY_FEATURE = newest_by!(call_columns, "model_calls", "feature", "text");
}

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
    // First the field whose values usually have the fewest rows.
    let by = [
        given(&LIST_MODEL_CALLS_BY_JOB, &filter.job)?,
        given(&LIST_MODEL_CALLS_BY_LEAD, &filter.lead)?,
        given(&LIST_MODEL_CALLS_BY_CLIENT, &filter.client)?,
        given(&LIST_MODEL_CALLS_BY_STATUS, &filter.status)?,
        given(&LIST_MODEL_CALLS_BY_FEATURE, &filter.feature)?,
    ];
    let search = NewestBy {
        all: &LIST_MODEL_CALLS,
        is_sought: by.iter().flatten().count() > 1 || !filter.kind.is_empty(),
        by: by.into_iter().flatten().next(),
        since: filter.since,
        until: filter.until,
        id_of: |row: &ModelCallRow| row.id,
    };
    search.page(reader, limit, cursor, |row| filter.matches(row)).await
}
