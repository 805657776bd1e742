//! `postroom leads`: the leads of a running daemon.

use super::{
    admin::{Admin, Remote},
    explain::ExplainArgs,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{self, IdArg, IdsArg, LeadList, ListArgs, ShowArgs},
    output::{self, line, text},
    prompt::{confirm, typed_for},
};
use clap::{Subcommand, builder::NonEmptyStringValueParser};
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
        leads: IdsArg<LeadList>,
        /// Why, or how they said so
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        note: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lift the opt-outs of leads, who may be written to again
    LiftOptOut {
        #[command(flatten)]
        leads: IdsArg<LeadList>,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        note: String,
        /// Lift this opt-out, too: a lead that has opted out more than once keeps all of them until
        /// each is named
        #[arg(long = "opt-out", value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        opt_outs: Vec<String>,
        /// Lift all opt-outs, whatever they are
        #[arg(long = "all", conflicts_with = "opt_outs")]
        every: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Print everything that is stored about a lead, as JSON
    Export {
        #[command(flatten)]
        lead: IdArg<LeadList>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Erase everything that is stored about a lead
    Erase {
        #[command(flatten)]
        lead: IdArg<LeadList>,
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

const CHANGED_COLUMNS: [&str; 4] = ["id", "client_id", "status", "sentiment"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: LeadsCommand, files: Files) -> Result<(), Failure> {
    match command {
        LeadsCommand::List(args) => args.run(files),
        LeadsCommand::Show(args) => args.run(files),
        LeadsCommand::Explain(args) => args.run(files),
        LeadsCommand::OptOut { leads, note, remote } => {
            let body = json!({"note": note});
            let each = async |admin: &Admin, id: &str| {
                admin.post(&["leads", id, "opt-out"], &[], Some(&body)).await
            };
            lists::change::<LeadList>(remote, files, leads.as_slice(), &CHANGED_COLUMNS, each)
        }
        LeadsCommand::LiftOptOut { leads, note, opt_outs, every, remote } => {
            let body = json!({"note": note, "opt_outs": opt_outs, "all": every});
            let each = async |admin: &Admin, id: &str| {
                admin.delete_with(&["leads", id, "opt-out"], &body).await
            };
            lists::change::<LeadList>(remote, files, leads.as_slice(), &CHANGED_COLUMNS, each)
        }
        LeadsCommand::Export { lead, remote } => {
            let admin = remote.connect(files)?;
            output::print_json(&block_on(admin.get(&["leads", &lead.id, "export"], &[]))??)
        }
        LeadsCommand::Erase { lead, note, suppress, yes, remote } => {
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            if !yes {
                let what = format!(
                    "this will erase lead {} with all its messages, drafts and deliveries for ever",
                    line(&lead.id)
                );
                confirm(&what, &typed_for(1))?;
            }
            let body = json!({"note": note, "suppress": suppress});
            let erased = block_on(admin.delete_with(&["leads", &lead.id], &body))??;
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
