//! The pauses between claims.
//!
//! A claim costs the same whether it takes one job or many. While a node is busy, each slot that
//! becomes free asks for one; a short pause lets some more become free. A claim that fails at
//! once (a full disk, a read-only database) must not be repeated by every nudge: one retry is
//! pending at a time, all nudges wait for it, and the pauses grow.

use crate::domain::backoff::Backoff;
use std::time::Duration;

/// At most two failed claims a second; and jobs start again soon after the database is back.
const PAUSES: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(2) };

/// The least time from one claim to the next, unless half of a pool for which more jobs wait is
/// free. Only a busy node waits for it: a job that comes later than this after the last claim is
/// claimed at once.
const PACE: Duration = Duration::from_millis(3);

/// How long a claim at `now` still has to wait after the one at `last`; `None`: not at all. Both
/// are readings of one monotonic clock. `is_half_free`: half of a pool for which more jobs may
/// wait is free, which is worth a claim at once.
pub(super) fn pace(last: Option<Duration>, now: Duration, is_half_free: bool) -> Option<Duration> {
    let ends_at = last? + PACE;
    (!is_half_free && now < ends_at).then(|| ends_at.saturating_sub(now))
}

/// The pause after claims that failed. All times are readings of one monotonic clock.
#[derive(Clone, Debug, Default)]
pub(super) struct ClaimPauses {
    /// Claims that have failed one after the other.
    failures: u32,
    /// When the pause ends; `None` after a success.
    ends_at: Option<Duration>,
}

impl ClaimPauses {
    /// A claim has failed at `now`. Returns how long no other is made. `random` makes the jitter.
    pub(super) fn failed(&mut self, now: Duration, random: u64) -> Duration {
        let pause = PAUSES.spread(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        self.ends_at = Some(now + pause);
        pause
    }

    /// A claim has succeeded.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether a claim has to wait for the pending retry.
    pub(super) fn is_pausing(&self, now: Duration) -> bool {
        self.ends_at.is_some_and(|it| now < it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_claim_after_a_recent_one_waits_and_only_for_a_few_free_slots() {
        let ms = Duration::from_millis;
        for (last, now, is_half_free, wanted) in [
            (None, ms(0), false, None),
            (Some(ms(10)), ms(10), false, Some(PACE)),
            (Some(ms(10)), ms(12), false, Some(PACE - ms(2))),
            (Some(ms(10)), ms(10), true, None),
            (Some(ms(10)), ms(10) + PACE, false, None),
            (Some(ms(10)), ms(9_999), false, None),
        ] {
            assert_eq!(pace(last, now, is_half_free), wanted, "{last:?} {now:?} {is_half_free}");
        }
    }

    /// The times at which claims are made within a minute, if all fail at once and nudges come
    /// every `nudge_ms`. In milliseconds.
    fn failures(nudge_ms: u64, random: u64) -> Vec<u64> {
        let (mut pauses, mut at, mut retry_at) = (ClaimPauses::default(), Vec::new(), u64::MAX);
        for now_ms in 0..60_000 {
            let is_woken = now_ms % nudge_ms == 0 || now_ms == retry_at;
            let now = Duration::from_millis(now_ms);
            if is_woken && !pauses.is_pausing(now) {
                at.push(now_ms);
                let pause = pauses.failed(now, random.wrapping_mul(now_ms + 1));
                retry_at = now_ms + u64::try_from(pause.as_millis()).unwrap();
            }
        }
        at
    }

    proptest! {
        #[test]
        fn failed_claims_are_at_most_two_a_second_however_often_somebody_nudges(
            nudge_ms in 1..2_000_u64, random in any::<u64>(),
        ) {
            let at = failures(nudge_ms, random);
            let mut gaps = at.iter().zip(at.iter().skip(1)).map(|(one, next)| next - one);
            prop_assert!(gaps.by_ref().take(2).all(|it| it >= 500), "{at:?}");
            prop_assert!(gaps.all(|it| it >= 2_000), "{at:?}");
            prop_assert!(at.len() <= 32, "{} in a minute", at.len());
            prop_assert!(at.len() >= 18, "it goes on trying: {at:?}");
        }
    }

    #[test]
    fn pauses_grow_and_a_success_ends_them() {
        let mut pauses = ClaimPauses::default();
        let now = Duration::from_secs(9);
        let ms = |pause: Duration| pause.as_millis();
        let grown: Vec<_> = (0..5).map(|_| ms(pauses.failed(now, 0))).collect();
        assert_eq!(grown, [500, 1_000, 2_000, 2_000, 2_000]);
        assert!(pauses.is_pausing(now));
        pauses.succeeded();
        assert!(!pauses.is_pausing(now));
        assert_eq!(ms(pauses.failed(now, 0)), 500);
    }
}
