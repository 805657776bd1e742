//! `postroom config explain`: everything that is known about one key.

use super::{
    super::{failure::Failure, output},
    load,
    show::{item, table},
};
use crate::{
    config::{KeyExplanation, LayerValue, Sources},
    registry,
};
use serde_json::{Value, json};
use std::fmt::Write as _;

pub(super) fn run(key: &str, sources: &Sources, is_json: bool) -> Result<(), Failure> {
    let loaded = load(sources)?;
    let registry = registry::postroom();
    let (kinds, channels) = (registry.kinds_in_config(), registry.channel_names());
    let explained = loaded.explain(sources, key, &kinds, &channels).map_err(Failure::Wrong)?;
    if is_json {
        output::print_json(&document(&explained))
    } else {
        output::print(&text(explained))
    }
}

fn document(explained: &KeyExplanation) -> Value {
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
    })
}

/// The explanation for people: the meaning, then facts, then the layers.
fn text(explained: KeyExplanation) -> String {
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
            let state = if layer.wins { "applies" } else { "hidden" };
            add("set", format!("{} ({}), {state}", layer.value, layer.origin));
        }
    }
    let width = facts.iter().map(|it| it[0].len()).max().unwrap_or_default();
    if !facts.is_empty() {
        text.push('\n');
    }
    for [name, fact] in facts {
        writeln!(text, "{name:width$}  {fact}").ok();
    }
    if !explained.keys.is_empty() {
        writeln!(text, "\n{}", table(explained.keys)).ok();
    }
    text.trim_end().to_owned()
}
