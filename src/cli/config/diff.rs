//! `postroom config diff`: which values are not the defaults.

use super::{
    super::{failure::Failure, output},
    load,
};
use crate::config::{ChangedKey, Sources};
use serde_json::{Value, json};

/// Compares the configuration with the defaults.
///
/// # Errors
/// [`Failure::Unwell`] if there is a difference.
pub(super) fn run(sources: &Sources, is_json: bool) -> Result<(), Failure> {
    let changed = load(sources)?.changed_from_defaults()?;
    if is_json {
        output::print_json(&document(&changed))?;
    } else if changed.is_empty() {
        output::print("no difference: all values are the defaults")?;
    } else {
        output::print(&table(&changed))?;
    }
    if changed.is_empty() { Ok(()) } else { Err(Failure::Unwell) }
}

fn document(changed: &[ChangedKey]) -> Value {
    let item = |change: &ChangedKey| {
        json!({
            "key": change.key,
            "default": change.old,
            "value": change.new,
            "applies": change.applies,
            "origin": change.origin,
        })
    };
    json!({"items": changed.iter().map(item).collect::<Vec<_>>()})
}

fn table(changed: &[ChangedKey]) -> String {
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| output::NONE.to_owned());
    let row = |change: &ChangedKey| {
        let (default, value) = (side(&change.old), side(&change.new));
        let applies = change.applies.words().to_owned();
        let cells = [change.key.clone(), default, value, applies, change.origin.clone()];
        cells.map(|cell| output::line(&cell)).to_vec()
    };
    output::table(&["key", "default", "value", "applies", "origin"], changed.iter().map(row))
}
