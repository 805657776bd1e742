//! The lists of the admin API. A new one is a type and its description here, and a line in
//! `cli/mod.rs`.

use super::{
    FilterSpec, FilterValues, ListSpec, Listed, Named, ShowBy, column, field, hidden,
    quarantine::QuarantineList, thread::thread,
};
use crate::{
    cli::output::{self, Times, text},
    domain::{JobState, JobStatus, LeadStatus},
    store::{DRAFT_STATUSES, OperationAction},
};
use serde_json::Value;

/// The lists whose objects have numbers as ids.
pub(super) const WITH_IDS: [ListSpec; 7] = [
    JobList::SPEC,
    LeadList::SPEC,
    MessageList::SPEC,
    DraftList::SPEC,
    DeliveryList::SPEC,
    QuarantineList::SPEC,
    OperationList::SPEC,
];

/// A filter of words that both sides know. The help has `name` in the place of a word.
pub(super) const fn words(
    option: &'static str,
    name: &'static str,
    help: &'static str,
    words: fn() -> Vec<&'static str>,
) -> FilterSpec {
    let values = FilterValues::Words(name, words);
    FilterSpec { option, parameter: option, help, values, default: None }
}

/// A filter of names that the daemon knows.
pub(super) const fn names(option: &'static str, help: &'static str, named: Named) -> FilterSpec {
    let values = FilterValues::Names(named);
    FilterSpec { option, parameter: option, help, values, default: None }
}

pub(super) const CLIENT: FilterSpec = names("client", "Of this client", Named::Client);
pub(super) const LEAD: FilterSpec = names("lead", "Of this lead", Named::Lead);
pub(super) const CHANNEL: FilterSpec = names("channel", "Of this channel", Named::Channel);

pub(super) const NEWEST: &str = "the newest first";

pub(super) fn nothing(_: &Value, _: &Times) -> Vec<String> {
    Vec::new()
}

/// A text below the fields, after an empty line.
pub(super) fn paragraph(object: &Value, name: &str) -> Vec<String> {
    let text = object.get(name).and_then(Value::as_str).unwrap_or_default();
    std::iter::once(String::new()).chain(output::lines(text)).collect()
}

/// The statuses of jobs, and the states of those that wait.
fn job_words() -> Vec<&'static str> {
    let statuses = JobStatus::ALL.map(JobStatus::as_str).into_iter();
    statuses.chain(JobState::WAITING.map(JobState::as_str)).collect()
}

/// The list at `/api/v1/jobs`.
pub(in crate::cli) enum JobList {}

impl Listed for JobList {
    const SPEC: ListSpec = ListSpec {
        path: "jobs",
        noun: "job",
        plural: "jobs",
        order: NEWEST,
        id: "id",
        show: ShowBy::Path,
        filters: &[
            words("status", "STATE", "In this state", job_words),
            names("kind", "Of this kind", Named::Kind),
            CLIENT,
            LEAD,
            FilterSpec {
                option: "error",
                parameter: "error",
                help: "With an error like this one, in which numbers, ids and quotes do not count",
                values: FilterValues::Text("TEXT"),
                default: None,
            },
        ],
        columns: &[
            column("id"),
            column("kind"),
            column("status"),
            column("client_id"),
            column("lead_id"),
            hidden("message_id"),
            hidden("draft_id"),
            hidden("delivery_id"),
            hidden("dedupe_key"),
            column("attempts").of(attempts),
            column("run_at"),
            hidden("created_at"),
            hidden("started_at"),
            hidden("finished_at"),
            hidden("locked_by"),
            column("last_error").long(),
            hidden("trace_id"),
        ],
        below: failed_attempts,
    };
}

fn attempts(job: &Value) -> String {
    format!("{}/{}", text(job.get("attempts")), text(job.get("max_attempts")))
}

/// The failed attempts of a job, oldest first.
fn failed_attempts(job: &Value, times: &Times) -> Vec<String> {
    let mut lines = Vec::new();
    for error in job.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| times.cell(name, error.get(name));
        lines.push(String::new());
        lines.push(format!(
            "attempt {} failed at {} after {} ms: {} (node {}, actor {})",
            part("attempt"),
            part("failed_at"),
            part("duration_ms"),
            part("reason"),
            part("node"),
            part("actor"),
        ));
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        lines.extend(output::lines(message).map(|line| format!("  {line}")));
        if let Some(trace_id) = error.get("trace_id").and_then(Value::as_str) {
            lines.extend(output::lines(trace_id).map(|line| format!("  trace {line}")));
        }
    }
    lines
}

