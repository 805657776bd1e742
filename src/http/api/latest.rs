//! Shares a read of the database among requests that come at about the same time: scrapes and
//! overviews (docs/decisions/0045-counts.md).

use crate::{
    domain::Timestamp,
    store::{StoreError, wall_clock},
};
use std::{
    sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::task::TaskTracker;

/// A result is shared for at least this long.
const KEPT: Duration = Duration::from_secs(2);
/// A result is shared for this many times as long as reading takes, which is the shorter of its own
/// read and the one before: a read that waited for a database that was away says little of the
/// next. So reading takes at most 1/n of the time.
const KEPT_TIMES: u32 = 20;
/// A failure is shared for this many times as long as its read took: one that comes at once is not
/// kept, and one that uses up its time limit does not come again at each scrape.
const FAILURE_KEPT_TIMES: u32 = 5;
/// But a failure is shared for at most this long: the database may be back.
const FAILURE_KEPT_MAX: Duration = Duration::from_secs(5);
/// And a result for at most this long, or for four times as long as its read took if that is
/// longer. So reading takes at most a fifth of the time.
const KEPT_MAX: Duration = Duration::from_secs(10);
const KEPT_TIMES_MIN: u32 = 4;
/// But never for longer than this: the first read may have waited for a database that was away.
const KEPT_LONGEST: Duration = Duration::from_secs(20);

/// The last result of a read, which requests that came meanwhile share.
#[derive(Debug)]
pub(super) struct Latest<T> {
    /// Locked while somebody reads.
    outcome: Arc<Mutex<Option<LatestOutcome<T>>>>,
    known: Arc<SyncMutex<LatestKnown<T>>>,
    /// The read under way, which has a time-out of its own and outlives its caller.
    reads: TaskTracker,
}

/// A result with the time at which its read began: it tells nothing of what came later.
pub(super) type Dated<T> = (Result<Arc<T>, StoreError>, Instant);

/// What is known while somebody reads, and while reading fails.
#[derive(Debug)]
struct LatestKnown<T> {
    /// The last result of a read that succeeded.
    result: Option<Arc<T>>,
    /// Since when reads fail.
    failing_since: Option<Timestamp>,
}

#[derive(Debug)]
struct LatestOutcome<T> {
    result: Result<Arc<T>, StoreError>,
    started: Instant,
    ended: Instant,
    /// How long the last read before took that succeeded.
    before: Option<Duration>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        let known = LatestKnown { result: None, failing_since: None };
        Self {
            outcome: Arc::default(),
            known: Arc::new(SyncMutex::new(known)),
            reads: TaskTracker::new(),
        }
    }
}

impl<T> LatestOutcome<T> {
    /// True if it serves a caller that asked at `asked` and has waited until `now`. A result that
    /// came meanwhile does, even a failure that is not kept: otherwise all callers that waited
    /// would fail one after the other.
    fn serves(&self, asked: Instant, now: Instant) -> bool {
        let took = self.ended - self.started;
        let kept = match &self.result {
            Ok(_) => {
                let usual = self.before.map_or(took, |before| before.min(took));
                let least = (usual * KEPT_TIMES_MIN).min(KEPT_LONGEST);
                (usual * KEPT_TIMES).clamp(KEPT, KEPT_MAX).max(least)
            }
            Err(_) => (took * FAILURE_KEPT_TIMES).min(FAILURE_KEPT_MAX),
        };
        self.ended >= asked || now - self.ended < kept
    }
}

impl<T> Latest<T> {
    /// The last result of a read that succeeded, however old.
    pub(super) fn last(&self) -> Option<Arc<T>> {
        self.known().result.clone()
    }

    /// Since when reads fail; `None` if the last one succeeded.
    pub(super) fn failing_since(&self) -> Option<Timestamp> {
        self.known().failing_since
    }

    fn known(&self) -> MutexGuard<'_, LatestKnown<T>> {
        locked(&self.known)
    }
}

