//! What stands below the fields of a lead: its opt-outs, messages, drafts, deliveries and jobs.

use super::{ColumnSpec, DeliveryList, DraftList, JobList, Listed, MessageList, column, table_of};
use crate::cli::output::{self, Times};
use serde_json::Value;

/// What is shown of the opt-outs of a lead.
const OPT_OUT_COLUMNS: [ColumnSpec; 9] = [
    column("id"),
    column("at"),
    column("source"),
    column("channel"),
    column("message_id"),
    column("reason"),
    column("noted_by"),
    column("lifted_at"),
    column("lifted_by"),
];

/// What belongs to a lead, as tables.
pub(super) fn thread(lead: &Value, times: &Times) -> Vec<String> {
    let mut lines = Vec::new();
    let opt_outs = output::items(lead, "opt_outs");
    if !opt_outs.is_empty() {
        lines.push("\nopt-outs".to_owned());
        let table = table_of(opt_outs, &OPT_OUT_COLUMNS, times);
        lines.push(table.text(output::columns_of_terminal(), output::is_coloured()));
    }
    for spec in [MessageList::SPEC, DraftList::SPEC, DeliveryList::SPEC, JobList::SPEC] {
        let Some(items) = lead.get(spec.path).and_then(Value::as_array) else { continue };
        if items.is_empty() {
            continue;
        }
        let is_own = |column: &ColumnSpec| !matches!(column.name, "client_id" | "lead_id");
        let columns: Vec<ColumnSpec> = spec.default_columns().into_iter().filter(is_own).collect();
        let table = table_of(items, &columns, times);
        lines.push(format!("\n{}", spec.plural));
        lines.push(table.text(output::columns_of_terminal(), output::is_coloured()));
    }
    lines
}
