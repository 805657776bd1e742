//! `postroom bench`: measures this machine with this database.

use clap::ValueEnum;

#[derive(clap::Args)]
#[expect(dead_code, reason = "nothing measures yet")]
pub(super) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, value_name = "BENCH")]
    pub(super) bench: Bench,
    /// A scratch database; it is dropped afterwards [default: SQLite in a temporary directory]
    #[arg(long, value_name = "URL")]
    pub(super) database: Option<String>,
    /// How many jobs or webhooks
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<usize>,
    /// At how many connections, one measurement for each
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(super) connections: Vec<usize>,
    /// Messages in one transaction at the most, in place of `ingest.batch_max`
    #[arg(long, value_name = "N")]
    pub(super) batch_max: Option<usize>,
    /// How often to measure
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) runs: usize,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Bench {
    /// HTTP POST to answer after the commit
    Ingest,
    /// Waiting jobs, until all have succeeded
    Drain,
    /// One job at a time into an idle daemon: commit to handler start
    Latency,
    /// Webhooks posted, until their jobs have ended
    E2e,
}

/// Measures and prints.
///
/// # Errors
/// Always: nothing measures yet.
pub(super) fn run(_args: BenchArgs) -> anyhow::Result<()> {
    anyhow::bail!("this version does not measure yet")
}
