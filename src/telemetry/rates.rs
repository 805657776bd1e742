//! Rates over the last minute.

use std::{
    cmp::Ordering::{Equal, Greater, Less},
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::time::Instant;

/// The seconds over which events are counted.
pub const WINDOW_SECONDS: u64 = 60;
/// The seconds of the window, and the running second.
const BUCKET_COUNT: usize = 61;

/// The low half of a bucket's 64 bits is the count, the high half is the stamp of its second. Both
/// change in one step, without a lock. There are never 2^32 events in a second, and 2^32 seconds
/// are 136 years.
const COUNT_BITS: u32 = 32;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// The rates of a daemon. Each event is counted in the second in which it happens.
#[derive(Debug)]
pub struct Throughput {
    /// The start of second 0.
    started: Instant,
    webhooks: Rate60,
    attempts: Rate60,
    /// The attempts that failed, by kind.
    failed: Mutex<BTreeMap<String, Rate60>>,
}

impl Throughput {
    /// Rates of zero, counted from now on.
    pub fn new() -> Self {
        let (webhooks, attempts) = (Rate60::new(), Rate60::new());
        Self { started: Instant::now(), webhooks, attempts, failed: Mutex::default() }
    }

    /// Counts a webhook that was answered.
    pub fn webhook(&self) {
        self.webhooks.add(self.now_s(), 1);
    }

    /// Counts attempts that ended.
    pub fn attempts(&self, count: u64) {
        self.attempts.add(self.now_s(), count);
    }

    /// Counts attempts of a kind that failed.
    pub fn failed(&self, kind: &str, count: u64) {
        let now_s = self.now_s();
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.get(kind) {
            Some(rate) => rate.add(now_s, count),
            None => failed.entry(kind.to_owned()).or_default().add(now_s, count),
        }
    }

    /// How many attempts of a kind fail in a minute, by the last 60 s.
    pub fn failed_per_minute(&self, kind: &str) -> u64 {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(kind).map_or(0, |rate| rate.per_minute(self.now_s()))
    }

    /// Webhooks and attempts per second, over the last 60 s.
    pub fn per_second(&self) -> (f64, f64) {
        self.per_second_at(self.now_s())
    }

    fn per_second_at(&self, now_s: u64) -> (f64, f64) {
        (self.webhooks.per_second(now_s), self.attempts.per_second(now_s))
    }

    fn now_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

impl Default for Throughput {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts the events of the last 60 s, without a lock.
///
/// The caller passes the time: whole seconds of one monotonic clock. An event whose second is older
/// than the window is not counted.
#[derive(Debug)]
pub struct Rate60 {
    /// Bucket `second % BUCKET_COUNT` counts the events of that second.
    buckets: [AtomicU64; BUCKET_COUNT],
}

impl Default for Rate60 {
    fn default() -> Self {
        Self::new()
    }
}

impl Rate60 {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKET_COUNT] }
    }

    /// Counts `n` events in second `now_s`.
    pub fn add(&self, now_s: u64, n: u64) {
        let Some(bucket) = self.bucket(now_s) else { return };
        let stamp = stamp(now_s);
        // Relaxed, since each bucket is complete in itself, and a reader may be a moment behind.
        let _unless_a_round_behind = bucket.fetch_update(Relaxed, Relaxed, |old| {
            let count = match (old >> COUNT_BITS).cmp(&stamp) {
                Less => 0,
                Equal => old & COUNT_MAX,
                // Another thread is a whole round ahead: the event is out of the window.
                Greater => return None,
            };
            Some((stamp << COUNT_BITS) | count.saturating_add(n).min(COUNT_MAX))
        });
    }

    /// Events in the 60 whole seconds before second `now_s`. The running second is left out:
    /// otherwise the number would drop at the start of each second.
    pub fn count(&self, now_s: u64) -> u64 {
        let first = now_s.saturating_sub(WINDOW_SECONDS);
        let count = |second: u64| {
            let bits = self.bucket(second).map_or(0, |bucket| bucket.load(Relaxed));
            if bits >> COUNT_BITS == stamp(second) { bits & COUNT_MAX } else { 0 }
        };
        (first..now_s).map(count).fold(0, u64::saturating_add)
    }

    /// How many events a minute has at the rate of the 60 seconds before second `now_s`. In the
    /// first minute, at the rate since second 0.
    pub fn per_minute(&self, now_s: u64) -> u64 {
        self.count(now_s).saturating_mul(WINDOW_SECONDS) / now_s.clamp(1, WINDOW_SECONDS)
    }

    /// The mean rate over the 60 seconds before second `now_s`. In the first minute, over the
    /// seconds since second 0, so that a daemon that has just started does not look idle.
    pub fn per_second(&self, now_s: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
        let count = self.count(now_s) as f64;
        let seconds = u32::try_from(now_s.clamp(1, WINDOW_SECONDS)).unwrap_or(1);
        count / f64::from(seconds)
    }

    fn bucket(&self, second: u64) -> Option<&AtomicU64> {
        let index = usize::try_from(second % BUCKET_COUNT as u64).ok()?;
        self.buckets.get(index)
    }
}

