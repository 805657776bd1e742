//! One object for people: its fields, one per line, and what stands below them.

use super::ListSpec;
use crate::cli::output::Times;
use serde_json::Value;

/// The fields of an object, one per line, then what the list says.
pub(in crate::cli) fn details(spec: &ListSpec, object: &Value, times: &Times) -> String {
    let width = spec.columns.iter().map(|column| column.name.len()).max().unwrap_or_default();
    let field = |column: &super::ColumnSpec| {
        format!("{:width$}  {}", column.name, column.cell(object, times))
    };
    let mut lines: Vec<String> = spec.columns.iter().map(field).collect();
    lines.extend((spec.below)(object, times));
    lines.join("\n")
}
