//! Heads of lines: the rows of `job_ready`. Every transaction that ends or moves a job locks them
//! here.

use super::{
    caps::Admission,
    lines::{self, Place},
};
use crate::domain::Id;
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, column, group},
};
use std::collections::{BTreeSet, HashMap, HashSet};

sql! {
    /// The heads of these lines, locked in the order of lines. If the statement waits for a claim,
    /// it returns the rows as they are after the claim. By primary key.
    pub(in crate::store) static LOCK_HEADS =
        "select line, job_id, run, node, case when turn is not null then 'admitted' when held is not null then 'held' \
           else 'waiting' end as admission from job_ready where line @ids($1) order by line @for_update";
}

/// A head that is locked.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Head {
    pub(in crate::store) line: Id,
    pub(in crate::store) job_id: Id,
    pub(in crate::store) run: i64,
    /// The node that has claimed it; `None` if it is not claimed.
    pub(in crate::store) node: Option<Id>,
    pub(in crate::store) admission: Admission,
}

impl Head {
    /// Reads the columns of [`LOCK_HEADS`].
    pub(in crate::store) fn from_row(row: &sea_orm::QueryResult) -> Result<Self, StoreError> {
        let admission: String = row.try_get("", "admission")?;
        Ok(Self {
            line: row.try_get("", "line")?,
            job_id: row.try_get("", "job_id")?,
            run: i64::from(row.try_get::<i32>("", "run")?),
            node: row.try_get("", "node")?,
            admission: match admission.as_str() {
                "admitted" => Admission::Admitted,
                "held" => Admission::Held,
                _ => Admission::Waiting,
            },
        })
    }
}

sql! {
    /// The first job behind each head. By primary key. `materialized` on PostgreSQL, because
    /// otherwise the plan scans the whole line (50–300 ms for lines of 10,000–100,000 jobs).
    static READ_FOLLOWERS =
        "with x as @materialized (select g.line, (select min(b.pos) from job_blocked b where b.line = g.line) as pos \
           from @rows($1, line bigint) g) \
         select b.line, b.job_id, b.kind, b.client_id, b.run, b.spared \
         from x join job_blocked b on b.line = x.line and b.pos = x.pos";

    /// Deletes heads, which are locked and checked.
    pub(in crate::store) static DELETE_HEADS = "delete from job_ready where line @ids($1)";

    /// Deletes followers from behind their head. By the unique key of jobs.
    pub(in crate::store) static DELETE_FOLLOWERS = "delete from job_blocked where job_id @ids($1)";
}

/// By line: the first job behind the head.
pub(in crate::store) async fn read_first_blocked(
    tx: &Tx,
    lines: &BTreeSet<Id>,
) -> Result<HashMap<Id, Place>, StoreError> {
    let mut followers = HashMap::new();
    if lines.is_empty() {
        return Ok(followers);
    }
    for row in tx.all(&READ_FOLLOWERS, [column("line", lines)?]).await? {
        let place = Place::from_row(&row)?;
        followers.insert(place.line, place);
    }
    Ok(followers)
}

/// Promotes the first follower of those of `lines` that still have no head. The caller has locked
/// their leads. Returns how many there were.
pub(in crate::store) async fn promote_headless(
    tx: &Tx,
    lines: &BTreeSet<Id>,
) -> Result<usize, StoreError> {
    // 1. Find the first followers of lines that have no head under their leads' locks.
    let mut followers = read_first_blocked(tx, lines).await?;
    let with_head: HashSet<Id> = lines::read_lines(tx, lines).await?;
    followers.retain(|line, _| !with_head.contains(line));
    let ready: Vec<Place> = followers.into_values().collect();
    let moved: Vec<Id> = ready.iter().map(|it| it.job_id).collect();
    // 2. Promote them, in the order of locks.
    if !moved.is_empty() {
        let placed = lines::Placed::heads(tx, ready).await?;
        let (mut caps, turns) = lines::take_for(tx, &placed, std::iter::empty()).await?;
        tx.run(&DELETE_FOLLOWERS, [group(&moved)?]).await?;
        lines::write(tx, placed, turns, &mut caps).await?;
        caps.admit_and_write(tx).await?;
    }
    Ok(moved.len())
}
