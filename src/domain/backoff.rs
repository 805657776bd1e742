//! The pause before a failed attempt is tried again.

use std::time::Duration;

/// How long to wait: `base · 2^attempt`, at most `cap`, plus up to 999 ms of jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The unit that is doubled.
    pub base: Duration,
    /// The longest pause, jitter not counted.
    pub cap: Duration,
}

/// The pause before something is tried again that found the database away, where pauses do not grow.
pub const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// The exclusive upper bound of the jitter, which is only ever added: nothing runs early.
pub const JITTER_MS: u64 = 1_000;

impl Backoff {
    /// The pause after attempt number `attempt` (from 1). `random` is any number; it alone makes the
    /// jitter, so the same number gives the same pause.
    pub fn pause(self, attempt: u32, random: u64) -> Duration {
        self.plain(attempt) + Duration::from_millis(random % JITTER_MS)
    }

    /// The pause before the restart of what went down `before` times in a row: its jitter is at most a half
    /// of it, because such a pause may be far shorter than a second.
    pub fn spread(self, before: u32, random: u64) -> Duration {
        let plain = self.plain(before);
        let half_ms = u64::try_from(plain.as_millis() / 2).unwrap_or(u64::MAX);
        plain + Duration::from_millis(random % half_ms.saturating_add(1))
    }

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
        let seconds: Vec<u64> = (1..=5).map(|it| DEFAULT.pause(it, 0).as_secs()).collect();
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
