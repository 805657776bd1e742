//! What a reload did, for the log, the audit log and the API.

use crate::{
    config::{Applies, ChangedKey, ConfigError, OverruledKey},
    domain::{Timestamp, UserRole},
    store::{AuditEntry, Via},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// How many changed keys or errors of one reload the log tells.
pub(super) const TOLD_MAX: usize = 20;
/// How many changed keys of one reload have a row of their own in the audit log.
const AUDITED_MAX: usize = 1_000;

/// Who asked for a reload, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadBy {
    /// How the wish came.
    pub via: Via,
    /// A person's name, `file` or `signal`.
    pub actor: String,
    /// The person's role; `None` if no person asked.
    pub role: Option<UserRole>,
    /// The id of the request that asked for it.
    pub request_id: Option<String>,
}

impl ReloadBy {
    /// A file has changed.
    pub(super) fn file() -> Self {
        Self { via: Via::File, actor: "file".to_owned(), role: None, request_id: None }
    }

    /// The process got SIGHUP.
    pub fn signal() -> Self {
        Self { via: Via::Signal, actor: "signal".to_owned(), role: None, request_id: None }
    }

    fn entry(&self, action: &'static str) -> AuditEntry {
        let request_id = self.request_id.clone();
        let new = AuditEntry::new(&self.actor, self.via, action);
        AuditEntry { role: self.role, request_id, ..new }
    }
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// The files differ from those that were loaded before, and what they say runs now.
    Applied,
    /// The files say the same as before.
    Unchanged,
    /// The files are wrong. What ran before runs on.
    Refused,
}

impl ReloadOutcome {
    /// As it is spelled in JSON and as the label of a metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// What a reload did.
#[derive(Clone, Debug)]
pub struct ReloadReport {
    /// How it ended.
    pub outcome: ReloadOutcome,
    /// Who asked for it; the first, if several did at once.
    pub by: ReloadBy,
    /// When it ended.
    pub at: Timestamp,
    /// The hash of the configuration that runs.
    pub hash: String,
    /// The keys whose change takes effect, secrets masked.
    pub changed: Vec<ChangedKey>,
    /// The keys that wait for a restart, whenever they were changed.
    pub pending: Vec<ChangedKey>,
    /// The keys that were changed in a file in vain: a variable wins.
    pub overruled: Vec<OverruledKey>,
    /// Why it was refused. Empty otherwise.
    pub errors: Vec<ConfigError>,
    /// From its start to its end.
    pub took: Duration,
}

impl ReloadReport {
    /// Logs it: a line, or one for each error. `old_pending` are the keys that waited before it.
    pub(super) fn log(&self, old_pending: &[ChangedKey]) {
        for key in self.overruled.iter().take(TOLD_MAX) {
            let OverruledKey { key, origin, by, .. } = key;
            tracing::warn!(
                key,
                origin,
                by,
                "a key of a file has no effect: a variable wins over it"
            );
        }
        let (via, took_ms) = (self.by.actor.as_str(), self.took_ms());
        match self.outcome {
            ReloadOutcome::Applied => {
                let changed = match self.changed.as_slice() {
                    [] => "no value that runs".to_owned(),
                    changed => listed(changed),
                };
                tracing::info!(
                    by = via,
                    hash = self.hash,
                    took_ms,
                    changed,
                    "configuration applied"
                );
                if self.pending != old_pending && !self.pending.is_empty() {
                    let keys = listed(&self.pending);
                    tracing::warn!(keys, "these changes of the configuration wait for a restart");
                }
                let taken_back: Vec<&str> =
                    self.taken_back(old_pending).map(|it| it.key.as_str()).collect();
                if !taken_back.is_empty() {
                    let keys = taken_back.join(", ");
                    tracing::info!(
                        keys,
                        "these keys wait for a restart no more: the files say what runs"
                    );
                }
            }
            ReloadOutcome::Unchanged => {
                tracing::info!(by = via, hash = self.hash, took_ms, "configuration unchanged");
            }
            ReloadOutcome::Refused => {
                for error in self.errors.iter().take(TOLD_MAX) {
                    tracing::error!(by = via, key = error.key, %error, "configuration refused, the old one runs on");
                }
                if let Some(more @ 1..) = self.errors.len().checked_sub(TOLD_MAX) {
                    tracing::error!(
                        by = via,
                        more,
                        "the configuration has more errors: `postroom config check`"
                    );
                }
            }
        }
    }

