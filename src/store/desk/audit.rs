//! The audit log for the admin API: who changed what, newest first.

use super::{Page, jobs::count};
use crate::domain::{Id, Timestamp};
use crate::store::engine::{
    Sql, StoreError,
    ids::first_at,
    sessions::Sessions,
    sql::sql,
    tx::{column, read},
};
use entity::audit;
use sea_orm::FromQueryResult as _;

pub use entity::audit::Model as AuditRow;

/// The columns of an [`AuditRow`] `a`.
macro_rules! audit_rows {
    ($rest:literal) => {
        concat!(
            "select a.id, a.happened_at, a.actor, a.via, a.action, a.target, a.old_value, a.new_value, a.note, a.node, \
             a.request_id from ",
            $rest
        )
    };
}

sql! {
    /// Rows, newest first. By primary key.
    static LIST_AUDIT = audit_rows!(
        "audit a where a.id >= $1 and a.id < $2 order by a.id desc limit $3"
    );

    /// The same with one of these targets. By `audit_by_target`: written as pairs, because the
    /// planner of PostgreSQL would walk the primary key for a value that it takes to be common.
    static LIST_AUDIT_BY_TARGET = audit_rows!(
        "@rows($4, value text) g join audit a on a.id @each( \
           select x.id from audit x where (x.target, x.id) >= (g.value, $1) and (x.target, x.id) < (g.value, $2) \
             order by x.target desc, x.id desc limit $3) \
         order by a.id desc limit $3"
    );

    /// The same by one of these actors. By `audit_by_actor`.
    static LIST_AUDIT_BY_ACTOR = audit_rows!(
        "@rows($4, value text) g join audit a on a.id @each( \
           select x.id from audit x where (x.actor, x.id) >= (g.value, $1) and (x.actor, x.id) < (g.value, $2) \
             order by x.actor desc, x.id desc limit $3) \
         order by a.id desc limit $3"
    );

    /// The same with one of these actions. By `audit_by_action`.
    static LIST_AUDIT_BY_ACTION = audit_rows!(
        "@rows($4, value text) g join audit a on a.id @each( \
           select x.id from audit x where (x.action, x.id) >= (g.value, $1) and (x.action, x.id) < (g.value, $2) \
             order by x.action desc, x.id desc limit $3) \
         order by a.id desc limit $3"
    );
}

/// How many rows one statement reads while other filters select among them.
const SOUGHT: usize = 1_000;
/// The most statements of one page.
const SEARCHES_MAX: usize = 10;

/// Selects rows of the audit log. The values of a field are alternatives; all fields must match; an
/// empty field matches all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What was done.
    pub action: Vec<String>,
    /// Who did it.
    pub actor: Vec<String>,
    /// What it was done to.
    pub target: Vec<String>,
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    /// How many of action, actor and target are given.
    fn given(&self) -> usize {
        [&self.action, &self.actor, &self.target].iter().filter(|it| !it.is_empty()).count()
    }

    fn matches(&self, row: &AuditRow) -> bool {
        let has = |values: &[String], value: Option<&str>| {
            values.is_empty() || values.iter().any(|it| Some(it.as_str()) == value)
        };
        has(&self.action, Some(&row.action))
            && has(&self.actor, Some(&row.actor))
            && has(&self.target, row.target.as_deref())
    }
}

/// A page of the audit log. If several fields of the filter are given, it may have fewer than
/// `limit` rows and yet a next page: rows are found by one field, and only so many are read.
pub(super) async fn page(
    reader: &Sessions,
    filter: &AuditFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<AuditRow>, StoreError> {
    let first = filter.since.map_or(0, first_at);
    let until = filter.until.map_or(Id::MAX, first_at);
    let mut before = cursor.unwrap_or(Id::MAX).min(until);
    let step = if filter.given() > 1 { SOUGHT.max(limit + 1) } else { limit + 1 };
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

/// The next `most` rows in a range of ids, found by the field whose values usually have the fewest.
async fn listed(
    reader: &Sessions,
    filter: &AuditFilter,
    (first, before): (Id, Id),
    most: usize,
) -> Result<Vec<AuditRow>, StoreError> {
    let by: [(&Sql, &[String]); 3] = [
        (&LIST_AUDIT_BY_TARGET, &filter.target),
        (&LIST_AUDIT_BY_ACTOR, &filter.actor),
        (&LIST_AUDIT_BY_ACTION, &filter.action),
    ];
    let [first, before, most] = [first.into(), before.into(), count(most)];
    let rows = match by.into_iter().find(|(_, values)| !values.is_empty()) {
        Some((sql, values)) => {
            let mut values = values.to_vec();
            values.sort();
            values.dedup();
            read(reader, sql, [first, before, most, column("value", values)?]).await?
        }
        None => read(reader, &LIST_AUDIT, [first, before, most]).await?,
    };
    Ok(rows.iter().map(|row| audit::Model::from_query_result(row, "")).collect::<Result<_, _>>()?)
}
