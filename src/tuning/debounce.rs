//! When changed files are loaded: not while an editor is still at work.

use std::time::Duration;
use tokio::time::Instant;

/// Files are loaded when they have been at rest for this long.
const REST: Duration = Duration::from_millis(250);
/// And at most this long after their first change.
const LONGEST: Duration = Duration::from_secs(1);
/// Files that cannot be loaded may be half written for this long. Then they are refused.
const UNFINISHED_MAX: Duration = Duration::from_secs(1);

/// Decides when changed files are loaded. A touch is a sign that a file may have changed.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    /// The first and the last touch since the last load.
    touched: Option<(Instant, Instant)>,
    /// When files that cannot be loaded were first seen.
    unfinished_since: Option<Instant>,
}

impl Debounce {
    /// Notes a touch.
    pub(super) fn touch(&mut self, now: Instant) {
        let first = self.touched.map_or(now, |(first, _)| first);
        self.touched = Some((first, now));
    }

    /// When to load; `None` if there is nothing to load.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let rested = self.touched.map(|(first, last)| (last + REST).min(first + LONGEST));
        let patient = self.unfinished_since.map(|since| since + UNFINISHED_MAX);
        [rested, patient].into_iter().flatten().min()
    }

    /// Takes the touches of a load that begins now.
    pub(super) fn begin(&mut self) {
        self.touched = None;
    }

    /// Notes that what was loaded looks half written. True if it has looked so for too long: then
    /// it is refused.
    pub(super) fn unfinished(&mut self, now: Instant) -> bool {
        let since = *self.unfinished_since.get_or_insert(now);
        let is_over = now.saturating_duration_since(since) >= UNFINISHED_MAX;
        if is_over {
            self.unfinished_since = None;
        }
        is_over
    }

    /// Notes that what was loaded is whole, or has been refused.
    pub(super) fn finished(&mut self) {
        self.unfinished_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_load_waits_for_rest_but_not_for_long() {
        for (touches, due) in [
            (&[0][..], 250),
            (&[0, 100], 350),
            (&[0, 200, 400, 600], 850),
            (&[0, 200, 400, 600, 800], 1_000),
            (&[0, 200, 400, 600, 800, 990], 1_000),
        ] {
            let (mut debounce, start) = (Debounce::default(), Instant::now());
            assert_eq!(debounce.due_at(), None);
            for touch in touches {
                debounce.touch(start + ms(*touch));
            }
            assert_eq!(debounce.due_at(), Some(start + ms(due)), "{touches:?}");
            debounce.begin();
            assert_eq!(debounce.due_at(), None);
        }
    }

    #[test]
    fn a_hundred_writes_in_a_second_are_at_most_two_loads() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        let mut loads = 0;
        for at in 0..3_000 {
            let now = start + ms(at);
            if at < 1_000 && at % 10 == 0 {
                debounce.touch(now);
            }
            if debounce.due_at().is_some_and(|due| due <= now) {
                debounce.begin();
                loads += 1;
            }
        }
        assert_eq!(loads, 1);
    }

    #[test]
    fn a_half_written_file_is_tried_again_and_refused_after_a_second() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        debounce.touch(start);
        debounce.begin();
        assert!(!debounce.unfinished(start + ms(250)));
        assert_eq!(debounce.due_at(), Some(start + ms(1_250)));
        // Another write is loaded as soon as it rests.
        debounce.touch(start + ms(300));
        assert_eq!(debounce.due_at(), Some(start + ms(550)));
        debounce.begin();
        assert!(!debounce.unfinished(start + ms(550)));
        assert!(debounce.unfinished(start + ms(1_250)));
        assert_eq!(debounce.due_at(), None);
        // The next wrong file has a second of its own.
        assert!(!debounce.unfinished(start + ms(9_000)));
        debounce.finished();
        assert_eq!(debounce.due_at(), None);
    }
}
