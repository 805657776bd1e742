//! Webhooks posted: until their answers, or until their jobs have ended.

use super::{BenchArgs, CHANNEL, INBOUND, load, report::Measured, scratch::Scratch};
use crate::{
    app::{Daemon, Role},
    channels::samples,
    domain::{ChannelName, job::LEAD_SCORING},
};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

const PATH: &str = "/webhooks/sms/demo";
/// Webhooks of a measurement where none are asked for: enough for some seconds.
const JOBS: usize = 60_000;
const JOBS_ONE_CONNECTION: usize = 5_000;
const JOBS_E2E: usize = 20_000;
/// Webhooks posted before the clock starts, so that statements are prepared and pages are there.
const WARM_UP: usize = 1_000;
/// How long the jobs of webhooks may take after the last answer.
const WORK_LIMIT: Duration = Duration::from_secs(600);

/// Posts unique messages. `to_the_end`: with workers, and until each job and the one it enqueues have
/// ended.
pub(super) async fn measure(
    args: &BenchArgs,
    connections: usize,
    scratch: &Scratch,
    to_the_end: bool,
) -> anyhow::Result<Measured> {
    let count = args.jobs.unwrap_or(match (to_the_end, connections) {
        (true, _) => JOBS_E2E,
        (false, 1) => JOBS_ONE_CONNECTION,
        (false, _) => JOBS,
    });
    let role = if to_the_end { Role::All } else { Role::Ingest };
    let daemon = scratch.plain_daemon(args, role).await?;
    let warm_up = bodies(0, WARM_UP.min(count))?;
    let warm_count = warm_up.len();
    load::post(daemon.url(), PATH, connections.min(64), warm_up).await?;
    if to_the_end {
        finished(&daemon, warm_count * 2).await?;
    }
    let bodies = bodies(1_000_000, count)?;
    let started = Instant::now();
    let load = load::post(daemon.url(), PATH, connections, bodies).await?;
    let took = if to_the_end {
        finished(&daemon, (warm_count + load.accepted.len()) * 2).await?;
        started.elapsed()
    } else {
        load.took
    };
    let (bench, database) = (args.bench.name(), daemon.store().database());
    let measured = Measured::new(bench, database, connections, took, load.accepted);
    daemon.stop().await;
    Ok(Measured { refused: load.refused, ..measured })
}

/// Unique messages of as many leads.
fn bodies(first: u64, count: usize) -> anyhow::Result<Vec<Bytes>> {
    let numbers = (first..).take(count);
    let body = |unique| {
        samples::sample(ChannelName(CHANNEL), None, unique)
            .map(|it| Bytes::from(it.to_string()))
            .ok_or_else(|| anyhow::anyhow!("there is no sample of `{CHANNEL}`"))
    };
    numbers.map(body).collect()
}

/// Waits until as many jobs of the two kinds have succeeded in the database.
async fn finished(daemon: &Daemon, count: usize) -> anyhow::Result<()> {
    let feed = daemon.store().feed();
    let until = Instant::now() + WORK_LIMIT;
    loop {
        let ended = feed.succeeded(&[INBOUND, LEAD_SCORING]).await?;
        if ended >= i64::try_from(count)? {
            return Ok(());
        }
        if Instant::now() > until {
            anyhow::bail!("only {ended} of {count} jobs have succeeded");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
