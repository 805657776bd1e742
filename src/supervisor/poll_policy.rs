//! When the supervisor asks the database for jobs though nobody has woken it.
//!
//! An idle daemon asks rarely: if wake-ups are sure to come, a tick asks only if something has
//! happened here, if a job is due, or if a heartbeat has seen one.

use std::time::Duration;

/// After this many ticks without a reason, a tick polls the database anyway.
const TICKS_MAX: u32 = 10;

/// What is known at a tick. All times are readings of one monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollInputs {
    /// When the tick is.
    pub(super) now: Duration,
    /// The time between two ticks.
    pub(super) tick: Duration,
    /// Nodes that store a job wake this supervisor, or a heartbeat that finds the job does.
    pub(super) is_woken: bool,
    /// The last heartbeat that saw a job waiting.
    pub(super) seen_at: Option<Duration>,
}

/// What is known since the last poll. Times are readings of the clock of [`PollInputs`].
#[derive(Clone, Debug, Default)]
pub(super) struct PollPolicy {
    polled_at: Option<Duration>,
    /// Something has happened since: a job may be due now that was unknown then.
    has_changed: bool,
    /// When the next job is due, as far as this process knows.
    next_due: Option<Duration>,
}

impl PollPolicy {
    /// Something has happened here: the next tick polls.
    pub(super) const fn note_change(&mut self) {
        self.has_changed = true;
    }

    /// Whether a tick polls.
    pub(super) fn is_due(&self, inputs: PollInputs) -> bool {
        let Some(polled_at) = self.polled_at else { return true };
        let is_seen = inputs.seen_at.is_some_and(|at| at > polled_at);
        let is_long_ago = inputs.now.saturating_sub(polled_at) >= inputs.tick * TICKS_MAX;
        let has_due = self.next_due.is_some_and(|at| at <= inputs.now);
        !inputs.is_woken || self.has_changed || has_due || is_seen || is_long_ago
    }

    /// A poll starts at `now`.
    pub(super) const fn polled(&mut self, now: Duration) {
        self.polled_at = Some(now);
        self.has_changed = false;
    }

    /// The database said at `now` that the next job is due after `wait`; `None`: no job is.
    pub(super) fn next_due(&mut self, now: Duration, wait: Option<Duration>) {
        self.next_due = wait.map(|wait| now + wait);
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
        let mut policy = PollPolicy::default();
        policy.polled(Duration::from_secs(seconds));
        policy
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
        let mut policy = idle_since(5);
        policy.note_change();
        assert!(policy.is_due(at(6)));
        policy.polled(Duration::from_secs(6));
        policy.next_due(Duration::from_secs(6), Some(Duration::from_secs(2)));
        assert!(!policy.is_due(at(7)));
        assert!(policy.is_due(at(8)));
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
            let (mut policy, mut last) = (PollPolicy::default(), 0);
            for (now, stirs) in (0..).zip(stirs) {
                if stirs && now % 7 == 0 {
                    policy.note_change();
                }
                if policy.is_due(at(now)) {
                    policy.polled(Duration::from_secs(now));
                    last = now;
                }
                prop_assert!(now - last < 10);
            }
        }
    }
}
