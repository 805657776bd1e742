//! The list of jobs, one by one.

use super::{KEPT, bulk, errors, first_line, kept, mark, mark_of};
use crate::{
    domain::{Id, JobState, JobStatus, Timestamp, whole_millis},
    http::{
        api::{Query, jobs},
        problem::Problem,
        ui::{
            PageResult,
            command::{send_command, with_options},
            frame::{PageContent, PagePlace},
            lead::many,
            many::FollowedOperation,
            parts::{
                Chip, Column, PageTable, ROWS, Segment, TableRow, ago, chips, choice, command,
                copy_button, duration, empty, field, hidden_input, id, id_link, live, new_rows,
                nothing_back_to, older, one_line, segments,
            },
            visit::Visit,
        },
    },
    store::{JobFilter, JobView, Page, given_out_at},
};
use maud::{Markup, html};
use std::fmt::Write as _;

/// The form that sends the rows that are selected.
const SELECTION: &str = "selection";
/// The most characters of an error in a row.
const ERROR_CHARS_MAX: usize = 90;
/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;
/// The most jobs that a copied command shows by their ids.
const COPIED_IDS_MAX: usize = 20;
/// How many rows follow their jobs live.
const FOLLOWED_MAX: usize = 50;

/// What the list shows.
pub(super) struct ListedJobs<'a> {
    pub(super) visit: &'a Visit,
    pub(super) query: Query,
    pub(super) filter: JobFilter,
    /// The states that the chips turn off.
    pub(super) states: Vec<&'static str>,
    is_by_error: bool,
}

/// `GET /jobs`.
pub(in crate::http::ui) async fn show(visit: Visit) -> PageResult {
    let known: Vec<&str> =
        KEPT.into_iter().chain(["limit", "cursor", "operation", "ask", "count"]).collect();
    let query = visit.query(&known)?;
    let filter = jobs::filter(visit.api(), &query).await?;
    let is_by_error = jobs::is_by_error(&query)?;
    let listed = ListedJobs {
        visit: &visit,
        states: states(&filter, is_by_error),
        query,
        filter,
        is_by_error,
    };
    // 1. What is asked, and what is being done.
    let asked = bulk::asked(&listed).await?;
    let operation = FollowedOperation::of(&visit, &listed.query).await?;
    // 2. The jobs.
    let (content, topics) = if is_by_error {
        (errors::table(&listed).await?, String::new())
    } else {
        let limit = listed.query.limit_if_given()?.unwrap_or(ROWS);
        let cursor = listed.query.cursor()?;
        let page = jobs::jobs(visit.api(), listed.filter.clone(), limit, cursor).await?;
        (table(&listed, &page), topics(&page))
    };
    let body = html! {
        (head(&listed))
        (chips_of(&listed))
        (filters(&listed))
        (chosen(&listed))
        @if let Some(operation) = &operation { (operation.strip(&visit, &kept(&listed.query))) }
        @if let Some(asked) = &asked { (asked) }
        (content)
    };
    let page = PageContent::new(PagePlace::Jobs, title(&listed), body).topics(topics);
    let is_running = operation.as_ref().is_some_and(FollowedOperation::is_running);
    let page = page.refresh(if is_running { 2 } else { REFRESH_SECONDS });
    Ok(visit.answer(&page))
}

/// The words of the states that the filter takes. Failed jobs, if errors are shown and none is
/// named.
fn states(filter: &JobFilter, is_by_error: bool) -> Vec<&'static str> {
    let is_default = is_by_error && filter.status.is_empty() && filter.state.is_empty();
    let takes = |state: &JobState| {
        filter.status.contains(&state.status())
            || filter.state.contains(state)
            || (is_default && *state == JobState::Failed)
    };
    JobState::ALL.into_iter().filter(takes).map(JobState::as_str).collect()
}

/// `Jobs · failed · acme`.
fn title(listed: &ListedJobs<'_>) -> String {
    let mut title = "Jobs".to_owned();
    for part in listed.states.iter().copied().chain(listed.visit.client.as_deref()) {
        _ = write!(title, " · {part}");
    }
    title
}

fn head(listed: &ListedJobs<'_>) -> Markup {
    let visit = listed.visit;
    let views = [
        ("one by one", None, !listed.is_by_error),
        ("by error", Some("error"), listed.is_by_error),
    ];
    let views =
        views.map(|(word, value, is_on)| Segment { word, is_on, href: visit.with("group", value) });
    html! {
        div.head {
            h1 { "Jobs" }
            (new_rows(&visit.here()))
            div.end.row { (segments("How to list", &views)) (copy_button("Copy as command", &as_command(listed))) }
        }
    }
}

fn chips_of(listed: &ListedJobs<'_>) -> Markup {
    let chip = |state: JobState| {
        let word = state.as_str();
        let is_on = listed.states.contains(&word);
        // Other words of the filter stay; those of all waiting states are spelled out.
        let kept = listed.states.iter().copied().filter(|it| *it != word);
        let all: Vec<&str> = if is_on { kept.collect() } else { kept.chain([word]).collect() };
        let href = listed.visit.with("status", Some(&all.join(",")));
        Chip { mark: mark(state), count: running(listed, state), is_on, href }
    };
    chips("States", &JobState::ALL.map(chip))
}

