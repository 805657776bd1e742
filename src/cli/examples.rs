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
    /// Print a line of JSON for each message of which a person decided otherwise
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
    #[command(flatten)]
    remote: Remote,
}

/// The fields of a line, in their order.
const FIELDS: [&str; 5] = ["text", "tag", "channel", "subject", "opt_out"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: ExamplesCommand, files: Files) -> Result<(), Failure> {
    match command {
        ExamplesCommand::List(args) => args.run(files),
        ExamplesCommand::Export(ExportArgs { client, remote }) => {
            let admin = remote.connect(files)?;
            let query = client.map(|client| ("client", client)).into_iter().collect();
            let mut pages = Pages::new(&admin, &ExampleList::SPEC, query, true);
            let mut seen = HashSet::new();
            block_on(async {
                while let Some(answer) = pages.next().await? {
                    for line in lines(admin.items(&answer)?, &mut seen) {
                        output::print(&line)?;
                    }
                }
                Ok(())
            })?
        }
    }
}

/// A line for each message that is not `seen` yet. The newest decision about a message comes first,
/// and counts. A message without a tag says nothing.
fn lines(items: &[Value], seen: &mut HashSet<String>) -> Vec<String> {
    let is_labelled = |item: &&Value| item.get("tag").is_some_and(Value::is_string);
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
            json!({"id": "9", "message_id": message, "text": "Nope", "tag": tag, "channel": "email",
                "subject": subject, "opt_out": false, "by": "dana"})
        };
        let items = [
            item("7", json!("Not Interested"), json!("Re: x")),
            item("7", json!("Interested"), Value::Null),
            item("8", Value::Null, Value::Null),
            item("6", json!("Neutral"), Value::Null),
        ];
        let mut seen = HashSet::new();
        let found: Vec<Value> = lines(&items, &mut seen)
            .iter()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let expected = [
            json!({"text": "Nope", "tag": "Not Interested", "channel": "email", "subject": "Re: x", "opt_out": false}),
            json!({"text": "Nope", "tag": "Neutral", "channel": "email", "opt_out": false}),
        ];
        assert_eq!(found, expected);
        assert_eq!(lines(&items, &mut seen), Vec::<String>::new());
    }
}
