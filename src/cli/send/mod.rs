//! `postroom send`: posts samples or a file to a running daemon, as a provider would.

mod post;
mod report;
mod target;

use self::{
    post::{Bodies, Pace},
    report::Report,
};
use super::{
    completions,
    daemon::UrlArg,
    failure::Failure,
    files::Files,
    http::{block_on, warn_if_in_clear},
    lists::Named,
};
use crate::{config::Rate, registry};
use std::path::PathBuf;

/// The greatest `--connections`. With more, a process would exceed the usual limit of open files.
const CONNECTIONS_MAX: i64 = 1_000;

#[derive(clap::Args)]
pub(super) struct SendArgs {
    /// The channel, such as `sms`
    #[arg(add = completions::names(Named::Channel))]
    channel: String,
    /// Client whose webhook it is [default: the first client that has the channel]
    #[arg(long, value_name = "ID", add = completions::names(Named::Client))]
    client: Option<String>,
    /// Event of the sample [default: an inbound message]
    #[arg(long, value_name = "EVENT", conflicts_with = "file", add = completions::words(events))]
    event: Option<String>,
    /// Post this file unchanged instead of a sample; `-` for stdin
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// How many to post; all samples differ
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    count: u64,
    /// The highest rate, such as `50/s`, `600/m`, `1000/h` [default: as fast as possible]
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: Option<Rate>,
    /// The most requests at the same time
    #[arg(long, value_name = "C", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=CONNECTIONS_MAX))]
    connections: u16,
    #[command(flatten)]
    url: UrlArg,
    #[command(flatten)]
    files: Files,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    Rate::parse(text).ok_or_else(|| "expected such as `50/s`, `600/m` or `1000/h`".to_owned())
}

/// The events of all channels.
fn events() -> Vec<String> {
    let channels = registry::postroom().channels;
    let mut events: Vec<String> =
        channels.iter().flat_map(|it| it.events()).map(str::to_owned).collect();
    events.sort_unstable();
    events.dedup();
    events
}

/// Posts, and prints each outcome. `files` are those given before the command.
pub(super) fn run(args: SendArgs, files: Files) -> Result<(), Failure> {
    let channel = target::channel(&args.channel)?;
    let bodies = match &args.file {
        Some(path) => Bodies::file(path)?,
        None => Bodies::samples(channel.clone(), args.event)?,
    };
    let (url, config) = (args.url.given()?, args.files.over(files).load()?);
    let target =
        target::find(&config, channel.name(), args.client.as_deref(), url, args.connections)?;
    if target.secret.is_some() {
        warn_if_in_clear(&target.base, "the webhook's secret");
    }
    let pace = Pace { count: args.count, rate: args.rate, connections: args.connections };
    let mut report = Report::new(args.count, args.json);
    let stopped = block_on(post::all(&target, &bodies, &pace, |posted| report.take(posted)))?;
    report.finish(&target, stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_count_and_a_unit() {
        for text in ["50/s", "600/m", "1000/h"] {
            assert_eq!(parse_rate(text).map(|it| it.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "50", "0/s", "-1/s", "50/d", "s/50", "1.5/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
