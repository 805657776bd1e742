//! `postroom drafts`: answers that are written, and what a person decides about them.

use super::{
    admin::{Admin, AdminRefusal, Remote},
    completions,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{DraftList, ListArgs, Listed, ShowArgs, change_each},
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Map, Value};
use std::{io, path::PathBuf};

#[derive(Subcommand)]
pub(super) enum DraftsCommand {
    List(ListArgs<DraftList>),
    Show(ShowArgs<DraftList>),
    /// Change the text of a draft that waits for a decision
    Edit {
        #[command(flatten)]
        draft: DraftArg,
        #[command(flatten)]
        text: TextArgs,
        #[command(flatten)]
        remote: Remote,
    },
    /// Have drafts sent; for a few seconds that can be taken back by `undo`
    Approve {
        #[command(flatten)]
        drafts: DraftsArg,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take approvals back, while the answers are not on their way
    Undo {
        #[command(flatten)]
        drafts: DraftsArg,
        #[command(flatten)]
        remote: Remote,
    },
    /// Have drafts not sent
    Reject {
        #[command(flatten)]
        drafts: DraftsArg,
        /// Why: then the draft is kept as an example, by which analysts are judged
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        note: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Have drafts written anew, in place of their text
    Regenerate {
        #[command(flatten)]
        drafts: DraftsArg,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args)]
pub(super) struct DraftArg {
    /// The id of the draft
    #[arg(
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<DraftList>(),
    )]
    id: String,
}

#[derive(Args)]
pub(super) struct DraftsArg {
    /// Ids of the drafts
    #[arg(
        value_name = "ID",
        required = true,
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<DraftList>(),
    )]
    ids: Vec<String>,
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
            let edit =
                async |admin: &Admin, id: &str| admin.patch(&["drafts", id], &[], &body).await;
            change(&[draft.id], remote, files, edit)
        }
        DraftsCommand::Approve { drafts, remote } => {
            change(&drafts.ids, remote, files, async |admin, id| post(admin, id, "approve").await)
        }
        DraftsCommand::Undo { drafts, remote } => {
            change(&drafts.ids, remote, files, async |admin, id| post(admin, id, "undo").await)
        }
        DraftsCommand::Reject { drafts, note, remote } => {
            let mut body = Map::new();
            body.extend(note.map(|note| ("note".to_owned(), Value::from(note))));
            let body = Value::Object(body);
            let reject = async |admin: &Admin, id: &str| {
                admin.post(&["drafts", id, "reject"], &[], Some(&body)).await
            };
            change(&drafts.ids, remote, files, reject)
        }
        DraftsCommand::Regenerate { drafts, remote } => {
            change(&drafts.ids, remote, files, async |admin, id| {
                post(admin, id, "regenerate").await
            })
        }
    }
}

async fn post(admin: &Admin, id: &str, verb: &str) -> Result<Value, AdminRefusal> {
    admin.post(&["drafts", id, verb], &[], None).await
}

/// Changes these drafts one by one, and prints them.
fn change(
    ids: &[String],
    remote: Remote,
    files: Files,
    each: impl AsyncFn(&Admin, &str) -> Result<Value, AdminRefusal>,
) -> Result<(), Failure> {
    let is_json = remote.json;
    let admin = remote.connect(files)?;
    let each = async |id: &str| each(&admin, id).await;
    block_on(change_each(&admin, &DraftList::SPEC, ids, each))?.print(&COLUMNS, is_json)
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
