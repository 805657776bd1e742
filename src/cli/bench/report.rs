//! Prints measurements, as a table or as one JSON object per line.

use crate::cli::{
    failure::Failure,
    output::{self, TextTable},
};
use serde::Serialize;
use std::time::Duration;

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) bench: &'static str,
    pub(super) database: &'static str,
    pub(super) connections: usize,
    pub(super) jobs: usize,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    /// Webhooks that were answered 429.
    pub(super) refused: usize,
    /// Memory of this process after the run, load generator included.
    pub(super) rss_mib: f64,
    /// What the daemon did with the webhooks of `ingest`.
    pub(super) role: Option<&'static str>,
    /// Jobs that ended per second while webhooks came.
    pub(super) jobs_per_second: Option<f64>,
    /// `per_second` in the first third of the time.
    pub(super) first_third_per_second: Option<f64>,
    /// `per_second` in the last third of the time.
    pub(super) last_third_per_second: Option<f64>,
    /// Event streams that were open.
    pub(super) watchers: usize,
    /// Bytes of these streams that were read.
    pub(super) stream_bytes: Option<usize>,
    /// Pages that were loaded meanwhile.
    pub(super) pages: Option<usize>,
}

impl Measured {
    /// A measurement with the time of the whole and of each single job or webhook.
    pub(super) fn new(
        bench: &'static str,
        database: &'static str,
        connections: usize,
        took: Duration,
        mut each: Vec<Duration>,
    ) -> Self {
        each.sort_unstable();
        let jobs = each.len();
        let seconds = took.as_secs_f64();
        Self {
            bench,
            database,
            connections,
            jobs,
            seconds,
            per_second: jobs as f64 / seconds.max(f64::EPSILON),
            p50_ms: percentile(&each, 50),
            p95_ms: percentile(&each, 95),
            p99_ms: percentile(&each, 99),
            refused: 0,
            rss_mib: rss_mib(),
            role: None,
            jobs_per_second: None,
            first_third_per_second: None,
            last_third_per_second: None,
            watchers: 0,
            stream_bytes: None,
            pages: None,
        }
    }

    /// A measurement with the time of the whole only.
    pub(super) fn of_whole(
        bench: &'static str,
        database: &'static str,
        jobs: usize,
        took: Duration,
    ) -> Self {
        let whole = Self::new(bench, database, 0, took, Vec::new());
        Self { jobs, per_second: jobs as f64 / whole.seconds.max(f64::EPSILON), ..whole }
    }
}

/// The `percent`th percentile in milliseconds; 0 if there are no values.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

fn rate(per_second: Option<f64>) -> String {
    per_second.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"))
}

/// The resident memory of this process in MiB, as the kernel tells it; 0 if it does not.
fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1_024.0
}

/// Prints measurements: JSON as they come, a table at the end.
pub(super) struct Printer {
    json: bool,
    rows: Vec<Vec<String>>,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    pub(super) fn print(&mut self, measured: &Measured) -> Result<(), Failure> {
        if self.json {
            let line = serde_json::to_string(measured);
            return output::print(&line.map_err(|error| Failure::Failed(error.to_string()))?);
        }
        self.rows.push(vec![
            measured.bench.to_owned(),
            measured.database.to_owned(),
            measured.connections.to_string(),
            measured.jobs.to_string(),
            format!("{:.2}", measured.seconds),
            format!("{:.0}", measured.per_second),
            format!("{:.2}", measured.p50_ms),
            format!("{:.2}", measured.p95_ms),
            format!("{:.2}", measured.p99_ms),
            measured.refused.to_string(),
            format!("{:.0}", measured.rss_mib),
            measured.role.unwrap_or("-").to_owned(),
            rate(measured.jobs_per_second),
            rate(measured.first_third_per_second),
            rate(measured.last_third_per_second),
            measured.watchers.to_string(),
        ]);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        const HEAD: [&str; 16] = [
            "bench",
            "database",
            "connections",
            "jobs",
            "seconds",
            "per second",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "refused",
            "RSS MiB",
            "role",
            "jobs per second",
            "first third",
            "last third",
            "watchers",
        ];
        if self.json { Ok(()) } else { output::print_table(&TextTable::new(&HEAD, self.rows)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_times() {
        let each: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        let it = Measured::new("ingest", "sqlite", 1, Duration::from_secs(2), each);
        assert_eq!((it.p50_ms, it.p95_ms, it.p99_ms), (50.0, 95.0, 99.0));
        assert_eq!(it.per_second, 50.0);
        assert_eq!(percentile(&[], 99), 0.0);
    }
}
