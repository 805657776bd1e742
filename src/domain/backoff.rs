//! The pauses before something that failed is tried again.

use std::time::Duration;

/// A growing pause: `base · 2^attempt`, at most `cap`, plus up to 999 ms of jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause that is doubled with each attempt.
    pub base: Duration,
    /// The longest pause, without the jitter.
    pub cap: Duration,
}

/// The pause before a retry after the database was unreachable, in places where pauses do not grow.
pub const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// The upper bound (exclusive) of the jitter. Jitter is only added, so nothing runs early.
pub const JITTER_MS: u64 = 1_000;

impl Backoff {
    /// The pause after attempt number `attempt` (from 1). The jitter depends only on `random`,
    /// which may be any number.
    pub fn pause(self, attempt: u32, random: u64) -> Duration {
        self.plain(attempt) + Duration::from_millis(random % JITTER_MS)
    }

    /// The pause before the restart of an actor that waited for `before` restarts in a row already.
    /// The jitter is at most half of the pause, because the pause may be far shorter than a second.
    pub fn spread(self, before: u32, random: u64) -> Duration {
        let plain = self.plain(before);
        let half_ms = u64::try_from(plain.as_millis() / 2).unwrap_or(u64::MAX);
        plain + Duration::from_millis(random % half_ms.saturating_add(1))
    }

    /// `base` doubled this many times, at most `cap`.
    fn plain(self, doublings: u32) -> Duration {
        2_u32
            .checked_pow(doublings)
            .and_then(|factor| self.base.checked_mul(factor))
            .unwrap_or(self.cap)
            .min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: Backoff =
        Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(15 * 60) };

    #[test]
    fn the_default_doubles_from_two_seconds() {
        let seconds: Vec<u64> =
            (1..=5).map(|attempt| DEFAULT.pause(attempt, 0).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32]);
        assert_eq!(DEFAULT.pause(40, 0), DEFAULT.cap);
    }

    proptest! {
        #[test]
        fn a_pause_never_shrinks_with_attempts_nor_passes_the_cap(
            attempt in 0..200_u32, random: u64, base_ms in 1..100_000_u64, cap_ms in 1..10_000_000_u64,
        ) {
            let it = Backoff { base: Duration::from_millis(base_ms), cap: Duration::from_millis(cap_ms) };
            let pause = it.pause(attempt, random);
            prop_assert!(pause < it.cap + Duration::from_millis(JITTER_MS));
            prop_assert!(it.pause(attempt + 1, random) >= pause);
        }
    }
}
