//! The spans in which jobs were made.

use super::Desk;
use crate::domain::{Id, trace::JobTrace};
use crate::store::engine::{StoreError, sql::sql, tx::read};

sql! {
    /// The span in which the jobs of a message were made. By the unique key.
    static READ_TRACE = "select max(j.trace) as trace from jobs j where j.subject_id = $1";
}

impl Desk {
    /// The span in which the jobs of a message were made; `None` if it is not recorded.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn trace_of_message(&self, id: Id) -> Result<Option<JobTrace>, StoreError> {
        let rows =
            self.db.call(move |db| async move { read(db.api(), &READ_TRACE, [id.into()]).await });
        let Some(row) = rows.await?.pop() else { return Ok(None) };
        let trace: Option<String> = row.try_get("", "trace")?;
        Ok(trace.as_deref().and_then(JobTrace::parse))
    }
}
