//! Measures webhooks: until they are answered, or until their jobs have ended.

use super::{
    BenchArgs, IngestRole, channel, load, report::Measured, scratch::Scratch, watchers::Watchers,
};
use crate::{
    app::{Daemon, Role},
    domain::{JobKind, job::LEAD_SCORING},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The number of webhooks if `--jobs` is not given: enough for some seconds.
const JOBS: usize = 60_000;
/// The same with one connection.
const JOBS_ONE_CONNECTION: usize = 5_000;
/// The same for the measurement to the end of the jobs.
const JOBS_E2E: usize = 20_000;
/// Webhooks that are posted before the clock starts, so that statements are prepared and pages are
/// in memory.
const WARM_UP: usize = 1_000;
/// How long the jobs may take after the last webhook was answered.
const WORK_LIMIT: Duration = Duration::from_secs(600);

/// Posts unique messages, and measures until all are answered. With the role `all`, the daemon runs
/// their jobs meanwhile.
pub(super) async fn measure(
    args: &BenchArgs,
    connections: usize,
    scratch: &Scratch,
) -> anyhow::Result<Measured> {
    let count = args.jobs.unwrap_or(if connections == 1 { JOBS_ONE_CONNECTION } else { JOBS });
    let works = args.role == IngestRole::All;
    let role = if works { Role::All } else { Role::Ingest };
    let daemon = scratch.plain_daemon(args, role).await?;
    warm_up(&daemon, connections, count, works).await?;
    let bodies = bodies(1_000_000, count)?;
    let enqueuer = daemon.store().enqueuer();
    let ended_before = enqueuer.succeeded(&worked()?).await?;
    let watchers = match args.watchers {
        0 => None,
        streams => Some(Watchers::start(daemon.url(), streams, scratch.watchers()).await?),
    };
    let load = load::post(daemon.url(), path()?, connections, bodies).await?;
    let seen = match watchers {
        None => None,
        Some(watchers) => Some(watchers.stop().await?),
    };
    let ended = enqueuer.succeeded(&worked()?).await? - ended_before;
    let thirds = Thirds::of(&load.answered_at, load.took);
    let (bench, database) = (args.bench.name(), daemon.store().database());
    let measured = Measured::new(bench, database, connections, load.took, load.accepted);
    daemon.stop().await;
    let jobs_per_second = ended as f64 / measured.seconds.max(f64::EPSILON);
    Ok(Measured {
        role: Some(role.as_str()),
        jobs_per_second: works.then_some(jobs_per_second),
        first_third_per_second: Some(thirds.first),
        last_third_per_second: Some(thirds.last),
        refused: load.refused,
        watchers: args.watchers,
        stream_bytes: seen.map(|it| it.stream_bytes),
        pages: seen.map(|it| it.pages),
        ..measured
    })
}

/// Posts unique messages, and measures until the jobs that they cause have ended.
pub(super) async fn measure_to_the_end(
    args: &BenchArgs,
    connections: usize,
    scratch: &Scratch,
) -> anyhow::Result<Measured> {
    let count = args.jobs.unwrap_or(JOBS_E2E);
    let daemon = scratch.plain_daemon(args, Role::All).await?;
    let warm_count = warm_up(&daemon, connections, count, true).await?;
    let bodies = bodies(1_000_000, count)?;
    let started = Instant::now();
    let load = load::post(daemon.url(), path()?, connections, bodies).await?;
    finished(&daemon, (warm_count + load.accepted.len()) * 2).await?;
    let took = started.elapsed();
    let (bench, database) = (args.bench.name(), daemon.store().database());
    let measured = Measured::new(bench, database, connections, took, load.accepted);
    daemon.stop().await;
    Ok(Measured { refused: load.refused, ..measured })
}

/// Posts the first webhooks, and waits for their jobs if the daemon runs jobs. Returns how many it
/// posted.
async fn warm_up(
    daemon: &Daemon,
    connections: usize,
    count: usize,
    works: bool,
) -> anyhow::Result<usize> {
    let warm_up = bodies(0, WARM_UP.min(count))?;
    let warm_count = warm_up.len();
    load::post(daemon.url(), path()?, connections.min(64), warm_up).await?;
    if works {
        finished(daemon, warm_count * 2).await?;
    }
    Ok(warm_count)
}

/// Webhooks per second in the first and in the last third of the time. They show whether the rate
/// falls as the tables grow.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Thirds {
    first: f64,
    last: f64,
}

impl Thirds {
    fn of(answered_at: &[Duration], took: Duration) -> Self {
        let third = took / 3;
        let count = |is_in: &dyn Fn(Duration) -> bool| {
            let count = answered_at.iter().filter(|at| is_in(**at)).count();
            count as f64 / third.as_secs_f64().max(f64::EPSILON)
        };
        Self { first: count(&|at| at < third), last: count(&|at| at >= third * 2) }
    }
}

/// Where messages are posted.
fn path() -> anyhow::Result<Arc<str>> {
    Ok(format!("/webhooks/{}/demo", channel()?.name()).into())
}

/// The kinds of jobs that each webhook causes, one after the other.
fn worked() -> anyhow::Result<[JobKind; 2]> {
    Ok([channel()?.post_process(), LEAD_SCORING])
}

/// Unique messages, each of a lead of its own. `first` is the number of the first one.
fn bodies(first: u64, count: usize) -> anyhow::Result<Vec<Bytes>> {
    let channel = channel()?;
    let numbers = (first..).take(count);
    let body = |unique| {
        channel
            .sample(None, unique)
            .map(|sample| Bytes::from(sample.to_string()))
            .ok_or_else(|| anyhow::anyhow!("there is no sample of `{}`", channel.name()))
    };
    numbers.map(body).collect()
}

/// Waits until `count` jobs of the two kinds have succeeded in the database.
async fn finished(daemon: &Daemon, count: usize) -> anyhow::Result<()> {
    let (enqueuer, worked) = (daemon.store().enqueuer(), worked()?);
    let until = Instant::now() + WORK_LIMIT;
    loop {
        let ended = enqueuer.succeeded(&worked).await?;
        if ended >= i64::try_from(count)? {
            return Ok(());
        }
        if Instant::now() > until {
            anyhow::bail!("only {ended} of {count} jobs have succeeded");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_each_end_is_that_of_its_third() {
        let at = [0, 100, 900, 1_000, 1_500, 2_000, 2_500, 2_900, 3_000];
        let at: Vec<Duration> = at.into_iter().map(Duration::from_millis).collect();
        let thirds = Thirds::of(&at, Duration::from_secs(3));
        assert_eq!(thirds, Thirds { first: 3.0, last: 4.0 });
        let none = Thirds::of(&[], Duration::ZERO);
        assert_eq!(none, Thirds { first: 0.0, last: 0.0 });
    }
}
