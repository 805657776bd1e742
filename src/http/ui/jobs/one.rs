//! `/jobs/{id}`: why a job does not run, what has become of it, and what it is about.

use super::{first_line, mark_of};
use crate::{
    domain::{
        Id, JobStatus, Timestamp,
        explain::{Explanation, FactValue},
        job::dedupe_key,
    },
    http::{
        api::{explain, jobs},
        operator::Operator,
        problem::Problem,
        ui::{
            PageResult,
            frame::{PageContent, PagePlace},
            id_in,
            parts::{
                ButtonLook, Column, PageTable, Sign, StateMark, TableRow, Tone, ago, button, clock,
                command, dialog, duration, id, id_link, live, long_text, note, one_line, outside,
                post_form, since, trace_link,
            },
            visit::Visit,
        },
    },
    store::{FailedAttempt, JobDetail, JobView},
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};

/// How many attempts the time line shows.
const ATTEMPTS_IN_LINE: usize = 3;
/// The most characters of an error's first line.
const ERROR_CHARS_MAX: usize = 300;

/// `GET /jobs/{id}`.
pub(in crate::http::ui) async fn show(visit: Visit, path: web::Path<String>) -> PageResult {
    let query = visit.query(&["ask", "full"])?;
    let is_full = !query.one_of("full", &["1"])?.is_empty();
    let ask = query.one_of("ask", &["cancel"])?.pop();
    let detail = named(&visit, &path).await?;
    let job = &detail.job;
    let explanation = explain::explained(visit.api(), job.id).await?;
    let body = html! {
        p.crumb {
            a href=(visit.to("/jobs")) { "Jobs" }
            span.mut { " / " a href=(visit.to_with("/jobs", &[("client", &job.client_id)])) { (job.client_id) } }
        }
        @if let Some(done) = visit.done() { (told(done)) }
        (head(&visit, job))
        @if ask.is_some() { (question(&visit, job)?) }
        div data-part="explain" {
            (why(&visit, job, &explanation))
            (line(&visit, &detail))
        }
        div data-part="attempts" { (attempts(&visit, &detail, is_full)) }
        (about(&visit, &detail, &explanation, is_full)?)
    };
    let title = format!("{} · {} · job", job.kind, job.state.as_str());
    let page = PageContent::new(PagePlace::Jobs, title, body).topics(format!("job/{}", job.id));
    Ok(visit.answer(&page))
}

async fn named(visit: &Visit, path: &str) -> Result<JobDetail, Problem> {
    jobs::detail(visit.api(), id_in(path, "job")?).await
}

fn told(done: &str) -> Markup {
    let what = match done {
        "retried" => "It gets one more attempt.",
        "cancelled" => "It is cancelled.",
        _ => return html! {},
    };
    html! { div role="status" { (note(Tone::Good, what, "", None)) } }
}

fn head(visit: &Visit, job: &JobView) -> Markup {
    let may = visit.viewer.may_operate();
    let is_over = matches!(job.status, JobStatus::Failed | JobStatus::Cancelled);
    let is_open = matches!(job.status, JobStatus::Pending | JobStatus::Running);
    html! {
        div.head {
            h1.mono { (job.kind) }
            (mark_of(visit, job).badge())
            span.mut { (id(job.id)) }
            (live(&format!("job/{}", job.id), "status").whole(job.status.as_str()))
            (live(&format!("job/{}", job.id), "attempts").whole(job.attempts))
            div.end.row {
                @if may && is_over {
                    (post_form(&format!("/jobs/{}/retry", job.id), html! {
                        button.btn.tight data-key="r" { "Retry" }
                    }))
                }
                @if may && is_open {
                    a.btn.tight.danger href=(visit.with("ask", Some("cancel"))) data-key="c" { "Cancel …" }
                }
            }
        }
    }
}

fn question(visit: &Visit, job: &JobView) -> Result<Markup, Problem> {
    visit.must_operate()?;
    let says = match job.status {
        JobStatus::Running => "It runs now. What it decides is not recorded.",
        JobStatus::Pending => "It ends without another attempt.",
        JobStatus::Succeeded | JobStatus::Failed | JobStatus::Cancelled => "It has ended already.",
    };
    let form = post_form(
        &format!("/jobs/{}/cancel", job.id),
        html! { (button(ButtonLook::Danger, "Cancel this job")) },
    );
    let content = html! { p { span.mono { (job.kind) } " of " (job.client_id) ". " (says) } div.mt { (form) } };
    Ok(dialog("Cancel this job?", &visit.here(), "Leave it", content))
}

