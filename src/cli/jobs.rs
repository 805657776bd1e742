//! `postroom jobs`: the jobs of a running daemon.

use super::{
    admin::{Admin, AdminRefusal, Remote, RemoteObject},
    failure::Failure,
    files::Files,
    http::block_on,
    output::{self, complain, line, text},
};
use crate::domain::JobStatus;
use clap::{
    Args, Subcommand,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
};
use serde_json::{Map, Value, json};
use std::time::Duration;

const RETRY_USAGE: &str =
    "postroom jobs retry <ID>... | [--status STATUS] [--kind KIND] [--client ID] [--lead ID]";
const CANCEL_USAGE: &str =
    "postroom jobs cancel <ID>... | [--status STATUS] [--kind KIND] [--client ID] [--lead ID]";

#[derive(Subcommand)]
pub(super) enum JobsCommand {
    /// Show jobs, the newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// The most jobs to show
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        /// Where to continue, as printed after the previous page
        #[arg(long, value_name = "CURSOR", value_parser = NonEmptyStringValueParser::new())]
        cursor: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one job, with its failed attempts
    Show(RemoteObject),
    /// Give failed or cancelled jobs one more attempt
    #[command(override_usage = RETRY_USAGE)]
    Retry {
        #[command(flatten)]
        selection: JobSelection,
        #[command(flatten)]
        remote: Remote,
    },
    /// End pending or running jobs
    #[command(override_usage = CANCEL_USAGE)]
    Cancel {
        #[command(flatten)]
        selection: JobSelection,
        #[command(flatten)]
        remote: Remote,
    },
    /// Count jobs by state and by kind
    Stats(Remote),
}

/// Selects jobs. A job matches an option if it has any of its values, and must match all options.
#[derive(Args)]
pub(super) struct Filter {
    /// In this state; several with commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = statuses())]
    status: Vec<String>,
    /// Of this kind; several with commas
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    kind: Vec<String>,
    /// Of this client; several with commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    client: Vec<String>,
    /// Of this lead; several with commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    lead: Vec<String>,
}

/// The jobs with these ids, or those that match a filter.
#[derive(Args)]
pub(super) struct JobSelection {
    /// Ids of the jobs; without any, all jobs that the options select
    #[arg(
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new(),
        required_unless_present_any = ["status", "kind", "client", "lead"],
        conflicts_with_all = ["status", "kind", "client", "lead"],
    )]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
}

/// A change of jobs.
#[derive(Clone, Copy)]
enum JobChange {
    Retry,
    Cancel,
}

const LIST_COLUMNS: [&str; 8] =
    ["id", "kind", "status", "client_id", "lead_id", "attempts", "run_at", "last_error"];
const CHANGED_COLUMNS: [&str; 4] = ["id", "kind", "status", "run_at"];
const FIELDS: [&str; 17] = [
    "id",
    "kind",
    "status",
    "client_id",
    "lead_id",
    "message_id",
    "draft_id",
    "delivery_id",
    "dedupe_key",
    "attempts",
    "max_attempts",
    "run_at",
    "created_at",
    "started_at",
    "finished_at",
    "locked_by",
    "last_error",
];
/// The most characters of an error in a list. `jobs show` prints all of it.
const ERROR_CHARS_MAX: usize = 60;

fn statuses() -> PossibleValuesParser {
    PossibleValuesParser::new(JobStatus::ALL.map(JobStatus::as_str))
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: JobsCommand, files: Files) -> Result<(), Failure> {
    match command {
        JobsCommand::List { filter, limit, cursor, remote } => {
            list(&filter, limit, cursor, remote, files)
        }
        JobsCommand::Show(object) => object.show(files, "jobs", details),
        JobsCommand::Retry { selection, remote } => {
            change(JobChange::Retry, &selection, remote, files)
        }
        JobsCommand::Cancel { selection, remote } => {
            change(JobChange::Cancel, &selection, remote, files)
        }
        JobsCommand::Stats(remote) => {
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            let overview = block_on(admin.get(&["overview"], &[]))??;
            if is_json { output::print_json(&overview) } else { output::print(&stats(&overview)) }
        }
    }
}

