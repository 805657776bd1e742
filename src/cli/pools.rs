//! `postroom pools`: the pools of a running daemon, and changes of them beside the files.

use super::{
    admin::Remote,
    completions,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{ListArgs, Listed as _, Named, NodeList, NoteArg, PoolList, ShowArgs, details},
    output::{self, with_note},
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Map, Value};

#[derive(Subcommand)]
pub(super) enum PoolsCommand {
    List(ListArgs<PoolList>),
    Show(ShowArgs<PoolList>),
    /// Set how many slots a pool has, on all nodes, whatever the files say
    Resize {
        #[command(flatten)]
        pool: PoolArg,
        /// The slots of each node
        #[arg(value_name = "SIZE", value_parser = clap::value_parser!(u16).range(1..=10_000))]
        size: u16,
        #[command(flatten)]
        why: WhyArgs,
        #[command(flatten)]
        remote: Remote,
    },
    /// Start no more jobs of a kind, on all nodes; running ones end
    Pause {
        #[command(flatten)]
        pool: PoolArg,
        #[command(flatten)]
        why: WhyArgs,
        #[command(flatten)]
        remote: Remote,
    },
    /// Start jobs of a kind again
    Resume {
        #[command(flatten)]
        pool: PoolArg,
        #[command(flatten)]
        why: WhyArgs,
        #[command(flatten)]
        remote: Remote,
    },
    /// End what `resize`, `pause` and `resume` have set: the pool runs as the files say
    Reset {
        #[command(flatten)]
        pool: PoolArg,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args)]
pub(super) struct PoolArg {
    /// The kind of the pool's jobs
    #[arg(value_name = "KIND", value_parser = NonEmptyStringValueParser::new(), add = completions::names(Named::Kind))]
    kind: String,
    /// On this node only, until it ends; it must be the daemon that is asked [default: all nodes]
    #[arg(
        long,
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<NodeList>(),
    )]
    node: Option<String>,
}

#[derive(Args)]
pub(super) struct WhyArgs {
    /// For how long, such as `4h` [default: until it is reset, or the file changes that key]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_for)]
    expires_in: Option<String>,
    #[command(flatten)]
    why: NoteArg,
}

/// Parses `--for`. The daemon is given the text.
///
/// # Errors
/// What was expected.
fn parse_for(text: &str) -> Result<String, String> {
    match humantime::parse_duration(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected a duration such as `4h` or `30m`".to_owned()),
    }
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: PoolsCommand, files: Files) -> Result<(), Failure> {
    match command {
        PoolsCommand::List(args) => args.run(files),
        PoolsCommand::Show(args) => args.run(files),
        PoolsCommand::Resize { pool, size, why, remote } => {
            change(&pool, Some(why.body("size", size)), remote, files)
        }
        PoolsCommand::Pause { pool, why, remote } => {
            change(&pool, Some(why.body("paused", true)), remote, files)
        }
        PoolsCommand::Resume { pool, why, remote } => {
            change(&pool, Some(why.body("paused", false)), remote, files)
        }
        PoolsCommand::Reset { pool, remote } => change(&pool, None, remote, files),
    }
}

impl WhyArgs {
    /// The body of a change.
    fn body(self, key: &str, value: impl Into<Value>) -> Value {
        let mut body = Map::new();
        body.insert(key.to_owned(), value.into());
        body.extend(self.expires_in.map(|it| ("expires_in".to_owned(), Value::from(it))));
        with_note(Value::Object(body), self.why.note)
    }
}

/// Changes the pool, or ends what was set for it, and prints the pool.
fn change(
    pool: &PoolArg,
    body: Option<Value>,
    remote: Remote,
    files: Files,
) -> Result<(), Failure> {
    let (is_json, times) = (remote.json, remote.times());
    let admin = remote.connect(files)?;
    let query: Vec<(&str, String)> = pool.node.iter().map(|id| ("node", id.clone())).collect();
    let kind = pool.kind.as_str();
    let answer = block_on(async {
        match &body {
            Some(body) => admin.patch(&["pools", kind], &query, body).await,
            None => admin.delete(&["pools", kind, "override"], &query).await,
        }
    })??;
    if is_json {
        output::print_json(&answer)
    } else {
        output::print(&details(&PoolList::SPEC, &answer, &times))
    }
}
