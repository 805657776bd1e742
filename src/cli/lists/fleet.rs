//! Lists about the daemons themselves: the nodes, their actors, who changed what on them, and what
//! models they asked.

use super::{
    ColumnSpec, FilterSpec, FilterValues, ListSpec, Listed, Named, ShowBy, column, hidden,
    known::{CHANNEL, CLIENT, LEAD, NEWEST, names, nothing, words},
};
use crate::{
    cli::output::text,
    domain::{
        model_call::{ModelCallFeature, ModelCallStatus},
        received::RECEIVED_OUTCOMES,
    },
    store::Via,
};
use serde_json::Value;

/// A filter of one text, which the daemon takes as it is: several values with commas.
const fn given(option: &'static str, help: &'static str, name: &'static str) -> FilterSpec {
    let values = FilterValues::Text(name);
    FilterSpec { option, parameter: option, help, values, default: None }
}

/// The actors of a node.
pub(in crate::cli) enum ActorList {}

impl Listed for ActorList {
    const SPEC: ListSpec = ListSpec {
        path: "actors",
        noun: "actor",
        plural: "actors",
        order: "in the order of their names",
        id: "name",
        show: ShowBy::Search,
        filters: &[],
        columns: &[
            column("name"),
            column("type"),
            hidden("parent"),
            column("state"),
            column("since"),
            column("restarts"),
            column("mailbox_depth"),
            hidden("mailbox_capacity"),
            column("job_id"),
            hidden("last_failure.at"),
            column("last_failure.reason").long(),
        ],
        below: nothing,
    };
}

/// Nodes.
pub(in crate::cli) enum NodeList {}

impl Listed for NodeList {
    const SPEC: ListSpec = ListSpec {
        path: "nodes",
        noun: "node",
        plural: "nodes",
        order: NEWEST,
        id: "id",
        show: ShowBy::Search,
        filters: &[],
        columns: &[
            column("id"),
            column("role"),
            column("host"),
            column("version"),
            column("config_hash"),
            hidden("leads"),
            column("started_at"),
            column("seen_at"),
            hidden("status.loaded_at"),
            hidden("status.pending_keys"),
            hidden("status.draining"),
            hidden("status.ignores_overrides"),
            POOLS_OF_NODE,
        ],
        below: nothing,
    };
}

const POOLS_OF_NODE: ColumnSpec = hidden("status.pools").long().of(pools).with_times();

/// The pools of a node that are paused or set by an operator, on one line.
fn pools(node: &Value) -> String {
    let all = node.pointer("/status/pools").and_then(Value::as_array);
    let told = all.into_iter().flatten().filter_map(|pool| {
        let set = pool.get("override").and_then(Value::as_str);
        let is_paused = pool.get("paused") == Some(&Value::Bool(true));
        let what = set.or(is_paused.then_some("paused"))?;
        Some(format!("{} ({what})", text(pool.get("kind"))))
    });
    text(Some(&Value::from(told.collect::<Vec<String>>())))
}

/// The audit log.
pub(in crate::cli) enum AuditList {}

impl Listed for AuditList {
    const SPEC: ListSpec = ListSpec {
        path: "audit",
        noun: "change",
        plural: "changes by people, files and rules",
        order: NEWEST,
        id: "id",
        show: ShowBy::Page,
        filters: &[
            names("action", "With this action, such as `pool.override`", Named::Action),
            given(
                "actor",
                "By this person, `file`, `signal` or `postroom`; several with commas",
                "NAME",
            ),
            words("via", "WAY", "That came this way", || Via::ALL.map(Via::as_str).to_vec()),
            given("target", "To this key, kind or id; several with commas", "TARGET"),
            given(
                "since",
                "From this time on: `2026-01-18T14:03:11Z`, or `4h` for the last 4 hours",
                "TIME",
            ),
            given("until", "Before this time", "TIME"),
        ],
        columns: &[
            column("id"),
            column("at"),
            column("actor"),
            column("role"),
            column("via"),
            column("action"),
            column("target"),
            column("old").long().with_times(),
            column("new").long().with_times(),
            column("note").long().with_times(),
            hidden("node"),
            hidden("request_id"),
        ],
        below: nothing,
    };
}

/// What was received and sent.
pub(in crate::cli) enum ReceivedList {}

impl Listed for ReceivedList {
    const SPEC: ListSpec = ListSpec {
        path: "received",
        noun: "webhook or message",
        plural: "what was received and sent; what left no row is known since the start of the node that is asked",
        order: NEWEST,
        id: "id",
        show: ShowBy::Page,
        filters: &[
            CLIENT,
            LEAD,
            CHANNEL,
            words("direction", "DIRECTION", "Of this direction", || vec!["inbound", "outbound"]),
            words("outcome", "OUTCOME", "With this outcome", || RECEIVED_OUTCOMES.to_vec()),
            given(
                "q",
                "With this id of a request, of a provider or of ours, address or phone number",
                "TEXT",
            ),
        ],
        columns: &[
            column("id"),
            column("at"),
            column("outcome"),
            column("reason").long(),
            column("client_id"),
            column("channel"),
            column("direction"),
            column("event_type"),
            column("lead_id"),
            hidden("first_at"),
            hidden("message_id"),
            hidden("quarantine_id"),
            hidden("status"),
            hidden("provider_id"),
            column("request_id"),
            hidden("address"),
            hidden("configured"),
            column("count"),
        ],
        below: nothing,
    };
}

/// The calls of models.
pub(in crate::cli) enum ModelCallList {}

impl Listed for ModelCallList {
    const SPEC: ListSpec = ListSpec {
        path: "calls",
        noun: "call",
        plural: "calls of models",
        order: NEWEST,
        id: "id",
        show: ShowBy::Search,
        filters: &[
            CLIENT,
            LEAD,
            given("job", "By this job; several with commas", "JOB"),
            given("kind", "By jobs of this kind; several with commas", "KIND"),
            words("feature", "PURPOSE", "For this", || {
                ModelCallFeature::ALL.map(ModelCallFeature::as_str).to_vec()
            }),
            words("status", "END", "That ended so", || {
                ModelCallStatus::ALL.map(ModelCallStatus::as_str).to_vec()
            }),
            given(
                "since",
                "From this time on: `2026-01-18T14:03:11Z`, or `4h` for the last 4 hours",
                "TIME",
            ),
            given("until", "Before this time", "TIME"),
        ],
        columns: &[
            hidden("id"),
            column("created_at"),
            hidden("kind"),
            column("feature"),
            column("prompt"),
            column("model"),
            column("status"),
            column("error").long(),
            column("tokens_in"),
            column("tokens_out"),
            column("latency_ms"),
            column("retry"),
            column("client_id"),
            column("lead_id"),
            column("job_id"),
            hidden("node"),
        ],
        below: nothing,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_pools_of_a_node_that_are_not_as_usual_are_told() {
        let node = json!({"status": {"pools": [
            {"kind": "A", "size": 8, "paused": false, "override": null},
            {"kind": "B", "size": 8, "paused": true, "override": null},
            {"kind": "C", "size": 16, "paused": false, "override": "size = 16"},
        ]}});
        assert_eq!(pools(&node), "B (paused),C (size = 16)");
        assert_eq!(pools(&json!({"status": null})), "-");
    }
}