/// The stamp of a second: one more than the second, so that an unused bucket (0) belongs to none.
const fn stamp(second: u64) -> u64 {
    second.saturating_add(1) & COUNT_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_steady_rate_is_that_rate() {
        let rate = Rate60::new();
        for second in 0..200 {
            rate.add(second, 7);
        }
        assert!((rate.per_second(200) - 7.0).abs() < f64::EPSILON);
        assert!((rate.per_second(230) - 3.5).abs() < f64::EPSILON);
        assert_eq!(rate.count(261), 0);
    }

    #[test]
    fn what_ended_an_hour_ago_is_not_shown_as_of_the_last_minute_whenever_somebody_looks() {
        let throughput = Throughput::new();
        throughput.webhook();
        throughput.attempts(600);
        let (webhooks, attempts) = throughput.per_second_at(30);
        assert!(webhooks > 0.0 && (attempts - 20.0).abs() < f64::EPSILON, "{webhooks} {attempts}");
        // Nobody has asked for an hour.
        let (webhooks, attempts) = throughput.per_second_at(3_600);
        assert!(webhooks.abs() < f64::EPSILON && attempts.abs() < f64::EPSILON);
    }

    #[test]
    fn a_young_daemon_is_judged_by_its_age() {
        let rate = Rate60::new();
        rate.add(0, 10);
        rate.add(1, 10);
        assert!((rate.per_second(2) - 10.0).abs() < f64::EPSILON);
        assert!(rate.per_second(0).abs() < f64::EPSILON);
    }

    #[test]
    fn threads_lose_no_event() {
        let rate = Rate60::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000_u64).for_each(|n| rate.add(n / 500, 1)));
            }
        });
        assert_eq!(rate.count(20), 40_000);
    }

    proptest! {
        #[test]
        fn it_counts_what_a_map_would(
            start in 0..4_000_000_000_u64,
            events in prop::collection::vec((0..5_u64, 0..1_000_u64), 1..300),
            later in 0..130_u64,
        ) {
            let rate = Rate60::new();
            let mut model = BTreeMap::<u64, u64>::new();
            let mut now = start;
            for (step, n) in events {
                now += step;
                rate.add(now, n);
                *model.entry(now).or_default() += n;
                let window = now.saturating_sub(WINDOW_SECONDS)..now;
                prop_assert_eq!(rate.count(now), model.range(window).map(|(_, n)| n).sum::<u64>());
            }
            now += later;
            let window = now.saturating_sub(WINDOW_SECONDS)..now;
            prop_assert_eq!(rate.count(now), model.range(window).map(|(_, n)| n).sum::<u64>());
        }
    }
}
