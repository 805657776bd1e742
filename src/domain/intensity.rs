//! Restart intensity: how often actors are restarted at once before they have to wait.
//!
//! As in Erlang/OTP, at most `max_restarts` are allowed within a sliding `window`. There are two
//! differences. A restart is not counted while jobs of the kind succeed, so that the poisonous
//! messages of one client pause nobody. And beyond the limit only the actor that failed waits,
//! longer each time. All times are readings of one monotonic clock.

use super::backoff::Backoff;
use std::{collections::VecDeque, time::Duration};

/// The allowed restart intensity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Restarts within `window` that happen at once.
    pub max_restarts: u32,
    /// How long a restart counts. A success that is older does not count.
    pub window: Duration,
    /// The pauses before restarts beyond that.
    pub backoff: Backoff,
}

/// The restarts that count, of a pool or of a single actor.
#[derive(Clone, Debug, Default)]
pub struct Intensity {
    /// When each of them happened, oldest first. At most `max_restarts` + 1.
    counted: VecDeque<Duration>,
}

impl Intensity {
    /// Notes that an actor went down at `now`; the last success of its kind was at `last_success`.
    /// True if there were too many restarts and the actor has to wait.
    pub fn went_down(
        &mut self,
        now: Duration,
        last_success: Option<Duration>,
        limit: &Limit,
    ) -> bool {
        let last_counted = self.counted.back().copied();
        while self.counted.front().is_some_and(|at| now.saturating_sub(*at) >= limit.window) {
            self.counted.pop_front();
        }
        let works = last_success.is_some_and(|success| {
            let is_recent = now.saturating_sub(success) < limit.window;
            is_recent && last_counted.is_none_or(|last| success >= last)
        });
        if works {
            return false;
        }
        self.counted.push_back(now);
        let most = usize::try_from(limit.max_restarts).unwrap_or(usize::MAX);
        let is_over = self.counted.len() > most;
        // To know that the limit is exceeded, one more than the limit is enough.
        while self.counted.len() > most.saturating_add(1) {
            self.counted.pop_front();
        }
        is_over
    }
}

/// How many times in a row one actor had to wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streak {
    length: u32,
    /// When its last pause ends.
    ends: Duration,
}

impl Streak {
    /// The pause of an actor that went down at `now` and has to wait. Pauses grow until a job of
    /// its kind succeeds, or the actor lives for a whole window.
    pub fn pause(
        &mut self,
        now: Duration,
        last_success: Option<Duration>,
        limit: &Limit,
        random: u64,
    ) -> Duration {
        let has_succeeded = last_success.is_some_and(|success| success >= self.ends);
        let has_lived = now.saturating_sub(self.ends) >= limit.window;
        if has_succeeded || has_lived {
            self.length = 0;
        }
        let pause = limit.backoff.spread(self.length, random);
        self.length = self.length.saturating_add(1);
        self.ends = now + pause;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn limit(max_restarts: u32) -> Limit {
        let backoff = Backoff { base: MS(100), cap: MS(30_000) };
        Limit { max_restarts, window: MS(60_000), backoff }
    }

    /// The times at which something went down, from the gaps between them in milliseconds.
    fn times(gaps: &[u64]) -> Vec<Duration> {
        let add = |at: &mut u64, gap: &u64| {
            *at += gap;
            Some(MS(*at))
        };
        gaps.iter().scan(0, add).collect()
    }

    proptest! {
        #[test]
        fn no_window_has_more_restarts_at_once_than_allowed(
            gaps in prop::collection::vec(0..20_000_u64, 1..200), max_restarts in 0..10_u32,
        ) {
            let (limit, mut intensity) = (limit(max_restarts), Intensity::default());
            let mut at_once: Vec<Duration> = Vec::new();
            for now in times(&gaps) {
                if !intensity.went_down(now, None, &limit) {
                    at_once.push(now);
                    let within = at_once.iter().filter(|at| now - **at < limit.window).count();
                    prop_assert!(within <= usize::try_from(max_restarts).unwrap());
                }
            }
        }

        #[test]
        fn it_waits_only_where_the_window_before_is_full(
            gaps in prop::collection::vec(0..40_000_u64, 1..200), max_restarts in 0..10_u32,
        ) {
            let (limit, mut intensity) = (limit(max_restarts), Intensity::default());
            let times = times(&gaps);
            for (number, now) in times.iter().enumerate() {
                let within = times.iter().take(number + 1).filter(|at| *now - **at < limit.window).count();
                let is_over = within > usize::try_from(max_restarts).unwrap();
                prop_assert_eq!(intensity.went_down(*now, None, &limit), is_over);
            }
        }

        #[test]
        fn a_kind_that_works_is_never_paused_however_often_one_of_its_actors_goes_down(
            gaps in prop::collection::vec(0..5_u64, 1..400), max_restarts in 0..10_u32,
            every in 1..10_000_u64,
        ) {
            let (limit, mut intensity) = (limit(max_restarts), Intensity::default());
            for now in times(&gaps) {
                let last_success = MS(now.as_millis() as u64 / every * every);
                prop_assert!(!intensity.went_down(now, Some(last_success), &limit));
            }
        }

        #[test]
        fn pauses_grow_to_the_cap_and_start_anew_after_a_success(
            count in 1..40_u32, random: u64,
        ) {
            let (limit, mut streak) = (limit(0), Streak::default());
            let mut now = Duration::ZERO;
            let mut before = Duration::ZERO;
            for number in 0..count {
                let plain = limit.backoff.spread(number, 0);
                let pause = streak.pause(now, None, &limit, random);
                prop_assert!(pause >= plain && pause <= plain + plain / 2);
                prop_assert!(pause >= before || pause >= limit.backoff.cap);
                (before, now) = (plain, now + pause + MS(1));
            }
            let again = streak.pause(now, Some(now), &limit, 0);
            prop_assert_eq!(again, limit.backoff.base);
        }
    }

    #[test]
    fn a_kind_that_no_longer_works_is_counted_once_its_last_success_is_a_window_ago() {
        let (limit, mut intensity) = (limit(1), Intensity::default());
        let success = Some(MS(10));
        assert!((1..600).all(|n| !intensity.went_down(MS(100 * n), success, &limit)));
        assert!(!intensity.went_down(MS(60_010), success, &limit), "the first that counts");
        assert!(intensity.went_down(MS(60_011), success, &limit));
    }

    #[test]
    fn a_slot_that_lives_for_a_window_starts_with_the_shortest_pause_again() {
        let (limit, mut streak) = (limit(0), Streak::default());
        assert_eq!(streak.pause(MS(0), None, &limit, 0), MS(100));
        assert_eq!(streak.pause(MS(100), None, &limit, 0), MS(200));
        assert_eq!(streak.pause(MS(300 + 60_000), None, &limit, 0), MS(100));
    }
}
