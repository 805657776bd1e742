//! Measures how fast a backlog of jobs is run: until all have succeeded in the database. Their rows
//! are kept.

use super::{BenchArgs, report::Measured, scratch::Scratch};
use crate::{
    app::Role,
    domain::job::{NewJob, SELF_CHECK, SYSTEM_CLIENT},
    store::Enqueuer,
};
use std::time::Duration;
use tokio::time::Instant;

/// The number of jobs if `--jobs` is not given.
const JOBS: usize = 100_000;
/// Jobs per transaction while they are enqueued, which is not measured.
const GROUP: usize = 2_000;
/// How long the measurement may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Enqueues jobs, starts a worker, and measures the time until the last job has succeeded, the
/// start of the worker included.
pub(super) async fn measure(args: &BenchArgs, scratch: &Scratch) -> anyhow::Result<Measured> {
    let count = args.jobs.unwrap_or(JOBS);
    let (runtime, store) = scratch.store(args).await?;
    enqueue(&store.enqueuer(), count).await?;
    drop((store, runtime));
    let started = Instant::now();
    let daemon = scratch.plain_daemon(args, Role::Worker).await?;
    let enqueuer = daemon.store().enqueuer();
    let wanted = i64::try_from(count)?;
    while enqueuer.succeeded(&[SELF_CHECK]).await? < wanted {
        if started.elapsed() > LIMIT {
            anyhow::bail!("not all jobs have succeeded within {LIMIT:?}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = started.elapsed();
    let measured = Measured::of_whole(args.bench.name(), daemon.store().database(), count, took);
    daemon.stop().await;
    Ok(measured)
}

async fn enqueue(enqueuer: &Enqueuer, count: usize) -> anyhow::Result<()> {
    let mut left = count;
    while left > 0 {
        let group = left.min(GROUP);
        let jobs = (0..group).map(|_| self_check(enqueuer)).collect();
        enqueuer.enqueue(jobs).await?;
        left -= group;
    }
    Ok(())
}

/// A job that does nothing.
pub(super) fn self_check(enqueuer: &Enqueuer) -> NewJob {
    NewJob {
        kind: SELF_CHECK,
        client_id: SYSTEM_CLIENT.to_owned(),
        lead_id: None,
        subject_id: enqueuer.next_id(),
        message_id: None,
        draft_id: None,
        max_attempts: 5,
        in_lead_line: false,
        channel: None,
        delay_ms: 0,
        trace: None,
    }
}
