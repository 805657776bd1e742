//! The configuration of a running daemon, compared with the one here.

use crate::{
    cli::{admin::Remote, failure::Failure, files::Files, http::block_on},
    config::{Applies, EffectiveValue, Loaded, inherited_by_kind},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a daemon says about its configuration.
#[derive(Debug, Deserialize)]
pub(super) struct RunningConfig {
    /// Of all values that it runs with, without overrides.
    pub(super) hash: String,
    values: Vec<RunningValue>,
    pub(super) overrides: Vec<RunningOverride>,
    /// True if overrides for all nodes do not apply on its node.
    #[serde(default)]
    pub(super) ignores_overrides: bool,
}

/// A value that runs.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RunningValue {
    key: String,
    pub(super) value: String,
    pub(super) origin: String,
    /// The value from its next start on.
    pub(super) pending: Option<PendingValue>,
}

/// A value that waits for a restart.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct PendingValue {
    /// `None` if the key is no longer there.
    pub(super) value: Option<String>,
    pub(super) origin: String,
}

/// A value of a pool that an operator has set beside the files.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct RunningOverride {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) by: String,
    pub(super) note: Option<String>,
    pub(super) at: String,
    pub(super) expires_at: Option<String>,
}

/// A key whose value here is not the one that the daemon runs with.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct RunningDifference {
    pub(super) key: String,
    /// `None` if the daemon has no such value.
    pub(super) running: Option<String>,
    /// `None` if there is no such value here.
    pub(super) here: Option<String>,
    /// When the value here would apply, if the daemon read these files.
    pub(super) applies: Applies,
    pub(super) running_origin: Option<String>,
    pub(super) origin: Option<String>,
}

/// Asks the daemon.
///
/// # Errors
/// If it does not answer, or is of a version that does not tell its configuration.
pub(super) fn ask(remote: Remote, files: Files) -> Result<RunningConfig, Failure> {
    let admin = remote.connect(files)?;
    let answer = block_on(admin.get(&["config"], &[]))??;
    serde_json::from_value(answer).map_err(|error| {
        Failure::Failed(format!("the daemon's configuration cannot be read: {error}"))
    })
}

impl RunningConfig {
    /// The value that the daemon runs with.
    pub(super) fn value(&self, key: &str) -> Option<&RunningValue> {
        self.values.iter().find(|value| value.key == key)
    }

    /// The keys that differ, in the order of the configuration here. Secrets are masked on both
    /// sides, so a secret that is another one is not among them; only the hashes tell.
    pub(super) fn differences(&self, here: &Loaded) -> Vec<RunningDifference> {
        differences(&self.values, &here.values())
    }
}

fn differences(running: &[RunningValue], here: &[EffectiveValue]) -> Vec<RunningDifference> {
    let by_key: BTreeMap<&str, &RunningValue> =
        running.iter().map(|value| (value.key.as_str(), value)).collect();
    // What a kind does not set itself is compared as it is in force.
    let of_running = |key: &str| {
        let own = by_key.get(key);
        own.or_else(|| by_key.get(inherited_by_kind(key)?.as_str())).copied()
    };
    let of_all = |key: &str| {
        let key = inherited_by_kind(key)?;
        here.iter().find(|it| it.key == key)
    };
    let of_here =
        here.iter().map(|value| (value.key.as_str(), of_running(&value.key), Some(value)));
    let is_gone = |value: &&RunningValue| here.iter().all(|it| it.key != value.key);
    let gone = running
        .iter()
        .filter(is_gone)
        .map(|value| (value.key.as_str(), Some(value), of_all(&value.key)));
    let all = of_here.chain(gone).filter(|(_, running, here)| {
        running.map(|it| &it.value) != here.map(|it: &EffectiveValue| &it.value)
    });
    all.map(|(key, running, here)| RunningDifference {
        key: key.to_owned(),
        running: running.map(|it| it.value.clone()),
        here: here.map(|it| it.value.clone()),
        applies: Applies::of(key),
        running_origin: running.map(|it| it.origin.clone()),
        origin: here.map(|it| it.origin.clone()),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn values(env: &[(&str, &str)]) -> Vec<EffectiveValue> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sources = Sources { env: env.collect(), ..Sources::default() };
        Loaded::load(&sources).expect("valid").values()
    }

    #[test]
    fn values_that_differ_or_are_on_one_side_only_are_told() {
        let running = values(&[
            ("POSTROOM__POOLS__DEFAULT__SIZE", "4"),
            ("POSTROOM__POOLS__SELF_CHECK__SIZE", "1"),
            ("POSTROOM__ADMIN__TOKEN", "one-token-of-24-characters"),
        ]);
        let running: Vec<RunningValue> = running
            .into_iter()
            .map(|it| RunningValue {
                key: it.key,
                value: it.value,
                origin: it.origin,
                pending: None,
            })
            .collect();
        let here = values(&[
            ("POSTROOM__SERVER__WORKERS", "2"),
            ("POSTROOM__POOLS__SMS_INBOUND_POST_PROCESS__PAUSED", "true"),
            ("POSTROOM__ADMIN__TOKEN", "another-token-of-24-chars"),
        ]);
        let told: Vec<String> = differences(&running, &here)
            .into_iter()
            .map(|it| format!("{} {:?} {:?} {}", it.key, it.running, it.here, it.applies.words()))
            .collect();
        assert_eq!(
            told,
            [
                "server.workers Some(\"0\") Some(\"2\") restart",
                "pools.SMS_INBOUND_POST_PROCESS.paused Some(\"false\") Some(\"true\") live",
                "pools.default.size Some(\"4\") Some(\"8\") live",
                "pools.SELF_CHECK.size Some(\"1\") Some(\"8\") live",
            ]
        );
    }
}
