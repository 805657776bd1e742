//! Suspects: jobs whose last attempt was `rescued`. Each may be a poison job, which kills its node.
//! A node runs one suspect at a time, so that a poison job kills no other suspect's run with it.
//!
//! A suspect gets no turn before it is claimed: it waits like a head that waits for its retry, and
//! is claimed from there, alone. So the usual claim reads no history. If there are no suspects, one
//! index lookup finds that out.

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
    /// Those of these jobs that are suspects, by their last rows of history. By primary key.
    static READ_ARE_SUSPECTS =
        concat!("select r.job_id from @rows($1, job_id bigint) r where ", is_suspect!());
}

/// Those of these jobs that are suspects.
pub(in crate::store) async fn among(tx: &Tx, job_ids: &[Id]) -> Result<HashSet<Id>, StoreError> {
    let mut suspects = HashSet::new();
    if !job_ids.is_empty() {
        for row in tx.all(&READ_ARE_SUSPECTS, [column("job_id", job_ids)?]).await? {
            suspects.insert(row.try_get("", "job_id")?);
        }
    }
    Ok(suspects)
}
