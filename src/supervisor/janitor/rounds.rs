//! When each chore is due. Each has a time of its own: one that fails is tried again after a pause,
//! and neither begins the others' rounds again nor keeps them from theirs.

use std::time::Duration;
use tokio::time::Instant;

/// How often what should never be there is looked for, and what only grows is cut back.
const EVERY: Duration = Duration::from_secs(60);
/// When a chore that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The time of one chore. A new one is due at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    due_at: Option<Instant>,
}

impl Rounds {
    /// Whether the chore is due.
    pub(super) fn is_due(self, now: Instant) -> bool {
        self.due_at.is_none_or(|it| it <= now)
    }

    /// Takes note that it was done, or that it failed.
    pub(super) fn done(&mut self, now: Instant, is_ok: bool) {
        self.due_at = Some(now + if is_ok { EVERY } else { RETRY_AFTER });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chore_is_due_once_a_round_and_sooner_where_it_failed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rounds = Rounds::default();
        assert!(rounds.is_due(start));
        for (done_at, is_ok, due_after) in
            [(0, true, 60), (60, false, 10), (70, false, 10), (80, true, 60)]
        {
            assert!(rounds.is_due(at(done_at)));
            rounds.done(at(done_at), is_ok);
            assert!(!rounds.is_due(at(done_at + due_after - 1)));
            assert!(rounds.is_due(at(done_at + due_after)));
        }
    }
}
