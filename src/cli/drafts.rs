//! `postroom drafts`: answers that are written, and what a person decides about them.

use super::{
    admin::{Admin, Remote},
    failure::Failure,
    files::Files,
    lists::{self, DraftList, IdArg, IdsArg, ListArgs, ShowArgs},
    output::with_note,
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Map, Value, json};
use std::{io, path::PathBuf};

const MAY_BE_REFUSED: &str = "An approved draft is judged once more right before it is sent. It may be refused then, for \
    instance if the lead has written again or has opted out: `status` and `decided_by` of `postroom drafts show ID` say so, and \
    `postroom leads explain LEAD` says why";

#[derive(Subcommand)]
pub(super) enum DraftsCommand {
    #[command(after_help = MAY_BE_REFUSED)]
    List(ListArgs<DraftList>),
    Show(ShowArgs<DraftList>),
    /// Change the text of a draft that waits for a decision
    Edit {
        #[command(flatten)]
        draft: IdArg<DraftList>,
        #[command(flatten)]
        text: TextArgs,
        #[command(flatten)]
        remote: Remote,
    },
    /// Have drafts sent; for a few seconds that can be taken back by `undo`
    #[command(after_help = MAY_BE_REFUSED)]
    Approve {
        #[command(flatten)]
        drafts: IdsArg<DraftList>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take approvals back, while the answers are not on their way
    Undo {
        #[command(flatten)]
        drafts: IdsArg<DraftList>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Have drafts not sent
    Reject {
        #[command(flatten)]
        drafts: IdsArg<DraftList>,
        /// Why: then the draft is kept as an example, by which analysts are judged
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        note: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Put drafts off: they come back at their time, or when their leads write again
    Snooze {
        #[command(flatten)]
        drafts: IdsArg<DraftList>,
        /// A time such as 2026-01-18T14:03:11Z, or a duration from now such as 4h; without it, they
        /// are put off no longer
        #[arg(long, value_name = "TIME", value_parser = NonEmptyStringValueParser::new())]
        until: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Have drafts written anew, in place of their text
    Regenerate {
        #[command(flatten)]
        drafts: IdsArg<DraftList>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// What a draft is to say.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(super) struct TextArgs {
    /// The subject line of a mail; an empty one takes it away
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// The whole text
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    body: Option<String>,
    /// A file with the whole text; `-` is standard input
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

const COLUMNS: [&str; 5] = ["id", "channel", "status", "send_at", "blocked_by"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: DraftsCommand, files: Files) -> Result<(), Failure> {
    match command {
        DraftsCommand::List(args) => args.run(files),
        DraftsCommand::Show(args) => args.run(files),
        DraftsCommand::Edit { draft, text, remote } => {
            let body = text.document()?;
            let each =
                async |admin: &Admin, id: &str| admin.patch(&["drafts", id], &[], &body).await;
            lists::change::<DraftList>(remote, files, &[draft.id], &COLUMNS, each)
        }
        DraftsCommand::Approve { drafts, remote } => {
            decide(&drafts, "approve", None, remote, files)
        }
        DraftsCommand::Undo { drafts, remote } => decide(&drafts, "undo", None, remote, files),
        DraftsCommand::Reject { drafts, note, remote } => {
            decide(&drafts, "reject", Some(&with_note(json!({}), note)), remote, files)
        }
        DraftsCommand::Snooze { drafts, until, remote } => {
            decide(&drafts, "snooze", Some(&json!({"until": until})), remote, files)
        }
        DraftsCommand::Regenerate { drafts, remote } => {
            decide(&drafts, "regenerate", None, remote, files)
        }
    }
}

/// Decides these drafts one by one, and prints them.
fn decide(
    drafts: &IdsArg<DraftList>,
    verb: &str,
    body: Option<&Value>,
    remote: Remote,
    files: Files,
) -> Result<(), Failure> {
    let each = async |admin: &Admin, id: &str| admin.post(&["drafts", id, verb], &[], body).await;
    lists::change::<DraftList>(remote, files, drafts.as_slice(), &COLUMNS, each)
}

impl TextArgs {
    /// The body of a change.
    fn document(self) -> Result<Value, Failure> {
        let file = match self.file.as_deref() {
            Some(path) if path.as_os_str() == "-" => Some(io::read_to_string(io::stdin())),
            Some(path) => Some(std::fs::read_to_string(path)),
            None => None,
        };
        let file = file.transpose().map_err(|error| {
            let path = self.file.unwrap_or_default();
            Failure::Failed(format!("cannot read {}: {error}", path.display()))
        })?;
        let mut body = Map::new();
        body.extend(self.subject.map(|text| ("subject".to_owned(), Value::from(text))));
        let text = self.body.or(file.map(|text| text.trim_end().to_owned()));
        body.extend(text.map(|text| ("body".to_owned(), Value::from(text))));
        Ok(Value::Object(body))
    }
}