/// The list at `/api/v1/leads`.
pub(in crate::cli) enum LeadList {}

impl Listed for LeadList {
    const SPEC: ListSpec = ListSpec {
        path: "leads",
        noun: "lead",
        plural: "leads",
        order: "by last message, the newest first",
        id: "id",
        show: ShowBy::Path,
        filters: &[
            words("status", "STATE", "In this state", || {
                LeadStatus::ALL.map(LeadStatus::as_str).to_vec()
            }),
            CLIENT,
            FilterSpec {
                option: "search",
                parameter: "q",
                help: "With this text in a name, the company, an address or a number",
                values: FilterValues::Text("TEXT"),
                default: None,
            },
        ],
        columns: &[
            column("id"),
            column("client_id"),
            column("status"),
            column("sentiment"),
            column("first_name"),
            column("last_name"),
            column("company_name").long(),
            hidden("title"),
            column("email"),
            column("phone"),
            hidden("timezone"),
            hidden("opted_out.at"),
            hidden("opted_out.channel"),
            hidden("opted_out.reason"),
            hidden("bounced.at"),
            hidden("bounced.reason"),
            hidden("sms_dnd"),
            hidden("connected_at"),
            hidden("snoozed_until"),
            hidden("score.overall"),
            hidden("score.reason").long(),
            hidden("identities").long().of(identities),
            hidden("campaign.id"),
            hidden("campaign.name"),
            column("last_message_at"),
            hidden("last_inbound_at"),
            hidden("last_outbound_at"),
            hidden("created_at"),
            hidden("merged_into"),
            hidden("category"),
        ],
        below: thread,
    };
}

/// The identities of a lead: `phone +15550100, email a@example.com`.
fn identities(lead: &Value) -> String {
    let list = lead.get("identities").and_then(Value::as_array);
    let spelled = |it: &Value| format!("{} {}", text(it.get("kind")), text(it.get("value")));
    let spelled: Vec<String> = list.into_iter().flatten().map(spelled).collect();
    if spelled.is_empty() { output::NONE.to_owned() } else { spelled.join(", ") }
}

/// The list at `/api/v1/messages`.
pub(in crate::cli) enum MessageList {}

impl Listed for MessageList {
    const SPEC: ListSpec = ListSpec {
        path: "messages",
        noun: "message",
        plural: "messages",
        order: NEWEST,
        id: "id",
        show: ShowBy::Path,
        filters: &[
            CLIENT,
            LEAD,
            CHANNEL,
            words("direction", "DIRECTION", "Of this direction", || vec!["inbound", "outbound"]),
        ],
        columns: &[
            column("id"),
            column("client_id"),
            column("lead_id"),
            column("channel"),
            column("direction"),
            hidden("source"),
            hidden("provider_id"),
            column("sentiment"),
            hidden("judged_by"),
            hidden("automated"),
            column("sent_at"),
            hidden("created_at"),
            hidden("edited_at"),
            hidden("deleted_at"),
            hidden("failed_at"),
            hidden("from.name"),
            column("from.address"),
            hidden("to").long().of(|it| addresses(it, "to")),
            hidden("cc").long().of(|it| addresses(it, "cc")),
            hidden("attachments").long().of(attachments),
            column("subject").long(),
            column("body").long(),
        ],
        below: |message, _| paragraph(message, "body"),
    };
}

/// The addresses in a list of a message.
fn addresses(message: &Value, name: &str) -> String {
    joined(message, name, "address")
}

fn attachments(message: &Value) -> String {
    joined(message, "attachments", "name")
}

/// A field of each entry of a list, with commas.
fn joined(object: &Value, list: &str, name: &str) -> String {
    let entries = object.get(list).and_then(Value::as_array).into_iter().flatten();
    let parts: Vec<String> = entries.map(|it| text(field(it, name))).collect();
    if parts.is_empty() { output::NONE.to_owned() } else { parts.join(", ") }
}

