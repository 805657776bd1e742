//! Jobs that have ended and are opened again: by a person, or because the text of their message was
//! edited. The caller has locked the leads of their lines.

use super::lines::{Counts, Entering, Place};
use crate::domain::{Id, job::NewJob};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, group},
};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

sql! {
    /// Reopens jobs: clears `ended` on their last run. Returns the jobs that it reopened; those
    /// that were reopened meanwhile are missing. By primary key.
    pub(in crate::store) static REOPEN_ATTEMPTS =
        "update job_attempts set ended = false from @rows($1, job bigint, last_run integer) g \
         where job_attempts.job_id = g.job and job_attempts.run = g.last_run and job_attempts.ended \
         returning job_id";

    /// Jobs by their keys, with the run that ended each and how; both are null if it has not ended.
    /// By the unique key of jobs, and the primary key of attempts.
    static READ_ENDS =
        "select j.id, j.subject_id, a.run, a.outcome from @rows($1, subject_id bigint, kind text) g \
         join jobs j on j.subject_id = g.subject_id and j.kind = g.kind \
         left join job_attempts a on a.job_id = j.id and a.ended";
}

/// What became of jobs that are to run again.
#[derive(Debug, Default)]
pub(in crate::store) struct OpenedAgain {
    /// Those that had ended, on their way into their lines, with all of their attempts.
    pub(in crate::store) entering: Vec<Entering>,
    /// Those that are not there any more.
    pub(in crate::store) missing: Vec<NewJob>,
}

/// Opens those of these jobs again that have ended. One that has not ended is left as it is.
///
/// # Errors
/// A conflict if another transaction has opened one of them meanwhile.
pub(in crate::store) async fn reopen(
    tx: &Tx,
    jobs: impl Iterator<Item = &NewJob>,
    counts: &mut Counts,
) -> Result<OpenedAgain, StoreError> {
    #[derive(Serialize)]
    struct KeyOfJob<'a> {
        subject_id: Id,
        kind: &'a str,
    }
    #[derive(Serialize)]
    struct EndingRun {
        job: Id,
        last_run: i64,
    }
    // 1. Read how they ended.
    let jobs: HashMap<Id, &NewJob> = jobs.map(|job| (job.subject_id, job)).collect();
    let mut reopened = OpenedAgain::default();
    if jobs.is_empty() {
        return Ok(reopened);
    }
    let keys: Vec<KeyOfJob<'_>> = jobs
        .values()
        .map(|job| KeyOfJob { subject_id: job.subject_id, kind: job.kind.0 })
        .collect();
    let mut found: HashSet<Id> = HashSet::new();
    let mut last_runs: Vec<EndingRun> = Vec::new();
    for row in tx.all(&READ_ENDS, [group(&keys)?]).await? {
        let (job_id, subject_id) = (row.try_get("", "id")?, row.try_get("", "subject_id")?);
        found.insert(subject_id);
        let run: Option<i32> = row.try_get("", "run")?;
        let (Some(run), Some(job)) = (run, jobs.get(&subject_id)) else { continue };
        let outcome: String = row.try_get("", "outcome")?;
        let run = i64::from(run);
        last_runs.push(EndingRun { job: job_id, last_run: run });
        counts.add(job.kind.0, ended_as(&outcome), -1);
        let place = Place {
            line: job.lead_id.filter(|_| job.in_lead_line).unwrap_or(-job_id),
            job_id,
            kind: job.kind.0.to_owned(),
            client_id: job.client_id.clone(),
            run,
            spared: run,
        };
        reopened.entering.push(Entering { place, delay_ms: 0, is_by_hand: false });
    }
    reopened.entering.sort_by_key(|entering| entering.place.job_id);
    let missing = jobs.into_iter().filter(|(subject_id, _)| !found.contains(subject_id));
    reopened.missing = missing.map(|(_, job)| job.clone()).collect();
    // 2. Open them.
    if !last_runs.is_empty() {
        let opened = tx.all(&REOPEN_ATTEMPTS, [group(&last_runs)?]).await?;
        if opened.len() != last_runs.len() {
            return Err(StoreError::Conflict("a job was opened meanwhile".to_owned()));
        }
    }
    Ok(reopened)
}

/// The state in which a job is counted that ended with this outcome.
fn ended_as(outcome: &str) -> &'static str {
    match outcome {
        "succeeded" => "succeeded",
        "cancelled" => "cancelled",
        _ => "failed",
    }
}
