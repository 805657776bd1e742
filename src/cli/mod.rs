//! The commands: their arguments, their output and their exit codes. One file per command.
//!
//! A command prints its result to stdout and everything else to stderr. Exit codes: 0 ok, 1 failed,
//! 2 wrong usage or configuration, 3 asked and not well, 130 stopped by Ctrl-C. Others come from
//! the daemon.

mod admin;
mod analyst;
mod audit;
mod backup;
mod bench;
mod bulk;
mod completions;
mod config;
mod daemon;
mod deliveries;
mod doctor;
mod drafts;
mod events;
mod examples;
mod explain;
mod failure;
mod fake_provider;
mod files;
mod http;
mod jobs;
mod leads;
mod lists;
mod login_link;
mod man;
mod messages;
mod migrate;
mod model_calls;
mod openapi;
mod operations;
mod operator;
mod output;
#[cfg(test)]
mod page;
mod pools;
mod prompt;
mod quarantine;
mod received;
mod reload;
mod send;
mod serve;
mod token;
mod top;

use self::{failure::Failure, files::Files};
use crate::config::nearest;
use clap::{
    ColorChoice, CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::{env, ffi::OsString, process::ExitCode};

/// Takes sales-outreach webhooks, stores them, and works off what each message needs.
///
/// Without a command, `postroom serve`.
#[derive(Parser)]
#[command(name = "postroom", version)]
struct Cli {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    role: serve::RoleArg,
    /// When to use colours: `auto` does so on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto, help_heading = "Output")]
    color: ColorChoice,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::ServeArgs),
    /// Apply, revert and show migrations of the database
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Copy the database to a new file, while the daemon runs
    Backup(backup::BackupArgs),
    /// Look at all that the daemon needs, and say what to do about what is not well
    Doctor(doctor::DoctorArgs),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Post a built-in sample, or a file, to a running daemon, as a provider would
    Send(send::SendArgs),
    /// Show, explain, retry and cancel the jobs of a running daemon
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Show and stop operations: changes of many jobs or held webhooks
    #[command(subcommand)]
    Operations(operations::OperationsCommand),
    /// Show leads and why they are not answered, opt them out, export and erase them
    #[command(subcommand)]
    Leads(leads::LeadsCommand),
    /// Show messages that were received and sent, and correct their tags
    #[command(subcommand)]
    Messages(messages::MessagesCommand),
    /// Show, edit, approve and reject drafts: answers that were written, until and after they are
    /// sent
    #[command(subcommand)]
    Drafts(drafts::DraftsCommand),
    /// Show deliveries, the sends of drafts, and resolve those of which nobody knows the end
    #[command(subcommand)]
    Deliveries(deliveries::DeliveriesCommand),
    /// Show and export what people decided otherwise
    #[command(subcommand)]
    Examples(examples::ExamplesCommand),
    /// Show, resize, pause and resume the pools of a running daemon
    #[command(subcommand)]
    Pools(pools::PoolsCommand),
    /// Show the actors of a running daemon
    #[command(subcommand)]
    Actors(lists::Look<lists::ActorList>),
    /// Show the nodes: the daemons over one database
    #[command(subcommand)]
    Nodes(lists::Look<lists::NodeList>),
    /// Show who changed what, and when
    Audit(Box<audit::AuditArgs>),
    /// Show the requests to a model's server: what was asked for, how it ended, and its tokens
    #[command(subcommand)]
    Calls(model_calls::ModelCallsCommand),
    /// Show the clients of a running daemon
    #[command(subcommand)]
    Clients(lists::Look<lists::ClientList>),
    /// Print a link that signs you in to the pages of a running daemon, once and within 10 minutes
    LoginLink(login_link::LoginLinkArgs),
    /// Have a running daemon read its configuration again
    Reload(reload::ReloadArgs),
    /// Show what was received and sent, also what left no row: ignored, duplicate and refused
    Received(Box<received::ReceivedArgs>),
    /// Show, replay and discard webhooks that were authentic but not understood
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Show pools, rates and failures of a running daemon, live
    Top(top::TopArgs),
    /// Print what changes on a running daemon, as JSON lines
    Events(events::EventsArgs),
    /// Print a script with which a shell completes these commands
    Completions(completions::CompletionsArgs),
    /// Write manual pages
    Man(man::ManArgs),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Play the providers on this machine, to try sending out: takes answers, and fails on demand
    FakeProvider(fake_provider::FakeProviderArgs),
    /// Train and measure the analyst that is built in
    #[command(subcommand)]
    Analyst(analyst::AnalystCommand),
    /// Measure this machine with this database
    Bench(bench::BenchArgs),
}

