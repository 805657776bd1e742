//! `postroom messages`: what was received and sent, and the tags that a person corrects.

use super::{
    admin::Remote,
    completions,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{ListArgs, Listed, MessageList, ShowArgs, change_each},
};
use crate::domain::Sentiment;
use clap::{
    Args, Subcommand,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
};
use serde_json::{Map, Value};

#[derive(Subcommand)]
pub(super) enum MessagesCommand {
    List(ListArgs<MessageList>),
    Show(ShowArgs<MessageList>),
    /// Give a message another tag: the lead follows its newest message
    Retag(RetagArgs),
}

#[derive(Args)]
pub(super) struct RetagArgs {
    /// The id of the message
    #[arg(
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<MessageList>(),
    )]
    id: String,
    /// What it says
    #[arg(value_name = "TAG", value_parser = PossibleValuesParser::new(Sentiment::ALL.map(Sentiment::as_str)))]
    tag: String,
    /// The lead opts out in it: it gets no message any more until a person lifts that. Goes with
    /// the tag Blacklist
    #[arg(long)]
    opt_out: bool,
    /// Why, for those who find it later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    note: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [&str; 4] = ["id", "lead_id", "channel", "sentiment"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: MessagesCommand, files: Files) -> Result<(), Failure> {
    match command {
        MessagesCommand::List(args) => args.run(files),
        MessagesCommand::Show(args) => args.run(files),
        MessagesCommand::Retag(args) => {
            let RetagArgs { id, tag, opt_out, note, remote } = args;
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            let mut body = Map::new();
            if opt_out || tag == Sentiment::Blacklist.as_str() {
                body.insert("opt_out".to_owned(), Value::from(opt_out));
            }
            body.insert("sentiment".to_owned(), Value::from(tag));
            body.extend(note.map(|note| ("note".to_owned(), Value::from(note))));
            let body = Value::Object(body);
            let each = async |id: &str| admin.patch(&["messages", id], &[], &body).await;
            block_on(change_each(&admin, &MessageList::SPEC, &[id], each))?.print(&COLUMNS, is_json)
        }
    }
}
