//! `postroom config show`: the values that apply.

use super::load;
use crate::{
    cli::{
        failure::Failure,
        files::Files,
        output::{self, TextTable},
    },
    config::{EffectiveValue, Loaded},
    registry,
};
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The name of the section that holds for all kinds.
const OF_ALL_KINDS: &str = "default";

/// Which values to show, and how.
#[derive(clap::Args)]
pub(in crate::cli) struct ConfigShowArgs {
    /// Only this key, or the keys of this section, such as `pools` or `clients.demo`
    #[arg(value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    prefix: Option<String>,
    /// Only values that are not the defaults
    #[arg(long)]
    changed: bool,
    #[command(flatten)]
    files: Files,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: ConfigShowArgs, files: Files) -> Result<(), Failure> {
    let ConfigShowArgs { prefix, changed, files: own, json } = args;
    let loaded = load(&own.over(files).sources())?;
    let mut values = loaded.values();
    if let Some(prefix) = &prefix {
        values.extend(of_kind(&loaded, &values, prefix)?);
        values.retain(|value| is_at_or_below(&value.key, prefix));
        if values.is_empty() {
            check_key(&loaded, prefix)?;
        }
    }
    if changed {
        let changed = loaded.changed_from_defaults()?;
        let changed: BTreeSet<String> = changed.into_iter().map(|it| it.key).collect();
        values.retain(|value| changed.contains(&value.key));
    }
    if json { output::print_json(&document(&values)) } else { output::print_table(&table(values)) }
}

/// The values that the kind in `prefix` has from `[pools.default]`; none if it names no kind.
///
/// # Errors
/// That there is no such kind.
fn of_kind(
    loaded: &Loaded,
    values: &[EffectiveValue],
    prefix: &str,
) -> Result<Vec<EffectiveValue>, Failure> {
    let Some(kind) = prefix.strip_prefix("pools.").and_then(|it| it.split('.').next()) else {
        return Ok(Vec::new());
    };
    if kind.is_empty() || kind == OF_ALL_KINDS {
        return Ok(Vec::new());
    }
    check_key(loaded, &format!("pools.{kind}"))?;
    let of_all = format!("pools.{OF_ALL_KINDS}.");
    let inherited = values.iter().filter_map(|value| {
        let key = format!("pools.{kind}.{}", value.key.strip_prefix(&of_all)?);
        let is_own = values.iter().any(|it| it.key == key);
        let origin = format!("{}: {}", value.key, value.origin);
        (!is_own).then(|| {
            let mut value = value.clone();
            (value.key, value.origin) = (key, origin);
            value
        })
    });
    Ok(inherited.collect())
}

/// True if `key` is `prefix`, or a key below it.
fn is_at_or_below(key: &str, prefix: &str) -> bool {
    let rest = key.strip_prefix(prefix.trim_end_matches('.'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Checks that there may be such a key, although nothing sets it.
fn check_key(loaded: &Loaded, name: &str) -> Result<(), Failure> {
    let registry = registry::postroom();
    let (kinds, channels) = (registry.kind_names(), registry.channel_names());
    loaded.explain(name, &kinds, &channels).map(drop).map_err(Failure::Wrong)
}

fn document(values: &[EffectiveValue]) -> Value {
    json!({"items": values.iter().map(item).collect::<Vec<_>>()})
}

/// A value as JSON, as the admin API spells it.
pub(super) fn item(value: &EffectiveValue) -> Value {
    json!({
        "key": value.key,
        "value": value.value,
        "origin": value.origin,
        "applies": value.applies,
    })
}

/// A table of values.
pub(super) fn table(values: Vec<EffectiveValue>) -> TextTable {
    let row = |row: EffectiveValue| {
        let applies = row.applies.words().to_owned();
        [row.key, row.value, applies, row.origin].map(|cell| output::line(&cell)).to_vec()
    };
    let header = ["key", "value", "applies", "origin"];
    TextTable::new(&header, values.into_iter().map(row)).with_long(vec![false, true, false, true])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn every_value_is_shown_with_its_origin_and_when_it_applies() {
        let sources = Sources {
            env: vec![("POSTROOM__SERVER__WORKERS".to_owned(), "2".to_owned())],
            ..Sources::default()
        };
        let values = Loaded::load(&sources).expect("valid").values();
        let document = document(&values);
        let items = document.get("items").and_then(Value::as_array).expect("items");
        let workers = json!({
            "key": "server.workers",
            "value": "2",
            "origin": "environment variable POSTROOM__SERVER__WORKERS",
            "applies": "restart",
        });
        assert!(items.contains(&workers), "{items:?}");
        let table = table(values).text(None, false);
        let line = table.lines().find(|it| it.starts_with("server.workers ")).expect("a line");
        let end = "  restart   environment variable POSTROOM__SERVER__WORKERS";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn a_kind_has_its_own_values_and_those_of_all_kinds() {
        let env = [("POSTROOM__POOLS__SELF_CHECK__SIZE", "2")];
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sources = Sources { env: env.collect(), ..Sources::default() };
        let loaded = Loaded::load(&sources).expect("valid");
        let values = loaded.values();
        let inherited = of_kind(&loaded, &values, "pools.SELF_CHECK").ok().expect("a kind");
        assert!(inherited.iter().all(|it| it.key != "pools.SELF_CHECK.size"));
        let timeout = inherited.iter().find(|it| it.key == "pools.SELF_CHECK.timeout");
        let timeout = timeout.map(|it| it.origin.as_str());
        assert_eq!(timeout, Some("pools.default.timeout: the default"));
        for prefix in ["pools", "pools.default", "pools.default.size", "server"] {
            assert_eq!(of_kind(&loaded, &values, prefix).ok().expect("known"), []);
        }
        assert!(of_kind(&loaded, &values, "pools.SELF_CHEK").is_err());
    }

    #[test]
    fn a_prefix_ends_with_a_word() {
        for (key, prefix, is) in [
            ("pools.default.size", "pools", true),
            ("pools.default.size", "pools.default.", true),
            ("pools.default.size", "pools.default.size", true),
            ("pools.default.size", "pool", false),
            ("server.workers", "server.work", false),
        ] {
            assert_eq!(is_at_or_below(key, prefix), is, "{key} {prefix}");
        }
    }
}
