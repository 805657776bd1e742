//! The table of operations.

use super::{action::OperationAction, progress::OperationProgress};
use crate::domain::Id;
use crate::store::{
    desk::{Page, jobs::count},
    engine::{
        Database, StoreError,
        sessions::Sessions,
        sql::sql,
        tx::{Tx, flag, group, read, write_alone},
    },
};
use entity::operations;
use sea_orm::{EntityTrait, FromQueryResult};
use std::collections::BTreeMap;

pub use entity::operations::Model as OperationRow;

sql! {
    /// Adds an operation that runs.
    static PUT_OPERATION =
        "insert into operations (id, action, filter, status, total, done, skipped, is_stopping, changed_by, node, created_at, updated_at) \
         values ($1, $2, $3, 'running', $4, 0, 0, false, $5, $6, @now, @now)";

    /// Writes the counts of an operation of node `$2` that runs, and returns whether it is to stop.
    /// Returns no row if somebody has declared the node dead. By primary key.
    static WRITE_PROGRESS =
        "update operations set total = $3, done = $4, skipped = $5, reasons = $6, updated_at = @now \
         where id = $1 and node = $2 and status = 'running' returning case when is_stopping then 1 else 0 end as is_stopping";

    /// Ends an operation of node `$2` that runs. By primary key.
    static END_OPERATION =
        "update operations set status = $3, error = $4, updated_at = @now, finished_at = @now \
         where id = $1 and node = $2 and status = 'running'";

    /// Asks an operation that runs to stop. By primary key.
    static STOP_OPERATION =
        "update operations set is_stopping = true where id = $1 and status = 'running' returning id";

    /// Ends the operations of these nodes, and of nodes without a row. By `operations_running`.
    static FAIL_OPERATIONS =
        "update operations set status = 'failed', error = $2, updated_at = @now, finished_at = @now \
         where status = 'running' and (node @ids($1) or not exists (select 1 from nodes n where n.id = operations.node)) \
         returning id";

    /// Operations, newest first. By primary key.
    static LIST_OPERATIONS =
        "select o.id, o.action, o.filter, o.status, o.total, o.done, o.skipped, o.reasons, o.error, o.is_stopping, o.changed_by, \
           o.node, o.created_at, o.updated_at, o.finished_at from operations o where o.id < $1 order by o.id desc limit $2";
}

/// How many operations one read returns if only some of them are asked for.
const READ_MAX: usize = 500;
/// The most reads for one page. After that, a page that is not full has a cursor to continue from.
const READS_MAX: usize = 20;
/// What an operator reads about an operation whose node is gone.
const NODE_WENT_DOWN: &str = "the node went down: start it again";

/// Selects operations. The values of a field are alternatives; both fields must match; an empty
/// field matches all operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// `running`, `done`, `stopped` or `failed`.
    pub status: Vec<String>,
    /// `retry`, `cancel`, `replay` or `discard`.
    pub action: Vec<String>,
}

/// Adds the row of an operation.
pub(super) async fn put(
    db: &Database,
    id: Id,
    action: OperationAction,
    filter: &str,
    total: u64,
    by: &str,
) -> Result<(), StoreError> {
    let total = number(total);
    let values = [
        id.into(),
        action.as_str().into(),
        filter.into(),
        total.into(),
        by.into(),
        db.node().into(),
    ];
    write_alone(&db.connections().writer, &PUT_OPERATION, values).await?;
    Ok(())
}

/// Writes the counts. Returns whether somebody asks for a stop; `None` if the row is not that of a
/// running operation of this node any more.
pub(super) async fn write_progress(
    tx: &Tx,
    node: Id,
    id: Id,
    progress: &OperationProgress,
) -> Result<Option<bool>, StoreError> {
    let reasons = serde_json::to_string(&progress.reasons).unwrap_or_default();
    let values = [
        id.into(),
        node.into(),
        number(progress.total).into(),
        number(progress.done).into(),
        number(progress.skipped()).into(),
        reasons.into(),
    ];
    let rows = tx.all(&WRITE_PROGRESS, values).await?;
    rows.first().map(|row| flag(row, "is_stopping")).transpose()
}

/// Ends an operation of this node.
pub(super) async fn end(
    db: &Database,
    id: Id,
    status: &str,
    error: Option<&str>,
) -> Result<(), StoreError> {
    let values = [id.into(), db.node().into(), status.into(), error.into()];
    write_alone(&db.connections().writer, &END_OPERATION, values).await?;
    Ok(())
}

/// Asks an operation to stop. False if it does not run.
pub(super) async fn ask_to_stop(db: &Database, id: Id) -> Result<bool, StoreError> {
    let rows = write_alone(&db.connections().writer, &STOP_OPERATION, [id.into()]).await?;
    Ok(!rows.is_empty())
}

/// Ends the operations of these nodes and of nodes without a row, which cannot go on. Returns their
/// ids.
pub(in crate::store) async fn fail_abandoned(
    db: &Database,
    dead: &[Id],
) -> Result<Vec<Id>, StoreError> {
    let values = [group(dead)?, NODE_WENT_DOWN.into()];
    let rows = write_alone(&db.connections().writer, &FAIL_OPERATIONS, values).await?;
    Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
}

/// One operation.
pub(super) async fn one(reader: &Sessions, id: Id) -> Result<Option<OperationRow>, StoreError> {
    Ok(operations::Entity::find_by_id(id).one(reader).await?)
}

/// The counts of an operation, as stored.
pub(super) fn progress_of(row: &OperationRow) -> OperationProgress {
    let reasons: BTreeMap<String, u64> =
        row.reasons.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    OperationProgress { total: row.total.unsigned_abs(), done: row.done.unsigned_abs(), reasons }
}

impl OperationFilter {
    fn takes(&self, operation: &OperationRow) -> bool {
        let is_any = |words: &[String], word: &String| words.is_empty() || words.contains(word);
        is_any(&self.status, &operation.status) && is_any(&self.action, &operation.action)
    }
}

/// A page of operations. If those that match are rare, a page may have fewer than `limit` and yet a
/// next page.
pub(super) async fn list(
    reader: &Sessions,
    filter: OperationFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<OperationRow>, StoreError> {
    let step = if filter == OperationFilter::default() { limit + 1 } else { READ_MAX };
    let (mut items, mut before) = (Vec::new(), cursor.unwrap_or(Id::MAX));
    for _ in 0..READS_MAX {
        let rows = read(reader, &LIST_OPERATIONS, [before.into(), count(step)]).await?;
        for row in &rows {
            let operation = OperationRow::from_query_result(row, "")?;
            before = operation.id;
            if filter.takes(&operation) {
                items.push(operation);
            }
        }
        if items.len() > limit || rows.len() < step {
            return Ok(Page::cut(items, limit, |it| it.id));
        }
    }
    Ok(Page { items, next: Some(before) })
}

/// A count as it is stored.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
