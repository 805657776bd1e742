//! What the daemon did lately, for charts and for the rules of the alerts: rings of numbers in
//! memory, of this node.
//!
//! A timer gives all counters once a second ([`History::push`]). So nothing that counts costs more
//! because of the history. Three rings keep a number for each second of 5 minutes, each 10 s of an
//! hour, and each minute of a day.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The most series. Those beyond are not kept.
pub const SERIES_MAX: usize = 88;

/// What a series is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SeriesName {
    /// Webhooks a second that were answered with this outcome.
    Webhooks(&'static str),
    /// Jobs of a kind that wait, on all nodes.
    Backlog(&'static str),
    /// The time in seconds within which 95 of 100 attempts of a kind started after they were due.
    Wait(&'static str),
    /// The time in seconds within which 95 of 100 attempts of a kind ended after they had started.
    Run(&'static str),
    /// Answers a second that were sent over a channel.
    Sent(&'static str),
    /// Attempts of a kind that ended, a second.
    Ended(&'static str),
    /// Attempts of a kind that failed, a second.
    Failed(&'static str),
    /// Actors that were started again, a second: the slots of a kind, or all of another type.
    Restarts(&'static str),
}

/// A value of a series at one time.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesReading {
    /// A counter that only grows: the series has its rate.
    Count(u64),
    /// A number that goes up and down: the series has it as it is. NaN: not known.
    Level(f64),
    /// How many were observed so far at or below each bound of a histogram, and in all as the last
    /// one: the series has the 95th percentile of those that were added. NaN: none was.
    Observed(Vec<u64>),
}

/// How far back to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistorySpan {
    /// Five minutes, a number a second.
    FiveMinutes,
    /// An hour, a number for each 10 s.
    Hour,
    /// A day, a number a minute.
    Day,
}

impl HistorySpan {
    const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    /// The seconds for which one number stands.
    pub const fn step_seconds(self) -> u64 {
        match self {
            Self::FiveMinutes => 1,
            Self::Hour => 10,
            Self::Day => 60,
        }
    }

    /// The most numbers.
    pub const fn length(self) -> usize {
        match self {
            Self::FiveMinutes => 300,
            Self::Hour => 360,
            Self::Day => 1_440,
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::FiveMinutes => 0,
            Self::Hour => 1,
            Self::Day => 2,
        }
    }
}

/// The history of a daemon.
#[derive(Debug)]
pub struct History(Mutex<Rings>);

impl History {
    /// An empty history of these series, of which the first [`SERIES_MAX`] are kept. `bounds` tells
    /// those of the histogram of a series, without the last one, which is infinite.
    pub fn new(
        names: impl IntoIterator<Item = SeriesName>,
        bounds: fn(&SeriesName) -> &'static [f64],
    ) -> Self {
        Self(Mutex::new(Rings::new(names.into_iter().take(SERIES_MAX).collect(), bounds)))
    }

    /// The series that are kept.
    pub fn names(&self) -> Vec<SeriesName> {
        self.rings().names.clone()
    }

    /// Notes all series as they are at a second, which counts from the start. A second that is not
    /// later than the last one is passed over. What was counted in seconds that were left out is
    /// spread over them; their other numbers are NaN.
    pub fn push(&self, second: u64, mut read: impl FnMut(&SeriesName) -> SeriesReading) {
        let names = self.names();
        // Reading happens without the lock.
        let readings: Vec<SeriesReading> = names.iter().map(&mut read).collect();
        self.rings().push(second, &readings);
    }

    /// The numbers of a series, oldest first; empty if it is not kept. NaN is a number that is not
    /// known.
    pub fn numbers(&self, name: &SeriesName, span: HistorySpan) -> Vec<f64> {
        self.rings().numbers(name, span)
    }

    /// The same as at most `points` numbers, each the mean of those that it stands for, or the
    /// greatest for [`SeriesName::Wait`] and [`SeriesName::Run`].
    pub fn chart(&self, name: &SeriesName, span: HistorySpan, points: usize) -> Vec<f64> {
        let is_peak = matches!(name, SeriesName::Wait(_) | SeriesName::Run(_));
        thinned(&self.numbers(name, span), points, is_peak)
    }

    /// How many events a series of rates has counted within the last `seconds`, of which it knows
    /// an hour.
    pub fn count_within(&self, name: &SeriesName, seconds: u64) -> u64 {
        self.rings().count_within(name, seconds)
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rings of all series.
#[derive(Debug)]
struct Rings {
    names: Vec<SeriesName>,
    /// Where a series stands in `names`.
    places: HashMap<SeriesName, usize>,
    /// The bounds of their histograms, in the same order.
    bounds: Vec<&'static [f64]>,
    /// By [`HistorySpan::place`].
    rings: [Ring; 3],
    /// The newest readings.
    newest: Vec<SeriesReading>,
    newest_second: Option<u64>,
}

/// The numbers of all series for one span.
#[derive(Debug)]
struct Ring {
    span: HistorySpan,
    /// Number `n` of series `s` is at `s * length + n % length`.
    numbers: Vec<f64>,
    /// How many numbers each series has had.
    count: usize,
    /// The step and the readings at which the last number ended.
    last: Option<(u64, Vec<SeriesReading>)>,
}

impl Rings {
    fn new(names: Vec<SeriesName>, bounds: fn(&SeriesName) -> &'static [f64]) -> Self {
        let ring = |span: HistorySpan| Ring {
            span,
            numbers: vec![f64::NAN; names.len() * span.length()],
            count: 0,
            last: None,
        };
        Self {
            places: names.iter().cloned().zip(0..).collect(),
            rings: HistorySpan::ALL.map(ring),
            bounds: names.iter().map(bounds).collect(),
            names,
            newest: Vec::new(),
            newest_second: None,
        }
    }

    fn push(&mut self, second: u64, readings: &[SeriesReading]) {
        if self.newest_second.is_some_and(|newest| second <= newest) {
            return;
        }
        for ring in &mut self.rings {
            ring.push(second, readings, &self.bounds);
        }
        self.newest = readings.to_vec();
        self.newest_second = Some(second);
    }

    fn ring(&self, span: HistorySpan) -> Option<&Ring> {
        self.rings.get(span.place())
    }

    fn numbers(&self, name: &SeriesName, span: HistorySpan) -> Vec<f64> {
        let (Some(series), Some(ring)) = (self.places.get(name), self.ring(span)) else {
            return Vec::new();
        };
        ring.of(*series)
    }

    fn count_within(&self, name: &SeriesName, seconds: u64) -> u64 {
        const SPAN: HistorySpan = HistorySpan::Hour;
        let (Some(series), Some(ring)) = (self.places.get(name), self.ring(SPAN)) else { return 0 };
        // What was counted since the last step ended.
        let Some((_, last)) = &ring.last else { return 0 };
        let open = match (self.newest.get(*series), last.get(*series)) {
            (Some(SeriesReading::Count(now)), Some(SeriesReading::Count(then))) => {
                now.saturating_sub(*then)
            }
            _ => 0,
        };
        let steps = usize::try_from(seconds / SPAN.step_seconds()).unwrap_or(usize::MAX);
        let rates = ring.of(*series);
        let sum: f64 = rates.iter().rev().take(steps).filter(|rate| !rate.is_nan()).sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is not negative, and events within an hour are far below 2^52"
        )]
        let counted = (sum * SPAN.step_seconds() as f64).round() as u64;
        counted.saturating_add(open)
    }
}

impl Ring {
    fn push(&mut self, second: u64, readings: &[SeriesReading], bounds: &[&'static [f64]]) {
        let step = second / self.span.step_seconds();
        let Some((last_step, last)) = &self.last else {
            self.last = Some((step, readings.to_vec()));
            return;
        };
        let steps = step.saturating_sub(*last_step);
        if steps == 0 {
            return;
        }
        let length = self.span.length();
        // A number is one for each step, so steps without a reading count, too.
        let missed = usize::try_from(steps - 1).unwrap_or(usize::MAX).min(length);
        // Of whole steps, so that the numbers add up to what was counted.
        let elapsed = steps * self.span.step_seconds();
        let added: Vec<f64> = readings
            .iter()
            .zip(last)
            .zip(bounds)
            .map(|((now, then), bounds)| number(now, then, elapsed, bounds))
            .collect();
        // What was counted over a gap is spread over all of its steps, so that it adds up. Levels
        // and histograms of a gap are not known.
        let is_rate = |series: usize| {
            let at = |of: &[SeriesReading]| matches!(of.get(series), Some(SeriesReading::Count(_)));
            at(readings) && at(last)
        };
        let number_of = |series: usize| added.get(series).copied().unwrap_or(f64::NAN);
        let filler: Vec<f64> = (0..readings.len())
            .map(|series| if is_rate(series) { number_of(series) } else { f64::NAN })
            .collect();
        for _ in 0..missed {
            self.add(|series| filler.get(series).copied().unwrap_or(f64::NAN));
        }
        self.add(number_of);
        self.last = Some((step, readings.to_vec()));
    }

    fn add(&mut self, number_of: impl Fn(usize) -> f64) {
        let length = self.span.length();
        let at = self.count % length;
        for (series, numbers) in self.numbers.chunks_mut(length).enumerate() {
            if let Some(number) = numbers.get_mut(at) {
                *number = number_of(series);
            }
        }
        self.count += 1;
    }

    /// The numbers of a series, oldest first.
    fn of(&self, series: usize) -> Vec<f64> {
        let length = self.span.length();
        let Some(numbers) = self.numbers.chunks(length).nth(series) else { return Vec::new() };
        let (newer, older) = numbers.split_at(self.count % length);
        match self.count < length {
            true => newer.to_vec(),
            false => [older, newer].concat(),
        }
    }
}

/// The number of a step that began with `then` and ended with `now`, `elapsed` seconds later.
fn number(now: &SeriesReading, then: &SeriesReading, elapsed: u64, bounds: &[f64]) -> f64 {
    match (now, then) {
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
        (SeriesReading::Count(now), SeriesReading::Count(then)) => {
            now.saturating_sub(*then) as f64 / elapsed.max(1) as f64
        }
        (SeriesReading::Level(now), _) => *now,
        (SeriesReading::Observed(now), SeriesReading::Observed(then)) => {
            percentile(now, then, bounds)
        }
        (SeriesReading::Count(_) | SeriesReading::Observed(_), _) => f64::NAN,
    }
}

/// The 95th percentile of what a histogram observed from `then` to `now`: within a bucket it is
/// taken as spread evenly, as Prometheus does. What lies above the last bound counts as that bound.
fn percentile(now: &[u64], then: &[u64], bounds: &[f64]) -> f64 {
    let added = |at: usize| {
        let of = |counts: &[u64]| counts.get(at).copied().unwrap_or_default();
        of(now).saturating_sub(of(then))
    };
    let all = added(bounds.len());
    if all == 0 {
        return f64::NAN;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of attempts are far below 2^52")]
    let counted = |count: u64| count as f64;
    let rank = counted(all) * 0.95;
    let (mut below, mut lower) = (0, 0.0);
    for (at, bound) in bounds.iter().enumerate() {
        let upto = added(at);
        if counted(upto) >= rank {
            let share = (rank - counted(below)) / counted(upto.saturating_sub(below).max(1));
            return lower + (bound - lower) * share;
        }
        (below, lower) = (upto, *bound);
    }
    lower
}

/// At most `points` numbers that stand for all: means, or the greatest. Groups count from the
/// newest number, so that a group stays the same while numbers are added to it.
fn thinned(numbers: &[f64], points: usize, is_peak: bool) -> Vec<f64> {
    let group = numbers.len().div_ceil(points.max(1)).max(1);
    let mut thinned: Vec<f64> = numbers.rchunks(group).map(|it| joined(it, is_peak)).collect();
    thinned.reverse();
    thinned
}

fn joined(numbers: &[f64], is_peak: bool) -> f64 {
    let known = || numbers.iter().copied().filter(|it| !it.is_nan());
    if is_peak {
        return known().fold(f64::NAN, f64::max);
    }
    let (sum, count) = known().fold((0.0, 0.0), |(sum, count), it| (sum + it, count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEBHOOKS: SeriesName = SeriesName::Webhooks("accepted");
    const BACKLOG: SeriesName = SeriesName::Backlog("A");
    const WAIT: SeriesName = SeriesName::Wait("A");
    const RUN: SeriesName = SeriesName::Run("A");

    fn history() -> History {
        History::new([WEBHOOKS, BACKLOG, WAIT, RUN], |name| {
            if *name == RUN { &[10.0, 20.0, 40.0] } else { &[1.0, 2.0, 4.0] }
        })
    }

    fn same(found: &[f64], expected: &[f64]) {
        let is_same = |(one, other): (&f64, &f64)| {
            (one - other).abs() < 1e-9 || one.is_nan() && other.is_nan()
        };
        let all = found.len() == expected.len() && found.iter().zip(expected).all(is_same);
        assert!(all, "{found:?} instead of {expected:?}");
    }

    #[test]
    fn a_counter_becomes_its_rate_a_level_stays_and_a_histogram_its_percentile() {
        let history = history();
        for (second, count, level, observed) in [
            (0, 100, 5.0, [0, 0, 0, 0]),
            (1, 107, 6.0, [0, 20, 20, 20]),
            (2, 107, f64::NAN, [0, 20, 20, 20]),
            (3, 108, 2.0, [0, 20, 20, 21]),
        ] {
            history.push(second, |name| match name {
                SeriesName::Webhooks(_) => SeriesReading::Count(count),
                SeriesName::Backlog(_) => SeriesReading::Level(level),
                SeriesName::Wait(_)
                | SeriesName::Run(_)
                | SeriesName::Sent(_)
                | SeriesName::Ended(_)
                | SeriesName::Failed(_)
                | SeriesName::Restarts(_) => SeriesReading::Observed(observed.to_vec()),
            });
        }
        let of = |name| history.numbers(&name, HistorySpan::FiveMinutes);
        same(&of(WEBHOOKS), &[7.0, 0.0, 1.0]);
        same(&of(BACKLOG), &[6.0, f64::NAN, 2.0]);
        same(&of(WAIT), &[1.95, f64::NAN, 4.0]);
        same(&of(RUN), &[19.5, f64::NAN, 40.0]);
        assert!(of(SeriesName::Sent("nowhere")).is_empty());
        assert!(history.numbers(&WEBHOOKS, HistorySpan::Hour).is_empty(), "no step has ended");
    }

    #[test]
    fn the_events_of_steps_that_were_left_out_are_not_lost() {
        let history = history();
        for (second, count) in [(10, 0), (11, 4), (14, 10), (13, 99), (20, 30)] {
            history.push(second, |_| SeriesReading::Count(count));
        }
        let seconds = history.numbers(&WEBHOOKS, HistorySpan::FiveMinutes);
        let later = 20.0 / 6.0;
        same(&seconds, &[4.0, 2.0, 2.0, 2.0, later, later, later, later, later, later]);
        same(&history.numbers(&WEBHOOKS, HistorySpan::Hour), &[3.0]);
        assert_eq!(history.count_within(&WEBHOOKS, 60), 30);
        // Also if the readings come in the middle of steps.
        let history = self::history();
        for (second, count) in [(11, 0), (35, 24), (40, 30), (95, 90)] {
            history.push(second, |name| match name {
                SeriesName::Webhooks(_) => SeriesReading::Count(count),
                SeriesName::Backlog(_)
                | SeriesName::Wait(_)
                | SeriesName::Run(_)
                | SeriesName::Sent(_)
                | SeriesName::Ended(_)
                | SeriesName::Failed(_)
                | SeriesName::Restarts(_) => SeriesReading::Level(2.0),
            });
        }
        same(
            &history.numbers(&WEBHOOKS, HistorySpan::Hour),
            &[1.2, 1.2, 0.6, 12.0 / 10.0, 1.2, 1.2, 1.2, 1.2],
        );
        assert_eq!(history.count_within(&WEBHOOKS, 300), 90);
        let gap = f64::NAN;
        let levels = history.numbers(&BACKLOG, HistorySpan::Hour);
        same(&levels, &[gap, 2.0, 2.0, gap, gap, gap, gap, 2.0]);
    }

    #[test]
    fn a_chart_has_means_or_peaks_and_few_points() {
        let gap = f64::NAN;
        let numbers = [1.0, 3.0, gap, 5.0, gap, gap, 4.0];
        same(&thinned(&numbers, 100, false), &numbers);
        same(&thinned(&numbers, 4, false), &[1.0, 3.0, 5.0, 4.0]);
        same(&thinned(&numbers, 3, true), &[1.0, 5.0, 4.0]);
        same(&thinned(&[], 3, true), &[]);
    }

    #[test]
    fn the_newest_steps_are_counted_with_what_came_since() {
        let history = history();
        let mut count = 0;
        for second in 0..=1_205 {
            count += 2;
            history.push(second, |_| SeriesReading::Count(count));
        }
        // 90 steps and the five seconds since the last of them.
        assert_eq!(history.count_within(&WEBHOOKS, 900), 1_800 + 10);
        assert_eq!(history.count_within(&BACKLOG, 900), 1_810);
        assert_eq!(history.count_within(&SeriesName::Sent("nowhere"), 900), 0);
    }

    #[test]
    fn it_is_bounded() {
        let names = (0..100).map(|_| WEBHOOKS).chain([BACKLOG]);
        let history = History::new(names, |_| &[]);
        let rings = history.rings();
        let numbers: usize = rings.rings.iter().map(|ring| ring.numbers.len()).sum();
        assert_eq!(rings.names.len(), SERIES_MAX);
        assert!(numbers * size_of::<f64>() < 2_000_000, "{numbers}");
    }

    proptest! {
        /// A ring is the end of the list of all numbers.
        #[test]
        fn a_ring_is_what_a_list_would_be(counts in prop::collection::vec(0..1_000_u64, 2..700)) {
            let history = history();
            let mut sum = 0;
            for (second, count) in (0..).zip(&counts) {
                sum += count;
                history.push(second, |_| SeriesReading::Count(sum));
            }
            let rates: Vec<f64> = counts.iter().skip(1).map(|it| *it as f64).collect();
            let kept = &rates[rates.len().saturating_sub(300)..];
            prop_assert_eq!(history.numbers(&WEBHOOKS, HistorySpan::FiveMinutes), kept);
        }
    }
}
