//! `postroom analyst`: learns the weights of the `local` analyst, and measures the analyst.

#[cfg(test)]
mod page;

use super::{
    failure::Failure,
    output::{print, print_json},
};
use crate::{
    analyst::{
        Local,
        local::weights_of,
        replies::{self, LabelledReply},
        understanding::{JudgedReply, Understanding, judge},
    },
    domain::Medium,
    registry,
};
use clap::{Args, Subcommand};
use futures_util::FutureExt;
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Subcommand)]
pub(super) enum AnalystCommand {
    /// Learn the weights of the `local` analyst from labelled replies. The next build has them
    Train(TrainArgs),
    /// Measure the analyst on labelled replies: tags, opt-outs, and each wrong verdict
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: AnalystCommand) -> Result<(), Failure> {
    match command {
        AnalystCommand::Train(args) => train(&args),
        AnalystCommand::Evaluate(args) => evaluate(&args),
    }
}

fn train(args: &TrainArgs) -> Result<(), Failure> {
    let replies = all(&files_in(&args.data)?)?;
    if replies.is_empty() {
        return Err(Failure::Wrong(format!("{}: holds no labelled replies", args.data.display())));
    }
    let file = weights_of(&replies);
    fs::write(&args.out, &file).map_err(|error| unusable(&args.out, &error))?;
    let (count, bytes) = (replies.len(), file.len());
    print(&format!("{}: {bytes} bytes, learned from {count} replies", args.out.display()))
}

fn evaluate(args: &EvaluateArgs) -> Result<(), Failure> {
    let judged = judged(all(&args.files)?)?;
    let measured = Understanding::of(&judged);
    if args.json { print_json(&measured.document()) } else { print(&measured.page()) }
}

/// The verdicts of the analyst.
fn judged(replies: Vec<LabelledReply>) -> Result<Vec<JudgedReply>, Failure> {
    let channels = registry::postroom().channel_directory();
    let with_medium = |reply: LabelledReply| -> Result<(LabelledReply, Medium), Failure> {
        let medium = channels
            .medium_of(&reply.channel)
            .ok_or_else(|| Failure::Wrong(format!("there is no channel `{}`", reply.channel)))?;
        Ok((reply, medium))
    };
    let replies = replies.into_iter().map(with_medium).collect::<Result<_, _>>()?;
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    match judge(&Local, replies).now_or_never() {
        Some(judged) => judged.map_err(|error| failed(&error)),
        None => Err(failed(&"the analyst does not answer at once")),
    }
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
