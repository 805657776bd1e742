//! Changes of all objects of a list that match a filter: count, ask, start an operation, and follow
//! it.

use super::{
    admin::{Admin, AdminRefusal},
    failure::Failure,
    http::block_on,
    lists::{ColumnSpec, ListSpec, table_of},
    output::{self, Times, complain, line, text},
    prompt::{confirm, typed_for},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often the daemon is asked how far the operation is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A change of all objects of a list that match.
pub(super) struct BulkChange<'a> {
    /// The list.
    pub(super) spec: &'a ListSpec,
    /// One object, for messages: `job`.
    pub(super) noun: &'static str,
    /// What is done, which is also the last part of the path: `retry`.
    pub(super) verb: &'static str,
    /// The columns of the examples.
    pub(super) columns: &'a [&'static str],
    /// Which objects.
    pub(super) filter: &'a Value,
}

/// How it is asked for.
#[derive(Clone, Copy)]
pub(super) struct BulkChoice {
    /// Nobody is asked.
    pub(super) yes: bool,
    /// Nothing is changed.
    pub(super) dry_run: bool,
    /// The end is not waited for.
    pub(super) no_wait: bool,
}

/// How jobs that match a filter are changed.
#[derive(Args)]
pub(super) struct BulkArgs {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Count the jobs that match and show three of them; change nothing
    #[arg(long, conflicts_with_all = ["yes", "no_wait", "ids"])]
    dry_run: bool,
    /// Print the id of the operation, and do not wait for its end
    #[arg(long, conflicts_with = "ids")]
    no_wait: bool,
}

impl BulkArgs {
    /// What is chosen by the options.
    pub(super) const fn choice(&self) -> BulkChoice {
        BulkChoice { yes: self.yes, dry_run: self.dry_run, no_wait: self.no_wait }
    }
}

/// Changes all objects that match.
///
/// # Errors
/// [`Failure::Wrong`] if nobody can be asked; [`Failure::Interrupted`] if the person stopped the
/// operation; [`Failure::Told`] if it ended otherwise before its work was done.
pub(super) fn run(
    admin: &Admin,
    change: &BulkChange<'_>,
    choice: BulkChoice,
    is_json: bool,
    times: &Times,
) -> Result<(), Failure> {
    let BulkChange { spec, noun, verb, filter, .. } = change;
    // 1. Count.
    let (path, dry_run) = ([spec.path, verb], [("dry_run", "true".to_owned())]);
    let counted = block_on(admin.post(&path, &dry_run, Some(filter)))??;
    let count = counted.get("count").and_then(Value::as_u64).unwrap_or_default();
    let is_exact = counted.get("exact").and_then(Value::as_bool).unwrap_or_default();
    if choice.dry_run && is_json {
        return output::print_json(&counted);
    }
    if choice.dry_run {
        return output::print(&change.overview(&counted, count, is_exact, times));
    }
    // 2. Ask.
    if count > 0 && !choice.yes {
        complain(&change.overview(&counted, count, is_exact, times));
        confirm(
            &format!(
                "this will {verb} {} (--dry-run only counts)",
                counted_of(noun, count, is_exact)
            ),
            &typed_for(count),
        )?;
    }
    // 3. Start.
    let started = block_on(admin.post(&path, &[], Some(filter)))??;
    let Some(id) = started.get("operation_id").and_then(Value::as_str) else {
        return if is_json {
            output::print_json(&started)
        } else {
            output::print(&format!("no {noun} matches"))
        };
    };
    if choice.no_wait {
        return if is_json { output::print_json(&started) } else { output::print(&line(id)) };
    }
    // 4. Follow.
    let (operation, is_interrupted) = block_on(follow(admin, id))??;
    if is_json {
        output::print_json(&operation)?;
    } else {
        output::print(&summary(&operation))?;
    }
    match operation.get("status").and_then(Value::as_str) {
        Some("done") => Ok(()),
        _ if is_interrupted => Err(Failure::Interrupted),
        _ => Err(Failure::Told),
    }
}