/// The list at `/api/v1/drafts`.
pub(in crate::cli) enum DraftList {}

impl Listed for DraftList {
    const SPEC: ListSpec = ListSpec {
        path: "drafts",
        noun: "draft",
        plural: "drafts",
        order: NEWEST,
        id: "id",
        show: ShowBy::Path,
        filters: &[
            words("status", "STATE", "In this state", || DRAFT_STATUSES.to_vec()),
            CLIENT,
            LEAD,
            CHANNEL,
        ],
        columns: &[
            column("id"),
            column("client_id"),
            column("lead_id"),
            hidden("message_id"),
            column("channel"),
            column("status"),
            column("created_at"),
            hidden("decided_at"),
            hidden("decided_by"),
            hidden("edited"),
            hidden("send_at"),
            hidden("snoozed_until"),
            column("blocked_by"),
            hidden("delivery_id"),
            hidden("gate.decision"),
            hidden("gate.confidence"),
            hidden("gate.threshold"),
            hidden("gate.reason").long(),
            hidden("tag"),
            hidden("note").long(),
            hidden("parts").long().of(parts),
            column("subject").long(),
            column("body").long(),
        ],
        below: |draft, _| paragraph(draft, "body"),
    };
}

/// How many parts a text message has, with their lengths: `2 (153, 40)`.
fn parts(draft: &Value) -> String {
    let parts = draft.get("parts").and_then(Value::as_array);
    let chars = |part: &Value| part.as_str().unwrap_or_default().chars().count().to_string();
    let chars: Vec<String> = parts.into_iter().flatten().map(chars).collect();
    if chars.is_empty() {
        return output::NONE.to_owned();
    }
    format!("{} ({})", chars.len(), chars.join(", "))
}

/// The list at `/api/v1/deliveries`.
pub(in crate::cli) enum DeliveryList {}

impl Listed for DeliveryList {
    const SPEC: ListSpec = ListSpec {
        path: "deliveries",
        noun: "delivery",
        plural: "deliveries",
        order: NEWEST,
        id: "id",
        show: ShowBy::Path,
        filters: &[
            words("status", "STATE", "In this state", || {
                vec!["sending", "sent", "failed", "uncertain"]
            }),
            CLIENT,
            LEAD,
            CHANNEL,
        ],
        columns: &[
            column("id"),
            column("client_id"),
            column("lead_id"),
            column("draft_id"),
            hidden("message_id"),
            column("channel"),
            column("status"),
            hidden("provider_id"),
            column("attempts"),
            column("created_at"),
            column("settled_at"),
            column("error").long(),
        ],
        below: nothing,
    };
}

/// The list at `/api/v1/examples`.
pub(in crate::cli) enum ExampleList {}

impl Listed for ExampleList {
    const SPEC: ListSpec = ListSpec {
        path: "examples",
        noun: "example",
        plural: "examples",
        order: NEWEST,
        id: "id",
        show: ShowBy::Search,
        filters: &[CLIENT],
        columns: &[
            column("id"),
            column("client_id"),
            hidden("lead_id"),
            column("message_id"),
            hidden("draft_id"),
            column("kind"),
            column("channel"),
            column("tag"),
            hidden("opt_out"),
            column("was").long(),
            hidden("became").long(),
            column("reason").long(),
            column("by"),
            column("created_at"),
            hidden("subject").long(),
            hidden("text").long(),
        ],
        below: nothing,
    };
}

/// The list at `/api/v1/operations`.
pub(in crate::cli) enum OperationList {}

impl Listed for OperationList {
    const SPEC: ListSpec = ListSpec {
        path: "operations",
        noun: "operation",
        plural: "operations",
        order: NEWEST,
        id: "id",
        show: ShowBy::Path,
        filters: &[
            words("status", "STATE", "In this state", || {
                vec!["running", "done", "stopped", "failed"]
            }),
            words("action", "ACTION", "With this action", || {
                OperationAction::ALL.map(OperationAction::as_str).to_vec()
            }),
        ],
        columns: &[
            column("id"),
            column("action"),
            column("status"),
            hidden("stopping"),
            column("total"),
            column("done"),
            column("skipped"),
            hidden("reasons").long(),
            column("by"),
            column("filter").long().of(filter_of),
            hidden("node"),
            column("created_at"),
            hidden("updated_at"),
            column("finished_at"),
            column("error").long(),
        ],
        below: nothing,
    };
}