/// How many jobs run, of those that the filter takes. Other states have no counter.
fn running(listed: &ListedJobs<'_>, state: JobState) -> Option<i64> {
    let JobFilter { kind, client, lead, id, error, .. } = &listed.filter;
    if state != JobState::Running || !lead.is_empty() || !id.is_empty() || !error.is_empty() {
        return None;
    }
    let totals = listed.visit.api().last_totals()?;
    let is_of = |values: &[String], value: &String| values.is_empty() || values.contains(value);
    let counted =
        totals.backlog.iter().filter(|it| is_of(kind, &it.kind) && is_of(client, &it.client_id));
    Some(counted.map(|it| it.running).sum())
}

fn filters(listed: &ListedJobs<'_>) -> Markup {
    let visit = listed.visit;
    let mut kinds: Vec<String> =
        visit.state().board.pools().iter().map(|it| it.kind.0.to_owned()).collect();
    kinds.extend(listed.filter.kind.iter().cloned());
    kinds.sort();
    kinds.dedup();
    let any = [("", "any")];
    let kinds = any.into_iter().chain(kinds.iter().map(|it| (it.as_str(), it.as_str())));
    let given = |name: &str| visit.given(name).unwrap_or_default().to_owned();
    html! {
        form.filter action=(visit.plain("/jobs")) {
            @for (name, value) in kept(&listed.query) {
                @if matches!(name, "status" | "id" | "group") { (hidden_input(name, &value)) }
            }
            (choice("Kind", "kind", &given("kind"), kinds))
            (client_choice(visit))
            (field("Lead", "lead", &given("lead"), "id", None))
            (field("Error like", "error", &given("error"), "any", None))
            button.btn { "Filter" }
        }
    }
}

/// A choice of a client; a field for its id if there are too many to choose from.
fn client_choice(visit: &Visit) -> Markup {
    let given = visit.given("client").unwrap_or_default();
    let Some(mut clients) = visit.named_clients() else {
        return field("Client", "client", given, "any", None);
    };
    clients.extend(visit.given("client").map(str::to_owned));
    clients.sort_unstable();
    clients.dedup();
    let clients = clients.iter().map(|it| (it.as_str(), it.as_str()));
    choice("Client", "client", given, [("", "any")].into_iter().chain(clients))
}

/// What is selected beside the states, and what can be done to all that match.
fn chosen(listed: &ListedJobs<'_>) -> Markup {
    let visit = listed.visit;
    let ids = listed.filter.id.len();
    html! {
        @if ids > 0 {
            p.row.sm.ut {
                (ids) " jobs by their ids"
                a href=(visit.with("id", None)) { "show all" }
            }
        }
        @if visit.viewer.may_operate() && !listed.filter.is_empty() {
            div.bulk.box {
                span.sm.mut { "All that match:" }
                a.btn.tight href=(visit.with("ask", Some("retry"))) data-all { "Retry all …" }
                a.btn.tight.danger href=(visit.with("ask", Some("cancel"))) { "Cancel all …" }
                @if !listed.is_by_error {
                    form.row.end #(SELECTION) action=(visit.plain("/jobs")) {
                        @for (name, value) in kept(&listed.query) {
                            @if name != "id" { (hidden_input(name, &value)) }
                        }
                        span.sm.mut { "Those selected:" }
                        button.btn.tight name="ask" value="retry-selected" data-key="r" { "Retry …" }
                        button.btn.tight.danger name="ask" value="cancel-selected" data-key="c" { "Cancel …" }
                    }
                }
            }
        }
    }
}

fn topics(page: &Page<JobView>) -> String {
    let followed = page.items.iter().filter(|job| may_change(job)).take(FOLLOWED_MAX);
    followed.map(|job| format!("job/{}", job.id)).collect::<Vec<_>>().join(" ")
}

/// True if the job may get another state. One that has failed or was cancelled can be retried.
const fn may_change(job: &JobView) -> bool {
    !matches!(job.status, JobStatus::Succeeded)
}

fn table(listed: &ListedJobs<'_>, page: &Page<JobView>) -> Markup {
    let visit = listed.visit;
    let next = page.next.map(|it| visit.with("cursor", Some(&it.to_string())));
    if page.items.is_empty() && next.is_none() {
        return nothing(listed);
    }
    let has_boxes = visit.viewer.may_operate() && !listed.filter.is_empty();
    let columns = [
        Column::new("job"),
        Column::new("state").beside(),
        Column::new("client"),
        Column::new("lead"),
        Column::number("attempt"),
        Column::number("waited, ran"),
        Column::number("due, ended"),
        Column::new("error").cut().below(),
    ];
    let rows = page.items.iter().map(|job| {
        let row = row(visit, job);
        if has_boxes { row.selectable("id", &job.id.to_string(), SELECTION) } else { row }
    });
    let caption = if listed.states.is_empty() {
        "Jobs".to_owned()
    } else {
        format!("Jobs: {}", listed.states.join(", "))
    };
    let looked_back = page.next.map(given_out_at);
    if let ([], Some(at), Some(next)) = (page.items.as_slice(), looked_back, &next) {
        return html! { div.mt { (nothing_back_to(at, visit.now, next)) } };
    }
    let shown = html! {
        (many(page.items.len(), "job")) ", newest first"
        @if let Some(at) = looked_back { " · looked back to " (ago(at, visit.now)) }
    };
    html! {
        (PageTable::new(caption, columns).caption_hidden().wide().rows(rows))
        (older(next.as_deref(), shown))
    }
}

