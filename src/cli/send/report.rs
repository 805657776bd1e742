//! Reports the results of posting: a line for each of a few, a summary of many, or all of them as
//! JSON.

use super::{post::Posted, target::Target};
use crate::{
    cli::{
        failure::Failure,
        output::{self, TextTable, complain, line, text},
    },
    domain::visible::visible,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    ops::ControlFlow,
};
use tokio::time::Instant;

/// The most requests that get a line each. For more, only the summary is printed.
const LINES_MAX: u64 = 20;
const COLUMNS: [&str; 6] = ["status", "outcome", "message_id", "lead_id", "job_ids", "reason"];
const BAR: &str = "{wide_bar} {human_pos}/{human_len} {per_sec} {eta}";

/// Collects results and prints them.
pub(super) struct Report {
    form: Form,
    started: Instant,
    bar: ProgressBar,
    /// By HTTP status (`None` without an answer) and outcome.
    counts: BTreeMap<(Option<u16>, String), OutcomeCount>,
}

/// What is printed to stdout.
enum Form {
    /// A line for each request, at the end.
    Lines(Vec<Vec<String>>),
    /// Only counts.
    Summary,
    /// One JSON document, written as results come. `is_begun` is true after the first one.
    Json { is_begun: bool },
}

/// Requests with the same status and outcome.
#[derive(Default)]
struct OutcomeCount {
    count: u64,
    /// The reason of the first of them that was refused or lost.
    trouble: Option<String>,
}

impl Report {
    /// A report of `count` requests.
    pub(super) fn new(count: u64, is_json: bool) -> Self {
        let form = if is_json {
            Form::Json { is_begun: false }
        } else if count > LINES_MAX {
            Form::Summary
        } else {
            Form::Lines(Vec::new())
        };
        // The bar is drawn on stderr, and only if that is a terminal.
        let bar = if count > LINES_MAX { ProgressBar::new(count) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        Self { form, started: Instant::now(), bar, counts: BTreeMap::new() }
    }

    /// Takes one result. Breaks if more requests would be in vain.
    pub(super) fn take(&mut self, posted: Posted) -> ControlFlow<Failure> {
        let (status, item, trouble) = match posted {
            Posted::Away(message) => return ControlFlow::Break(Failure::Failed(message)),
            Posted::Lost(message) => {
                (None, json!({"status": null, "outcome": null, "error": message}), Some(message))
            }
            Posted::Answered { status, body } => {
                let trouble = (!(200..300).contains(&status)).then(|| told(status, &body));
                (Some(status), item(status, body), trouble)
            }
        };
        let outcome = outcome(&item);
        let count = self.counts.entry((status, outcome)).or_default();
        count.count += 1;
        count.trouble = count.trouble.take().or(trouble);
        self.bar.inc(1);
        match self.form.add(&item) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => ControlFlow::Break(failure),
        }
    }

    /// Prints the rest. `stopped` is the reason if posting ended early.
    ///
    /// # Errors
    /// If a request was refused or lost, or posting ended early.
    pub(super) fn finish(self, target: &Target, stopped: Option<Failure>) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if let Some(Failure::Told) = stopped {
            return Err(Failure::Told);
        }
        self.print()?;
        let mut is_refused = false;
        for ((status, _), count) in &self.counts {
            let Some(trouble) = &count.trouble else { continue };
            is_refused = true;
            let times =
                if count.count > 1 { format!(" ({} times)", count.count) } else { String::new() };
            let proof =
                if *status == Some(401) { format!(" ({})", target.proof()) } else { String::new() };
            complain(&format!("error: {trouble}{proof}{times}"));
        }
        match stopped {
            Some(failure) => Err(failure),
            None if is_refused => Err(Failure::Told),
            None => Ok(()),
        }
    }

    fn print(&self) -> Result<(), Failure> {
        let seconds = self.started.elapsed().as_secs_f64();
        match &self.form {
            // There is nothing to print: the reason is on stderr.
            _ if self.counts.is_empty() => Ok(()),
            Form::Lines(rows) => {
                output::print_table(&TextTable::new(&COLUMNS, rows.iter().cloned()))
            }
            Form::Summary => output::print(&self.summary(seconds)),
            Form::Json { .. } => {
                let outcomes = self.counts.iter().map(|((status, outcome), count)| {
                    json!({"status": status, "outcome": outcome, "count": count.count})
                });
                let outcomes = Value::Array(outcomes.collect());
                output::print(&format!("\n],\"outcomes\":{outcomes},\"seconds\":{seconds:.3}}}"))
            }
        }
    }

    fn summary(&self, seconds: f64) -> String {
        let rows = self.counts.iter().map(|((status, outcome), count)| {
            let status = status.map_or_else(|| output::NONE.to_owned(), |code| code.to_string());
            vec![status, outcome.clone(), count.count.to_string()]
        });
        let count: u64 = self.counts.values().map(|it| it.count).sum();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = count as f64 / seconds.max(f64::EPSILON);
        format!(
            "{}\n\n{count} posted in {seconds:.2} s, {per_second:.0}/s",
            output::table(&["status", "outcome", "count"], rows)
        )
    }
}

