//! The test that keeps `docs/COMMANDS.md` true: what stands below its mark is made from the
//! definitions of the commands and lists.

use super::{
    Cli,
    lists::{
        ActorList, AuditList, ClientList, DeliveryList, DraftList, ExampleList, JobList, LeadList,
        ListSpec, Listed, MessageList, ModelCallList, NodeList, OperationList, PoolList,
        QuarantineList, ReceivedList,
    },
};
use clap::{Arg, Command, CommandFactory};
use std::{env, fmt::Write as _, fs, path::Path};

const MARK: &str = "<!-- From here on the page is made from the definitions of the commands. -->\n";
/// Set it to write the page instead of comparing it.
const WRITE: &str = "POSTROOM_WRITE_PAGES";

/// The lists whose columns the page names.
const LISTS: [ListSpec; 15] = [
    JobList::SPEC,
    OperationList::SPEC,
    LeadList::SPEC,
    MessageList::SPEC,
    DraftList::SPEC,
    DeliveryList::SPEC,
    ExampleList::SPEC,
    ReceivedList::SPEC,
    QuarantineList::SPEC,
    PoolList::SPEC,
    ActorList::SPEC,
    ClientList::SPEC,
    NodeList::SPEC,
    AuditList::SPEC,
    ModelCallList::SPEC,
];

#[test]
fn the_page_of_the_commands_is_that_of_these_commands() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMMANDS.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (by_hand, below) = page.split_once(MARK).expect("the page has its mark");
    let made = made();
    if env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{by_hand}{MARK}{made}")).expect("the page can be written");
    } else {
        assert!(
            below == made,
            "docs/COMMANDS.md is not that of these commands: run `{WRITE}=1 cargo test --lib cli::page`"
        );
    }
}

/// The part of the page that is made.
fn made() -> String {
    let mut command = Cli::command();
    command.build();
    let mut text = "\n## All commands\n".to_owned();
    let common = common(&command);
    write(&mut text, &command, &common);
    text.push_str("\n## Options of many commands\n\n");
    for arg in &common {
        describe(&mut text, arg);
    }
    text.push_str("\n## Columns of the lists\n\nThose in bold are shown without `--columns`.\n\n");
    for spec in LISTS {
        let shown: Vec<&str> = spec.default_columns().iter().map(|it| it.name).collect();
        let spelled = spec.columns.iter().map(|column| {
            let name = column.name;
            if shown.contains(&name) { format!("**`{name}`**") } else { format!("`{name}`") }
        });
        let spelled = spelled.collect::<Vec<_>>().join(" ");
        writeln!(text, "- `{}`: {spelled}", spec.path).expect("a String takes all");
    }
    text
}

/// The options of `jobs list` that are described once: those of the daemon and of the output.
fn common(command: &Command) -> Vec<Arg> {
    let list = command.find_subcommand("jobs").and_then(|jobs| jobs.find_subcommand("list"));
    let args = list.expect("`jobs list`").get_arguments();
    let is_common = |arg: &&Arg| {
        matches!(arg.get_help_heading(), Some("Daemon" | "Output"))
            || matches!(arg.get_id().as_str(), "config" | "limit" | "cursor" | "all" | "help")
    };
    args.filter(is_common).cloned().collect()
}

/// Writes a command and those below it.
fn write(text: &mut String, command: &Command, common: &[Arg]) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    if name.split(' ').any(|word| word == "help") {
        return;
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let positionals: Vec<String> = command.get_positionals().map(ToString::to_string).collect();
    let usage = [&[name.to_owned()], positionals.as_slice()].concat().join(" ");
    writeln!(text, "\n### `{usage}`\n\n{about}.\n").expect("a String takes all");
    if let Some(more) = command.get_after_help() {
        writeln!(text, "{more}.\n").expect("a String takes all");
    }
    let is_own = |arg: &&Arg| {
        !common.iter().any(|it| it.get_id() == arg.get_id() && it.get_help() == arg.get_help())
            && !matches!(arg.get_id().as_str(), "help" | "version")
    };
    for arg in command.get_arguments().filter(is_own) {
        describe(text, arg);
    }
    let shared = common.iter().filter(|it| {
        command
            .get_arguments()
            .any(|arg| arg.get_id() == it.get_id() && arg.get_help() == it.get_help())
    });
    let shared: Vec<String> =
        shared.filter_map(|it| Some(format!("`--{}`", it.get_long()?))).collect();
    if !shared.is_empty() && command.get_subcommands().next().is_none() {
        writeln!(text, "- and {}", shared.join(" ")).expect("a String takes all");
    }
    for below in command.get_subcommands() {
        write(text, below, common);
    }
}

/// Writes an option on a line.
fn describe(text: &mut String, arg: &Arg) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let words: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let takes_value = arg.get_action().takes_values();
    let words = if words.is_empty() || !takes_value {
        String::new()
    } else {
        format!(": {}", words.join(", "))
    };
    writeln!(text, "- `{arg}`: {help}{words}").expect("a String takes all");
}
