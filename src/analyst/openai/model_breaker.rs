//! A circuit breaker before a model's server: after some failures in a row nothing is asked for a
//! while, and then one request finds out whether the server is back.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Failures in a row that open the breaker.
const FAILURES_MAX: u32 = 5;
/// The first pause. It doubles with each request that finds the server still away.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long others wait while one request finds out.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// What is known of the server.
#[derive(Debug, Default)]
struct ServerHealth {
    /// Failures since the last success.
    failures: u32,
    /// When the pause ends, and its length; `None` while the breaker is closed.
    open: Option<(Instant, Duration)>,
    /// True while one request finds out whether the server is back.
    is_probed: bool,
}

impl ServerHealth {
    /// Whether a request may be sent now; else how long to wait before asking again.
    fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        let Some((until, _)) = self.open else { return Ok(()) };
        if now < until {
            return Err(until - now);
        }
        if self.is_probed {
            return Err(PROBE_PAUSE);
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
        self.is_probed = false;
        self.open = Some((now + pause, pause));
    }

    /// A request ended in a way that says nothing about the server.
    fn gave_up(&mut self) {
        self.is_probed = false;
    }
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
    pub(super) fn admit(&self) -> Result<(), Duration> {
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

    /// The request ended in a way that says nothing about the server.
    pub(super) fn gave_up(&self) {
        self.health().gave_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(health.admit(now), Err(PAUSE_FIRST));
        // Those that were sent before do not make the pause longer.
        health.failed(now);
        assert_eq!(health.admit(now), Err(PAUSE_FIRST));
        let later = now + PAUSE_FIRST;
        assert_eq!(health.admit(later), Ok(()), "one finds out");
        assert_eq!(health.admit(later), Err(PROBE_PAUSE), "others wait for it");
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
            let pause = health.admit(now).unwrap_err();
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