impl Form {
    fn add(&mut self, item: &Value) -> Result<(), Failure> {
        match self {
            Self::Lines(rows) => rows.push(row(item)),
            Self::Summary => {}
            Self::Json { is_begun } => {
                let before = if *is_begun { ",\n" } else { "{\"items\":[\n" };
                *is_begun = true;
                let item = item.to_string();
                write!(io::stdout(), "{before}{}", visible(&item, &[]))
                    .map_err(output::unwritten)?;
            }
        }
        Ok(())
    }
}

/// The fields of an answer, with its HTTP status.
fn item(status: u16, body: Value) -> Value {
    let mut item = match body {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    item.insert("status".to_owned(), status.into());
    Value::Object(item)
}

/// The result in a word or two.
fn outcome(item: &Value) -> String {
    match (item.get("outcome").and_then(Value::as_str), item.get("status").and_then(Value::as_u64))
    {
        (Some(outcome), _) => line(outcome),
        (None, Some(200..300)) => "unknown".to_owned(),
        (None, Some(_)) => "refused".to_owned(),
        (None, None) => "no answer".to_owned(),
    }
}

fn row(item: &Value) -> Vec<String> {
    let id = |name: &str| text(item.get(name));
    let reason = ["reason", "title", "error"]
        .into_iter()
        .map(id)
        .find(|cell| cell != output::NONE)
        .unwrap_or_else(|| output::NONE.to_owned());
    let quarantine = id("quarantine_id");
    let reason = if quarantine == output::NONE {
        reason
    } else {
        format!("{reason} (quarantine {quarantine})")
    };
    vec![id("status"), outcome(item), id("message_id"), id("lead_id"), id("job_ids"), reason]
}

/// Why a request was refused.
fn told(status: u16, body: &Value) -> String {
    crate::cli::http::ProblemText::of(body)
        .map(|problem| problem.text)
        .map_or_else(|| format!("HTTP {status}"), |problem| format!("HTTP {status}, {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: Value) -> Posted {
        Posted::Answered { status, body }
    }

    #[test]
    fn a_line_has_the_outcome_and_the_ids() {
        let accepted = json!({
            "outcome": "accepted", "request_id": "r", "message_id": "1", "lead_id": "2",
            "job_ids": ["3", "4"], "reason": null, "quarantine_id": null,
        });
        assert_eq!(row(&item(200, accepted)), ["200", "accepted", "1", "2", "3,4", "-"]);
        let held = json!({
            "outcome": "quarantined", "message_id": null, "lead_id": null, "job_ids": [],
            "reason": "unknown_event", "quarantine_id": "9",
        });
        let expected = ["200", "quarantined", "-", "-", "-", "unknown_event (quarantine 9)"];
        assert_eq!(row(&item(200, held)), expected);
        let refused = json!({"title": "Not authenticated", "detail": "no secret", "status": 401});
        let expected = ["401", "refused", "-", "-", "-", "Not authenticated"];
        assert_eq!(row(&item(401, refused)), expected);
        assert_eq!(row(&item(502, Value::Null)), ["502", "refused", "-", "-", "-", "-"]);
    }

    #[test]
    fn many_are_counted_by_status_and_outcome() {
        let mut report = Report::new(1_000, false);
        for (status, body) in [
            (200, json!({"outcome": "accepted"})),
            (200, json!({"outcome": "accepted"})),
            (200, json!({"outcome": "duplicate"})),
            (429, json!({"title": "The queue is full", "detail": "try again"})),
        ] {
            assert!(report.take(answered(status, body)).is_continue());
        }
        assert!(report.take(Posted::Lost("reset".to_owned())).is_continue());
        assert_eq!(
            report.summary(2.0),
            "status  outcome    count\n-       no answer  1\n200     accepted   2\n\
             200     duplicate  1\n429     refused    1\n\n5 posted in 2.00 s, 2/s"
        );
        let troubles: Vec<&str> =
            report.counts.values().filter_map(|it| it.trouble.as_deref()).collect();
        assert_eq!(troubles, ["reset", "HTTP 429, The queue is full: try again"]);
    }

    #[test]
    fn nobody_there_ends_it() {
        let mut report = Report::new(1, false);
        let ended = report.take(Posted::Away("no daemon".to_owned()));
        assert!(matches!(ended, ControlFlow::Break(Failure::Failed(_))));
        assert!(report.counts.is_empty());
    }
}
