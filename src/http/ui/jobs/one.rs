//! `/jobs/{id}`: why a job does not run, what has become of it, and what it is about.

use super::{first_line, id_in, mark_of};
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
struct Point {
    tone: Tone,
    sign: Sign,
    word: String,
    below: Markup,
    is_ahead: bool,
}

fn line(visit: &Visit, detail: &JobDetail) -> Markup {
    let (job, now) = (&detail.job, visit.now);
    let point = |mark: StateMark, word: &str, below: Markup| Point {
        tone: mark.tone,
        sign: mark.sign,
        word: word.to_owned(),
        below,
        is_ahead: false,
    };
    let good = StateMark::new(Tone::Good, Sign::Ok, "");
    let mut points = vec![point(good, "stored", clock(job.created_at, now))];
    let wait = job.run_at.millis_since(job.created_at);
    if detail.errors.is_empty() {
        let below = if wait < 1_000 {
            html! { "at once" }
        } else {
            clock(job.run_at, now)
        };
        points.push(Point { is_ahead: job.run_at > now, ..point(StateMark::DUE, "due", below) });
    }
    let skipped = detail.errors.len().saturating_sub(ATTEMPTS_IN_LINE);
    if skipped > 0 {
        points.push(point(
            StateMark::RETRYING,
            &format!("{skipped} more attempts"),
            html! { "failed before" },
        ));
    }
    for failed in detail.errors.iter().skip(skipped) {
        let below = html! {
            (clock(failed.failed_at, now)) br; (outside(&failed.reason))
            @if let Some(ms) = failed.duration_ms { " after " (duration(ms)) }
        };
        let bad = StateMark::new(Tone::Bad, Sign::Fail, "");
        points.push(point(bad, &format!("attempt {}", failed.attempt), below));
    }
    let last = mark_of(visit, job);
    match (job.status, job.started_at) {
        (JobStatus::Running, Some(started)) => {
            let below = html! { (clock(started, now)) br; "for " (since(started, now)) };
            points.push(point(last, &format!("attempt {} {}", job.attempts, last.word), below));
        }
        (JobStatus::Pending, _) if !detail.errors.is_empty() => {
            let below = html! { (clock(job.run_at, now)) br; (ago(job.run_at, now)) };
            let next = point(last, &format!("attempt {}", job.attempts + 1), below);
            points.push(Point { is_ahead: true, ..next });
        }
        _ => {}
    }
    let ended = job.finished_at.map_or_else(|| html! { "–" }, |at| clock(at, now));
    let word = if job.finished_at.is_some() { last.word } else { "ended" };
    let mark = if job.finished_at.is_some() { last } else { StateMark::DUE };
    points.push(Point { is_ahead: job.finished_at.is_none(), ..point(mark, word, ended) });
    html! {
        section.sec aria-labelledby="line" {
            div.head {
                h2 #line { "Time line" }
                span.sm.mut { (since(job.created_at, job.finished_at.unwrap_or(now))) " since it was stored" }
            }
            ol.tl {
                @for point in &points {
                    li.(point.tone.class()).todo[point.is_ahead] { (point.sign) b { (point.word) } (point.below) }
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
            job.node.map_or_else(dash, id),
            dash(),
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
