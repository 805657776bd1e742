//! What an operation would change, counted before it begins.

use crate::domain::Id;
use crate::store::{
    desk::{
        JobFilter, JobView, ListedQuarantine, Page, QuarantineFilter,
        by_hand::JobAction,
        jobs::{self, Hits, Search},
        quarantine::{self, QuarantineSearch},
    },
    engine::{Database, StoreError},
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The most jobs that one read finds.
const FOUND_MAX: usize = 5_000;
/// The most that are counted.
const COUNTED_MAX: u64 = 100_000;
/// How long counting may take. A read that has begun by then is read to its end.
const COUNTING_MAX: Duration = Duration::from_secs(3);
/// How many are shown.
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

/// The held webhooks that an action would change.
#[derive(Clone, Debug)]
pub struct MatchingItems {
    /// How many there are.
    pub count: u64,
    /// False if there may be more.
    pub is_exact: bool,
    /// The newest of them, at most three.
    pub examples: Vec<ListedQuarantine>,
    search: Arc<QuarantineSearch>,
    /// All their ids are below this one.
    below: Id,
}

impl MatchingItems {
    /// Counts the held items with ids below `below` that match.
    pub(super) async fn count(
        db: &Database,
        filter: QuarantineFilter,
        below: Id,
    ) -> Result<Self, StoreError> {
        let search = db.call(|db| async move { QuarantineSearch::held(db.api(), filter).await });
        let search = Arc::new(search.await?);
        let counted = CountedIds::of(below, |before| {
            let search = search.clone();
            db.call(move |db| async move { search.newest(db.api(), before).await })
        })
        .await?;
        let CountedIds { count, is_exact, newest } = counted;
        let examples = if newest.is_empty() {
            Vec::new()
        } else {
            db.call(|db| async move { quarantine::listed(db.api(), newest).await }).await?
        };
        Ok(Self { count, is_exact, examples, search, below })
    }

    /// The next of them behind `after` that are held, the oldest first.
    pub(super) async fn behind(&self, db: &Database, after: Id) -> Result<Page<Id>, StoreError> {
        let (search, below) = (self.search.clone(), self.below);
        db.call(|db| async move { search.oldest(db.api(), after, below).await }).await
    }
}

/// What was counted from the newest to the oldest.
struct CountedIds {
    count: u64,
    /// False if there may be more.
    is_exact: bool,
    /// The newest, at most [`EXAMPLES`].
    newest: Vec<Id>,
}

impl CountedIds {
    /// Counts what `find` finds before an id, newest first.
    async fn of<F>(below: Id, find: impl Fn(Id) -> F) -> Result<Self, StoreError>
    where
        F: Future<Output = Result<Page<Id>, StoreError>>,
    {
        let until = Instant::now() + COUNTING_MAX;
        let (mut counted, mut before) =
            (Self { count: 0, is_exact: true, newest: Vec::new() }, Some(below));
        while let Some(from) = before {
            if counted.count >= COUNTED_MAX || Instant::now() >= until {
                counted.is_exact = false;
                break;
            }
            let found = find(from).await?;
            counted.count += u64::try_from(found.items.len()).unwrap_or(u64::MAX);
            let shown = EXAMPLES - counted.newest.len();
            counted.newest.extend(found.items.iter().copied().take(shown));
            before = found.next;
        }
        Ok(counted)
    }
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
    // 1. Count.
    let search = db.call(|db| async move { Search::of(db.api(), filter).await }).await?;
    let search = Arc::new(search);
    let search = &search;
    let find_before = |before: Id| async move {
        let Hits { ids, next } = find(db, search, before).await?;
        Ok(Page { items: ids, next })
    };
    let counted = CountedIds::of(below, find_before).await?;
    (matching.count, matching.is_exact) = (counted.count, counted.is_exact);
    // 2. Read the examples.
    if !counted.newest.is_empty() {
        matching.examples =
            db.call(|db| async move { jobs::views(db.api(), &counted.newest).await }).await?;
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
