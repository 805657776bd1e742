//! What a node says of itself to the others, in its row of the database: version, host,
//! configuration and pools.

use super::{Tuner, TuningStatus};
use crate::{
    config::Live,
    domain::{JobKind, Role, Timestamp, backoff::AWAY_PAUSE},
    store::Nodes,
    telemetry::board::Board,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// The most bytes of a status. All nodes and every overview read it.
const BYTES_MAX: usize = 8 << 10;
/// How often it is looked whether another number of slots is busy. A node that rests writes none.
const BUSY_EVERY: Duration = Duration::from_secs(10);

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// The version of Postroom.
    pub version: String,
    /// The name of its machine.
    pub host: String,
    /// `all`, `ingest` or `worker`.
    pub role: String,
    /// The hash of the configuration that runs, without overrides.
    pub config_hash: String,
    /// The hash of the part of it that all nodes should have in common.
    pub shared_hash: String,
    /// When that configuration was loaded.
    pub loaded_at: Timestamp,
    /// How many keys wait for a restart.
    pub pending_keys: usize,
    /// True if it takes no more work.
    pub draining: bool,
    /// True if overrides for all nodes do not apply on it.
    pub ignores_overrides: bool,
    /// Its pools. Empty if the node works no jobs, or there are too many to tell.
    pub pools: Vec<PoolStatus>,
}

/// What a node says of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolStatus {
    /// The job kind.
    pub kind: String,
    /// The slots that are wanted.
    pub size: usize,
    /// The slots that ran a job when the node last told of itself.
    pub busy: usize,
    /// True if no job of the kind starts.
    pub paused: bool,
    /// The keys that an operator has set beside the files: `size = 16`.
    pub r#override: Option<String>,
}

/// What a status is made of.
pub struct NodeStatusSetup {
    /// Where it is stored.
    pub nodes: Nodes,
    /// The configuration that runs.
    pub live: Live,
    /// Tells of reloads.
    pub tuner: Tuner,
    /// Tells how many slots are busy.
    pub board: Arc<Board>,
    /// True once the daemon takes no more work.
    pub is_draining: watch::Receiver<bool>,
    /// What the node does.
    pub role: Role,
    /// The kinds of jobs that it works.
    pub kinds: Vec<JobKind>,
    /// The least time between two writes: the pause between two heartbeats.
    pub every: Duration,
}

impl NodeStatusSetup {
    fn status(&self, host: &str, tuning: &TuningStatus) -> NodeStatus {
        let cfg = self.live.get();
        let posted = self.board.pools();
        let busy = |kind: &JobKind| posted.iter().find(|it| it.kind == *kind).map(|it| it.busy);
        let pool = |kind: &JobKind| {
            let pool = cfg.pools.of(kind.0);
            PoolStatus {
                kind: kind.0.to_owned(),
                size: pool.size,
                busy: busy(kind).unwrap_or_default(),
                paused: pool.paused,
                r#override: cfg.pools.override_of(kind.0).map(ToString::to_string),
            }
        };
        NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host.to_owned(),
            role: self.role.as_str().to_owned(),
            config_hash: tuning.running.hash().to_owned(),
            shared_hash: tuning.running.shared_hash().to_owned(),
            loaded_at: tuning.loaded_at,
            pending_keys: tuning.pending.len(),
            draining: *self.is_draining.borrow(),
            ignores_overrides: self.tuner.ignores_overrides(),
            pools: self.kinds.iter().map(pool).collect(),
        }
    }
}

impl NodeStatus {
    /// The status in a node's row. `None` if it is of a version that says it in another way.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The JSON of a status, in at most [`BYTES_MAX`].
    fn text(mut self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string(&self)?;
        if text.len() <= BYTES_MAX {
            return Ok(text);
        }
        self.pools.clear();
        serde_json::to_string(&self)
    }
}

/// Stores what this node says of itself whenever it changes, for as long as it is polled. Busy
/// slots are told every ten seconds at most. While the database is away it tries again.
pub async fn tell_status(setup: NodeStatusSetup) {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let (mut configs, mut statuses) = (setup.live.changes(), setup.tuner.statuses());
    let mut is_draining = setup.is_draining.clone();
    let mut told: Option<NodeStatus> = None;
    loop {
        let tuning = statuses.borrow_and_update().clone();
        configs.mark_unchanged();
        is_draining.mark_unchanged();
        let status = setup.status(&host, &tuning);
        if told.as_ref() != Some(&status) {
            let said = match status.clone().text() {
                Ok(text) => setup.nodes.say(text).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = said {
                tracing::debug!(error, "this node could not say how it is configured");
                tokio::time::sleep(setup.every.max(AWAY_PAUSE)).await;
                continue;
            }
            told = Some(status);
        }
        tokio::time::sleep(setup.every).await;
        tokio::select! {
            Ok(()) = configs.changed() => {}
            Ok(()) = statuses.changed() => {}
            Ok(()) = is_draining.changed() => {}
            () = tokio::time::sleep(BUSY_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_bounded_and_tells_at_least_the_configuration() {
        let pool =
            PoolStatus { kind: "SMS_INBOUND_POST_PROCESS".to_owned(), ..PoolStatus::default() };
        for (pools, are_told) in [(9, true), (2_000, false)] {
            let status = NodeStatus {
                config_hash: "0123456789ab".to_owned(),
                pools: vec![pool.clone(); pools],
                ..NodeStatus::default()
            };
            let text = status.clone().text().unwrap();
            assert!(text.len() <= BYTES_MAX, "{}", text.len());
            let read = NodeStatus::read(&text).unwrap();
            assert_eq!((read == status, read.config_hash), (are_told, status.config_hash));
        }
    }
}
