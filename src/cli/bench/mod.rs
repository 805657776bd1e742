//! `postroom bench`: measures this machine with this database, through the real code paths.

mod drain;
mod ingest;
mod latency;
mod load;
mod report;
mod scratch;

use self::{report::Measured, scratch::Scratch};
use super::failure::Failure;
use crate::domain::JobKind;
use clap::ValueEnum;

#[derive(clap::Args)]
pub(super) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, value_name = "BENCH")]
    pub(super) bench: Bench,
    /// A scratch database is made on this server and dropped afterwards [default: SQLite in a temporary
    /// directory]
    #[arg(long, value_name = "URL")]
    pub(super) database: Option<String>,
    /// How many jobs or webhooks
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<usize>,
    /// At how many connections, one measurement for each
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(super) connections: Vec<usize>,
    /// What the daemon does that takes the webhooks of `ingest`
    #[arg(long, value_enum, default_value_t = IngestRole::Ingest)]
    pub(super) role: IngestRole,
    /// Messages in one transaction at the most, in place of `ingest.batch_max`
    #[arg(long, value_name = "N")]
    pub(super) batch_max: Option<usize>,
    /// Webhooks that may wait at once, in place of `ingest.queue`: beyond it the answer is 429
    #[arg(long, value_name = "N")]
    pub(super) queue: Option<usize>,
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

/// What a daemon does besides taking webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum IngestRole {
    /// Works the jobs of the webhooks meanwhile
    All,
    /// Nothing
    Ingest,
}

/// The channel whose messages are posted.
const CHANNEL: &str = "sms";
/// The kind that works them through.
const INBOUND: JobKind = JobKind("SMS_INBOUND_POST_PROCESS");

/// Measures and prints, run by run.
///
/// # Errors
/// When the scratch database cannot be made, the daemon does not start, or a webhook is answered with
/// anything but 200 and 429.
pub(super) fn run(args: BenchArgs) -> Result<(), Failure> {
    let system = actix_rt::System::new();
    system.block_on(async {
        let mut printer = report::Printer::new(args.json);
        for _ in 0..args.runs.max(1) {
            for connections in connections(&args) {
                let scratch = Scratch::make(args.database.as_deref()).await.map_err(failed)?;
                let result = measure(&args, connections, &scratch).await;
                scratch.remove().await.map_err(failed)?;
                printer.print(&result.map_err(failed)?)?;
            }
        }
        printer.finish()
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: anyhow::Error) -> Failure {
    Failure::Failed(format!("{error:#}"))
}

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
