//! `postroom bench`: measures this machine and a database, with the code that production runs.

mod drain;
mod ingest;
mod latency;
mod load;
mod report;
mod scratch;
mod watchers;

use self::{report::Measured, scratch::Scratch};
use super::failure::Failure;
use crate::{app, channels::AnyChannel, registry};
use clap::ValueEnum;
use std::sync::Arc;

#[derive(clap::Args)]
pub(super) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, value_name = "BENCH")]
    pub(super) bench: Bench,
    /// Server on which a scratch database is made, and dropped afterwards [default: SQLite in a
    /// temporary directory]
    #[arg(long, value_name = "URL")]
    pub(super) database: Option<String>,
    /// Number of jobs or webhooks
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<usize>,
    /// Number of connections; several with commas, with a measurement for each
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(super) connections: Vec<usize>,
    /// For `ingest`: what the daemon does with the webhooks
    #[arg(long, value_enum, default_value_t = IngestRole::Ingest)]
    pub(super) role: IngestRole,
    /// The most messages in one transaction, in place of `ingest.batch_max`
    #[arg(long, value_name = "N")]
    pub(super) batch_max: Option<usize>,
    /// The most webhooks that wait, in place of `ingest.queue`; beyond it, 429
    #[arg(long, value_name = "N")]
    pub(super) queue: Option<usize>,
    /// For `ingest`: event streams that are open and read meanwhile, while a page is loaded each
    /// second; 0 for neither
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) watchers: usize,
    /// Number of measurements
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) runs: usize,
    /// Print JSON, one object per line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Bench {
    /// Webhooks, from the post to the answer after the commit
    Ingest,
    /// A backlog of jobs, until all have succeeded
    Drain,
    /// Single jobs in an idle daemon, from the commit to the start of the handler
    Latency,
    /// Webhooks, from the post to the end of their jobs
    E2e,
}

impl Bench {
    const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Drain => "drain",
            Self::Latency => "latency",
            Self::E2e => "e2e",
        }
    }
}

/// What the daemon does with the webhooks of `ingest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum IngestRole {
    /// Runs the jobs of the webhooks meanwhile
    All,
    /// Only takes the webhooks
    Ingest,
}

/// The channel whose messages are posted: the first of text messages, whose bodies are small.
///
/// # Errors
/// When there is none.
fn channel() -> anyhow::Result<Arc<dyn AnyChannel>> {
    let mut channels = registry::postroom().channels.into_iter();
    let found = channels.find(|channel| channel.medium().is_text());
    found.ok_or_else(|| anyhow::anyhow!("there is no channel of text messages"))
}

/// Measures, and prints the results.
///
/// # Errors
/// If the scratch database cannot be made, the daemon does not start, or a webhook's answer is
/// neither 200 nor 429.
pub(super) fn run(args: BenchArgs) -> Result<(), Failure> {
    // As `serve` does.
    app::use_small_pages();
    let system = actix_rt::System::new();
    system.block_on(async {
        let mut printer = report::Printer::new(args.json);
        for _ in 0..args.runs.max(1) {
            for connections in connections(&args) {
                let scratch =
                    Scratch::make(args.database.as_deref(), args.watchers).await.map_err(failed)?;
                let result = measure(&args, connections, &scratch).await;
                scratch.remove().await.map_err(failed)?;
                printer.print(&result.map_err(failed)?)?;
            }
        }
        printer.finish()
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn failed(error: anyhow::Error) -> Failure {
    Failure::Failed(format!("{error:#}"))
}

/// The numbers of connections to measure with; 0 for measurements without HTTP.
fn connections(args: &BenchArgs) -> Vec<usize> {
    match (args.bench, args.connections.as_slice()) {
        (Bench::Ingest, []) => vec![1, 64, 256],
        (Bench::E2e, []) => vec![256],
        (Bench::Drain | Bench::Latency, _) => vec![0],
        (Bench::Ingest | Bench::E2e, given) => given.to_vec(),
    }
}

async fn measure(
    args: &BenchArgs,
    connections: usize,
    scratch: &Scratch,
) -> anyhow::Result<Measured> {
    match args.bench {
        Bench::Ingest => ingest::measure(args, connections, scratch).await,
        Bench::E2e => ingest::measure_to_the_end(args, connections, scratch).await,
        Bench::Drain => drain::measure(args, scratch).await,
        Bench::Latency => latency::measure(args, scratch).await,
    }
}