fn tone(visit: &Visit, job: &JobView) -> Tone {
    mark_of(visit, job).tone
}

/// The reason first, in words, with what to do and what it names.
fn why(visit: &Visit, job: &JobView, explanation: &Explanation) -> Markup {
    html! {
        div.note.(tone(visit, job).class()) #why {
            (mark_of(visit, job).sign)
            div {
                p.say { (one_line(&explanation.sentence, 2_000)) }
                p.sm.mut {
                    (one_line(&explanation.what_to_do, 1_000))
                    @if let Some(since_at) = explanation.since { " Since " (clock(since_at, visit.now)) "." }
                    @if let Some(until) = explanation.until { " Until " (clock(until, visit.now)) "." }
                }
                @if !explanation.links.is_empty() {
                    p.row.sm {
                        @for link in &explanation.links { (link_of(visit, link.r#type, &link.id, link.place.as_deref())) }
                    }
                }
                @if !explanation.facts.is_empty() {
                    details.fold {
                        summary { "Facts" }
                        dl.dl {
                            @for fact in &explanation.facts {
                                dt { (fact.name) }
                                dd { (value(&fact.value, visit.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A link to what an explanation names.
pub(in crate::http::ui) fn link_of(
    visit: &Visit,
    kind: &str,
    id: &str,
    place: Option<&str>,
) -> Markup {
    match kind {
        "job" | "lead" => html! { span { (kind) " " (id_link(&format!("/{kind}s"), id)) } },
        "pool" => html! { a href=(visit.to_with("/pools", &[("client", "")])) { "pool " (id) } },
        "node" => html! { a href=(visit.to("/system")) { "node " (id) } },
        "config" => html! {
            a href=(visit.to_with("/config", &[("q", id)])) { (outside(id)) }
            @if let Some(place) = place { span.mut { " " (outside(place)) } }
        },
        _ => html! { span { (outside(kind)) " " (outside(id)) } },
    }
}

fn value(value: &FactValue, now: Timestamp) -> Markup {
    match value {
        FactValue::Text(text) => outside(text),
        FactValue::Number(number) => html! { (number) },
        FactValue::Time(at) => clock(*at, now),
    }
}

/// A point of the time line.
#[derive(Clone, Debug)]
struct Point {
    tone: Tone,
    sign: Sign,
    word: String,
    /// When it was, or will be, if that is known.
    at: Option<Timestamp>,
    /// What is said of it below its time.
    below: Markup,
    is_ahead: bool,
}

impl Point {
    fn new(mark: StateMark, word: impl Into<String>, at: Timestamp) -> Self {
        let below = html! {};
        let at = Some(at);
        Self { tone: mark.tone, sign: mark.sign, word: word.into(), at, below, is_ahead: false }
    }

    fn below(self, below: Markup) -> Self {
        Self { below, ..self }
    }

    fn ahead(self, is_ahead: bool) -> Self {
        Self { is_ahead, ..self }
    }
}

/// The slot of this node that works on a job: its name, and since when.
struct WorkingSlot {
    name: String,
    since: Timestamp,
}

impl WorkingSlot {
    fn of(visit: &Visit, job: &JobView) -> Option<Self> {
        let actors = visit.state().board.actors();
        let slot = actors.into_iter().find(|actor| actor.job_id == Some(job.id))?;
        Some(Self { name: slot.name, since: slot.since })
    }
}

/// What has become of a job, in its order. `slot` works on it here, if one does; `last` is the mark
/// of its state.
fn points(
    detail: &JobDetail,
    slot: Option<&WorkingSlot>,
    last: StateMark,
    now: Timestamp,
) -> Vec<Point> {
    let job = &detail.job;
    let good = StateMark::new(Tone::Good, Sign::Ok, "");
    let bad = StateMark::new(Tone::Bad, Sign::Fail, "");
    let mut points = vec![Point::new(good, "stored", job.created_at)];
    if detail.errors.is_empty() {
        let due = job.run_at.max(job.created_at);
        points.push(Point::new(StateMark::DUE, "due", due).ahead(due > now));
    }
    let skipped = detail.errors.len().saturating_sub(ATTEMPTS_IN_LINE);
    if skipped > 0 {
        let more = format!("{skipped} more attempts");
        let more = Point::new(StateMark::RETRYING, more, now).below(html! { "failed before" });
        points.push(Point { at: None, ..more });
    }
    for failed in detail.errors.iter().skip(skipped) {
        let below = html! {
            (outside(&failed.reason))
            @if let Some(ms) = failed.duration_ms { " after " (duration(ms)) }
        };
        let word = format!("attempt {}", failed.attempt);
        points.push(Point::new(bad, word, failed.failed_at).below(below));
    }
    match (job.status, job.started_at) {
        (JobStatus::Running, Some(claimed)) => {
            let word = format!("attempt {} {}", job.attempts, last.word);
            let running =
                |at: Timestamp| Point::new(last, word, at).below(html! { "for " (since(at, now)) });
            match slot {
                Some(slot) => {
                    points.push(Point::new(StateMark::CLAIMED, "claimed", claimed));
                    points.push(running(slot.since.max(claimed)));
                }
                // Only the node that has claimed it knows when it started.
                None => points.push(running(claimed)),
            }
        }
        (JobStatus::Succeeded, Some(started)) => {
            let word = format!("attempt {} started", job.attempts);
            points.push(Point::new(good, word, started));
        }
        (JobStatus::Pending, _) if !detail.errors.is_empty() => {
            let word = format!("attempt {}", job.attempts + 1);
            points.push(Point::new(last, word, job.run_at).below(ago(job.run_at, now)).ahead(true));
        }
        _ => {}
    }
    points.push(match job.finished_at {
        Some(at) => Point::new(last, last.word, at),
        None => Point { at: None, ..Point::new(StateMark::DUE, "ended", now).ahead(true) },
    });
    points
}

/// How long it was from the last point with a time to each point, if both are known.
fn spans(points: &[Point]) -> Vec<Option<i64>> {
    let mut before: Option<Timestamp> = None;
    let span = |point: &Point| {
        let from = before;
        before = point.at.or(before);
        Some(point.at?.millis_since(from?).max(0))
    };
    points.iter().map(span).collect()
}

fn line(visit: &Visit, detail: &JobDetail) -> Markup {
    let (job, now) = (&detail.job, visit.now);
    let slot = WorkingSlot::of(visit, job);
    let points = points(detail, slot.as_ref(), mark_of(visit, job), now);
    let spans = spans(&points);
    html! {
        section.sec aria-labelledby="line" {
            div.head {
                h2 #line { "Time line" }
                span.sm.mut { (since(job.created_at, job.finished_at.unwrap_or(now))) " since it was stored" }
            }
            ol.tl {
                @for (point, span) in points.iter().zip(&spans) {
                    li.(point.tone.class()).todo[point.is_ahead] {
                        (point.sign) b { (point.word) }
                        @match point.at { Some(at) => (clock(at, now)), None => "–" }
                        @if let Some(ms) = span.filter(|_| !point.is_ahead) { br; span.mut { "after " (duration(ms)) } }
                        @if !point.below.0.is_empty() { br; (point.below) }
                    }
                }
            }
        }
    }
}

fn attempts(visit: &Visit, detail: &JobDetail, is_full: bool) -> Markup {
    let (job, now) = (&detail.job, visit.now);
    let trace = |trace_id: Option<&str>| match trace_id {
        Some(trace_id) => trace_link(visit.trace_url().as_deref(), trace_id),
        None => html! { span.z { "not recorded" } },
    };
    // Without a collector, a column of its own would say nothing.
    let is_traced =
        detail.run_trace_id.is_some() || detail.errors.iter().any(|it| it.trace_id.is_some());
    let columns = [
        Column::new("no"),
        Column::new("ended by").beside(),
        Column::new("error").below(),
        Column::number("ended"),
        Column::number("ran"),
        Column::new("node"),
        Column::new("actor"),
    ]
    .into_iter()
    .chain(is_traced.then_some(Column::new("trace")));
    let dash = || html! { span.z { "–" } };
    let failed = |failed: &FailedAttempt| {
        TableRow::new([
            html! { (failed.attempt) },
            html! { span.sg.(Tone::Bad.class()) { (Sign::Fail) " " (outside(&failed.reason)) } },
            failed.message.as_deref().map_or_else(dash, |error| message(visit, error, is_full)),
            clock(failed.failed_at, now),
            failed.duration_ms.map_or_else(dash, |ms| html! { (duration(ms)) }),
            failed.node.map_or_else(dash, id),
            html! { @if let Some(actor) = &failed.actor { span.mono { (outside(actor)) } } @else { (dash()) } },
            trace(failed.trace_id.as_deref()),
        ])
    };
    // Of a run that is not over, only the node that runs it knows the actor.
    let actor = match job.status {
        JobStatus::Running => WorkingSlot::of(visit, job).map(|slot| slot.name),
        JobStatus::Pending | JobStatus::Succeeded | JobStatus::Failed | JobStatus::Cancelled => {
            job.last_actor.clone()
        }
    };
    let mut rows: Vec<TableRow> = detail.errors.iter().rev().map(failed).collect();
    if matches!(job.status, JobStatus::Running | JobStatus::Succeeded) {
        let ran = job
            .started_at
            .map(|started| job.finished_at.unwrap_or(now).millis_since(started).max(0));
        let last = TableRow::new([
            html! { (job.attempts) },
            mark_of(visit, job).quiet(),
            dash(),
            job.finished_at.map_or_else(dash, |at| clock(at, now)),
            ran.map_or_else(dash, |ms| html! { (duration(ms)) }),
            job.node.or(job.last_node).map_or_else(dash, id),
            html! { @if let Some(actor) = &actor { span.mono { (outside(actor)) } } @else { (dash()) } },
            // That of a run which is not over is not known yet.
            if job.status == JobStatus::Succeeded {
                trace(detail.run_trace_id.as_deref())
            } else {
                dash()
            },
        ]);
        rows.insert(0, last);
    }
    let is_none = rows.is_empty();
    html! {
        section.sec aria-labelledby="attempts" {
            div.head {
                h2 #attempts { "Attempts" }
                span.sm.mut { (job.attempts) " of " (job.max_attempts) " used" }
            }
            @if is_none { p.mut { "None yet." } }
            @else { (PageTable::new("Attempts", columns).caption_hidden().wide().rows(rows)) }
        }
    }
}

/// An error: its first line, and the rest folded.
fn message(visit: &Visit, error: &str, is_full: bool) -> Markup {
    let first = first_line(error);
    let is_all = first.len() == error.trim().len() && first.chars().nth(ERROR_CHARS_MAX).is_none();
    let all = visit.with("full", Some("1"));
    html! {
        (one_line(first, ERROR_CHARS_MAX))
        @if !is_all {
            details.fold { summary { "Whole text" } (long_text(error, Some(&all).filter(|_| !is_full).map(|it| it.as_str()))) }
        }
    }
}

/// The rows that the job is about, and its JSON.
fn about(
    visit: &Visit,
    detail: &JobDetail,
    explanation: &Explanation,
    is_full: bool,
) -> Result<Markup, Problem> {
    let job = &detail.job;
    let json = serde_json::to_string_pretty(&jobs::JobDetailJson::of(detail))
        .map_err(|error| Problem::internal(format!("a job has no JSON: {error}")))?;
    let dash = || html! { span.z { "none" } };
    let all = visit.with("full", Some("1"));
    // Messages, drafts and deliveries stand in the thread of their lead.
    let in_thread = |row: Option<Id>| {
        let Some(row) = row else { return dash() };
        match job.lead_id {
            Some(lead) => html! { a.id href=(visit.to(&format!("/leads/{lead}"))) { (row) } },
            None => id(row),
        }
    };
    let command_line = format!("postroom jobs explain {}", job.id);
    Ok(html! {
        div.side.sec {
            section aria-label="JSON" {
                details.fold {
                    summary { "JSON of this job" }
                    (long_text(&json, Some(all.as_str()).filter(|_| !is_full)))
                }
                details.fold {
                    summary { "JSON of the explanation" }
                    (long_text(&serde_json::to_string_pretty(explanation).unwrap_or_default(), None))
                }
                (command(&command_line))
            }
            aside aria-label="Related" {
                dl.dl {
                    dt { "Lead" }
                    dd { @if let Some(lead) = job.lead_id { (id_link("/leads", lead)) } @else { (dash()) } }
                    dt { "Client" }
                    dd { a href=(visit.to_with(&format!("/clients/{}", job.client_id), &[("client", "")])) { (job.client_id) } }
                    dt { "Message" } dd { (in_thread(job.message_id)) }
                    dt { "Draft" } dd { (in_thread(job.draft_id)) }
                    dt { "Delivery" } dd { (in_thread(job.delivery_id)) }
                    dt { "Kind" } dd { a.mono href=(visit.to_with("/jobs", &[("kind", &job.kind)])) { (job.kind) } }
                    dt { "Node" } dd { @if let Some(node) = job.node { (id(node)) } @else { (dash()) } }
                    dt { "Made in trace" }
                    dd {
                        @match &job.trace_id {
                            Some(trace_id) => (trace_link(visit.trace_url().as_deref(), trace_id)),
                            None => { span.z { "not recorded" } },
                        }
                    }
                    dt { "Dedupe key" } dd.mono { (outside(&dedupe_key(&job.client_id, job.subject_id, &job.kind))) }
                }
            }
        }
    })
}

/// `POST /jobs/{id}/retry`.
pub(in crate::http::ui) async fn retry(
    visit: Visit,
    path: web::Path<String>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    let id = named(&visit, &path).await?.job.id;
    jobs::retry_one(visit.api(), id, Operator::of(&request)).await?;
    Ok(visit.see(&done_to(&visit, id, "retried")))
}

/// `POST /jobs/{id}/cancel`.
pub(in crate::http::ui) async fn cancel(
    visit: Visit,
    path: web::Path<String>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    let id = named(&visit, &path).await?.job.id;
    jobs::cancel_one(visit.api(), id, Operator::of(&request)).await?;
    Ok(visit.see(&done_to(&visit, id, "cancelled")))
}

/// The page of a job, which tells what was done to it.
fn done_to(visit: &Visit, id: Id, done: &str) -> String {
    visit.to_with(&format!("/jobs/{id}"), &[("done", done)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JobState;

    const MINUTE: i64 = 60_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * MINUTE)
    }

    fn job(status: JobStatus, started_at: Option<i64>, finished_at: Option<i64>) -> JobView {
        JobView {
            id: 7,
            kind: "A".to_owned(),
            status,
            state: JobState::Succeeded,
            run: 1,
            client_id: "acme".to_owned(),
            lead_id: None,
            subject_id: 2,
            message_id: None,
            draft_id: None,
            delivery_id: None,
            attempts: 1,
            max_attempts: 5,
            run_at: at(2),
            created_at: at(0),
            started_at: started_at.map(at),
            finished_at: finished_at.map(at),
            node: None,
            last_node: None,
            last_actor: None,
            last_error: None,
            trace_id: None,
        }
    }

    fn told(detail: &JobDetail, slot: Option<&WorkingSlot>) -> Vec<String> {
        let last = StateMark::of_job(detail.job.status);
        let points = points(detail, slot, last, at(10));
        let spans = spans(&points);
        let word = |(point, span): (&Point, &Option<i64>)| {
            let span = span.map_or("-".to_owned(), |ms| (ms / MINUTE).to_string());
            format!("{} {span}{}", point.word, if point.is_ahead { " ahead" } else { "" })
        };
        points.iter().zip(&spans).map(word).collect()
    }

    #[test]
    fn a_time_line_has_each_step_and_how_long_it_took() {
        let of = |job: JobView| JobDetail { job, errors: Vec::new(), run_trace_id: None };
        let succeeded = of(job(JobStatus::Succeeded, Some(3), Some(5)));
        let expected = ["stored -", "due 2", "attempt 1 started 1", "succeeded 2"];
        assert_eq!(told(&succeeded, None), expected);
        // Of a run, only its own node knows when its slot began.
        let running = of(job(JobStatus::Running, Some(3), None));
        let slot = WorkingSlot { name: "A/1".to_owned(), since: at(4) };
        let expected = ["stored -", "due 2", "claimed 1", "attempt 1 running 1", "ended - ahead"];
        assert_eq!(told(&running, Some(&slot)), expected);
        let expected = ["stored -", "due 2", "attempt 1 running 1", "ended - ahead"];
        assert_eq!(told(&running, None), expected);
        let later = of(JobView { run_at: at(99), ..job(JobStatus::Pending, None, None) });
        assert_eq!(told(&later, None), ["stored -", "due 99 ahead", "ended - ahead"]);
    }

    #[test]
    fn failed_attempts_stand_between_and_those_before_are_counted() {
        let failed = |attempt: i64| FailedAttempt {
            attempt,
            failed_at: at(attempt),
            duration_ms: Some(10),
            node: None,
            actor: None,
            reason: "error".to_owned(),
            message: None,
            trace_id: None,
        };
        let errors: Vec<FailedAttempt> = (1..=5).map(failed).collect();
        let job = job(JobStatus::Failed, Some(5), Some(5));
        let detail = JobDetail { job, errors, run_trace_id: None };
        let expected = [
            "stored -",
            "2 more attempts -",
            "attempt 3 3",
            "attempt 4 1",
            "attempt 5 1",
            "failed 0",
        ];
        assert_eq!(told(&detail, None), expected);
    }
}
