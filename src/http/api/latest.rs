//! What many ask for and one reads: scrapes and overviews share one look at the database.

use crate::store::StoreError;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// How old what was read may be.
const KEPT: Duration = Duration::from_secs(2);
/// What took long to read is kept for this many times as long, so that reading it never takes more than this share of
/// one connection.
const KEPT_TIMES: u32 = 20;
/// And this is the longest.
const KEPT_MAX: Duration = Duration::from_secs(60);

/// The last that was read.
#[derive(Debug)]
pub(super) struct Latest<T>(Mutex<Option<Outcome<T>>>);

#[derive(Debug)]
struct Outcome<T> {
    result: Result<Arc<T>, StoreError>,
    started: Instant,
    ended: Instant,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Outcome<T> {
    /// Whether it serves somebody who has asked at `asked` and has come to the front now: what was read meanwhile does,
    /// also where it failed, or else everybody who waited would try the same one after the other.
    fn serves(&self, asked: Instant, now: Instant) -> bool {
        let took = self.ended - self.started;
        let kept = (took * KEPT_TIMES).clamp(KEPT, KEPT_MAX);
        self.ended >= asked || (self.result.is_ok() && now - self.ended < kept)
    }
}

impl<T> Latest<T> {
    /// What was read lately, or what `read` gives. One reads at a time; those who come meanwhile get what it gets.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn get<F>(&self, read: impl FnOnce() -> F) -> Result<Arc<T>, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(it) = last.as_ref()
            && it.serves(asked, Instant::now())
        {
            return it.result.clone();
        }
        let started = Instant::now();
        let result = read().await.map(Arc::new);
        *last = Some(Outcome { result: result.clone(), started, ended: Instant::now() });
        result
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
            let (latest, reads, slow) = (Latest::default(), AtomicUsize::new(0), Notify::new());
            let read = async || {
                reads.fetch_add(1, Ordering::Relaxed);
                slow.notified().await;
                if fails { Err(StoreError::Busy("slow".to_owned())) } else { Ok(7) }
            };
            let all = futures_util::future::join_all((0..6).map(|_| latest.get(&read)));
            // All of them have asked by the time that the first read ends: they are polled before this.
            let (all, ()) = tokio::join!(all, async { slow.notify_one() });
            assert_eq!(reads.load(Ordering::Relaxed), 1);
            assert!(all.iter().all(|it| it.is_err() == fails));
        }
    }

    #[test]
    fn what_takes_long_to_read_is_kept_longer_and_an_error_is_not_kept() {
        for (took_ms, kept_s) in [(1, 2), (100, 2), (1_000, 20), (10_000, 60)] {
            let started = Instant::now();
            let ended = started + Duration::from_millis(took_ms);
            let outcome = |result| Outcome::<u8> { result, started, ended };
            let read = outcome(Ok(Arc::new(7)));
            let later = |ms: u64| ended + Duration::from_millis(ms);
            assert!(read.serves(later(1), later(kept_s * 1_000 - 1)), "{took_ms} ms");
            assert!(!read.serves(later(1), later(kept_s * 1_000)), "{took_ms} ms");
            let failed = outcome(Err(StoreError::Busy("slow".to_owned())));
            assert!(!failed.serves(later(1), later(1)));
            assert!(failed.serves(started, later(1)));
        }
    }
}
