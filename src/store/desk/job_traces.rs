//! The spans that jobs were made in.

use super::Desk;
use crate::domain::{Id, trace::JobTrace};
use crate::store::engine::{StoreError, sql::sql, tx::read};

sql! {
    /// The spans in which the few jobs of a message were made. By the unique key.
    static READ_TRACES = "select j.id, j.trace from jobs j where j.subject_id = $1";
}

impl Desk {
    /// The span that took a message in; `None` if it is not recorded.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn trace_of_message(&self, id: Id) -> Result<Option<JobTrace>, StoreError> {
        let rows =
            self.db.call(move |db| async move { read(db.api(), &READ_TRACES, [id.into()]).await });
        // Its first job was made by what took it in, and the others by that job.
        let mut first: Option<(Id, String)> = None;
        for row in rows.await? {
            let (id, trace): (Id, Option<String>) =
                (row.try_get("", "id")?, row.try_get("", "trace")?);
            if let Some(trace) = trace
                && first.as_ref().is_none_or(|(before, _)| id < *before)
            {
                first = Some((id, trace));
            }
        }
        Ok(first.and_then(|(_, trace)| JobTrace::parse(&trace)))
    }
}
