//! Limits the rate of log lines about events that strangers can cause at any rate.

use std::time::Duration;
use tokio::time::Instant;

/// The least time between two lines.
const EVERY: Duration = Duration::from_secs(60);

/// Counts events of one kind, of which one per minute is logged, together with the number of events
/// since the last line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sparse {
    /// When the last line was due.
    told_at: Option<Instant>,
    /// The events since the last line.
    untold: u64,
}

impl Sparse {
    /// Counts an event at `now`. If a line is due, returns the number of events since the last one,
    /// this one included.
    pub fn count(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        let is_due = self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= EVERY);
        is_due.then(|| {
            self.told_at = Some(now);
            std::mem::take(&mut self.untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_once_a_minute() {
        let start = Instant::now();
        let mut sparse = Sparse::default();
        let told: Vec<(u64, u64)> = (0..200)
            .filter_map(|second| Some((second, sparse.count(start + Duration::from_secs(second))?)))
            .collect();
        assert_eq!(told, [(0, 1), (60, 60), (120, 60), (180, 60)]);
    }

    #[test]
    fn after_a_quiet_time_the_next_is_told_at_once() {
        let (start, mut sparse) = (Instant::now(), Sparse::default());
        let times = [0, 1, 59, 60, 61, 119, 120, 500, 560];
        let told = times.map(|second| sparse.count(start + Duration::from_secs(second)).is_some());
        assert_eq!(told, [true, false, false, true, false, false, true, true, true]);
    }
}
