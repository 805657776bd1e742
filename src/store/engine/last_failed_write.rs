//! The last write that failed because the database was unavailable. It keeps `/readyz` red. After
//! one that found the disk full, no node counts as dead for a while.

use super::StoreError;
use arc_swap::ArcSwapOption;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a write that found the disk full counts, even if other writes succeed: on a full disk,
/// small writes that fit into an existing page still pass.
const COUNTS_FOR: Duration = Duration::from_secs(5);

/// The last failed write, if it still counts. A clone shares it.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct LastFailedWrite {
    failed: Arc<ArcSwapOption<Failed>>,
    /// When a write last found the disk full.
    full_at: Arc<ArcSwapOption<Instant>>,
}

/// A failed write.
#[derive(Debug)]
struct Failed {
    /// The purpose of its transaction.
    purpose: &'static str,
    error: StoreError,
    at: Instant,
}

impl Failed {
    /// Whether a write for `purpose` that was committed at `now` ends this failure.
    fn is_over(&self, purpose: &str, now: Instant) -> bool {
        let had_no_room = matches!(self.error, StoreError::Full(_));
        !had_no_room || self.purpose == purpose || now >= self.at + COUNTS_FOR
    }
}

impl LastFailedWrite {
    /// Notes that a write for `purpose` has failed. Kept only if the database was unavailable, and
    /// never over an earlier "disk full" that still counts.
    pub(in crate::store) fn note(&self, purpose: &'static str, error: &StoreError) {
        let at = Instant::now();
        if matches!(error, StoreError::Full(_)) {
            self.full_at.store(Some(Arc::new(at)));
        }
        let counts = self.failed.load().as_ref().is_some_and(|failed| !failed.is_over(purpose, at));
        if error.is_away() && !counts {
            let failed = Failed { purpose, error: error.clone(), at };
            self.failed.store(Some(Arc::new(failed)));
        }
    }

    /// Notes that a write for `purpose` is committed.
    pub(in crate::store) fn has_written(&self, purpose: &'static str) {
        let failed = self.failed.load();
        if failed.as_ref().is_some_and(|failed| failed.is_over(purpose, Instant::now())) {
            self.failed.store(None);
        }
    }

    /// True if a write has found the disk full within the last [`COUNTS_FOR`], whatever was written
    /// since.
    pub(in crate::store) fn had_no_room(&self) -> bool {
        self.full_at.load().as_deref().is_some_and(|at| at.elapsed() < COUNTS_FOR)
    }

    /// The error of the failed write, while it counts.
    pub(in crate::store) fn error(&self) -> Option<StoreError> {
        self.failed.load().as_ref().map(|failed| failed.error.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_counts_until_the_same_is_written_or_for_a_while() {
        let (last_failed_write, full) =
            (LastFailedWrite::default(), StoreError::Full("SQLSTATE 53100".to_owned()));
        last_failed_write.note("ingest", &full);
        last_failed_write.note("stay", &full);
        last_failed_write.has_written("stay");
        assert_eq!(
            last_failed_write.error(),
            Some(full.clone()),
            "a small write tells nothing of a large one"
        );
        last_failed_write.has_written("ingest");
        assert_eq!(last_failed_write.error(), None);
        assert!(last_failed_write.had_no_room(), "other nodes may have found it full");
        let at = Instant::now();
        let failed = Failed { purpose: "ingest", error: full, at };
        assert!(!failed.is_over("stay", at));
        assert!(
            failed.is_over("stay", at + COUNTS_FOR),
            "while it is not ready, no webhook is posted that could end it"
        );
    }

    #[test]
    fn a_lost_connection_is_over_with_any_write_and_wrong_data_is_no_trouble() {
        let last_failed_write = LastFailedWrite::default();
        last_failed_write.note("ingest", &StoreError::Data("SQLSTATE 22021".to_owned()));
        assert_eq!(last_failed_write.error(), None);
        assert!(!last_failed_write.had_no_room());
        last_failed_write.note("ingest", &StoreError::Unreachable("gone".to_owned()));
        last_failed_write.has_written("stay");
        assert_eq!(last_failed_write.error(), None);
    }
}
