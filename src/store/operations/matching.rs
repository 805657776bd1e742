//! What an operation would change, counted before it begins.

use crate::domain::Id;
use crate::store::{
    desk::{
        JobFilter, JobView,
        by_hand::JobAction,
        jobs::{self, Hits, Search},
    },
    engine::{Database, StoreError},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The most ids that one read finds.
const FOUND_MAX: usize = 5_000;
/// The most jobs that are counted.
const COUNTED_MAX: u64 = 100_000;
/// How long counting may take. A read that has begun by then is read to its end.
const COUNTING_MAX: Duration = Duration::from_secs(3);
/// How many jobs are shown.
const EXAMPLES: usize = 3;

/// The jobs that an action would change.
#[derive(Clone, Debug)]
pub struct MatchingJobs {
    /// The action.
    pub action: JobAction,
    /// How many there are.
    pub count: u64,
    /// False if there may be more.
    pub is_exact: bool,
    /// The newest of them, at most three.
    pub examples: Vec<JobView>,
    /// The filter, narrowed to the statuses that the action changes; `None` if it excludes them.
    pub(super) filter: Option<JobFilter>,
    /// All their ids are below this one.
    pub(super) below: Id,
}

/// Counts the jobs with ids below `below` that `action` would change.
pub(super) async fn count(
    db: &Database,
    action: JobAction,
    filter: JobFilter,
    below: Id,
) -> Result<MatchingJobs, StoreError> {
    let filter = filter.among(&action.statuses());
    let mut matching =
        MatchingJobs { action, count: 0, is_exact: true, examples: Vec::new(), filter, below };
    let Some(filter) = matching.filter.clone() else { return Ok(matching) };
    // 1. Count, from the newest to the oldest.
    let until = Instant::now() + COUNTING_MAX;
    let search = db.call(|db| async move { Search::of(db.api(), filter).await }).await?;
    let (search, mut examples, mut before) = (Arc::new(search), Vec::new(), Some(below));
    while let Some(from) = before {
        if matching.count >= COUNTED_MAX || Instant::now() >= until {
            matching.is_exact = false;
            break;
        }
        let hits = find(db, &search, from).await?;
        matching.count += u64::try_from(hits.ids.len()).unwrap_or(u64::MAX);
        examples.extend(hits.ids.iter().copied().take(EXAMPLES - examples.len()));
        before = hits.next;
    }
    // 2. Read the examples.
    if !examples.is_empty() {
        matching.examples =
            db.call(|db| async move { jobs::views(db.api(), &examples).await }).await?;
    }
    Ok(matching)
}

/// The next matching jobs with ids below `before`. Each read is a call of its own, with its own
/// limit of time.
pub(super) async fn find(
    db: &Database,
    search: &Arc<Search>,
    before: Id,
) -> Result<Hits, StoreError> {
    let search = search.clone();
    db.call(|db| async move { search.matching(db.api(), before, FOUND_MAX).await }).await
}
