//! A circuit breaker before a model's server: after some failures in a row, or when the server
//! takes no more for now, nothing is asked for a while. Then one request finds out whether the
//! server answers again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Failures in a row that open the breaker.
const FAILURES_MAX: u32 = 5;
/// The first pause. It doubles with each request that finds the server still away.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
/// The longest pause that the server does not ask for.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The shortest and the longest pause that the server asks for and gets. A limit that was raised
/// counts after the longest.
const ASKED_MIN: Duration = Duration::from_secs(1);
const ASKED_MAX: Duration = Duration::from_secs(600);
/// How long others wait while one request finds out.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// What is known of the server.
#[derive(Debug, Default)]
struct ServerHealth {
    /// Failures since the last success.
    failures: u32,
    /// When the pause ends, and its length; `None` while the breaker is closed.
    open: Option<(Instant, Duration)>,
    /// True if it is open because the server takes no more for now.
    is_limit: bool,
    /// True while one request finds out whether the server is back.
    is_probed: bool,
}

impl ServerHealth {
    /// Whether a request may be sent now; else how long to wait before asking again.
    fn admit(&mut self, now: Instant) -> Result<(), BreakerPause> {
        let Some((until, _)) = self.open else { return Ok(()) };
        let is_limit = self.is_limit;
        if now < until {
            return Err(BreakerPause { length: until - now, is_limit });
        }
        if self.is_probed {
            return Err(BreakerPause { length: PROBE_PAUSE, is_limit });
        }
        self.is_probed = true;
        Ok(())
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let pause = match self.open {
            // A request that was sent before the breaker opened.
            Some(_) if !self.is_probed => return,
            Some((_, last)) => (last * 2).min(PAUSE_MAX),
            None if self.failures < FAILURES_MAX => return,
            None => PAUSE_FIRST,
        };
        (self.is_probed, self.is_limit) = (false, false);
        self.open = Some((now + pause, pause));
    }

    /// The server takes no more for now, and perhaps says for how long. Returns how long it is not
    /// asked.
    fn told_to_wait(&mut self, now: Instant, asked: Option<Duration>) -> BreakerPause {
        let still = self.open.map(|(until, _)| until.saturating_duration_since(now));
        let still = still.filter(|left| !left.is_zero());
        let pause = match (asked, self.open) {
            (Some(asked), _) => asked.clamp(ASKED_MIN, ASKED_MAX),
            // A request that was sent before the breaker opened.
            (None, Some(_)) if still.is_some() => Duration::ZERO,
            (None, Some((_, last))) => (last * 2).min(PAUSE_MAX),
            (None, None) => PAUSE_FIRST,
        };
        let length = still.map_or(pause, |left| left.max(pause));
        (self.is_probed, self.is_limit) = (false, true);
        self.open = Some((now + length, length.min(PAUSE_MAX)));
        BreakerPause { length, is_limit: true }
    }

    /// A request ended in a way that says nothing about the server.
    fn gave_up(&mut self) {
        self.is_probed = false;
    }
}

/// How long nothing is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BreakerPause {
    /// The time until the next question.
    pub(super) length: Duration,
    /// True if the server takes no more for now; false if it has failed.
    pub(super) is_limit: bool,
}

/// The circuit breaker.
#[derive(Debug, Default)]
pub(super) struct ModelBreaker(Mutex<ServerHealth>);

impl ModelBreaker {
    fn health(&self) -> MutexGuard<'_, ServerHealth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request pass; else says how long to wait. Each request that passes must be told of by
    /// one of the other methods.
    pub(super) fn admit(&self) -> Result<(), BreakerPause> {
        self.health().admit(Instant::now())
    }

    /// The server has answered.
    pub(super) fn succeeded(&self) {
        self.health().succeeded();
    }

    /// The server is away.
    pub(super) fn failed(&self) {
        self.health().failed(Instant::now());
    }

    /// The server takes no more for now, and perhaps says for how long. Returns how long nobody
    /// asks it.
    pub(super) fn told_to_wait(&self, asked: Option<Duration>) -> BreakerPause {
        self.health().told_to_wait(Instant::now(), asked)
    }

    /// The request ended in a way that says nothing about the server.
    pub(super) fn gave_up(&self) {
        self.health().gave_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn failed_for(length: Duration) -> BreakerPause {
        BreakerPause { length, is_limit: false }
    }

    #[test]
    fn a_server_that_takes_no_more_is_left_alone_for_as_long_as_it_asks() {
        let seconds = Duration::from_secs;
        for (asked, expected) in [(0, 1), (30, 30), (86_400, 600)] {
            let (mut health, now) = (ServerHealth::default(), Instant::now());
            let pause = BreakerPause { length: seconds(expected), is_limit: true };
            assert_eq!(health.told_to_wait(now, Some(seconds(asked))), pause);
            assert_eq!(health.admit(now), Err(pause), "all leave it alone");
            // The longest of several counts.
            assert_eq!(health.told_to_wait(now, Some(seconds(1))), pause);
            assert_eq!(health.told_to_wait(now, None), pause);
            let later = now + seconds(expected);
            assert_eq!(health.admit(later), Ok(()), "one finds out");
            assert!(health.admit(later).is_err(), "others wait for it");
            health.succeeded();
            assert_eq!(health.admit(later), Ok(()));
        }
    }

    #[test]
    fn a_server_that_takes_no_more_and_says_no_time_is_asked_less_and_less() {
        let (mut health, mut now) = (ServerHealth::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(health.admit(now), Ok(()));
            let pause = health.told_to_wait(now, None).length;
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let (mut health, now) = (ServerHealth::default(), Instant::now());
        for _ in 1..FAILURES_MAX {
            health.failed(now);
        }
        health.succeeded();
        for _ in 1..FAILURES_MAX {
            health.failed(now);
            assert_eq!(health.admit(now), Ok(()));
        }
        health.failed(now);
        assert_eq!(health.admit(now), Err(failed_for(PAUSE_FIRST)));
        // Those that were sent before do not make the pause longer.
        health.failed(now);
        assert_eq!(health.admit(now), Err(failed_for(PAUSE_FIRST)));
        let later = now + PAUSE_FIRST;
        assert_eq!(health.admit(later), Ok(()), "one finds out");
        assert_eq!(health.admit(later), Err(failed_for(PROBE_PAUSE)), "others wait for it");
        health.succeeded();
        assert_eq!(health.admit(later), Ok(()));
        assert_eq!(health.admit(later), Ok(()));
    }

    #[test]
    fn its_pauses_grow_to_a_minute() {
        let (mut health, mut now) = (ServerHealth::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            health.failed(now);
        }
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let pause = health.admit(now).unwrap_err().length;
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(health.admit(now), Ok(()));
            health.failed(now);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn a_request_that_is_cut_off_lets_the_next_one_find_out() {
        let (mut health, now) = (ServerHealth::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            health.failed(now);
        }
        let later = now + PAUSE_FIRST;
        assert_eq!(health.admit(later), Ok(()));
        health.gave_up();
        assert_eq!(health.admit(later), Ok(()));
    }
}