/// Waits for the end of an operation, and shows its progress on stderr. Ctrl-C asks for its stop,
/// and a second one ends the wait. Returns the operation, and whether there was a Ctrl-C.
async fn follow(admin: &Admin, id: &str) -> Result<(Value, bool), Failure> {
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::Failed(format!("Ctrl-C cannot be heard: {error}")))?;
    let bar = ProgressBar::new(0);
    // The template has no mistake; else the bar has another look.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos} of {len} {msg}") {
        bar.set_style(style);
    }
    let mut is_interrupted = false;
    loop {
        let operation =
            admin.get(&["operations", id], &[]).await.map_err(|refusal| lost(&refusal, id))?;
        let number = |name: &str| operation.get(name).and_then(Value::as_u64).unwrap_or_default();
        bar.set_length(number("total"));
        bar.set_position(number("done") + number("skipped"));
        if operation.get("status").and_then(Value::as_str) != Some("running") {
            bar.finish_and_clear();
            return Ok((operation, is_interrupted));
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            _ = interrupts.recv() => {
                if is_interrupted {
                    bar.finish_and_clear();
                    complain(&format!("operation {} is asked to stop: `postroom operations show {0}`", line(id)));
                    return Err(Failure::Interrupted);
                }
                is_interrupted = true;
                bar.set_message("stopping");
                match admin.post(&["operations", id, "cancel"], &[], None).await {
                    // It may have ended meanwhile: the next look tells.
                    Ok(_) | Err(AdminRefusal::This(_)) => {}
                    Err(refusal) => return Err(lost(&refusal, id)),
                }
            }
        }
    }
}

/// The failure if the daemon does not answer any more.
fn lost(refusal: &AdminRefusal, id: &str) -> Failure {
    let id = line(id);
    Failure::Failed(format!("{refusal}. How far it came: `postroom operations show {id}`"))
}

impl BulkChange<'_> {
    /// What matches, with examples.
    fn overview(&self, counted: &Value, count: u64, is_exact: bool, times: &Times) -> String {
        let matching = counted_of(self.noun, count, is_exact);
        let matching = format!("{matching} match{}", if count == 1 { "es" } else { "" });
        let examples = output::items(counted, "examples");
        if examples.is_empty() {
            return matching;
        }
        let is_shown = |column: &&ColumnSpec| self.columns.contains(&column.name);
        let columns: Vec<_> = self.spec.columns.iter().filter(is_shown).copied().collect();
        let table = table_of(examples, &columns, times).text(output::columns_of_terminal(), false);
        format!("{matching}, the newest of them:\n{table}")
    }
}

fn counted_of(noun: &str, count: u64, is_exact: bool) -> String {
    let least = if is_exact { "" } else { "at least " };
    format!("{least}{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// How an operation ended: `done 812 of 3000, skipped 3 (is running 3), stopped`.
pub(super) fn summary(operation: &Value) -> String {
    let part = |name: &str| text(operation.get(name));
    let mut summary = format!("done {} of {}", part("done"), part("total"));
    let reasons = operation.get("reasons").and_then(Value::as_object);
    let reasons: Vec<String> = reasons
        .into_iter()
        .flatten()
        .map(|(reason, count)| format!("{} {}", line(reason), text(Some(count))))
        .collect();
    if !reasons.is_empty() {
        summary.push_str(&format!(", skipped {} ({})", part("skipped"), reasons.join(", ")));
    }
    let is_stopping = operation.get("stopping").and_then(Value::as_bool).unwrap_or_default();
    match operation.get("status").and_then(Value::as_str) {
        Some("done") => {}
        Some("running") if is_stopping => summary.push_str(", stopping"),
        Some(status) => {
            summary.push_str(", ");
            summary.push_str(&line(status));
        }
        None => {}
    }
    if let Some(error) = operation.get("error").and_then(Value::as_str) {
        summary.push_str(": ");
        summary.push_str(&line(error));
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_end_of_an_operation_is_told_with_what_was_skipped_and_why() {
        for (status, skipped, reasons, error, expected) in [
            ("done", 0, json!({}), json!(null), "done 812 of 3000"),
            ("stopped", 0, json!({}), json!(null), "done 812 of 3000, stopped"),
            (
                "done",
                5,
                json!({"already ended": 2, "is running": 3}),
                json!(null),
                "done 812 of 3000, skipped 5 (already ended 2, is running 3)",
            ),
            (
                "failed",
                0,
                json!({}),
                json!("the node went down: start it again"),
                "done 812 of 3000, failed: the node went down: start it again",
            ),
        ] {
            let operation = json!({
                "status": status, "stopping": false, "total": 3000, "done": 812, "skipped": skipped, "reasons": reasons,
                "error": error,
            });
            assert_eq!(summary(&operation), expected);
        }
        let stopping =
            json!({"status": "running", "stopping": true, "total": 9, "done": 5, "reasons": {}});
        assert_eq!(summary(&stopping), "done 5 of 9, stopping");
    }

    #[test]
    fn a_count_that_was_given_up_is_a_lower_bound() {
        assert_eq!(counted_of("job", 3_000, true), "3000 jobs");
        assert_eq!(counted_of("item", 1, true), "1 item");
        assert_eq!(counted_of("job", 100_000, false), "at least 100000 jobs");
    }
}