/// The filter of an operation: `kind=SELF_CHECK client=demo`.
fn filter_of(operation: &Value) -> String {
    let filter = operation.get("filter").and_then(Value::as_object);
    let given = filter.into_iter().flatten().filter(|(_, value)| !value.is_null());
    let spelled: Vec<String> = given
        .map(|(name, value)| format!("{}={}", output::line(name), text(Some(value))))
        .collect();
    if spelled.is_empty() { output::NONE.to_owned() } else { spelled.join(" ") }
}

/// The list at `/api/v1/clients`.
pub(in crate::cli) enum ClientList {}

impl Listed for ClientList {
    const SPEC: ListSpec = ListSpec {
        path: "clients",
        noun: "client",
        plural: "clients",
        order: "in the order of their ids",
        id: "id",
        show: ShowBy::Path,
        filters: &[],
        columns: &[
            column("id"),
            column("name").long(),
            column("configured"),
            column("health").long(),
            column("timezone"),
            column("channels").long().of(channels),
            column("auto_reply"),
            column("rate_limit"),
            column("max_running"),
            column("pending"),
            column("running"),
            hidden("drafts_pending"),
            hidden("quarantined"),
            hidden("uncertain"),
        ],
        below: nothing,
    };
}

/// The channels of a client: `email (disconnected), sms (no secret)`.
fn channels(client: &Value) -> String {
    let list = client.get("channels").and_then(Value::as_array);
    let spelled = |it: &Value| {
        let is_open = it.get("has_secret").and_then(Value::as_bool) == Some(false);
        let trouble = it.get("trouble").and_then(Value::as_str);
        let notes: Vec<&str> = is_open.then_some("no secret").into_iter().chain(trouble).collect();
        let notes =
            if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        format!("{}{notes}", text(it.get("channel")))
    };
    let spelled: Vec<String> = list.into_iter().flatten().map(spelled).collect();
    if spelled.is_empty() { output::NONE.to_owned() } else { spelled.join(", ") }
}

/// The list at `/api/v1/pools`.
pub(in crate::cli) enum PoolList {}

impl Listed for PoolList {
    const SPEC: ListSpec = ListSpec {
        path: "pools",
        noun: "pool",
        plural: "pools",
        order: "with what they are doing",
        id: "kind",
        show: ShowBy::Search,
        filters: &[],
        columns: &[
            column("kind"),
            column("size"),
            column("configured_size"),
            column("busy"),
            hidden("claimed"),
            hidden("leaving"),
            column("state"),
            column("override").long().of(override_of).with_times(),
            column("backlog"),
            column("restarts"),
            column("resumes_at"),
            column("max_attempts"),
            column("timeout_ms"),
            hidden("ended_per_minute"),
            hidden("failed_per_minute"),
        ],
        below: nothing,
    };
}

