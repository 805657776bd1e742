//! What strangers can cause at any rate is logged at a bounded one.

use std::time::Duration;
use tokio::time::Instant;

/// One line in this time.
const EVERY: Duration = Duration::from_secs(60);

/// Counts events of one kind; one in a minute is told, with how many there were since the last that was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sparse {
    told_at: Option<Instant>,
    untold: u64,
}

impl Sparse {
    /// An event at `now`: how many are to be told of, itself included, or `None` where it is to be kept for later.
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
        let told = times.map(|it| sparse.count(start + Duration::from_secs(it)).is_some());
        assert_eq!(told, [true, false, false, true, false, false, true, true, true]);
    }
}
