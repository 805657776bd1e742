//! The loads of this process since its start, as far as they said something new.

use super::report::{ReloadOutcome, ReloadReport};
use crate::{
    config::{ChangedKey, ConfigError},
    domain::{Timestamp, text::beginning},
    store::Via,
};
use std::{collections::VecDeque, sync::Arc};

/// How many loads are kept. With the bounds below they take a megabyte at most.
const LOADS_MAX: usize = 50;
/// How many changed keys of a load are kept.
const CHANGED_MAX: usize = 20;
/// How many errors of a load are kept.
const ERRORS_MAX: usize = 5;
/// The most bytes of a key, a value, a place or a name.
const TEXT_BYTES_MAX: usize = 200;
/// The most bytes of what an error says.
const MESSAGE_BYTES_MAX: usize = 500;

/// A load that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLoad {
    /// The first load that was kept since the start has the number 1.
    pub number: i64,
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: ReloadOutcome,
    /// How the wish for it came.
    pub via: Via,
    /// A person's name, `file` or `signal`.
    pub by: String,
    /// The hash of the configuration that ran after it.
    pub hash: String,
    /// The first keys that it changed, secrets masked, long values cut. Those that wait for a
    /// restart are among them, and those that wait no more, since their change was taken back.
    pub changed: Vec<ChangedKey>,
    /// How many more keys it changed.
    pub more_changed: usize,
    /// The first reasons for which it was refused.
    pub errors: Vec<ConfigError>,
    /// How many more reasons there were.
    pub more_errors: usize,
}

impl KeptLoad {
    fn of(number: i64, report: &ReloadReport, old_pending: &[ChangedKey]) -> Self {
        let all = report.differences(old_pending);
        let more_changed = all.len().saturating_sub(CHANGED_MAX);
        let changed = all.into_iter().take(CHANGED_MAX).map(|it| ChangedKey {
            key: cut(&it.key, TEXT_BYTES_MAX),
            old: it.old.as_deref().map(|it| cut(it, TEXT_BYTES_MAX)),
            new: it.new.as_deref().map(|it| cut(it, TEXT_BYTES_MAX)),
            applies: it.applies,
            origin: cut(&it.origin, TEXT_BYTES_MAX),
        });
        let error = |it: &ConfigError| ConfigError {
            origin: it.origin.as_deref().map(|it| cut(it, TEXT_BYTES_MAX)),
            key: it.key.as_deref().map(|it| cut(it, TEXT_BYTES_MAX)),
            message: cut(&it.message, MESSAGE_BYTES_MAX),
        };
        Self {
            number,
            at: report.at,
            outcome: report.outcome,
            via: report.by.via,
            by: cut(&report.by.actor, TEXT_BYTES_MAX),
            hash: report.hash.clone(),
            changed: changed.collect(),
            more_changed,
            errors: report.errors.iter().take(ERRORS_MAX).map(error).collect(),
            more_errors: report.errors.len().saturating_sub(ERRORS_MAX),
        }
    }
}

/// The loads of this process that said something new, of which the last 50 are kept.
///
/// A load is kept if it was applied; if it was refused, unless the load before it was refused for
/// the same reasons; and if it found nothing new after one that was refused, since the files are
/// right again then. So a load that is repeated pushes out no other.
#[derive(Clone, Debug)]
pub struct LoadHistory {
    since: Timestamp,
    /// How many were kept since the start.
    count: i64,
    /// The newest first.
    loads: VecDeque<Arc<KeptLoad>>,
}

impl LoadHistory {
    /// No load yet, of a process that started then.
    pub(super) const fn new(since: Timestamp) -> Self {
        Self { since, count: 0, loads: VecDeque::new() }
    }

    /// The history with one more load, if it says something new. `before` is the load before it,
    /// and `old_pending` are the keys that waited for a restart before.
    #[must_use]
    pub(super) fn with(
        &self,
        report: &ReloadReport,
        before: Option<&ReloadReport>,
        old_pending: &[ChangedKey],
    ) -> Self {
        let mut history = self.clone();
        if is_news(report, before) {
            history.count += 1;
            let load = KeptLoad::of(history.count, report, old_pending);
            history.loads.push_front(Arc::new(load));
            history.loads.truncate(LOADS_MAX);
        }
        history
    }

    /// The start of the process, from which on loads are known.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// The loads that are kept, the newest first; with a number, those before the load with it.
    pub fn newest_first(&self, before: Option<i64>) -> impl Iterator<Item = &KeptLoad> {
        let loads = self.loads.iter().map(AsRef::as_ref);
        loads.filter(move |it| before.is_none_or(|before| it.number < before))
    }
}

/// True if a load says something that the one before it did not say.
fn is_news(report: &ReloadReport, before: Option<&ReloadReport>) -> bool {
    let refused = before.filter(|it| it.outcome == ReloadOutcome::Refused);
    match report.outcome {
        ReloadOutcome::Applied => true,
        ReloadOutcome::Unchanged => refused.is_some(),
        ReloadOutcome::Refused => refused.is_none_or(|it| it.errors != report.errors),
    }
}

