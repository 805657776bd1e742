//! Reads `ops/alerts.yaml`, so that tests compare it with the rules in process.

use super::{HOUR_MS, MINUTE_MS};

/// A rule of Prometheus.
#[derive(Debug, Default)]
pub(crate) struct PrometheusRule {
    pub(crate) name: &'static str,
    /// Its expression in one line, with one space between words.
    pub(crate) expr: String,
    /// How long its condition has to hold, in milliseconds.
    pub(crate) lasts_ms: i64,
    pub(crate) severity: &'static str,
    pub(crate) runbook_url: &'static str,
}

impl PrometheusRule {
    /// All of them, in their order.
    pub(crate) fn all() -> Vec<Self> {
        let text = include_str!("../../../ops/alerts.yaml");
        text.split("- alert: ").skip(1).map(Self::read).collect()
    }

    /// The rule of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self::all().into_iter().find(|rule| rule.name == name).unwrap()
    }

    /// Reads a rule, from its name to the next rule.
    fn read(text: &'static str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let mut rule = Self { name: lines.next().unwrap(), ..Self::default() };
        for line in lines {
            match line.split_once(": ") {
                Some(("expr", value)) => rule.expr.push_str(value.trim_start_matches(">-")),
                Some(("for", value)) => rule.lasts_ms = milliseconds(value),
                Some(("labels", value)) => {
                    let value = value.strip_prefix("{severity: ").unwrap();
                    rule.severity = value.strip_suffix('}').unwrap();
                }
                Some(("runbook_url", value)) => rule.runbook_url = value,
                Some(("summary", _)) => {}
                _ if line == "annotations:" => {}
                // A long expression goes on.
                _ => {
                    rule.expr.push(' ');
                    rule.expr.push_str(line);
                }
            }
        }
        rule.expr = rule.expr.split_whitespace().collect::<Vec<_>>().join(" ");
        rule
    }
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