fn row(visit: &Visit, job: &JobView) -> TableRow {
    let now = visit.now;
    let is_usual = job.status == JobStatus::Succeeded;
    let mark = mark_of(visit, job);
    let dash = || html! { span.z { "–" } };
    let cells = [
        html! {
            a.mono.kd href=(visit.to(&format!("/jobs/{}", job.id))) data-key="w" data-key-name="why" { (job.kind) }
            span.sub { (id(job.id)) }
        },
        html! {
            @if is_usual { (mark.quiet()) } @else { (mark.badge()) }
            @if may_change(job) {
                (live(&format!("job/{}", job.id), "status").whole(job.status.as_str()))
            }
        },
        html! { (job.client_id) },
        job.lead_id.map_or_else(dash, |lead| id_link("/leads", lead)),
        html! { @if job.attempts == 0 { span.z { "0" } } @else { (job.attempts) } "/" (job.max_attempts) },
        spent(job, now),
        ago(job.finished_at.unwrap_or(job.run_at), now),
        job.last_error
            .as_deref()
            .filter(|it| !it.is_empty())
            .map_or_else(dash, |error| one_line(first_line(error), ERROR_CHARS_MAX)),
    ];
    TableRow::new(cells).keyed(job.id)
}

/// How long a job has waited since it was due, or how long its last attempt ran.
fn spent(job: &JobView, now: Timestamp) -> Markup {
    let span = |from: Timestamp, to: Timestamp| html! { (duration(to.millis_since(from).max(0))) };
    match (job.status, job.started_at, job.finished_at) {
        (JobStatus::Running, Some(started), _) => span(started, now),
        (JobStatus::Pending, ..) if job.run_at < now => span(job.run_at, now),
        (JobStatus::Succeeded | JobStatus::Failed, Some(started), Some(ended)) => {
            span(started, ended)
        }
        _ => html! { span.z { "–" } },
    }
}

/// What stands in the place of an empty list: what would be here, and what fills it.
fn nothing(listed: &ListedJobs<'_>) -> Markup {
    let canary = listed.visit.state().board.canary();
    let canary = html! {
        @if let Some((at, took)) = canary {
            "The canary came back " (ago(at, listed.visit.now)) " in "
            (duration(whole_millis(took))) "."
        }
    };
    let what = match listed.states.as_slice() {
        _ if listed.filter.is_empty() => "No job was stored yet.",
        ["due"] => "Nothing is due.",
        ["due", "retrying", "later", "behind", "held"] => "Nothing is due, and nothing waits.",
        ["running"] => "No job runs.",
        _ => "No job matches.",
    };
    html! {
        div.mt {
            (empty(what, html! { (canary) " A webhook makes a job. To post one:" }))
            (command(&send_command(listed.visit)))
        }
    }
}

/// The command that lists the same. It groups nothing: by error, it lists the jobs themselves.
fn as_command(listed: &ListedJobs<'_>) -> String {
    let ids = &listed.filter.id;
    if !ids.is_empty() {
        let shown: Vec<String> =
            ids.iter().take(COPIED_IDS_MAX).map(|id| format!("postroom jobs show {id}")).collect();
        return shown.join("\n");
    }
    let failed = (listed.is_by_error && listed.visit.given("status").is_none())
        .then_some(("status", JobState::Failed.as_str()));
    let filters = ["status", "kind", "client", "lead", "error"];
    let given = filters.into_iter().filter_map(|name| Some((name, listed.visit.given(name)?)));
    with_options("postroom jobs list", failed.into_iter().chain(given))
}

/// The ids that a request names, for a message.
pub(super) fn named(ids: &[Id]) -> Result<(), Problem> {
    if ids.is_empty() {
        return Err(Problem::bad_request("id", "no job is selected: select some, then ask again"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_turns_its_states_on() {
        let filter = |status: &[JobStatus], state: &[JobState]| JobFilter {
            status: status.to_vec(),
            state: state.to_vec(),
            ..JobFilter::default()
        };
        for (filter, is_by_error, on) in [
            (filter(&[], &[]), false, &[][..]),
            (filter(&[], &[]), true, &["failed"]),
            (
                filter(&[JobStatus::Pending], &[]),
                false,
                &["due", "retrying", "later", "behind", "held"],
            ),
            (filter(&[JobStatus::Failed], &[JobState::Held]), true, &["held", "failed"]),
        ] {
            assert_eq!(states(&filter, is_by_error), on);
        }
    }
}
