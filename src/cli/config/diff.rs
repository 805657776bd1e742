//! `postroom config diff`: which values are not the defaults, or not those of a running daemon.

use super::{
    load,
    running::{self, RunningConfig, RunningDifference, RunningOverride},
};
use crate::{
    cli::{
        admin::Remote,
        failure::Failure,
        files::Files,
        output::{self, TextTable, Times},
    },
    config::{Applies, ChangedKey, Loaded},
};
use serde_json::{Value, json};

/// What is said if the hashes differ and no value that is shown does.
const SECRET_DIFFERS: &str = "a secret or a certificate is another one: the hashes of all values differ, and no value that can be shown does";
/// What is said if nothing differs.
const NO_DIFFERENCE: &str = "no difference: the daemon runs with these values";
/// What is said of a daemon that was started so.
const IGNORES_OVERRIDES: &str = "overrides of pools for all nodes are ignored on its node: it was started with --ignore-overrides";
/// What is said of secrets if other values differ.
const SECRETS_UNKNOWN: &str = "secrets are not compared, since the daemon shows none";

/// Compares the configuration with the defaults.
///
/// # Errors
/// [`Failure::Unwell`] if there is a difference.
pub(super) fn with_defaults(remote: &Remote, files: &Files) -> Result<(), Failure> {
    let changed = load(&remote.sources(files))?.changed_from_defaults()?;
    if remote.json {
        output::print_json(&document(&changed))?;
    } else if changed.is_empty() {
        output::print("no difference: all values are the defaults")?;
    } else {
        output::print_table(&table(&changed))?;
    }
    if changed.is_empty() { Ok(()) } else { Err(Failure::Unwell) }
}

/// Compares the configuration with that of the running daemon.
///
/// # Errors
/// [`Failure::Unwell`] if there is a difference, or a pool has an override.
pub(super) fn with_running(remote: Remote, files: Files) -> Result<(), Failure> {
    let (is_json, times) = (remote.json, remote.times());
    let here = load(&remote.sources(&files))?;
    let running = running::ask(remote, files)?;
    let differences = running.differences(&here);
    let is_same = running.hash == here.hash();
    if is_json {
        output::print_json(&running_document(&here, &running, &differences))?;
    } else if is_same && running.overrides.is_empty() && !running.ignores_overrides {
        output::print(NO_DIFFERENCE)?;
    } else {
        output::print(&running_text(&running, &differences, is_same, &times))?;
    }
    if is_same && running.overrides.is_empty() { Ok(()) } else { Err(Failure::Unwell) }
}

/// What a reload of these files would change in the daemon, for people.
pub(super) fn reload_text(here: &Loaded, running: &RunningConfig, times: &Times) -> String {
    let differences = running.differences(here);
    if running.hash == here.hash() {
        return "the running daemon has these values: a reload would change nothing".to_owned();
    }
    let pending = differences.iter().filter(|it| it.applies == Applies::Restart).count();
    let applied = differences.len() - pending;
    let counts = format!(
        "in the running daemon, a reload of these files would change {applied} values; \
         {pending} more would wait for a restart"
    );
    format!("{counts}\n{}", running_text(running, &differences, false, times))
}

fn document(changed: &[ChangedKey]) -> Value {
    let item = |change: &ChangedKey| {
        json!({
            "key": change.key,
            "default": change.old,
            "value": change.new,
            "applies": change.applies,
            "origin": change.origin,
        })
    };
    json!({"items": changed.iter().map(item).collect::<Vec<_>>()})
}

fn table(changed: &[ChangedKey]) -> TextTable {
    let row = |change: &ChangedKey| {
        let applies = change.applies.words().to_owned();
        let (default, value) = (cell(change.old.as_deref()), cell(change.new.as_deref()));
        vec![output::line(&change.key), default, value, applies, output::line(&change.origin)]
    };
    let header = ["key", "default", "value", "applies", "origin"];
    let is_long = vec![false, true, true, false, true];
    TextTable::new(&header, changed.iter().map(row)).with_long(is_long)
}

/// The comparison as JSON. `secrets` says whether all secrets are the same: true, false, or null if
/// that is not known.
pub(super) fn running_document(
    here: &Loaded,
    running: &RunningConfig,
    differences: &[RunningDifference],
) -> Value {
    let is_same = running.hash == here.hash();
    let same_secrets = (is_same || differences.is_empty()).then_some(is_same);
    json!({
        "hash": here.hash(),
        "running_hash": running.hash,
        "items": differences,
        "overrides": running.overrides,
        "ignores_overrides": running.ignores_overrides,
        "same_secrets": same_secrets,
    })
}

fn running_text(
    running: &RunningConfig,
    differences: &[RunningDifference],
    is_same: bool,
    times: &Times,
) -> String {
    let mut parts = Vec::new();
    if is_same && running.overrides.is_empty() {
        parts.push(NO_DIFFERENCE.to_owned());
    }
    if !differences.is_empty() {
        parts.push(running_table(differences));
        parts.push(SECRETS_UNKNOWN.to_owned());
    } else if !is_same {
        parts.push(SECRET_DIFFERS.to_owned());
    }
    parts.extend(running.overrides.iter().map(|it| override_text(it, times)));
    parts.extend(running.ignores_overrides.then(|| IGNORES_OVERRIDES.to_owned()));
    parts.join("\n")
}

fn running_table(differences: &[RunningDifference]) -> String {
    let row = |it: &RunningDifference| {
        let (running, here) = (cell(it.running.as_deref()), cell(it.here.as_deref()));
        let places = (cell(it.running_origin.as_deref()), cell(it.origin.as_deref()));
        vec![
            output::line(&it.key),
            running,
            here,
            it.applies.words().to_owned(),
            places.0,
            places.1,
        ]
    };
    let header = ["key", "running", "here", "applies", "running_origin", "origin"];
    output::table(&header, differences.iter().map(row))
}

/// An override in one line: what is set, by whom, and until when.
pub(super) fn override_text(set: &RunningOverride, times: &Times) -> String {
    let until = set.expires_at.as_ref().map(|at| format!(", until {at}")).unwrap_or_default();
    let note = set.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let text = format!("override: {} {} by {} at {}{until}", set.key, set.value, set.by, set.at);
    output::line(&format!("{}{note}", times.within(&text)))
}

fn cell(value: Option<&str>) -> String {
    value.map_or_else(|| output::NONE.to_owned(), output::line)
}