/// What operators have set for a pool on one line: each key with who, why and until when.
pub(in crate::cli) fn override_of(pool: &Value) -> String {
    let keys = pool.pointer("/override/keys").and_then(Value::as_array);
    let spelled = |it: &Value| {
        let said = |name: &str| it.get(name).and_then(Value::as_str);
        let mut words = format!(
            "{} = {} by {}",
            text(it.get("key")),
            text(it.get("value")),
            text(it.get("by"))
        );
        words.extend(said("expires_at").map(|at| format!(" until {at}")));
        words.extend(said("node").map(|_| " on this node only".to_owned()));
        words.extend(said("note").map(|note| format!(": {note}")));
        output::line(&words)
    };
    let spelled: Vec<String> = keys.into_iter().flatten().map(spelled).collect();
    let is_ignoring = pool.get("ignores_overrides") == Some(&Value::Bool(true));
    match spelled.as_slice() {
        [] if is_ignoring => "ignored on this node (--ignore-overrides)".to_owned(),
        [] => output::NONE.to_owned(),
        spelled => spelled.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lists::details;
    use crate::cli::lists::table_of;
    use serde_json::json;

    fn job() -> Value {
        json!({
            "id": "7", "kind": "SELF_CHECK", "status": "failed", "client_id": "_system", "lead_id": null,
            "message_id": null, "draft_id": null, "delivery_id": null, "dedupe_key": "_system:7:SELF_CHECK",
            "attempts": 2, "max_attempts": 5, "run_at": "2026-01-18T14:03:11.120Z",
            "created_at": "2026-01-18T14:03:10.000Z", "started_at": null, "finished_at": null,
            "locked_by": null, "last_error": format!("no route\n{}", "x".repeat(80)), "trace_id": null,
            "errors": [{
                "attempt": 1, "failed_at": "2026-01-18T14:03:11.000Z", "duration_ms": 12, "node": "n1",
                "actor": "SELF_CHECK/3", "reason": "error", "message": "no route\nto \u{1b}[2Jhost", "trace_id": "4bf9",
            }],
        })
    }

    #[test]
    fn a_list_has_a_line_a_job() {
        let table = table_of(&[job()], &JobList::SPEC.default_columns(), &Times::utc());
        let head = "id  kind        status  client_id  lead_id  attempts  run_at                   last_error\n\
                    7   SELF_CHECK  failed  _system    -        2/5       2026-01-18 14:03:11 UTC  no route ";
        assert_eq!(table.text(None, false), format!("{head}{}", "x".repeat(80)));
        let cut = table.text(Some(100), false);
        let is_cut = |line: &str| line.chars().count() == 100 && line.ends_with('…');
        assert!(cut.lines().nth(1).is_some_and(is_cut), "{cut}");
    }

    #[test]
    fn one_job_is_shown_with_its_failed_attempts() {
        let text = details(&JobList::SPEC, &job(), &Times::utc());
        assert!(text.starts_with("id           7\nkind         SELF_CHECK\n"), "{text}");
        let end = "\n\nattempt 1 failed at 2026-01-18 14:03:11 UTC after 12 ms: error \
                   (node n1, actor SELF_CHECK/3)\n  no route\n  to \\u001b[2Jhost\n  trace 4bf9";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn each_key_of_an_override_is_told_with_who_why_and_until_when() {
        let pool = json!({"override": {"by": "erin", "keys": [
            {"key": "size", "value": 4, "by": "erin", "note": null, "expires_at": null, "node": null},
            {"key": "paused", "value": true, "by": "dana", "note": "down\nagain", "node": "7",
             "expires_at": "2026-01-18T14:03:11.120Z"},
        ]}});
        let expected = "size = 4 by erin; paused = true by dana until 2026-01-18T14:03:11.120Z \
                        on this node only: down again";
        assert_eq!(override_of(&pool), expected);
        assert_eq!(override_of(&json!({"override": null})), "-");
        let ignores = json!({"override": null, "ignores_overrides": true});
        assert_eq!(override_of(&ignores), "ignored on this node (--ignore-overrides)");
    }

    #[test]
    fn an_item_is_shown_with_what_was_received() {
        let item = json!({"id": "7", "reason": "unknown_event", "payload": "{\"a\":1}"});
        let shown = details(&QuarantineList::SPEC, &item, &Times::utc());
        assert!(shown.contains("unknown_event") && shown.ends_with("{\"a\":1}"), "{shown}");
    }

    #[test]
    fn a_lead_is_shown_with_its_thread() {
        let lead = json!({
            "id": "9", "status": "new", "identities": [{"kind": "email", "value": "a@example.com"}],
            "messages": [{"id": "1", "channel": "fax", "body": "Hello\nthere"}], "drafts": [],
            "deliveries": [], "jobs": [job()],
            "opt_outs": [{"id": "5", "source": "person", "noted_by": "erin", "lifted_by": "dana"}],
        });
        let shown = details(&LeadList::SPEC, &lead, &Times::utc());
        for told in ["opt-outs", "person", "erin", "dana"] {
            assert!(shown.contains(told), "{shown}");
        }
        assert!(shown.contains("email a@example.com"), "{shown}");
        assert!(
            shown.contains("\n\nmessages\nid  channel") && shown.contains("Hello there"),
            "{shown}"
        );
        assert!(shown.contains("\n\njobs\nid  kind") && !shown.contains("drafts"), "{shown}");
    }
}
