//! When the supervisor asks the database for jobs though nobody has woken it.
//!
//! An idle daemon asks rarely: where wake-ups are sure to come, a tick only asks if something has happened
//! here, if a job is due, or if a heartbeat has seen one.

use std::time::Duration;

/// A tick that asks for nothing else asks at the least after so many.
const TICKS_MAX: u32 = 10;

/// What is known at a tick. All times are readings of one monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollInputs {
    /// Now.
    pub(super) now: Duration,
    /// The time between two ticks.
    pub(super) tick: Duration,
    /// Whoever stores a job wakes this supervisor, or a heartbeat does that finds it.
    pub(super) is_woken: bool,
    /// The last heartbeat that has seen a job waiting.
    pub(super) seen_at: Option<Duration>,
}

/// What the last look has left.
#[derive(Clone, Debug, Default)]
pub(super) struct PollPolicy {
    looked_at: Option<Duration>,
    /// Something has happened since: a job may be due by now that was not known then.
    is_stirred: bool,
    next_due: Option<Duration>,
}

impl PollPolicy {
    /// Something has happened here: the next tick asks.
    pub(super) const fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// Whether a tick is to ask.
    pub(super) fn is_due(&self, it: PollInputs) -> bool {
        let Some(looked_at) = self.looked_at else { return true };
        let is_seen = it.seen_at.is_some_and(|at| at > looked_at);
        let is_long_ago = it.now.saturating_sub(looked_at) >= it.tick * TICKS_MAX;
        let has_due = self.next_due.is_some_and(|at| at <= it.now);
        !it.is_woken || self.is_stirred || has_due || is_seen || is_long_ago
    }

    /// It asks now.
    pub(super) const fn looked(&mut self, now: Duration) {
        self.looked_at = Some(now);
        self.is_stirred = false;
    }

    /// When the next job is due, by what the database said at `now`.
    pub(super) fn next_due(&mut self, now: Duration, wait: Option<Duration>) {
        self.next_due = wait.map(|it| now + it);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> PollInputs {
        PollInputs { now: Duration::from_secs(seconds), tick: TICK, is_woken: true, seen_at: None }
    }

    fn idle_since(seconds: u64) -> PollPolicy {
        let mut looking = PollPolicy::default();
        looking.looked(Duration::from_secs(seconds));
        looking
    }

    #[test]
    fn the_first_tick_asks_and_an_idle_one_does_not() {
        assert!(PollPolicy::default().is_due(at(0)));
        assert!(!idle_since(5).is_due(at(6)));
    }

    #[test]
    fn every_tick_asks_where_nobody_wakes_it() {
        assert!(idle_since(5).is_due(PollInputs { is_woken: false, ..at(6) }));
    }

    #[test]
    fn a_tick_asks_after_something_has_happened_and_when_a_job_is_due() {
        let mut looking = idle_since(5);
        looking.stir();
        assert!(looking.is_due(at(6)));
        looking.looked(Duration::from_secs(6));
        looking.next_due(Duration::from_secs(6), Some(Duration::from_secs(2)));
        assert!(!looking.is_due(at(7)));
        assert!(looking.is_due(at(8)));
    }

    #[test]
    fn a_tick_asks_if_a_heartbeat_has_seen_a_job_since() {
        let seen = |seconds| PollInputs { seen_at: Some(Duration::from_secs(seconds)), ..at(7) };
        assert!(!idle_since(5).is_due(seen(4)));
        assert!(idle_since(5).is_due(seen(6)));
    }

    proptest! {
        #[test]
        fn nobody_sleeps_for_more_than_ten_ticks(stirs in prop::collection::vec(any::<bool>(), 30)) {
            let (mut looking, mut last) = (PollPolicy::default(), 0);
            for (now, stirs) in (0..).zip(stirs) {
                if stirs && now % 7 == 0 {
                    looking.stir();
                }
                if looking.is_due(at(now)) {
                    looking.looked(Duration::from_secs(now));
                    last = now;
                }
                prop_assert!(now - last < 10);
            }
        }
    }
}