    /// The keys that wait for a restart, and did not wait for one with that value before.
    fn newly_pending<'a>(
        &'a self,
        old_pending: &'a [ChangedKey],
    ) -> impl Iterator<Item = &'a ChangedKey> {
        self.pending.iter().filter(move |change| !old_pending.contains(change))
    }

    /// The keys that the files say otherwise than before: those whose change takes effect, those
    /// that wait for a restart, and those that wait no more, with their values the other way round.
    /// `old_pending` are the keys that waited for a restart before.
    pub(super) fn differences(&self, old_pending: &[ChangedKey]) -> Vec<ChangedKey> {
        let taken_back = self.taken_back(old_pending).map(|it| ChangedKey {
            old: it.new.clone(),
            new: it.old.clone(),
            ..it.clone()
        });
        let new = self.changed.iter().chain(self.newly_pending(old_pending)).cloned();
        new.chain(taken_back).collect()
    }

    /// Those of `old_pending` that no longer wait for a restart: the files say what runs.
    fn taken_back<'a>(
        &'a self,
        old_pending: &'a [ChangedKey],
    ) -> impl Iterator<Item = &'a ChangedKey> {
        let waits = |key: &str| self.pending.iter().any(|it| it.key == key);
        old_pending.iter().filter(move |it| !waits(&it.key))
    }

    /// When it changed what runs; `None` if it did not.
    pub fn applied_at(&self) -> Option<Timestamp> {
        (self.outcome == ReloadOutcome::Applied).then_some(self.at)
    }

    /// The time that it took, in milliseconds.
    pub fn took_ms(&self) -> u64 {
        u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX)
    }

    /// Why it was refused, in one line; empty if it was not.
    pub fn why_refused(&self) -> String {
        match self.errors.as_slice() {
            [] => String::new(),
            [error] => error.to_string(),
            [first, others @ ..] => format!("{first} (and {} more errors)", others.len()),
        }
    }

    /// The rows of the audit log: one for each key that was changed, or one for a refusal.
    /// `old_pending` are the keys that waited for a restart before.
    pub(super) fn audit(&self, old_pending: &[ChangedKey]) -> Vec<AuditEntry> {
        if self.outcome == ReloadOutcome::Refused {
            let target = self.errors.first().and_then(|error| error.key.clone());
            return vec![AuditEntry {
                target,
                note: Some(self.why_refused()),
                ..self.by.entry("config.refused")
            }];
        }
        let keys: Vec<&ChangedKey> =
            self.changed.iter().chain(self.newly_pending(old_pending)).collect();
        let row = |change: &&ChangedKey| AuditEntry {
            target: Some(change.key.clone()),
            old_value: change.old.clone(),
            new_value: change.new.clone(),
            note: (change.applies == Applies::Restart).then(|| "waits for a restart".to_owned()),
            ..self.by.entry("config.reload")
        };
        let mut rows: Vec<AuditEntry> = keys.iter().take(AUDITED_MAX).map(row).collect();
        rows.extend(self.taken_back(old_pending).map(|change| AuditEntry {
            target: Some(change.key.clone()),
            old_value: change.new.clone(),
            new_value: change.old.clone(),
            note: Some("waits for a restart no more".to_owned()),
            ..self.by.entry("config.reload")
        }));
        if let Some(more @ 1..) = keys.len().checked_sub(AUDITED_MAX) {
            let note = format!("and {more} more keys");
            rows.push(AuditEntry { note: Some(note), ..self.by.entry("config.reload") });
        }
        rows
    }
}

/// Changes in words: `pools.default.size 8 → 16 (config/local.toml:7)`.
fn listed(changes: &[ChangedKey]) -> String {
    let spelled = |change: &ChangedKey| {
        let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let (old, new) = (value(&change.old), value(&change.new));
        format!("{} {old} → {new} ({})", change.key, change.origin)
    };
    let mut words: Vec<String> = changes.iter().take(TOLD_MAX).map(spelled).collect();
    if let Some(more @ 1..) = changes.len().checked_sub(TOLD_MAX) {
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, applies: Applies) -> ChangedKey {
        ChangedKey {
            key: key.to_owned(),
            old: Some("8".to_owned()),
            new: Some("16".to_owned()),
            applies,
            origin: "a.toml:7".to_owned(),
        }
    }

    fn report(outcome: ReloadOutcome) -> ReloadReport {
        ReloadReport {
            outcome,
            by: ReloadBy::file(),
            at: Timestamp::from_millis(0),
            hash: "0123456789ab".to_owned(),
            changed: Vec::new(),
            pending: Vec::new(),
            overruled: Vec::new(),
            errors: Vec::new(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn each_changed_key_is_a_row_and_a_pending_one_only_once() {
        let changed = (0..AUDITED_MAX + 5).map(|number| change(&number.to_string(), Applies::Live));
        let (old, new) =
            (change("server.bind", Applies::Restart), change("database.url", Applies::Restart));
        let report = ReloadReport {
            changed: changed.collect(),
            pending: vec![old.clone(), new.clone()],
            ..report(ReloadOutcome::Applied)
        };
        let rows = report.audit(std::slice::from_ref(&old));
        assert_eq!(rows.len(), AUDITED_MAX + 1);
        let last = rows.last().unwrap();
        assert_eq!((last.target.as_deref(), last.note.as_deref()), (None, Some("and 6 more keys")));
        let report = ReloadReport { changed: Vec::new(), ..report };
        let rows = report.audit(std::slice::from_ref(&old));
        let row = rows.first().unwrap();
        assert_eq!((rows.len(), row.target.as_deref()), (1, Some("database.url")));
        assert_eq!(row.note.as_deref(), Some("waits for a restart"));
        assert_eq!((row.old_value.as_deref(), row.new_value.as_deref()), (Some("8"), Some("16")));
        // Both are taken back.
        let report = ReloadReport { pending: Vec::new(), ..report };
        let rows = report.audit(&[old, new]);
        let row = rows.first().unwrap();
        assert_eq!((rows.len(), row.target.as_deref()), (2, Some("server.bind")));
        assert_eq!(row.note.as_deref(), Some("waits for a restart no more"));
        assert_eq!((row.old_value.as_deref(), row.new_value.as_deref()), (Some("16"), Some("8")));
    }

    #[test]
    fn a_refusal_is_one_row_with_the_first_error() {
        let error = |key: &str| ConfigError {
            origin: Some("a.toml:7".to_owned()),
            key: Some(key.to_owned()),
            message: format!("`{key}` is wrong"),
        };
        let errors = vec![error("server.bind"), error("ingest.queue")];
        let report = ReloadReport { errors, ..report(ReloadOutcome::Refused) };
        let rows = report.audit(&[]);
        let row = rows.first().unwrap();
        assert_eq!((rows.len(), row.action), (1, "config.refused"));
        assert_eq!(row.target.as_deref(), Some("server.bind"));
        let note = "a.toml:7: `server.bind` is wrong (and 1 more errors)";
        assert_eq!(row.note.as_deref(), Some(note));
    }
}