fn locked<T>(known: &SyncMutex<LatestKnown<T>>) -> MutexGuard<'_, LatestKnown<T>> {
    // Nothing panics while it holds the lock.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + Sync + 'static> Latest<T> {
    /// The last result if it is new enough, else the result of `read`; and when its read began. One
    /// caller reads at a time, and the callers that come meanwhile share its result. The read goes
    /// on if its caller gives up, so that the next one finds its result. The result is that of
    /// `read`, with its error.
    pub(super) async fn dated<F>(&self, read: impl FnOnce() -> F) -> Dated<T>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let asked = Instant::now();
        let mut last = self.outcome.clone().lock_owned().await;
        if let Some(it) = last.as_ref()
            && it.serves(asked, Instant::now())
        {
            return (it.result.clone(), it.started);
        }
        let before = last.as_ref().and_then(|it| match it.result {
            Ok(_) => Some(it.ended - it.started),
            Err(_) => it.before,
        });
        let (read, known, started) = (read(), self.known.clone(), Instant::now());
        let reading = self.reads.spawn(async move {
            let result = read.await.map(Arc::new);
            match &result {
                Ok(result) => {
                    let result = Some(result.clone());
                    *locked(&known) = LatestKnown { result, failing_since: None };
                }
                Err(_) => _ = locked(&known).failing_since.get_or_insert_with(wall_clock),
            }
            let ended = Instant::now();
            *last = Some(LatestOutcome { result: result.clone(), started, ended, before });
            result
        });
        let broken = |_| Err(StoreError::Broken("a shared read has broken off".to_owned()));
        (reading.await.unwrap_or_else(broken), started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn those_who_wait_for_a_read_get_what_it_gets_be_it_an_error() {
        for fails in [true, false] {
            let (latest, reads) = (Latest::default(), Arc::new(AtomicUsize::new(0)));
            let slow = Arc::new(Notify::new());
            let read = || {
                let (reads, slow) = (reads.clone(), slow.clone());
                async move {
                    reads.fetch_add(1, Ordering::Relaxed);
                    slow.notified().await;
                    if fails { Err(StoreError::Busy("slow".to_owned())) } else { Ok(7) }
                }
            };
            let all = futures_util::future::join_all((0..6).map(|_| latest.dated(&read)));
            // All have asked before the first read ends, because they are polled before this.
            let (all, ()) = tokio::join!(all, async { slow.notify_one() });
            assert_eq!(reads.load(Ordering::Relaxed), 1);
            assert!(all.iter().all(|it| it.0.is_err() == fails));
            assert_eq!(latest.last().is_none(), fails);
            assert_eq!(latest.failing_since().is_some(), fails);
        }
    }

    #[tokio::test]
    async fn a_read_goes_on_when_its_caller_gives_up() {
        let (latest, slow) = (Latest::default(), Arc::new(Notify::new()));
        let waits = slow.clone();
        let read = async move || {
            waits.notified().await;
            Ok(7)
        };
        let patience = Duration::from_millis(1);
        assert!(tokio::time::timeout(patience, latest.dated(read)).await.is_err());
        assert!(latest.last().is_none());
        slow.notify_one();
        let another = || std::future::ready(Err(StoreError::Busy("asked again".to_owned())));
        assert_eq!(latest.dated(another).await.0.map(|it| *it), Ok(7));
        assert_eq!(latest.last().as_deref(), Some(&7));
    }

    #[test]
    fn what_takes_long_to_read_is_kept_longer_and_a_failure_less_long() {
        for (took_ms, kept_s, failed_ms) in
            [(0, 2, 0), (100, 2, 500), (2_000, 10, 5_000), (4_000, 16, 5_000), (60_000, 20, 5_000)]
        {
            let started = Instant::now();
            let ended = started + Duration::from_millis(took_ms);
            let outcome = |result| LatestOutcome::<u8> { result, started, ended, before: None };
            let read = outcome(Ok(Arc::new(7)));
            let later = |ms: u64| ended + Duration::from_millis(ms);
            assert!(read.serves(later(1), later(kept_s * 1_000 - 1)), "{took_ms} ms");
            assert!(!read.serves(later(1), later(kept_s * 1_000)), "{took_ms} ms");
            let before = Some(Duration::from_millis(5));
            let after_quick = LatestOutcome { before, ..outcome(Ok(Arc::new(7))) };
            assert!(!after_quick.serves(later(1), later(2_000)), "a slow one after a quick one");
            let failed = outcome(Err(StoreError::Busy("slow".to_owned())));
            let asked = later(failed_ms);
            assert!(failed_ms == 0 || failed.serves(asked, later(failed_ms - 1)), "{took_ms} ms");
            assert!(!failed.serves(later(failed_ms + 1), later(failed_ms + 1)), "{took_ms} ms");
            assert!(failed.serves(started, later(failed_ms + 1)));
        }
    }
}
