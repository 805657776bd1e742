//! The spans that jobs were made in, and those in which a person had them run again.

use super::Desk;
use crate::domain::{Id, trace::JobTrace};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, read},
};

sql! {
    /// The spans in which the few jobs of a message were made. By the unique key.
    static READ_TRACES = "select j.id, j.trace from jobs j where j.subject_id = $1";

    /// Sets the span of a job that has none: a person has it run again. By primary key.
    static ADD_TRACE = "update jobs set trace = $2 where id = $1 and trace is null";

    /// Sets the span of a job that starts afresh. By primary key.
    static REPLACE_TRACE = "update jobs set trace = $2 where id = $1";
}

/// A person has a job run once more, in this span. A job that was made in another one keeps that:
/// by it the webhook of a message is found.
pub(super) async fn add(tx: &Tx, job_id: Id, trace: JobTrace) -> Result<(), StoreError> {
    tx.run(&ADD_TRACE, [job_id.into(), trace.to_string().into()]).await?;
    Ok(())
}

/// A job starts afresh, and this is the span that has it do so.
pub(super) async fn replace(tx: &Tx, job_id: Id, trace: JobTrace) -> Result<(), StoreError> {
    tx.run(&REPLACE_TRACE, [job_id.into(), trace.to_string().into()]).await?;
    Ok(())
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
