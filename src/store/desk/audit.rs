//! The audit log for the admin API: who changed what, newest first.

use super::{
    Page,
    found_by::{NewestBy, given, newest_by},
};
use crate::domain::{Id, Timestamp};
use crate::store::engine::{StoreError, sessions::Sessions, sql::sql};

pub use entity::audit::Model as AuditRow;

/// The columns of an [`AuditRow`] `r`.
macro_rules! audit_columns {
    () => {
        "r.id, r.happened_at, r.actor, r.role, r.via, r.action, r.target, r.old_value, r.new_value, r.note, r.node, r.request_id"
    };
}

sql! {
    /// Rows, newest first. By primary key.
    static LIST_AUDIT = newest_by!(audit_columns, "audit");

    /// The same with one of these targets. By `audit_by_target`.
    static LIST_AUDIT_BY_TARGET = newest_by!(audit_columns, "audit", "target", "text");

    /// The same by one of these actors. By `audit_by_actor`.
    static LIST_AUDIT_BY_ACTOR = newest_by!(audit_columns, "audit", "actor", "text");

    /// The same with one of these actions. By `audit_by_action`.
    static LIST_AUDIT_BY_ACTION = newest_by!(audit_columns, "audit", "action", "text");
}

/// Selects rows of the audit log. The values of a field are alternatives; all fields must match; an
/// empty field matches all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What was done.
    pub action: Vec<String>,
    /// Who did it.
    pub actor: Vec<String>,
    /// How it came.
    pub via: Vec<String>,
    /// What it was done to.
    pub target: Vec<String>,
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    fn matches(&self, row: &AuditRow) -> bool {
        let has = |values: &[String], value: Option<&str>| {
            values.is_empty() || values.iter().any(|it| Some(it.as_str()) == value)
        };
        has(&self.action, Some(&row.action))
            && has(&self.actor, Some(&row.actor))
            && has(&self.via, Some(&row.via))
            && has(&self.target, row.target.as_deref())
    }
}

/// A page of the audit log. If several fields of the filter are given, or `via`, it may have fewer
/// than `limit` rows and yet a next page: rows are found by one field, and only so many are read.
pub(super) async fn page(
    reader: &Sessions,
    filter: &AuditFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<AuditRow>, StoreError> {
    let by = [
        given(&LIST_AUDIT_BY_TARGET, &filter.target)?,
        given(&LIST_AUDIT_BY_ACTOR, &filter.actor)?,
        given(&LIST_AUDIT_BY_ACTION, &filter.action)?,
    ];
    let search = NewestBy {
        all: &LIST_AUDIT,
        is_sought: by.iter().flatten().count() > 1 || !filter.via.is_empty(),
        by: by.into_iter().flatten().next(),
        since: filter.since,
        until: filter.until,
        id_of: |row: &AuditRow| row.id,
    };
    search.page(reader, limit, cursor, |row| filter.matches(row)).await
}
