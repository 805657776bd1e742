//! `postroom jobs`: the jobs of a running daemon.

use super::{
    admin::{Admin, Remote},
    bulk::{self, BulkArgs, BulkChange},
    completions,
    explain::ExplainArgs,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{self, Filters, JobList, ListArgs, Listed as _, ShowArgs},
    output::{self, TextTable, span, text},
};
use crate::domain::JobStatus;
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::Value;

const RETRY_USAGE: &str = "postroom jobs retry <ID>... | [--status STATE] [--kind KIND] [--client ID] [--lead ID] [--error TEXT] [--dry-run | --yes]";
const CANCEL_USAGE: &str = "postroom jobs cancel <ID>... | [--status STATE] [--kind KIND] [--client ID] [--lead ID] [--error TEXT] [--dry-run | --yes]";

#[derive(Subcommand)]
pub(super) enum JobsCommand {
    List(ListArgs<JobList>),
    Show(ShowArgs<JobList>),
    /// Say why jobs are not running, or what becomes of those that run
    Explain(ExplainArgs<JobList>),
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
    Stats {
        /// Check that each accepted job has ended, waits or runs; the exit code is 3 if not
        #[arg(long)]
        verify: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// The jobs with these ids, or those that match a filter.
#[derive(Args)]
pub(super) struct JobSelection {
    /// Ids of the jobs; without any, all jobs that the options select
    #[arg(
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<JobList>(),
        required_unless_present_any = ["status", "kind", "client", "lead", "error"],
        conflicts_with_all = ["status", "kind", "client", "lead", "error"],
    )]
    ids: Vec<String>,
    #[command(flatten)]
    filters: Filters<JobList>,
    #[command(flatten)]
    bulk: BulkArgs,
}

/// A change of jobs.
#[derive(Clone, Copy)]
enum JobChange {
    Retry,
    Cancel,
}

/// The columns of the jobs that are shown before many are changed.
const EXAMPLE_COLUMNS: [&str; 5] = ["id", "kind", "status", "client_id", "last_error"];
const CHANGED_COLUMNS: [&str; 4] = ["id", "kind", "status", "run_at"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: JobsCommand, files: Files) -> Result<(), Failure> {
    match command {
        JobsCommand::List(args) => args.run(files),
        JobsCommand::Show(args) => args.run(files),
        JobsCommand::Explain(args) => args.run(files),
        JobsCommand::Retry { selection, remote } => {
            change(JobChange::Retry, &selection, remote, files)
        }
        JobsCommand::Cancel { selection, remote } => {
            change(JobChange::Cancel, &selection, remote, files)
        }
        JobsCommand::Stats { verify, remote } => {
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            if verify {
                return verify_ledger(&admin, is_json);
            }
            let overview = block_on(admin.get(&["overview"], &[]))??;
            if is_json {
                return output::print_json(&overview);
            }
            let [by_status, by_kind] = stats(&overview);
            output::print_table(&by_status)?;
            output::print("")?;
            output::print_table(&by_kind)
        }
    }
}

/// Prints the balance of the ledger.
///
/// # Errors
/// [`Failure::Unwell`] if it does not balance.
fn verify_ledger(admin: &Admin, is_json: bool) -> Result<(), Failure> {
    let ledger = block_on(admin.get(&["ledger"], &[]))??;
    if is_json {
        output::print_json(&ledger)?;
    } else {
        output::print(&balance(&ledger))?;
    }
    let is_balanced = ledger.get("balanced").and_then(Value::as_bool).unwrap_or_default();
    if is_balanced { Ok(()) } else { Err(Failure::Unwell) }
}

