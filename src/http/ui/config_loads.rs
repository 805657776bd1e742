//! The loads of the configuration on `/config`: what each has changed, or why it was refused.

use super::{
    parts::{
        Column, PageTable, Sign, StateMark, TableRow, Tone, clock, empty, old_and_new, one_line,
        outside, two,
    },
    visit::Visit,
};
use crate::{
    config::{Applies, ChangedKey, ConfigError},
    domain::Timestamp,
    tuning::{KeptLoad, LoadHistory, ReloadOutcome},
};
use maud::{Markup, html};

/// The characters of a key or a value that a row shows.
const VALUE_CHARS: usize = 60;

/// How much of the history is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadsBound {
    /// The most loads.
    loads: usize,
    /// The most keys and errors of one load.
    of_each: usize,
    /// The most bytes of all rows, unless the first alone has more.
    bytes: usize,
}

impl LoadsBound {
    /// A part of a page that shows other things, too.
    pub(super) const PART: Self = Self { loads: 5, of_each: 3, bytes: 6_000 };
    /// A page of nothing else.
    pub(super) const PAGE: Self = Self { loads: 20, of_each: usize::MAX, bytes: 36_000 };
}

/// The newest loads, or those before the load with the number `before`. Returns them, and the
/// number of the last one if there are older ones.
pub(super) fn loads(
    visit: &Visit,
    history: &LoadHistory,
    before: Option<i64>,
    bound: LoadsBound,
) -> (Markup, Option<i64>) {
    let mut all = history.newest_first(before);
    let may_see = |key: &str| may_see_key(visit, key);
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, None);
    let has_more = loop {
        let Some(load) = all.next() else { break false };
        let cells = cells(load, visit.now, bound.of_each, may_see);
        bytes += cells.iter().map(|it| it.0.len()).sum::<usize>();
        let is_full = rows.len() == bound.loads || bytes > bound.bytes;
        if is_full && !rows.is_empty() {
            break true;
        }
        rows.push(TableRow::new(cells).keyed(format!("load {}", load.number)));
        last = Some(load.number);
    };
    if rows.is_empty() {
        let why = "A load is listed as soon as the files say something new, or are refused.";
        return (empty("No load.", why), None);
    }
    let columns = [
        Column::new("outcome"),
        Column::new("when").beside(),
        Column::new("who").below(),
        Column::new("old → new, or why"),
    ];
    let table = PageTable::new("Loads of the configuration", columns).caption_hidden().rows(rows);
    (html! { (table) }, last.filter(|_| has_more))
}

/// True if the viewer may see the values of this key: those of a client belong to it.
pub(super) fn may_see_key(visit: &Visit, key: &str) -> bool {
    let client = key.strip_prefix("clients.").and_then(|it| it.split('.').next());
    client.is_none_or(|client| visit.viewer.sees(client))
}

/// The mark of an outcome.
const fn mark(outcome: ReloadOutcome) -> StateMark {
    match outcome {
        ReloadOutcome::Applied => StateMark::new(Tone::Good, Sign::Ok, "applied"),
        ReloadOutcome::Unchanged => StateMark::new(Tone::Wait, Sign::Retry, "unchanged"),
        ReloadOutcome::Refused => StateMark::new(Tone::Bad, Sign::Fail, "refused"),
    }
}

fn cells(
    load: &KeptLoad,
    now: Timestamp,
    most: usize,
    may_see: impl Fn(&str) -> bool,
) -> [Markup; 4] {
    let hash = html! { span.mono { (load.hash) } };
    [
        two(mark(load.outcome).quiet(), hash),
        clock(load.at, now),
        two(outside(&load.by), html! { "by " (load.via.as_str()) }),
        what(load, most, may_see),
    ]
}

/// What a load has changed, or why it was refused: at most so many keys and errors.
fn what(load: &KeptLoad, most: usize, may_see: impl Fn(&str) -> bool) -> Markup {
    let seen: Vec<&ChangedKey> = load.changed.iter().filter(|it| may_see(&it.key)).collect();
    let more_changed = seen.len().saturating_sub(most) + load.more_changed;
    let more_errors = load.errors.len().saturating_sub(most) + load.more_errors;
    html! {
        @for change in seen.iter().take(most) { p { (changed(change)) } }
        @if more_changed > 0 { p.sm.mut { "and " (more_changed) " more" } }
        @for error in load.errors.iter().take(most) { p { (refusal(error)) } }
        @if more_errors > 0 { p.sm.mut { "and " (more_errors) " more" } }
        @if load.outcome == ReloadOutcome::Unchanged { p.mut { "The files say again what runs." } }
        @else if load.changed.is_empty() && load.errors.is_empty() { p.mut { "No value has changed." } }
    }
}

fn changed(change: &ChangedKey) -> Markup {
    html! {
        code { (one_line(&change.key, VALUE_CHARS)) } " "
        (old_and_new(change.old.as_deref(), change.new.as_deref(), VALUE_CHARS))
        @if change.applies != Applies::Live { span.sm.mut { " (" (change.applies.words()) ")" } }
    }
}

fn refusal(error: &ConfigError) -> Markup {
    html! {
        @if let Some(origin) = &error.origin { code { (outside(origin)) } ": " }
        (outside(&error.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::ui::parts::assert_told_apart, store::Via};

    fn load(outcome: ReloadOutcome) -> KeptLoad {
        KeptLoad {
            number: 1,
            at: Timestamp::from_millis(0),
            outcome,
            via: Via::File,
            by: "file".to_owned(),
            hash: "0123456789ab".to_owned(),
            changed: Vec::new(),
            more_changed: 0,
            errors: Vec::new(),
            more_errors: 0,
        }
    }

    fn change(key: &str, new: Option<&str>) -> ChangedKey {
        ChangedKey {
            key: key.to_owned(),
            old: Some("<b>".to_owned()),
            new: new.map(str::to_owned),
            applies: Applies::Restart,
            origin: "a.toml:7".to_owned(),
        }
    }

    #[test]
    fn every_outcome_has_a_mark_of_its_own() {
        use ReloadOutcome::{Applied, Refused, Unchanged};
        assert_told_apart(&[Applied, Unchanged, Refused].map(mark), &[]);
    }

    #[test]
    fn a_load_says_what_it_changed_or_why_it_was_refused() {
        let applied = KeptLoad {
            changed: vec![
                change("server.workers", Some("\u{202e}3")),
                change("clients.acme.max_running", None),
                change("clients.zeta.max_running", None),
            ],
            more_changed: 4,
            ..load(ReloadOutcome::Applied)
        };
        let shown = what(&applied, 9, |key| !key.contains("zeta")).into_string();
        for part in ["&lt;b&gt;", "\\u202e3", "(restart)", "gone", "and 4 more", "clients.acme"] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(!shown.contains("zeta"), "{shown}");
        assert!(what(&applied, 1, |_| true).into_string().contains("and 6 more"));
        let error = ConfigError {
            origin: Some("a.toml:7".to_owned()),
            key: None,
            message: "`<x>` is wrong".to_owned(),
        };
        let errors = vec![error; 2];
        let refused = KeptLoad { errors, more_errors: 1, ..load(ReloadOutcome::Refused) };
        let shown = what(&refused, 1, |_| true).into_string();
        assert!(shown.contains("a.toml:7") && shown.contains("`&lt;x&gt;` is wrong"), "{shown}");
        assert!(shown.contains("and 2 more"), "{shown}");
        let again = what(&load(ReloadOutcome::Unchanged), 1, |_| true).into_string();
        assert_eq!(again, "<p class=\"mut\">The files say again what runs.</p>");
    }
}
