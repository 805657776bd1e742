//! `postroom jobs explain` and `postroom leads explain`: why something stands still, as the daemon
//! says it.

use super::{
    admin::Remote,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{IdsArg, Listed, change_each},
    output::{TextTable, Times, items, text},
};
use clap::Args;
use serde_json::Value;

/// Which objects of a list to explain.
#[derive(Args)]
pub(super) struct ExplainArgs<L: Listed> {
    #[command(flatten)]
    ids: IdsArg<L>,
    #[command(flatten)]
    remote: Remote,
}

impl<L: Listed> ExplainArgs<L> {
    /// Runs the command. `files` are those given before it.
    ///
    /// # Errors
    /// If the daemon does not answer, or one of the objects does not exist.
    pub(super) fn run(self, files: Files) -> Result<(), Failure> {
        let Self { ids, remote } = self;
        let spec = L::SPEC;
        let (is_json, times) = (remote.json, remote.times());
        let admin = remote.connect(files)?;
        let each = async |id: &str| admin.get(&[spec.path, id, "explain"], &[]).await;
        let explained = block_on(change_each(&admin, &spec, ids.as_slice(), each))?;
        explained.print_as(is_json, |explanation| spelled(explanation, &times))
    }
}

/// An explanation for a person: the sentence, the facts, the way of each message, and what to do.
fn spelled(explanation: &Value, times: &Times) -> String {
    let said = |object: &Value, name: &str| times.within(&text(object.get(name)));
    let mut parts = vec![said(explanation, "sentence")];
    let since = ["since", "until"].into_iter().filter_map(|name| {
        let value = explanation.get(name).filter(|value| !value.is_null())?;
        Some(vec![name.to_owned(), times.cell(name, Some(value))])
    });
    let facts = items(explanation, "facts").iter().map(|fact| {
        let name = text(fact.get("name"));
        let value = times.cell(&name, fact.get("value"));
        let is_sentence = name.ends_with("_sentence");
        vec![name, if is_sentence { times.within(&value) } else { value }]
    });
    let reason = vec!["reason".to_owned(), text(explanation.get("reason"))];
    let rows: Vec<Vec<String>> = [reason].into_iter().chain(facts).chain(since).collect();
    let places = items(explanation, "links")
        .iter()
        .filter(|link| link.get("place").is_some_and(Value::is_string));
    let places = places.map(|link| vec![text(link.get("id")), text(link.get("place"))]);
    parts
        .push(TextTable::new(&["fact", "value"], rows.into_iter().chain(places)).text(None, false));
    for message in items(explanation, "messages") {
        let chain = items(message, "chain")
            .iter()
            .map(|link| ["link", "state", "sentence"].map(|name| said(link, name)).to_vec());
        let chain = TextTable::new(&["step", "state", ""], chain).text(None, false);
        parts.push(format!("message {}\n{chain}", text(message.get("message_id"))));
    }
    parts.push(format!("What to do: {}", said(explanation, "what_to_do")));
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_explanation_is_a_sentence_its_facts_and_what_to_do() {
        let explanation = json!({
            "reason": "held", "sentence": "Job 7 is held.", "since": "2026-01-18T14:03:11.120Z", "until": null,
            "facts": [
                {"name": "cap", "value": 20},
                {"name": "claimed_at", "value": "2026-01-18T14:03:10.000Z"},
                {"name": "note", "value": "a\u{1b}[31m"},
            ],
            "links": [
                {"type": "lead", "id": "5", "place": null},
                {"type": "config", "id": "clients.acme.max_running", "place": "local.toml:44"},
            ],
            "what_to_do": "Wait.",
        });
        let expected = "Job 7 is held.\n\n\
            fact                      value\n\
            reason                    held\n\
            cap                       20\n\
            claimed_at                2026-01-18 14:03:10 UTC\n\
            note                      a\\u001b[31m\n\
            since                     2026-01-18 14:03:11 UTC\n\
            clients.acme.max_running  local.toml:44\n\n\
            What to do: Wait.";
        assert_eq!(spelled(&explanation, &Times::utc()), expected);
    }

    #[test]
    fn each_message_of_a_lead_is_shown_with_its_steps() {
        let explanation = json!({
            "reason": "waits_for_person", "sentence": "1 message of the lead is not answered.",
            "facts": [], "links": [], "since": null, "until": null, "what_to_do": "Read draft 9.",
            "messages": [{"message_id": "8", "chain": [
                {"link": "received", "state": "done", "sentence": "Written."},
                {"link": "gate", "state": "here", "sentence": "Draft 9 waits."},
            ]}],
        });
        let text = spelled(&explanation, &Times::utc());
        let chain = "\n\nmessage 8\n\
            step      state\n\
            received  done   Written.\n\
            gate      here   Draft 9 waits.\n\n\
            What to do: Read draft 9.";
        assert!(text.ends_with(chain), "{text}");
    }
}
