//! The hand-off: what the part that stores jobs and the part that runs them agree on, so that a job
//! can be born running (docs/decisions/0044).
//!
//! Who stores a group borrows places for its jobs first ([`SlotLender`]). The transaction chooses
//! the jobs that get one (`tables/born.rs`), and notes them before its commit. After the commit it
//! starts them, in the same call on the store's runtime: an actor that dies meanwhile loses none.

use super::{Claim, tables::born::Born};
use crate::domain::{
    Id, JobKind,
    job::{Job, NewJob},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

pub use super::tables::born::FreePlaces;

/// Lends places in this process to jobs that are about to be stored.
pub trait SlotLender: fmt::Debug + Send + Sync {
    /// Lends places for at most so many jobs of each kind. `None`: there is none. `point` is the
    /// fault point between the commit and the start.
    fn lend(
        &self,
        wanted: &BTreeMap<JobKind, usize>,
        point: &'static str,
    ) -> Option<Arc<dyn LentSlots>>;
}

/// Places that are lent for one group. Those that are left go back when this is dropped.
pub trait LentSlots: fmt::Debug + Send + Sync {
    /// The places that are left.
    fn places(&self) -> Vec<FreePlaces>;

    /// Notes jobs that are about to be committed as running jobs of this node.
    fn note(&self, job_ids: &[Id]);

    /// Starts jobs that were committed as running jobs of this node. Each takes a place.
    fn start(&self, claims: Vec<Claim>);

    /// How many jobs were started so far.
    fn started(&self) -> usize;
}

/// The places that are lent to a transaction, if any, from its begin until its jobs start.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandOff<'a>(pub(super) Option<&'a Arc<dyn LentSlots>>);

impl HandOff<'_> {
    /// The places that are left for this try of the transaction.
    pub(super) fn places(self) -> Vec<FreePlaces> {
        self.0.map(|lent| lent.places()).unwrap_or_default()
    }

    /// To be called right before the commit: notes its jobs that are born running.
    pub(super) fn note(self, claims: &[Claim]) {
        if let Some(lent) = self.0
            && !claims.is_empty()
        {
            let ids: Vec<Id> = claims.iter().map(|claim| claim.job.id).collect();
            lent.note(&ids);
        }
    }

    /// To be called right after the commit: starts them.
    pub(super) fn start(self, claims: Vec<Claim>) {
        if let Some(lent) = self.0
            && !claims.is_empty()
        {
            lent.start(claims);
        }
    }
}

/// The most runs that [`UnstartedRuns`] remembers. No place is lent beyond that.
const NOTED_MAX: usize = 10_000;
/// After this long a commit is either in the database or was rolled back, also if its connection
/// fell silent. Much longer than a transaction may take.
const NOTED_FOR: Duration = Duration::from_secs(60);

/// The first runs of jobs that this process has stored as its own, and that it has not started.
///
/// If one of them is in the database and its process does not know it, the answer of its commit was
/// lost: it never ran. A clone is the same list.
#[derive(Clone, Debug, Default)]
pub struct UnstartedRuns(Arc<Mutex<NotedJobs>>);

/// By job id: when it was noted, or last seen in the database.
type NotedJobs = HashMap<Id, Instant>;

impl UnstartedRuns {
    /// These jobs are about to be committed.
    pub fn note(&self, job_ids: &[Id]) {
        let now = Instant::now();
        self.list().extend(job_ids.iter().map(|id| (*id, now)));
    }

    /// This job starts.
    pub fn starts(&self, job_id: Id) {
        self.list().remove(&job_id);
    }

    /// True if no more may be noted.
    pub fn is_full(&self) -> bool {
        self.list().len() >= NOTED_MAX
    }

    /// True if this is the first run of a job that was never started here.
    pub fn has(&self, job_id: Id, run: i64) -> bool {
        run == FIRST_RUN && self.list().contains_key(&job_id)
    }

    /// A check has found these jobs in the database as running jobs of this node, and not in its
    /// memory. Forgets all others that were noted long ago: they were rolled back, or settled.
    pub fn checked(&self, missing: impl Iterator<Item = Id>) {
        self.checked_at(Instant::now(), missing);
    }

    fn checked_at(&self, now: Instant, missing: impl Iterator<Item = Id>) {
        let mut list = self.list();
        for id in missing {
            list.entry(id).and_modify(|at| *at = now);
        }
        list.retain(|_, at| now.saturating_duration_since(*at) < NOTED_FOR);
    }

    fn list(&self) -> MutexGuard<'_, NotedJobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the run that a job is born with.
const FIRST_RUN: i64 = 1;

impl Claim {
    /// The claim of a job that was born running. `request_id` is that of its message.
    pub(super) fn of_born(born: Born, job: &NewJob, request_id: Option<String>) -> Self {
        Self {
            job: Job {
                id: born.job_id,
                kind: job.kind,
                client_id: job.client_id.clone(),
                lead_id: job.lead_id,
                message_id: job.message_id,
                draft_id: job.draft_id,
                run: FIRST_RUN,
                attempt: 1,
                max_attempts: job.max_attempts,
                request_id,
                channel: job.channel.clone(),
                trace: job.trace.map(|trace| trace.after(job.delay_ms)),
            },
            line: born.line,
            turn: born.turn,
            run: FIRST_RUN,
            spared: 0,
            waited_ms: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rolled_back_is_forgotten_and_what_is_missing_is_remembered() {
        let unstarted = UnstartedRuns::default();
        unstarted.note(&[1, 2, 3]);
        unstarted.starts(1);
        assert!(!unstarted.has(1, 1), "it runs");
        assert!(unstarted.has(2, 1) && !unstarted.has(2, 2), "only the first run");
        // Job 2 is in the database, job 3 was rolled back.
        let mut now = Instant::now();
        unstarted.checked_at(now, [2].into_iter());
        assert!(unstarted.has(3, 1), "its commit may come late");
        for check in 0..5 {
            now += NOTED_FOR / 2;
            unstarted.checked_at(now, [2].into_iter());
            assert!(unstarted.has(2, 1), "check {check}");
        }
        assert!(!unstarted.has(3, 1));
        unstarted.checked_at(now + NOTED_FOR, std::iter::empty());
        assert!(!unstarted.has(2, 1), "it was settled");
    }

    #[test]
    fn there_is_a_bound() {
        let unstarted = UnstartedRuns::default();
        let ids: Vec<Id> = (0..i64::try_from(NOTED_MAX).unwrap()).collect();
        unstarted.note(ids.get(1..).unwrap());
        assert!(!unstarted.is_full());
        unstarted.note(&[0]);
        assert!(unstarted.is_full());
    }
}
