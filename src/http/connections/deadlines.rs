//! How long a connection may stay open: a deadline for each of its phases.
//!
//! actix-http has timers for the first head and for silence between requests. The deadlines here
//! bound the rest, whatever the peer sends: the head of a later request, a body that is left over
//! after the answer, and an answer that the peer does not read. While a request is being worked on,
//! its handler has the deadline (`server.request_timeout`).
//!
//! Times are milliseconds after the server's start.

use crate::telemetry::faults::Faults;
use std::time::Duration;

/// A peer that reads an answer at least this fast may take as long as it needs. Bytes a second.
const READS_AT_LEAST: u64 = 16 * 1_024;

/// The deadlines of a server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Deadlines {
    /// From the first byte of a request to the end of its head. For the first request it begins
    /// when the connection is opened.
    pub(in crate::http) head: Duration,
    /// From an answer to the first byte of the next request.
    pub(in crate::http) idle: Duration,
    /// How long an answer may wait for a peer that reads nothing. Every [`READS_AT_LEAST`] bytes
    /// that it reads add a second.
    pub(in crate::http) answer: Duration,
}

impl Deadlines {
    /// The deadlines of a daemon.
    pub(in crate::http) const USUAL: Self = Self {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        answer: Duration::from_secs(30),
    };

    /// The usual ones, or those that a test has set.
    pub(in crate::http) fn of(faults: &Faults) -> Self {
        Self {
            head: faults.limit("http.head", Self::USUAL.head),
            idle: faults.limit("http.idle", Self::USUAL.idle),
            answer: faults.limit("http.answer", Self::USUAL.answer),
        }
    }

    /// How often connections are checked. A deadline is noticed late by at most a tenth of the
    /// shortest deadline, and by at most a second.
    pub(super) fn check_every(&self) -> Duration {
        let shortest = self.head.min(self.idle).min(self.answer);
        (shortest / 10).clamp(Duration::from_millis(20), Duration::from_secs(1))
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is open, and its first request has not come yet.
    Opened,
    /// After an answer, something has come that is no whole request yet.
    Head,
    /// A request is being worked on or answered.
    Asking,
    /// The last request was answered.
    Kept,
}

/// An answer that the peer does not take as fast as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocked {
    since_ms: u64,
    /// Bytes that the peer has taken since then.
    taken: u64,
}

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No whole request came in time.
    Head,
    /// No request came for too long.
    Idle,
    /// The peer does not read its answer.
    Answer,
}

impl Overdue {
    /// The word in metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Answer => "answer",
        }
    }
}

/// The phase of a connection, and since when it has been in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PhaseClock {
    phase: Phase,
    since_ms: u64,
    blocked: Option<Blocked>,
}

impl PhaseClock {
    /// A connection that has just been opened.
    pub(super) const fn opened(now_ms: u64) -> Self {
        Self { phase: Phase::Opened, since_ms: now_ms, blocked: None }
    }

    /// Notes that bytes have come.
    pub(super) fn received(&mut self, now_ms: u64) {
        if self.phase == Phase::Kept {
            (self.phase, self.since_ms) = (Phase::Head, now_ms);
        }
    }

    /// Notes that a whole head has come.
    pub(super) fn asks(&mut self, now_ms: u64) {
        (self.phase, self.since_ms) = (Phase::Asking, now_ms);
    }

    /// Notes that the answer has been given to the system to send.
    pub(super) fn answered(&mut self, now_ms: u64) {
        (self.phase, self.since_ms) = (Phase::Kept, now_ms);
    }

    /// Notes that bytes could not be sent, because the peer does not read.
    pub(super) fn blocked(&mut self, now_ms: u64) {
        self.blocked.get_or_insert(Blocked { since_ms: now_ms, taken: 0 });
    }

    /// Notes that the peer took `bytes` of what is being sent.
    pub(super) fn took(&mut self, bytes: u64) {
        if let Some(blocked) = &mut self.blocked {
            blocked.taken = blocked.taken.saturating_add(bytes);
        }
    }

    /// Notes that all is sent.
    pub(super) fn flushed(&mut self, now_ms: u64) {
        if self.blocked.take().is_some() && self.phase == Phase::Kept {
            self.since_ms = now_ms;
        }
    }

