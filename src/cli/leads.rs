//! `postroom leads`: the leads of a running daemon.

use super::{
    admin::Remote,
    completions,
    explain::ExplainArgs,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{LeadList, ListArgs, Listed, ShowArgs, change_each},
    output::{self, line, text},
    prompt::{confirm, typed_for},
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum LeadsCommand {
    List(ListArgs<LeadList>),
    Show(ShowArgs<LeadList>),
    /// Say why leads are not answered: for each message, the step at which it stands
    Explain(ExplainArgs<LeadList>),
    /// Note that leads do not want to be written to, on any channel
    OptOut {
        #[command(flatten)]
        leads: LeadIds,
        /// Why, or how they said so
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        note: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lift the opt-out of leads, who may be written to again
    LiftOptOut {
        #[command(flatten)]
        leads: LeadIds,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        note: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Print everything that is stored about a lead, as JSON
    Export {
        /// The id of the lead
        #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new(), add = completions::ids::<LeadList>())]
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Erase everything that is stored about a lead
    Erase {
        /// The id of the lead
        #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new(), add = completions::ids::<LeadList>())]
        id: String,
        /// Why, without personal data: the note stays in the audit log
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        note: String,
        /// Keep hashes of its identities, so that it is opted out if it comes again; a lead that
        /// has opted out keeps them anyway
        #[arg(long)]
        suppress: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Which leads.
#[derive(Args)]
pub(super) struct LeadIds {
    /// Ids of the leads
    #[arg(
        value_name = "ID",
        required = true,
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<LeadList>(),
    )]
    ids: Vec<String>,
}

const CHANGED_COLUMNS: [&str; 4] = ["id", "client_id", "status", "sentiment"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: LeadsCommand, files: Files) -> Result<(), Failure> {
    match command {
        LeadsCommand::List(args) => args.run(files),
        LeadsCommand::Show(args) => args.run(files),
        LeadsCommand::Explain(args) => args.run(files),
        LeadsCommand::OptOut { leads, note, remote } => {
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            let body = json!({"note": note});
            let each =
                async |id: &str| admin.post(&["leads", id, "opt-out"], &[], Some(&body)).await;
            let changes = block_on(change_each(&admin, &LeadList::SPEC, &leads.ids, each))?;
            changes.print(&CHANGED_COLUMNS, is_json)
        }
        LeadsCommand::LiftOptOut { leads, note, remote } => {
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            let body = json!({"note": note});
            let each = async |id: &str| admin.delete_with(&["leads", id, "opt-out"], &body).await;
            let changes = block_on(change_each(&admin, &LeadList::SPEC, &leads.ids, each))?;
            changes.print(&CHANGED_COLUMNS, is_json)
        }
        LeadsCommand::Export { id, remote } => {
            let admin = remote.connect(files)?;
            output::print_json(&block_on(admin.get(&["leads", &id, "export"], &[]))??)
        }
        LeadsCommand::Erase { id, note, suppress, yes, remote } => {
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            if !yes {
                let what = format!(
                    "this will erase lead {} with all its messages, drafts and deliveries for ever",
                    line(&id)
                );
                confirm(&what, &typed_for(1))?;
            }
            let body = json!({"note": note, "suppress": suppress});
            let erased = block_on(admin.delete_with(&["leads", &id], &body))??;
            if is_json { output::print_json(&erased) } else { output::print(&told(&erased)) }
        }
    }
}

/// What was erased and what remains, for a person.
fn told(answer: &Value) -> String {
    let erased = answer.get("erased").and_then(Value::as_object).into_iter().flatten();
    let erased: Vec<String> =
        erased.map(|(name, count)| format!("{} {}", text(Some(count)), line(name))).collect();
    let remains =
        output::items(answer, "remains").iter().map(|it| format!("\n- {}", line(&text(Some(it)))));
    format!(
        "erased lead {}: {}\nwhat remains:{}",
        line(&text(answer.get("lead_id"))),
        erased.join(", "),
        remains.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_says_what_is_gone_and_what_remains() {
        let answer =
            json!({"lead_id": "7", "erased": {"messages": 3, "drafts": 1}, "remains": ["a", "b"]});
        assert_eq!(told(&answer), "erased lead 7: 1 drafts, 3 messages\nwhat remains:\n- a\n- b");
    }
}