/// Runs the command in `args`, whose first entry is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let directory = env::current_dir().ok();
    let result = match completions::answer(Cli::command, &args, directory.as_deref()) {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => match Cli::try_parse_from(args) {
            Ok(cli) => dispatch(cli),
            Err(error) => Err(Failure::Usage(Box::new(without_far_guess(error)))),
        },
        Err(failure) => Err(failure),
    };
    result.unwrap_or_else(|failure| failure.tell())
}

/// The error without a guess that is far from what was typed: the parser takes `--watch` for
/// `--search`.
fn without_far_guess(mut error: clap::Error) -> clap::Error {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (typed, guess) = (of(ContextKind::InvalidArg), of(ContextKind::SuggestedArg));
    if let (Some(typed), Some(guess)) = (typed, guess)
        && nearest(&typed, [guess.as_str()]).is_none()
    {
        error.remove(ContextKind::SuggestedArg);
    }
    error
}

/// Runs a command. Options before it count as its own; `--config` files before it are the lower
/// layers.
fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { files, role, color, command } = cli;
    colour(color);
    let command = command.unwrap_or_else(|| Command::Serve(serve::ServeArgs::default()));
    if role.is_given() && !matches!(command, Command::Serve(_)) {
        return Err(misplaced("--role", "is of `postroom serve` only"));
    }
    match command {
        Command::Serve(args) => return serve::run(args, role, files),
        Command::Migrate(command) => migrate::run(command, files)?,
        Command::Backup(args) => backup::run(args, files)?,
        Command::Doctor(args) => return doctor::run(args, files),
        Command::Config(command) => config::run(command, files)?,
        Command::LoginLink(args) => login_link::run(args, files)?,
        Command::Reload(args) => return reload::run(args, files),
        Command::Send(args) => send::run(args, files)?,
        Command::Jobs(command) => jobs::run(command, files)?,
        Command::Leads(command) => leads::run(command, files)?,
        Command::Operations(command) => operations::run(command, files)?,
        Command::Messages(command) => messages::run(command, files)?,
        Command::Drafts(command) => drafts::run(command, files)?,
        Command::Deliveries(command) => deliveries::run(command, files)?,
        Command::Examples(command) => examples::run(command, files)?,
        Command::Pools(command) => pools::run(command, files)?,
        Command::Actors(command) => command.run(files)?,
        Command::Nodes(command) => command.run(files)?,
        Command::Audit(args) => args.run(files)?,
        Command::Calls(command) => model_calls::run(command, files)?,
        Command::Clients(command) => command.run(files)?,
        Command::Received(args) => args.run(files)?,
        Command::Quarantine(command) => quarantine::run(command, files)?,
        Command::Top(args) => top::run(args, files)?,
        Command::Events(args) => events::run(args, files)?,
        Command::Completions(args) => completions::run(&args)?,
        Command::Man(args) => man::run(&args, Cli::command())?,
        Command::Openapi => openapi::run()?,
        Command::FakeProvider(args) => fake_provider::run(args)?,
        Command::Analyst(command) => analyst::run(command, files)?,
        Command::Bench(_) if files.is_given() => {
            return Err(misplaced("--config", "changes nothing of `postroom bench`: leave it out"));
        }
        Command::Bench(args) => {
            bench::run(args)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets when this process prints colours. `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`.
fn colour(choice: ColorChoice) {
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

fn misplaced(option: &str, why: &str) -> Failure {
    let message = format!("`{option}` {why}");
    Failure::Usage(Box::new(Cli::command().error(ErrorKind::ArgumentConflict, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_code(args: &str) -> ExitCode {
        run(args.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_and_version_succeed_and_wrong_usage_is_2() {
        for args in ["postroom --version", "postroom --help", "postroom help jobs retry"] {
            assert_eq!(exit_code(args), ExitCode::SUCCESS, "{args}");
        }
        for args in [
            "postroom nonsense",
            "postroom serve --role boss",
            "postroom --role worker pools list",
            "postroom --config x.toml bench ingest",
            "postroom jobs",
            "postroom migrate up --sql",
            "postroom jobs retry",
            "postroom jobs retry 1 --status failed",
            "postroom jobs retry 1 --dry-run",
            "postroom jobs cancel --client a --dry-run --yes",
            "postroom operations stop",
            "postroom audit --limit 5 show 7",
            "postroom quarantine discard",
            "postroom drafts edit 7",
            "postroom drafts edit 7 --body x --file y",
            "postroom drafts approve",
            "postroom deliveries resolve 7",
            "postroom deliveries resolve 7 --sent --not-sent",
            "postroom messages retag 7 Delighted",
            "postroom quarantine discard 1 --dry-run",
            "postroom quarantine replay --all --dry-run --yes",
            "postroom operations list --status paused",
            "postroom jobs list --status finished",
            "postroom jobs list --limit 501",
            "postroom calls list --status slow",
            "postroom jobs list --all --limit 5",
            "postroom pools resize SELF_CHECK 0",
            "postroom pools pause SELF_CHECK --for 4",
            "postroom pools reset SELF_CHECK --note x",
            "postroom jobs list --json --jsonl",
            "postroom jobs list --watch=1ms",
            "postroom jobs list --columns id --json",
            "postroom leads show",
            "postroom leads lift-opt-out 7",
            "postroom leads erase 7 --yes",
            "postroom jobs list --url postroom.example",
            "postroom reload --wait soon",
            "postroom send",
            "postroom fake-provider --fail nonsense",
            "postroom fake-provider --bind 0.0.0.0:9925",
            "postroom send sms --event InboundMessage --file x.json",
            "postroom send sms --rate 50",
            "postroom send sms --count 0",
            "postroom analyst evaluate",
            "postroom analyst evaluate no-such-directory/a.jsonl --table",
        ] {
            assert_eq!(exit_code(args), ExitCode::from(2), "{args}");
        }
    }

    #[test]
    fn a_guess_that_is_far_from_what_was_typed_is_not_made() {
        for (args, is_near) in [("jobs list --serch x", false), ("jobs list --statsu x", true)] {
            let args = ["postroom"].into_iter().chain(args.split_whitespace());
            let Err(error) = Cli::try_parse_from(args) else { panic!("taken") };
            let error = without_far_guess(error);
            assert_eq!(error.get(ContextKind::SuggestedArg).is_some(), is_near, "{error}");
        }
    }

    #[test]
    fn what_is_right_is_understood() {
        for args in [
            "postroom",
            "postroom --config a.toml --config b.toml --role worker",
            "postroom --config a.toml serve --config b.toml --role ingest",
            "postroom migrate fresh --yes --config a.toml",
            "postroom migrate up --dry-run --sql --json",
            "postroom config show --json",
            "postroom send sms --client demo --event InboundMessage --count 1000 --rate 50/s --connections 4",
            "postroom jobs list --status failed,cancelled --kind SELF_CHECK --client a --lead 1 --limit 500",
            "postroom jobs retry 1 2 3 --url https://postroom.example/below --token t",
            "postroom jobs cancel --client demo",
            "postroom jobs cancel --client demo --yes --no-wait --json",
            "postroom jobs stats --verify",
            "postroom operations list --status running --action cancel",
            "postroom operations stop 7",
            "postroom jobs stats --json",
            "postroom pools list",
            "postroom pools show SELF_CHECK --utc",
            "postroom pools resize SELF_CHECK 16 --for 4h --note flood --node 7",
            "postroom pools reset SELF_CHECK --node 7",
            "postroom audit list --action pool.override,pool.reset --since 4h --all",
            "postroom audit",
            "postroom audit --action pool.override --limit 5",
            "postroom audit show 7",
            "postroom quarantine discard --all --yes",
            "postroom quarantine replay 1 2 --dry-run",
            "postroom received",
            "postroom received list --q +12125550123 --outcome duplicate,stored --all",
            "postroom received show 7",
            "postroom drafts edit 7 --subject x --file -",
            "postroom drafts approve 7 8 --json",
            "postroom drafts undo 7",
            "postroom drafts reject 7 --note rude",
            "postroom drafts regenerate 7",
            "postroom drafts snooze 7 8 --until 4h",
            "postroom drafts snooze 7",
            "postroom deliveries resolve 7 --not-sent --note looked",
            "postroom deliveries show 7",
            "postroom examples export --client demo",
            "postroom examples list --all",
            "postroom quarantine replay --all --dry-run --json",
            "postroom nodes show 7 --json",
            "postroom calls list --feature classify,draft --status timeout --since 4h --job 7",
            "postroom serve --ignore-overrides",
            "postroom leads lift-opt-out 7 --note x",
            "postroom leads opt-out 7 8",
            "postroom leads erase 7 --note x --yes --suppress",
            "postroom leads export 7",
            "postroom leads list --search acme --status new --all --jsonl",
            "postroom actors list --watch --color never",
            "postroom events",
            "postroom events pools job/7 --url http://127.0.0.1:1",
            "postroom messages list --watch=5s --columns id,body",
            "postroom --config a.toml reload --wait 5s",
            "postroom login-link --json",
            "postroom top --once --interval 500ms",
            "postroom completions zsh",
            "postroom fake-provider --bind 127.0.0.1:0 --fail sms/429:30*2 --fail hang",
            "postroom man pages",
            "postroom analyst train --data replies --out weights.bin",
            "postroom analyst evaluate a.jsonl b.jsonl --json",
            "postroom bench ingest --connections 1,64,256 --jobs 1000 --json",
        ] {
            let parsed = Cli::try_parse_from(args.split_whitespace());
            assert!(parsed.is_ok(), "{args}: {}", parsed.err().expect("an error"));
        }
    }

    #[test]
    fn files_before_the_command_lie_below_those_behind_it() {
        let args = "postroom --config a.toml serve --config b.toml --config c.toml";
        let Ok(cli) = Cli::try_parse_from(args.split_whitespace()) else { panic!("refused") };
        let Some(Command::Serve(args)) = cli.command else { panic!("not serve") };
        let files = args.files.over(cli.files).sources().files;
        assert_eq!(files, ["a.toml", "b.toml", "c.toml"].map(std::path::PathBuf::from));
    }

    /// All commands that people see, as the words of each.
    fn all_commands(command: &clap::Command, words: &[String]) -> Vec<Vec<String>> {
        let mut all = vec![words.to_vec()];
        for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            let words = [words, &[below.get_name().to_owned()]].concat();
            all.extend(all_commands(below, &words));
        }
        all
    }

    #[test]
    fn every_command_is_completed_and_has_a_manual_page() {
        let directory = tempfile::tempdir().expect("a directory");
        let args = man::ManArgs::to(directory.path());
        assert!(man::run(&args, Cli::command()).is_ok());
        let mut command = Cli::command();
        command.build();
        let all = all_commands(&command, &["postroom".to_owned()]);
        for words in all.iter().filter(|words| !words.contains(&"help".to_owned())) {
            let page = directory.path().join(format!("{}.1", words.join("-")));
            assert!(page.is_file(), "{}", page.display());
            let (name, before) = words.split_last().expect("a command");
            if before.is_empty() {
                continue;
            }
            let line: Vec<OsString> =
                [before, &[String::new()]].concat().iter().map(OsString::from).collect();
            let offered =
                clap_complete::engine::complete(&mut Cli::command(), line, before.len(), None);
            let offered = offered.expect("completions");
            assert!(offered.iter().any(|it| it.get_value() == name.as_str()), "{words:?}");
        }
    }
}