fn list(
    filter: &Filter,
    limit: u16,
    cursor: Option<String>,
    remote: Remote,
    files: Files,
) -> Result<(), Failure> {
    let is_json = remote.json;
    let admin = remote.connect(files)?;
    let mut query = filter.parameters();
    query.push(("limit", limit.to_string()));
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let answer = block_on(admin.get(&["jobs"], &query))??;
    if is_json {
        return output::print_json(&answer);
    }
    output::print(&table(admin.items(&answer)?))?;
    if let Some(cursor) = answer.get("next_cursor").and_then(Value::as_str) {
        complain(&format!("there are more: add --cursor {}", line(cursor)));
    }
    Ok(())
}

/// Changes the jobs with these ids one by one, or all that match the filter in one request.
fn change(
    change: JobChange,
    selection: &JobSelection,
    remote: Remote,
    files: Files,
) -> Result<(), Failure> {
    let is_json = remote.json;
    let admin = remote.connect(files)?;
    if selection.ids.is_empty() {
        let filter = selection.filter.document();
        let answer = block_on(admin.post(&["jobs", change.verb()], Some(&filter)))??;
        return if is_json {
            output::print_json(&answer)
        } else {
            output::print(&format!("{} {}", text(answer.get("count")), change.done()))
        };
    }
    let (jobs, refused) = block_on(change_each(&admin, change, &selection.ids))?;
    if is_json {
        output::print_json(&json!({"items": jobs}))?;
    } else if !jobs.is_empty() {
        output::print(&output::table(&CHANGED_COLUMNS, output::rows(&jobs, &CHANGED_COLUMNS)))?;
    }
    for message in &refused {
        complain(&format!("error: {message}"));
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

/// Changes jobs one by one. Returns the changed jobs, and the reasons why others were refused. A
/// refusal does not prevent the change of the next job.
async fn change_each(
    admin: &Admin,
    change: JobChange,
    ids: &[String],
) -> (Vec<Value>, Vec<String>) {
    let (mut jobs, mut refused) = (Vec::new(), Vec::new());
    for id in ids {
        match admin.post(&["jobs", id, change.verb()], None).await {
            Ok(job) => jobs.push(job),
            Err(AdminRefusal::This(message)) => refused.push(format!("job {id}: {message}")),
            Err(AdminRefusal::All(message)) => {
                refused.push(message);
                break;
            }
        }
    }
    (jobs, refused)
}

impl JobChange {
    const fn verb(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Retry => "given one more attempt",
            Self::Cancel => "cancelled",
        }
    }
}

impl Filter {
    /// The options that are set, as a query of the API.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("status", &self.status),
            ("kind", &self.kind),
            ("client", &self.client),
            ("lead", &self.lead),
        ];
        let is_set = |(_, values): &(&str, &Vec<String>)| !values.is_empty();
        all.into_iter().filter(is_set).map(|(name, values)| (name, values.join(","))).collect()
    }

    /// The options that are set, as a JSON body of the API.
    fn document(&self) -> Value {
        let pair = |(name, value): (&'static str, String)| (name.to_owned(), Value::String(value));
        Value::Object(self.parameters().into_iter().map(pair).collect::<Map<_, _>>())
    }
}

fn table(jobs: &[Value]) -> String {
    let cell = |job: &Value, column: &str| match column {
        "attempts" => attempts(job),
        "last_error" => output::shortened(&text(job.get(column)), ERROR_CHARS_MAX),
        _ => text(job.get(column)),
    };
    let row = |job| LIST_COLUMNS.iter().map(|column| cell(job, column)).collect();
    output::table(&LIST_COLUMNS, jobs.iter().map(row))
}

fn attempts(job: &Value) -> String {
    format!("{}/{}", text(job.get("attempts")), text(job.get("max_attempts")))
}

/// The fields of a job, one per line, then its failed attempts, oldest first.
fn details(job: &Value) -> String {
    let width = FIELDS.iter().map(|it| it.len()).max().unwrap_or_default();
    let mut lines: Vec<String> =
        FIELDS.iter().map(|name| format!("{name:width$}  {}", text(job.get(*name)))).collect();
    for error in job.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| text(error.get(name));
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
        lines.extend(message.lines().map(|part| format!("  {}", line(part))));
    }
    lines.join("\n")
}

