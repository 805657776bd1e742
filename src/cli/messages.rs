//! `postroom messages`: what was received and sent, and the tags that a person corrects.

use super::{
    admin::{Admin, Remote},
    failure::Failure,
    files::Files,
    lists::{self, IdArg, ListArgs, MessageList, NoteArg, ShowArgs},
    output::with_note,
};
use crate::domain::Sentiment;
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::json;

#[derive(Subcommand)]
pub(super) enum MessagesCommand {
    List(ListArgs<MessageList>),
    Show(ShowArgs<MessageList>),
    /// Give a message another tag: the lead follows its newest message
    Retag(RetagArgs),
}

#[derive(Args)]
pub(super) struct RetagArgs {
    #[command(flatten)]
    message: IdArg<MessageList>,
    /// What it says
    #[arg(value_name = "TAG", value_parser = PossibleValuesParser::new(Sentiment::ALL.map(Sentiment::as_str)))]
    tag: String,
    /// The lead opts out in it: it gets no message any more until a person lifts that. Goes with
    /// the tag Blacklist
    #[arg(long)]
    opt_out: bool,
    #[command(flatten)]
    why: NoteArg,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [&str; 4] = ["id", "lead_id", "channel", "sentiment"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: MessagesCommand, files: Files) -> Result<(), Failure> {
    match command {
        MessagesCommand::List(args) => args.run(files),
        MessagesCommand::Show(args) => args.run(files),
        MessagesCommand::Retag(RetagArgs { message, tag, opt_out, why, remote }) => {
            let says_whether = opt_out || tag == Sentiment::Blacklist.as_str();
            let body = if says_whether {
                json!({"sentiment": tag, "opt_out": opt_out})
            } else {
                json!({"sentiment": tag})
            };
            let body = with_note(body, why.note);
            let each =
                async |admin: &Admin, id: &str| admin.patch(&["messages", id], &[], &body).await;
            lists::change::<MessageList>(remote, files, &[message.id], &COLUMNS, each)
        }
    }
}
