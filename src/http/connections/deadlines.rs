//! How long a connection may stay: a deadline for each of its phases.
//!
//! actix-http has timers for the first head and for silence between requests, and none for anything else. What is
//! here bounds the rest, whatever the peer sends: the head of a later request, a body that is left over after the
//! answer, and an answer that the peer does not read. While a request is being worked on, its handler has the
//! deadline (`server.request_timeout`).
//!
//! Times are milliseconds after the server's start.

use crate::telemetry::faults::Faults;
use std::time::Duration;

/// A peer that reads an answer at least this fast may take as long as it needs, in bytes a second.
const READS_AT_LEAST: u64 = 16 * 1_024;

/// The deadlines of a server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Deadlines {
    /// From the first byte of a request (of the first one: from the connection's opening) to the end of its head.
    pub(in crate::http) head: Duration,
    /// From an answer to the first byte of the next request.
    pub(in crate::http) idle: Duration,
    /// How long an answer may wait for a peer that reads nothing; every [`READS_AT_LEAST`] bytes add a second.
    pub(in crate::http) answer: Duration,
}

impl Deadlines {
    /// Those of a daemon.
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

    /// How often connections are to be checked: a deadline is missed by a tenth of the shortest at most, and by a
    /// second.
    pub(super) fn check_every(&self) -> Duration {
        let shortest = self.head.min(self.idle).min(self.answer);
        (shortest / 10).clamp(Duration::from_millis(20), Duration::from_secs(1))
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Opened; its first request has not come yet.
    Opened,
    /// Something has come after an answer that is no whole request yet.
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
    taken: u64,
}

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No whole request came in time.
    Head,
    /// Nothing came for too long.
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

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PhaseClock {
    phase: Phase,
    since_ms: u64,
    blocked: Option<Blocked>,
}

impl PhaseClock {
    /// Just opened.
    pub(super) const fn opened(now_ms: u64) -> Self {
        Self { phase: Phase::Opened, since_ms: now_ms, blocked: None }
    }

    /// Bytes have come.
    pub(super) fn received(&mut self, now_ms: u64) {
        if self.phase == Phase::Kept {
            (self.phase, self.since_ms) = (Phase::Head, now_ms);
        }
    }

    /// A whole head has come.
    pub(super) fn asks(&mut self, now_ms: u64) {
        (self.phase, self.since_ms) = (Phase::Asking, now_ms);
    }

    /// The request is answered, as far as that is up to us.
    pub(super) fn answered(&mut self, now_ms: u64) {
        (self.phase, self.since_ms) = (Phase::Kept, now_ms);
    }

    /// Bytes that were to be sent could not be.
    pub(super) fn blocked(&mut self, now_ms: u64) {
        self.blocked.get_or_insert(Blocked { since_ms: now_ms, taken: 0 });
    }

    /// The peer took some of what is being sent.
    pub(super) fn took(&mut self, bytes: u64) {
        if let Some(blocked) = &mut self.blocked {
            blocked.taken = blocked.taken.saturating_add(bytes);
        }
    }

    /// All that was to be sent is sent.
    pub(super) fn flushed(&mut self, now_ms: u64) {
        if self.blocked.take().is_some() && self.phase == Phase::Kept {
            self.since_ms = now_ms;
        }
    }

    /// Since when no request is being worked on; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<u64> {
        (self.phase != Phase::Asking).then_some(self.since_ms)
    }

    /// Since when it is in its phase.
    pub(super) const fn since(&self) -> u64 {
        self.since_ms
    }

    /// When a connection that is between two requests was last used; `None` for others.
    pub(super) fn used_at(&self) -> Option<u64> {
        matches!(self.phase, Phase::Kept | Phase::Head).then_some(self.since_ms)
    }

    /// Why it has to end now. actix-http's own timers have the same limits and end a connection in better style
    /// (with 408 for a first head), so they are given a fifth of a head's time to do so.
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
        for (stay, last_s, why) in [
            (first, 12, Overdue::Head),
            (kept, 79, Overdue::Idle),
            (second_head, 60, Overdue::Head),
            (unread, 33, Overdue::Answer),
        ] {
            assert_eq!(stay.overdue(last_s * SECOND, &USUAL), None, "{stay:?}");
            assert_eq!(stay.overdue(last_s * SECOND + 1, &USUAL), Some(why), "{stay:?}");
        }
    }

    #[test]
    fn an_answer_may_be_read_slowly_but_not_a_byte_a_second() {
        for (bytes_a_second, is_ended) in [(1, true), (8 * 1_024, true), (20 * 1_024, false)] {
            let mut stay = PhaseClock::opened(0);
            stay.asks(0);
            stay.blocked(0);
            let ended = (1..=600).find(|second| {
                stay.took(bytes_a_second);
                stay.overdue(second * SECOND, &USUAL).is_some()
            });
            assert_eq!(ended.is_some(), is_ended, "{bytes_a_second}: {ended:?}");
        }
    }

    #[test]
    fn silence_is_counted_from_when_the_answer_was_taken() {
        let mut stay = PhaseClock::opened(0);
        stay.asks(0);
        stay.blocked(0);
        stay.answered(0);
        stay.took(1 << 30);
        stay.flushed(60 * SECOND);
        assert_eq!(stay.overdue(137 * SECOND, &USUAL), None);
        assert_eq!(stay.overdue(137 * SECOND + 1, &USUAL), Some(Overdue::Idle));
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Received,
        Blocked,
        Took(u64),
        Flushed,
    }

    proptest! {
        /// Whatever comes after an answer, if it is no request, the connection ends: within a head's time of the
        /// first byte, or within the idle time where none comes.
        #[test]
        fn nothing_but_requests_keeps_a_connection(
            events in proptest::collection::vec(
                (1_u64..5_000, prop_oneof![
                    Just(Event::Received),
                    Just(Event::Blocked),
                    (0_u64..10_000).prop_map(Event::Took),
                    Just(Event::Flushed),
                ]),
                0..200,
            ),
        ) {
            let mut stay = PhaseClock::opened(0);
            stay.asks(0);
            stay.answered(0);
            let (mut now, mut first_byte) = (0, None);
            for (pause, event) in events {
                now += pause;
                match event {
                    Event::Received => {
                        stay.received(now);
                        first_byte.get_or_insert(now);
                    }
                    Event::Blocked => stay.blocked(now),
                    Event::Took(bytes) => stay.took(bytes),
                    Event::Flushed => stay.flushed(now),
                }
                if let Some(first) = first_byte {
                    prop_assert!(now <= first + 10_000 || stay.overdue(now, &USUAL).is_some());
                }
            }
            prop_assert!(stay.overdue(now + 78_000, &USUAL).is_some());
        }
    }
}