/// Two tables: jobs by state, and jobs by kind.
fn stats(overview: &Value) -> String {
    let count = |status: &str| text(overview.get("jobs").and_then(|jobs| jobs.get(status)));
    let statuses = JobStatus::ALL.map(JobStatus::as_str);
    let by_status = statuses.map(|status| vec![status.to_owned(), count(status)]);
    let kinds = overview.get("by_kind").and_then(Value::as_array);
    let by_kind = kinds.into_iter().flatten().map(|row| {
        let age = row.get("oldest_pending_seconds").and_then(Value::as_f64);
        vec![text(row.get("kind")), text(row.get("pending")), text(row.get("running")), span(age)]
    });
    format!(
        "{}\n\n{}",
        output::table(&["status", "jobs"], by_status),
        output::table(&["kind", "pending", "running", "oldest pending"], by_kind)
    )
}

/// A duration as the configuration writes it, in whole seconds.
fn span(seconds: Option<f64>) -> String {
    let whole = seconds.and_then(|exact| Duration::try_from_secs_f64(exact.floor()).ok());
    whole.map_or_else(
        || output::NONE.to_owned(),
        |whole| humantime::format_duration(whole).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Value {
        json!({
            "id": "7", "kind": "SELF_CHECK", "status": "failed", "client_id": "_system", "lead_id": null,
            "message_id": null, "draft_id": null, "delivery_id": null, "dedupe_key": "_system:7:SELF_CHECK",
            "attempts": 2, "max_attempts": 5, "run_at": "2026-01-18T14:03:11.120Z",
            "created_at": "2026-01-18T14:03:10.000Z", "started_at": null, "finished_at": null,
            "locked_by": null, "last_error": format!("no route\n{}", "x".repeat(80)),
            "errors": [{
                "attempt": 1, "failed_at": "2026-01-18T14:03:11.000Z", "duration_ms": 12, "node": "n1",
                "actor": "SELF_CHECK/3", "reason": "error", "message": "no route\nto \u{1b}[2Jhost",
            }],
        })
    }

    #[test]
    fn a_list_has_a_line_a_job() {
        let expected = format!(
            "id  kind        status  client_id  lead_id  attempts  run_at                    last_error\n\
             7   SELF_CHECK  failed  _system    -        2/5       2026-01-18T14:03:11.120Z  no route {}…",
            "x".repeat(50)
        );
        assert_eq!(table(&[job()]), expected);
    }

    #[test]
    fn one_job_is_shown_with_its_failed_attempts() {
        let text = details(&job());
        assert!(text.starts_with("id            7\nkind          SELF_CHECK\n"), "{text}");
        let end = "\n\nattempt 1 failed at 2026-01-18T14:03:11.000Z after 12 ms: error \
                   (node n1, actor SELF_CHECK/3)\n  no route\n  to \\u001b[2Jhost";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn counts_are_shown_by_state_and_by_kind() {
        let overview = json!({
            "jobs": {"pending": 3, "running": 1, "succeeded": 10, "failed": 0, "cancelled": 0},
            "by_kind": [
                {"kind": "SELF_CHECK", "pending": 3, "running": 1, "oldest_pending_seconds": 62.5},
                {"kind": "DELIVER_REPLY", "pending": 0, "running": 0, "oldest_pending_seconds": null},
            ],
        });
        assert_eq!(
            stats(&overview),
            "status     jobs\npending    3\nrunning    1\nsucceeded  10\nfailed     0\ncancelled  0\n\n\
             kind           pending  running  oldest pending\n\
             SELF_CHECK     3        1        1m 2s\n\
             DELIVER_REPLY  0        0        -"
        );
    }

    #[test]
    fn a_filter_says_only_what_is_set() {
        let filter = Filter {
            status: vec!["failed".to_owned(), "cancelled".to_owned()],
            kind: Vec::new(),
            client: vec!["demo".to_owned()],
            lead: Vec::new(),
        };
        assert_eq!(filter.document(), json!({"status": "failed,cancelled", "client": "demo"}));
    }
}
