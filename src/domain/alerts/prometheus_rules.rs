//! Reads `ops/alerts.yaml`, so that tests compare it with the rules in process.

use super::{HOUR_MS, MINUTE_MS};
use yaml_rust2::{Yaml, YamlLoader};

/// A rule of Prometheus.
#[derive(Debug)]
pub(crate) struct PrometheusRule {
    pub(crate) name: String,
    /// Its expression in one line.
    pub(crate) expr: String,
    /// How long its condition has to hold, in milliseconds.
    pub(crate) lasts_ms: i64,
    pub(crate) severity: String,
    pub(crate) runbook_url: String,
}

impl PrometheusRule {
    /// All of them, in their order.
    pub(crate) fn all() -> Vec<Self> {
        let documents = YamlLoader::load_from_str(include_str!("../../../ops/alerts.yaml"));
        let documents = documents.unwrap();
        let [document] = &documents[..] else { panic!("{documents:?}") };
        let groups = document["groups"].as_vec().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_vec().unwrap()).map(Self::of).collect()
    }

    /// The rule of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self::all().into_iter().find(|rule| rule.name == name).unwrap()
    }

    fn of(rule: &Yaml) -> Self {
        Self {
            name: text(&rule["alert"]),
            expr: text(&rule["expr"]),
            lasts_ms: rule["for"].as_str().map_or(0, milliseconds),
            severity: text(&rule["labels"]["severity"]),
            runbook_url: text(&rule["annotations"]["runbook_url"]),
        }
    }
}

fn text(value: &Yaml) -> String {
    value.as_str().unwrap().to_owned()
}

/// `90s`, `2m`, `1h` or `1d`.
fn milliseconds(duration: &str) -> i64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let unit = match unit {
        "s" => 1_000,
        "m" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => 24 * HOUR_MS,
        other => panic!("{other}"),
    };
    number.parse::<i64>().unwrap() * unit
}
