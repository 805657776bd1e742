//! `postroom examples`: what people decided otherwise, as a file by which analysts are judged.

use super::{
    admin::Remote,
    completions,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{ExampleList, ListArgs, Listed, Named, Pages},
    output,
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Map, Value};
use std::collections::HashSet;

#[derive(Subcommand)]
pub(super) enum ExamplesCommand {
    List(ListArgs<ExampleList>),
    /// Print a line of JSON for each message to which a person gave another tag
    Export(ExportArgs),
}

#[derive(Args)]
pub(super) struct ExportArgs {
    /// Of this client
    #[arg(
        long,
        value_name = "CLIENT",
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::names(Named::Client),
    )]
    client: Option<String>,
    /// Also messages whose draft a person changed or rejected, with the tag that they have: no
    /// person gave it
    #[arg(long)]
    drafts: bool,
    #[command(flatten)]
    remote: Remote,
}

/// The fields of a line, in their order.
const FIELDS: [&str; 6] = ["text", "tag", "channel", "subject", "opt_out", "machine"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: ExamplesCommand, files: Files) -> Result<(), Failure> {
    match command {
        ExamplesCommand::List(args) => args.run(files),
        ExamplesCommand::Export(ExportArgs { client, drafts, remote }) => {
            let admin = remote.connect(files)?;
            let query = client.map(|client| ("client", client)).into_iter().collect();
            let mut pages = Pages::new(&admin, &ExampleList::SPEC, query, true);
            let mut seen = HashSet::new();
            block_on(async {
                while let Some(answer) = pages.next().await? {
                    for line in lines(admin.items(&answer)?, drafts, &mut seen) {
                        output::print(&line)?;
                    }
                }
                Ok(())
            })?
        }
    }
}

/// A line for each message that is not `seen` yet. The newest decision about a message comes first,
/// and counts. A message without a tag says nothing. If a person decided about its draft and not
/// about its tag, only `with_drafts` has it.
fn lines(items: &[Value], with_drafts: bool, seen: &mut HashSet<String>) -> Vec<String> {
    let is_by_person = |item: &&Value| item.get("kind").is_some_and(|kind| kind == "tag");
    let is_labelled = |item: &&Value| {
        item.get("tag").is_some_and(Value::is_string) && (with_drafts || is_by_person(item))
    };
    let mut lines = Vec::new();
    for item in items.iter().filter(is_labelled) {
        if !seen.insert(output::text(item.get("message_id"))) {
            continue;
        }
        let field = |name: &str| {
            let value = item.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value.clone()))
        };
        let fields: Map<String, Value> = FIELDS.into_iter().filter_map(field).collect();
        lines.push(Value::Object(fields).to_string());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_decision_about_a_message_is_its_line() {
        let item = |message: &str, tag: Value, subject: Value| {
            json!({"id": "9", "message_id": message, "kind": "tag", "text": "Nope", "tag": tag,
                "channel": "email", "subject": subject, "opt_out": false, "machine": true, "by": "dana"})
        };
        let items = [
            item("7", json!("Not Interested"), json!("Re: x")),
            item("7", json!("Interested"), Value::Null),
            item("8", Value::Null, Value::Null),
            item("6", json!("Neutral"), Value::Null),
        ];
        let mut seen = HashSet::new();
        let found: Vec<Value> = lines(&items, false, &mut seen)
            .iter()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let expected = [
            json!({"text": "Nope", "tag": "Not Interested", "channel": "email", "subject": "Re: x", "opt_out": false, "machine": true}),
            json!({"text": "Nope", "tag": "Neutral", "channel": "email", "opt_out": false, "machine": true}),
        ];
        assert_eq!(found, expected);
        assert_eq!(lines(&items, false, &mut seen), Vec::<String>::new());
    }

    #[test]
    fn a_tag_that_no_person_gave_is_no_line() {
        let item = |kind: &str| json!({"message_id": kind, "kind": kind, "text": "Hi", "tag": "Interested"});
        let items = ["tag", "edited", "rejected"].map(item);
        assert_eq!(lines(&items, false, &mut HashSet::new()).len(), 1);
        assert_eq!(lines(&items, true, &mut HashSet::new()).len(), 3);
    }
}
