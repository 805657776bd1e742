//! What a stop of this node would cut off: the jobs that run here, whether it waits long enough for
//! them, and the sends that are on the wire.

use super::{ApiState, objects::RowKey};
use crate::{
    domain::{Id, Timestamp},
    store::{DeliveryFilter, StoreError, wall_clock},
    telemetry::{
        board::{ActorType, ActorView},
        pool_post::PoolView,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// The most running jobs that are named.
const NAMED_MAX: usize = 20;
/// The most sends that are counted.
pub(in crate::http) const SENDING_MAX: usize = 100;

/// The jobs that run on this node, and whether a stop that came now would cut them off.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct StopJson {
    /// How long a stop waits for jobs that run (`server.shutdown_timeout`).
    pub(in crate::http) timeout_ms: u64,
    /// How many jobs run on this node.
    pub(in crate::http) running: usize,
    /// How many of them may run longer than a stop waits, by the time-out of their kind. A job that
    /// is cut off has used an attempt, and is tried again at once.
    pub(in crate::http) may_be_cut_off: usize,
    /// Those that have run longest, at most 20.
    pub(in crate::http) jobs: Vec<RunningJobJson>,
}

/// A job that runs on this node.
#[derive(Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub(in crate::http) struct RunningJobJson {
    pub(in crate::http) job_id: RowKey,
    pub(in crate::http) kind: &'static str,
    /// Since when its attempt runs.
    pub(in crate::http) since: Timestamp,
    /// When its attempt ends at the latest: the time-out of its kind.
    pub(in crate::http) until: Timestamp,
    /// True if that is later than a stop would wait.
    pub(in crate::http) may_be_cut_off: bool,
}

impl ApiState {
    /// The jobs that run on this node, and whether a stop would cut them off. It asks no database.
    pub(in crate::http) fn stop(&self) -> StopJson {
        let timeout = self.config.get().server.shutdown_timeout;
        stop(&self.board.actors(), &self.board.pools(), timeout, wall_clock())
    }

    /// How many deliveries are on the wire, on all nodes; [`SENDING_MAX`] stands for more.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn sending(&self) -> Result<usize, StoreError> {
        let filter =
            DeliveryFilter { status: vec!["sending".to_owned()], ..DeliveryFilter::default() };
        Ok(self.desk.deliveries(filter, SENDING_MAX, None).await?.items.len())
    }
}

fn stop(actors: &[ActorView], pools: &[PoolView], timeout: Duration, now: Timestamp) -> StopJson {
    let ends_at = now.plus(timeout);
    let running = |(actor, job): (&ActorView, Id)| {
        let kind = actor.name.rsplit_once('/').map_or(actor.name.as_str(), |it| it.0);
        let pool = pools.iter().find(|pool| pool.kind.0 == kind)?;
        let run_max_ms = i64::try_from(pool.timeout_ms).unwrap_or(i64::MAX);
        let until = actor.since.plus_millis(run_max_ms);
        Some(RunningJobJson {
            job_id: RowKey(job),
            kind: pool.kind.0,
            since: actor.since,
            until,
            may_be_cut_off: until > ends_at,
        })
    };
    let slots = actors.iter().filter(|actor| actor.kind == ActorType::Handler);
    let busy = slots.filter_map(|actor| Some((actor, actor.job_id?)));
    let mut jobs: Vec<RunningJobJson> = busy.filter_map(running).collect();
    jobs.sort_by_key(|job| job.since);
    let (running, may_be_cut_off) =
        (jobs.len(), jobs.iter().filter(|job| job.may_be_cut_off).count());
    jobs.truncate(NAMED_MAX);
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    StopJson { timeout_ms, running, may_be_cut_off, jobs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::PoolConfig,
        domain::{JobKind, backoff::Backoff},
        telemetry::board::{ActorState, Board},
    };

    fn pool(timeout_seconds: u64) -> PoolConfig {
        PoolConfig {
            size: 8,
            timeout: Duration::from_secs(timeout_seconds),
            max_attempts: 5,
            backoff: Backoff { base: Duration::ZERO, cap: Duration::ZERO },
            prefetch: 0,
            paused: false,
        }
    }

    #[test]
    fn a_job_may_be_cut_off_if_its_time_out_is_later_than_a_stop_waits() {
        let (board, _downs) = Board::new();
        let at = Timestamp::from_millis;
        for (kind, timeout) in [("FAST", 20), ("SLOW", 60)] {
            board.pool(JobKind(kind)).configured(&pool(timeout));
        }
        let parts = [
            ("FAST/1", 11, 90_000),
            ("SLOW/1", 12, 95_000),
            ("SLOW/2", 13, 65_000),
            ("GONE/1", 14, 0),
        ];
        let mut present = Vec::new();
        for (name, job, since) in parts {
            let presence = board.enter(name, ActorType::Handler, "supervisor", at(since));
            presence.post().busy(job, at(since));
            present.push(presence);
        }
        let idle = board.enter("SLOW/3", ActorType::Handler, "supervisor", at(0));
        let recorder = board.enter("recorder", ActorType::Recorder, "supervisor", at(0));
        recorder.post().busy(0, at(0));
        assert_eq!(idle.post().state(), ActorState::Idle);
        let met = stop(&board.actors(), &board.pools(), Duration::from_secs(30), at(100_000));
        let jobs: Vec<(i64, bool)> =
            met.jobs.iter().map(|it| (it.job_id.0, it.may_be_cut_off)).collect();
        assert_eq!(jobs, [(13, false), (11, false), (12, true)], "that of no pool is not known");
        assert_eq!((met.running, met.may_be_cut_off, met.timeout_ms), (3, 1, 30_000));
    }

    #[test]
    fn the_list_of_running_jobs_has_an_end() {
        let (board, _downs) = Board::new();
        let now = Timestamp::from_millis(0);
        board.pool(JobKind("A")).configured(&pool(60));
        let present: Vec<_> = (1..=NAMED_MAX + 5)
            .map(|slot| board.enter(&format!("A/{slot}"), ActorType::Handler, "supervisor", now))
            .collect();
        for (at, presence) in present.iter().enumerate() {
            presence.post().busy(i64::try_from(at).unwrap() + 1, now);
        }
        let met = stop(&board.actors(), &board.pools(), Duration::ZERO, now);
        assert_eq!((met.running, met.jobs.len()), (NAMED_MAX + 5, NAMED_MAX));
    }
}