    /// The time since when no request is being worked on; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<u64> {
        (self.phase != Phase::Asking).then_some(self.since_ms)
    }

    /// The time since when it is in its phase.
    pub(super) const fn since(&self) -> u64 {
        self.since_ms
    }

    /// When it was last used, if it is between two requests.
    pub(super) fn used_at(&self) -> Option<u64> {
        matches!(self.phase, Phase::Kept | Phase::Head).then_some(self.since_ms)
    }

    /// Why it has to end now; `None` if it may stay.
    ///
    /// actix-http's own timers have the same limits for the first head and for silence, and answer
    /// a late head with 408. So the deadlines of these two fire a fifth of a head's time later.
    pub(super) fn overdue(&self, now_ms: u64, deadlines: &Deadlines) -> Option<Overdue> {
        let longer_than = |since: u64, limit: Duration| {
            u128::from(now_ms.saturating_sub(since)) > limit.as_millis()
        };
        if let Some(Blocked { since_ms, taken }) = self.blocked
            && longer_than(since_ms, deadlines.answer + Duration::from_secs(taken / READS_AT_LEAST))
        {
            return Some(Overdue::Answer);
        }
        let grace = deadlines.head / 5;
        match self.phase {
            Phase::Asking => None,
            Phase::Opened => {
                longer_than(self.since_ms, deadlines.head + grace).then_some(Overdue::Head)
            }
            Phase::Head => longer_than(self.since_ms, deadlines.head).then_some(Overdue::Head),
            Phase::Kept => {
                longer_than(self.since_ms, deadlines.idle + grace).then_some(Overdue::Idle)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000;
    const USUAL: Deadlines = Deadlines::USUAL;

    #[test]
    fn each_phase_has_its_deadline() {
        let first = PhaseClock::opened(0);
        let mut kept = first;
        kept.asks(SECOND);
        assert_eq!(kept.overdue(9_000 * SECOND, &USUAL), None, "its handler has the deadline");
        kept.answered(2 * SECOND);
        let mut second_head = kept;
        second_head.received(50 * SECOND);
        second_head.received(59 * SECOND);
        let mut unread = kept;
        unread.blocked(3 * SECOND);
        for (clock, last_s, why) in [
            (first, 12, Overdue::Head),
            (kept, 79, Overdue::Idle),
            (second_head, 60, Overdue::Head),
            (unread, 33, Overdue::Answer),
        ] {
            assert_eq!(clock.overdue(last_s * SECOND, &USUAL), None, "{clock:?}");
            assert_eq!(clock.overdue(last_s * SECOND + 1, &USUAL), Some(why), "{clock:?}");
        }
    }

    #[test]
    fn an_answer_may_be_read_slowly_but_not_a_byte_a_second() {
        for (bytes_a_second, is_ended) in [(1, true), (8 * 1_024, true), (20 * 1_024, false)] {
            let mut clock = PhaseClock::opened(0);
            clock.asks(0);
            clock.blocked(0);
            let ended = (1..=600).find(|second| {
                clock.took(bytes_a_second);
                clock.overdue(second * SECOND, &USUAL).is_some()
            });
            assert_eq!(ended.is_some(), is_ended, "{bytes_a_second}: {ended:?}");
        }
    }

    #[test]
    fn silence_is_counted_from_when_the_answer_was_taken() {
        let mut clock = PhaseClock::opened(0);
        clock.asks(0);
        clock.blocked(0);
        clock.answered(0);
        clock.took(1 << 30);
        clock.flushed(60 * SECOND);
        assert_eq!(clock.overdue(137 * SECOND, &USUAL), None);
        assert_eq!(clock.overdue(137 * SECOND + 1, &USUAL), Some(Overdue::Idle));
    }

    #[derive(Clone, Copy, Debug)]
    enum ClockEvent {
        Received,
        Blocked,
        Took(u64),
        Flushed,
    }

    proptest! {
        /// Only a request keeps a connection. Whatever else comes after an answer, the connection
        /// ends: within a head's time of the first byte, or within the idle time if none comes.
        #[test]
        fn nothing_but_requests_keeps_a_connection(
            events in proptest::collection::vec(
                (1_u64..5_000, prop_oneof![
                    Just(ClockEvent::Received),
                    Just(ClockEvent::Blocked),
                    (0_u64..10_000).prop_map(ClockEvent::Took),
                    Just(ClockEvent::Flushed),
                ]),
                0..200,
            ),
        ) {
            let mut clock = PhaseClock::opened(0);
            clock.asks(0);
            clock.answered(0);
            let (mut now, mut first_byte) = (0, None);
            for (pause, event) in events {
                now += pause;
                match event {
                    ClockEvent::Received => {
                        clock.received(now);
                        first_byte.get_or_insert(now);
                    }
                    ClockEvent::Blocked => clock.blocked(now),
                    ClockEvent::Took(bytes) => clock.took(bytes),
                    ClockEvent::Flushed => clock.flushed(now),
                }
                if let Some(first) = first_byte {
                    prop_assert!(now <= first + 10_000 || clock.overdue(now, &USUAL).is_some());
                }
            }
            prop_assert!(clock.overdue(now + 78_000, &USUAL).is_some());
        }
    }
}