/// Changes the jobs with these ids one by one, or all that match the filter in an operation.
fn change(
    change: JobChange,
    selection: &JobSelection,
    remote: Remote,
    files: Files,
) -> Result<(), Failure> {
    let verb = change.verb();
    if selection.ids.is_empty() {
        let (is_json, times) = (remote.json, remote.times());
        let filter = selection.filters.document();
        let admin = remote.connect(files)?;
        let change = BulkChange {
            spec: &JobList::SPEC,
            noun: "job",
            verb,
            columns: &EXAMPLE_COLUMNS,
            filter: &filter,
        };
        return bulk::run(&admin, &change, selection.bulk.choice(), is_json, &times);
    }
    let each = async |admin: &Admin, id: &str| admin.post(&["jobs", id, verb], &[], None).await;
    lists::change::<JobList>(remote, files, &selection.ids, &CHANGED_COLUMNS, each)
}

impl JobChange {
    const fn verb(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }
}

/// The ledger as an equation, and whether it holds.
fn balance(ledger: &Value) -> String {
    let part = |name: &str| text(ledger.get(name));
    let parts = JobStatus::ALL.map(JobStatus::as_str);
    let sum: Vec<String> = parts.iter().map(|name| format!("{} {name}", part(name))).collect();
    let imbalance = ledger.get("imbalance").and_then(Value::as_i64).unwrap_or_default();
    let verdict = match imbalance {
        0 => "balanced".to_owned(),
        1.. => format!("NOT balanced: {imbalance} are missing"),
        _ => format!("NOT balanced: {} were never accepted", imbalance.unsigned_abs()),
    };
    format!("{} accepted = {}: {verdict}", part("accepted"), sum.join(" + "))
}

/// Two tables: jobs by state, and jobs by kind.
fn stats(overview: &Value) -> [TextTable; 2] {
    let count = |status: &str| text(overview.get("jobs").and_then(|jobs| jobs.get(status)));
    let statuses = JobStatus::ALL.map(JobStatus::as_str);
    let by_status = statuses.map(|status| vec![status.to_owned(), count(status)]);
    let kinds = overview.get("by_kind").and_then(Value::as_array);
    let by_kind = kinds.into_iter().flatten().map(|row| {
        let age = row.get("oldest_pending_seconds").and_then(Value::as_u64);
        let age = age.map_or_else(|| output::NONE.to_owned(), span);
        vec![text(row.get("kind")), text(row.get("pending")), text(row.get("running")), age]
    });
    [
        TextTable::new(&["status", "jobs"], by_status),
        TextTable::new(&["kind", "pending", "running", "oldest pending"], by_kind),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_ledger_is_shown_as_an_equation() {
        let ledger = |imbalance: i64| {
            json!({"accepted": 9, "pending": 3, "running": 1, "succeeded": 3, "failed": 1, "cancelled": 1,
                "balanced": imbalance == 0, "imbalance": imbalance})
        };
        let equation =
            "9 accepted = 3 pending + 1 running + 3 succeeded + 1 failed + 1 cancelled: ";
        for (imbalance, verdict) in [
            (0, "balanced"),
            (2, "NOT balanced: 2 are missing"),
            (-2, "NOT balanced: 2 were never accepted"),
        ] {
            assert_eq!(balance(&ledger(imbalance)), format!("{equation}{verdict}"));
        }
    }

    #[test]
    fn counts_are_shown_by_state_and_by_kind() {
        let overview = json!({
            "jobs": {"pending": 3, "running": 1, "succeeded": 10, "failed": 0, "cancelled": 0},
            "by_kind": [
                {"kind": "SELF_CHECK", "pending": 3, "running": 1, "oldest_pending_seconds": 62},
                {"kind": "DELIVER_REPLY", "pending": 0, "running": 0, "oldest_pending_seconds": null},
            ],
        });
        let [by_status, by_kind] = stats(&overview).map(|table| table.text(None, false));
        assert_eq!(
            format!("{by_status}\n\n{by_kind}"),
            "status     jobs\npending    3\nrunning    1\nsucceeded  10\nfailed     0\ncancelled  0\n\n\
             kind           pending  running  oldest pending\n\
             SELF_CHECK     3        1        1m 2s\n\
             DELIVER_REPLY  0        0        -"
        );
    }
}
