//! Lists whose rows are found by the values of one column, newest first. The values of other
//! columns select among what is found.

use super::{Page, jobs::count};
use crate::domain::{Id, Timestamp};
use crate::store::engine::{
    Sql, StoreError,
    ids::first_at,
    sessions::Sessions,
    tx::{column, read},
};
use sea_orm::{FromQueryResult, Value};
use serde::Serialize;

/// The text of a statement that reads rows `r` of a table, newest first: those with ids from `$1`
/// on and before `$2`, at most `$3`. `columns` is a macro with the list of columns. By primary key.
///
/// With a column and its type, it reads those with one of the values `$4` in that column, by an
/// index of that column and the id. It compares pairs, because the planner of PostgreSQL would walk
/// the primary key for a value that it takes to be common.
macro_rules! newest_by {
    ($columns:ident, $table:literal) => {
        concat!(
            "select ",
            $columns!(),
            " from ",
            $table,
            " r where r.id >= $1 and r.id < $2 order by r.id desc limit $3"
        )
    };
    ($columns:ident, $table:literal, $column:literal, $type:literal) => {
        concat!(
            "select ",
            $columns!(),
            " from @rows($4, value ",
            $type,
            ") g join ",
            $table,
            " r on r.id @each(select x.id from ",
            $table,
            " x where (x.",
            $column,
            ", x.id) >= (g.value, $1) and (x.",
            $column,
            ", x.id) < (g.value, $2) order by x.",
            $column,
            " desc, x.id desc limit $3) order by r.id desc limit $3"
        )
    };
}
pub(super) use newest_by;

/// How many rows one statement reads while other filters select among them.
const SOUGHT: usize = 1_000;
/// The most statements of one page.
const SEARCHES_MAX: usize = 10;

/// A statement with the values by which it finds rows.
pub(super) type FoundBy = (&'static Sql, Value);

/// The statement with these values; `None` if there are none.
pub(super) fn given<T: Ord + Clone + Serialize>(
    sql: &'static Sql,
    values: &[T],
) -> Result<Option<FoundBy>, StoreError> {
    if values.is_empty() {
        return Ok(None);
    }
    let mut values = values.to_vec();
    values.sort();
    values.dedup();
    Ok(Some((sql, column("value", values)?)))
}

/// What a page is made of.
pub(super) struct NewestBy<Row> {
    /// The statement that reads all rows.
    pub(super) all: &'static Sql,
    /// The one that is used instead.
    pub(super) by: Option<FoundBy>,
    /// True if `matches` selects among what that statement finds.
    pub(super) is_sought: bool,
    /// From this instant on.
    pub(super) since: Option<Timestamp>,
    /// Before this instant.
    pub(super) until: Option<Timestamp>,
    /// The id of a row.
    pub(super) id_of: fn(&Row) -> Id,
}

impl<Row: FromQueryResult> NewestBy<Row> {
    /// A page of the rows that match. If `is_sought`, it may have fewer than `limit` rows and yet a
    /// next page: only so many rows are read for one page.
    pub(super) async fn page(
        self,
        reader: &Sessions,
        limit: usize,
        cursor: Option<Id>,
        matches: impl Fn(&Row) -> bool,
    ) -> Result<Page<Row>, StoreError> {
        let until = self.until.map_or(Id::MAX, first_at);
        let mut before = cursor.unwrap_or(Id::MAX).min(until);
        let step = if self.is_sought { SOUGHT.max(limit + 1) } else { limit + 1 };
        let mut found = Vec::new();
        for _ in 0..SEARCHES_MAX {
            let listed = self.listed(reader, before, step).await?;
            let is_last = listed.len() < step;
            before = listed.last().map_or(before, self.id_of);
            found.extend(listed.into_iter().filter(|row| matches(row)));
            if found.len() > limit || is_last {
                return Ok(Page::cut(found, limit, self.id_of));
            }
        }
        Ok(Page { items: found, next: Some(before) })
    }

    /// The next `most` rows before an id.
    async fn listed(
        &self,
        reader: &Sessions,
        before: Id,
        most: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let first = self.since.map_or(0, first_at);
        let [first, before, most] = [first.into(), before.into(), count(most)];
        let rows = match &self.by {
            Some((sql, values)) => read(reader, sql, [first, before, most, values.clone()]).await?,
            None => read(reader, self.all, [first, before, most]).await?,
        };
        Ok(rows.iter().map(|row| Row::from_query_result(row, "")).collect::<Result<_, _>>()?)
    }
}
