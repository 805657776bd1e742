//! Jobs whose last attempt was `rescued`: each may be the one that killed its node, so a node runs them one
//! at a time, and a poisonous job takes no other suspect along.
//!
//! A suspect never gets a turn: it stays where it waits for its retry, and is claimed from there, alone. So
//! claims of many need no look at history, and where there are no suspects, nothing is found by one index
//! lookup.

use crate::domain::Id;
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, column},
};
use std::collections::HashSet;

/// Whether the head `r` is a suspect, by its last row of history. By primary key.
macro_rules! is_suspect {
    () => {
        "coalesce((select a.outcome from job_attempts a where a.job_id = r.job_id order by a.run desc limit 1), '') = 'rescued'"
    };
}
pub(in crate::store) use is_suspect;

sql! {
    /// Which of these jobs are suspects, by their last rows of history. By primary key.
    static READ_ARE_SUSPECTS =
        concat!("select r.job_id from @rows($1, job_id bigint) r where ", is_suspect!());
}

/// Which of these jobs are suspects.
pub(in crate::store) async fn among(tx: &Tx, job_ids: &[Id]) -> Result<HashSet<Id>, StoreError> {
    let mut suspects = HashSet::new();
    if !job_ids.is_empty() {
        for row in tx.all(&READ_ARE_SUSPECTS, [column("job_id", job_ids)?]).await? {
            suspects.insert(row.try_get("", "job_id")?);
        }
    }
    Ok(suspects)
}
