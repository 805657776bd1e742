//! `postroom config explain`: everything that is known about one key.

use super::{
    diff::override_text,
    load,
    running::{self, RunningConfig},
    show::{item, table},
};
use crate::{
    cli::{
        admin::Remote,
        failure::Failure,
        files::Files,
        output::{self, Times},
    },
    config::{KeyExplanation, LayerValue},
    registry,
};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Explains `key`, with what the running daemon says, if one answers.
pub(super) fn run(key: &str, remote: Remote, files: Files) -> Result<(), Failure> {
    let (is_json, times) = (remote.json, remote.times());
    let loaded = load(&remote.sources(&files))?;
    let registry = registry::postroom();
    let (kinds, channels) = (registry.kind_names(), registry.channel_names());
    let explained = loaded.explain(key, &kinds, &channels).map_err(Failure::Wrong)?;
    let running = running::ask(remote, files);
    if is_json {
        let running = running.ok().map(|it| running_document(&explained, &it));
        output::print_json(&document(&explained, running))
    } else {
        output::print(&text(explained, &running, &times))
    }
}

fn document(explained: &KeyExplanation, running: Option<Value>) -> Value {
    let expected = explained.expected.as_ref();
    let range = expected.and_then(|it| it.range.as_ref());
    let layer = |it: &LayerValue| json!({"value": it.value, "origin": it.origin, "wins": it.wins});
    json!({
        "key": explained.key,
        "meaning": explained.meaning.replace('\n', " "),
        "type": expected.map(|it| it.what),
        "least": range.map(|it| &it.0),
        "most": range.map(|it| &it.1),
        "default": explained.default,
        "value": explained.effective.as_ref().map(|it| &it.value),
        "origin": explained.effective.as_ref().map(|it| &it.origin),
        "applies": explained.applies,
        "layers": explained.layers.iter().map(layer).collect::<Vec<_>>(),
        "keys": explained.keys.iter().map(item).collect::<Vec<_>>(),
        "running": running,
    })
}

fn running_document(explained: &KeyExplanation, running: &RunningConfig) -> Value {
    let value = keys(explained).into_iter().find_map(|key| running.value(key));
    let set = running.overrides.iter().find(|it| it.key == explained.key);
    json!({
        "value": value.map(|it| &it.value),
        "origin": value.map(|it| &it.origin),
        "pending": value.and_then(|it| it.pending.as_ref()),
        "override": set,
    })
}

/// What the running daemon says about the key: its value, what waits for a restart, and an
/// override; or why it says nothing.
fn running_facts(
    explained: &KeyExplanation,
    running: &Result<RunningConfig, Failure>,
    times: &Times,
) -> Vec<(&'static str, String)> {
    let running = match running {
        Ok(running) => running,
        Err(failure) => return vec![("running", format!("not known: {failure}"))],
    };
    let mut facts = Vec::new();
    match keys(explained).into_iter().find_map(|key| running.value(key)) {
        Some(value) => {
            facts.push(("running", format!("{} ({})", value.value, value.origin)));
            if let Some(next) = &value.pending {
                let value = next.value.as_deref().unwrap_or(output::NONE);
                facts.push(("after a restart", format!("{value} ({})", next.origin)));
            }
        }
        None => facts.push(("running", "the daemon has no such key".to_owned())),
    }
    let set = running.overrides.iter().filter(|it| it.key == explained.key);
    facts.extend(set.map(|it| ("running", override_text(it, times))));
    facts
}

/// The key, and the key that it has its value from.
fn keys(explained: &KeyExplanation) -> Vec<&str> {
    let of_all = explained.effective.as_ref().map(|it| it.key.as_str());
    [explained.key.as_str()].into_iter().chain(of_all).collect()
}

/// The explanation for people: the meaning, then facts, then the layers.
fn text(
    explained: KeyExplanation,
    running: &Result<RunningConfig, Failure>,
    times: &Times,
) -> String {
    let of_running = match explained.applies {
        Some(_) => running_facts(&explained, running, times),
        None => Vec::new(),
    };
    let mut text = format!("{}\n", output::line(&explained.key));
    if !explained.meaning.is_empty() {
        // Writing to a string cannot fail.
        writeln!(text, "\n{}", explained.meaning).ok();
    }
    let mut facts: Vec<[String; 2]> = Vec::new();
    let mut add = |name: &str, fact: String| facts.push([name.to_owned(), output::line(&fact)]);
    if let Some(expected) = &explained.expected {
        let range = expected.range.as_ref();
        let range = range.map(|(least, most)| format!(", {least} to {most}")).unwrap_or_default();
        add("type", format!("{}{range}", expected.what));
    }
    if let Some(default) = explained.default {
        add("default", default);
    }
    match &explained.effective {
        Some(value) if value.key == explained.key => {
            add("value", format!("{} ({})", value.value, value.origin));
        }
        // A kind has the value of all kinds.
        Some(value) => add("value", format!("{} ({}: {})", value.value, value.key, value.origin)),
        None => {}
    }
    if let Some(applies) = explained.applies {
        add("applies", applies.words().to_owned());
    }
    let is_hidden = explained.layers.iter().any(|it| !it.wins);
    if is_hidden {
        for layer in &explained.layers {
            let state = if layer.wins { "wins" } else { "hidden" };
            add("set", format!("{} ({}), {state}", layer.value, layer.origin));
        }
    }
    for (name, fact) in of_running {
        add(name, fact);
    }
    let width = facts.iter().map(|it| it[0].len()).max().unwrap_or_default();
    if !facts.is_empty() {
        text.push('\n');
    }
    for [name, fact] in facts {
        writeln!(text, "{name:width$}  {fact}").ok();
    }
    if !explained.keys.is_empty() {
        let table = table(explained.keys).text(output::columns_of_terminal(), false);
        writeln!(text, "\n{table}").ok();
    }
    text.trim_end().to_owned()
}
