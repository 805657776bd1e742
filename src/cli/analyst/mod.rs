//! `postroom analyst`: learns the weights of the `local` analyst, and measures an analyst.

#[cfg(test)]
mod page;

use super::{
    failure::Failure,
    files::Files,
    http::block_on,
    output::{print, print_json},
};
use crate::{
    analyst::{
        Analyst, Analysts, Asker, Local, ModelCallLog,
        local::weights_of,
        replies::{self, LabelledReply},
        understanding::{JudgedReply, Understanding, judge},
    },
    config::Live,
    domain::{JobKind, Medium},
    registry,
    telemetry::metrics::{MetricLabels, Metrics},
};
use clap::{Args, Subcommand};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// How long a configured model may take for all replies.
const ASKED_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The kind under which a model is asked here: there is no job.
const NO_JOB: JobKind = JobKind("NONE");

/// What to do if the tree of phrases is older than the lexicon.
const OLD_PHRASES: &str = "this program has other phrases than src/analyst/local/lexicon: run \
    `POSTROOM_WRITE_PAGES=1 cargo test --lib phrase_tree`, build again, then train";

#[derive(Subcommand)]
pub(super) enum AnalystCommand {
    /// Learn the weights of the `local` analyst from labelled replies. The next build has them
    Train(TrainArgs),
    /// Measure an analyst on labelled replies: tags, opt-outs, and each wrong verdict
    Evaluate(EvaluateArgs),
}

#[derive(Args)]
pub(super) struct TrainArgs {
    /// Directory of the labelled replies: all its `.jsonl` files
    #[arg(long, value_name = "DIR", default_value = "tests/replies/train")]
    data: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "src/analyst/local/weights.bin")]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct EvaluateArgs {
    /// Files of labelled replies: a JSON object on each line
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Measure the analyst of the configuration, which may be a model, instead of `local`. A model
    /// is asked about each reply, in turn, and the first question without an answer ends the
    /// command
    #[arg(long)]
    configured: bool,
    #[command(flatten)]
    config: Files,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: AnalystCommand, files: Files) -> Result<(), Failure> {
    match command {
        AnalystCommand::Train(args) => train(&args),
        AnalystCommand::Evaluate(args) => evaluate(args, files),
    }
}

fn train(args: &TrainArgs) -> Result<(), Failure> {
    let replies = all(&files_in(&args.data)?)?;
    if replies.is_empty() {
        return Err(Failure::Wrong(format!("{}: holds no labelled replies", args.data.display())));
    }
    let file = weights_of(&replies).ok_or_else(|| Failure::Wrong(OLD_PHRASES.to_owned()))?;
    fs::write(&args.out, &file).map_err(|error| unusable(&args.out, &error))?;
    let (count, bytes) = (replies.len(), file.len());
    print(&format!("{}: {bytes} bytes, learned from {count} replies", args.out.display()))
}

fn evaluate(args: EvaluateArgs, files: Files) -> Result<(), Failure> {
    let EvaluateArgs { files: of_replies, configured, config, json } = args;
    let replies = all(&of_replies)?;
    let judged = if configured {
        judged(&*configured_analyst(config.over(files))?, replies)?
    } else {
        judged(&Local, replies)?
    };
    let measured = Understanding::of(&judged);
    if json { print_json(&measured.document()) } else { print(&measured.page()) }
}

/// The analyst that the configuration names. Its requests to a model leave no rows.
fn configured_analyst(files: Files) -> Result<Box<dyn Analyst>, Failure> {
    let live = Live::new(files.load()?);
    let metrics = Metrics::new(MetricLabels::default())
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let (log, _) = ModelCallLog::new(metrics.clone());
    let asker = Asker {
        job_id: 0,
        kind: NO_JOB,
        client_id: String::new(),
        lead_id: None,
        until: Instant::now() + ASKED_MAX,
    };
    Ok(Analysts::new(live, metrics, log).of(asker))
}

/// The verdicts of an analyst.
fn judged(analyst: &dyn Analyst, replies: Vec<LabelledReply>) -> Result<Vec<JudgedReply>, Failure> {
    let channels = registry::postroom().channel_directory();
    let with_medium = |reply: LabelledReply| -> Result<(LabelledReply, Medium), Failure> {
        let medium = channels
            .medium_of(&reply.channel)
            .ok_or_else(|| Failure::Wrong(format!("there is no channel `{}`", reply.channel)))?;
        Ok((reply, medium))
    };
    let replies = replies.into_iter().map(with_medium).collect::<Result<_, _>>()?;
    block_on(judge(analyst, replies))?.map_err(|error| Failure::Failed(error.to_string()))
}

/// All files of labelled replies in a directory, by name.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(directory).map_err(|error| unusable(directory, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unusable(directory, &error))?.path();
        if path.extension().is_some_and(|it| it == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The replies of all files.
fn all(files: &[PathBuf]) -> Result<Vec<LabelledReply>, Failure> {
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).map_err(|error| unusable(file, &error))?;
        let wrong = |error| Failure::Wrong(format!("{}: {error}", file.display()));
        all.extend(replies::read(&text).map_err(wrong)?);
    }
    Ok(all)
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
