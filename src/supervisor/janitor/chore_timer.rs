//! When a chore is due. Each chore has a timer of its own: one that fails is tried again after a
//! pause, and changes no other chore's time.

use super::attempted;
use crate::store::StoreError;
use std::time::Duration;
use tokio::time::Instant;

/// The time from one run of a chore to the next.
pub(super) const CHORE_EVERY: Duration = Duration::from_secs(60);
/// The time to the next run after one that failed.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The time of one chore. A new one is due at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChoreTimer {
    due_at: Option<Instant>,
}

impl ChoreTimer {
    /// Does the chore if it is due. `None`: it is not due, or it failed, which is logged with
    /// `what`.
    pub(super) async fn run<T>(
        &mut self,
        what: &'static str,
        chore: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        let now = Instant::now();
        if !self.is_due(now) {
            return None;
        }
        let result = attempted(what, chore.await);
        self.done(now, result.is_some());
        result
    }

    /// Whether the chore is due.
    pub(super) fn is_due(self, now: Instant) -> bool {
        self.due_at.is_none_or(|due_at| due_at <= now)
    }

    /// The chore was done at `now`, or failed.
    pub(super) fn done(&mut self, now: Instant, is_ok: bool) {
        self.due_at = Some(now + if is_ok { CHORE_EVERY } else { RETRY_AFTER });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chore_is_due_once_a_round_and_sooner_where_it_failed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer = ChoreTimer::default();
        assert!(timer.is_due(start));
        for (done_at, is_ok, due_after) in
            [(0, true, 60), (60, false, 10), (70, false, 10), (80, true, 60)]
        {
            assert!(timer.is_due(at(done_at)));
            timer.done(at(done_at), is_ok);
            assert!(!timer.is_due(at(done_at + due_after - 1)));
            assert!(timer.is_due(at(done_at + due_after)));
        }
    }
}