/// A text of at most so many bytes, and a mark if it is the beginning of a longer one.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let room = bytes_max.saturating_sub("…".len());
    format!("{}…", beginning(text, room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Applies, tuning::ReloadBy};
    use ReloadOutcome::{Applied, Refused, Unchanged};
    use std::time::Duration;

    fn change(key: &str, value: &str, applies: Applies) -> ChangedKey {
        ChangedKey {
            key: key.to_owned(),
            old: Some(value.to_owned()),
            new: None,
            applies,
            origin: "a.toml:7".to_owned(),
        }
    }

    fn error(message: &str) -> ConfigError {
        let (origin, key) = (Some("a.toml:7".to_owned()), Some("ingest.queue".to_owned()));
        ConfigError { origin, key, message: message.to_owned() }
    }

    fn report(outcome: ReloadOutcome, errors: &[&str]) -> ReloadReport {
        ReloadReport {
            outcome,
            by: ReloadBy::signal(),
            at: Timestamp::from_millis(1),
            hash: "0123456789ab".to_owned(),
            changed: Vec::new(),
            pending: Vec::new(),
            overruled: Vec::new(),
            errors: errors.iter().map(|it| error(it)).collect(),
            took: Duration::ZERO,
        }
    }

    const NONE: &[&str] = &[];
    const ONE: &[&str] = &["one"];

    /// The outcomes that are kept of these loads, the oldest first.
    fn kept(loads: &[(ReloadOutcome, &[&str])]) -> Vec<(i64, ReloadOutcome)> {
        let mut history = LoadHistory::new(Timestamp::from_millis(0));
        let mut before: Option<ReloadReport> = None;
        for (outcome, errors) in loads {
            let report = report(*outcome, errors);
            history = history.with(&report, before.as_ref(), &[]);
            before = Some(report);
        }
        let mut kept: Vec<_> =
            history.newest_first(None).map(|it| (it.number, it.outcome)).collect();
        kept.reverse();
        kept
    }

    #[test]
    fn only_loads_that_say_something_new_are_kept() {
        assert_eq!(kept(&[(Unchanged, NONE), (Unchanged, NONE)]), []);
        assert_eq!(kept(&[(Applied, NONE), (Applied, NONE)]), [(1, Applied), (2, Applied)]);
        let loads = [
            (Unchanged, NONE),
            (Refused, ONE),
            (Refused, ONE),
            (Refused, &["one", "two"]),
            (Unchanged, NONE),
            (Unchanged, NONE),
            (Refused, ONE),
            (Applied, NONE),
            (Unchanged, NONE),
        ];
        let expected = [(1, Refused), (2, Refused), (3, Unchanged), (4, Refused), (5, Applied)];
        assert_eq!(kept(&loads), expected);
    }

    #[test]
    fn repeated_loads_push_out_no_other_and_the_oldest_goes_first() {
        let mut loads = vec![(Applied, NONE)];
        loads.extend([(Refused, ONE); 200]);
        loads.extend([(Unchanged, NONE); 200]);
        assert_eq!(kept(&loads), [(1, Applied), (2, Refused), (3, Unchanged)]);
        loads.extend([(Applied, NONE); LOADS_MAX]);
        let kept = kept(&loads);
        assert_eq!((kept.len(), kept.first()), (LOADS_MAX, Some(&(4, Applied))));
        assert_eq!(kept.last().map(|it| it.0), Some(53));
    }

    #[test]
    fn a_load_keeps_a_bounded_part_of_what_it_changed_and_why_it_was_refused() {
        let long = "ä".repeat(10_000);
        let many = |count: usize| (0..count).map(|_| change(&long, &long, Applies::Live)).collect();
        let history = LoadHistory::new(Timestamp::from_millis(0));
        let report = ReloadReport { changed: many(CHANGED_MAX + 3), ..report(Applied, &[]) };
        let history = history.with(&report, None, &[]);
        let errors = vec![error(&long); ERRORS_MAX + 2];
        let refused = ReloadReport { errors, outcome: Refused, ..report };
        let refused = ReloadReport { changed: Vec::new(), ..refused };
        let history = history.with(&refused, None, &[]);
        let [refused, applied] = history.newest_first(None).collect::<Vec<_>>()[..] else {
            panic!("{history:?}")
        };
        assert_eq!((applied.changed.len(), applied.more_changed), (CHANGED_MAX, 3));
        for it in &applied.changed {
            assert!(it.key.len() <= TEXT_BYTES_MAX && it.key.ends_with('…'), "{}", it.key);
            assert!(it.old.as_ref().is_some_and(|it| it.len() <= TEXT_BYTES_MAX));
        }
        assert_eq!((refused.errors.len(), refused.more_errors), (ERRORS_MAX, 2));
        assert!(refused.errors.iter().all(|it| it.message.len() <= MESSAGE_BYTES_MAX));
        assert_eq!(refused.errors[0].place(), Some(("a.toml", Some(7))));
        assert_eq!(cut("short", 5), "short");
    }

    #[test]
    fn a_key_that_waits_for_a_restart_is_told_once_and_again_when_it_is_taken_back() {
        let waits = [change("server.workers", "0", Applies::Restart)];
        let first = ReloadReport { pending: waits.to_vec(), ..report(Applied, &[]) };
        let live = vec![change("ingest.queue", "9", Applies::Live)];
        let second = ReloadReport { changed: live, ..first.clone() };
        let third = report(Applied, &[]);
        let history = LoadHistory::new(Timestamp::from_millis(0)).with(&first, None, &[]);
        let history = history.with(&second, Some(&first), &waits);
        let history = history.with(&third, Some(&second), &waits);
        let told: Vec<Vec<(&str, Option<&str>)>> = history
            .newest_first(None)
            .map(|load| {
                load.changed.iter().map(|it| (it.key.as_str(), it.old.as_deref())).collect()
            })
            .collect();
        let expected = [
            [("server.workers", None)],
            [("ingest.queue", Some("9"))],
            [("server.workers", Some("0"))],
        ];
        assert_eq!(told, expected);
    }
}
