//! The errors of jobs, one row a signature.

use super::{kept, list::ListedJobs};
use crate::{
    domain::JobState,
    http::{
        api::jobs,
        problem::Problem,
        ui::{
            parts::{
                Column, PageTable, TableRow, ago, clock, empty, id_link, number_of, older,
                one_line, two, with_query,
            },
            visit::Visit,
        },
    },
    store::{ErrorGroup, ErrorGroups},
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// How many clients and kinds a row names.
const NAMED_MAX: usize = 3;
/// The most characters of a sample.
const SAMPLE_CHARS_MAX: usize = 160;

/// The errors of the jobs that match.
pub(super) async fn table(listed: &ListedJobs<'_>) -> Result<Markup, Problem> {
    let visit = listed.visit;
    let groups =
        jobs::error_groups(visit.api(), listed.filter.clone(), listed.query.cursor()?).await?;
    let next = groups.next.map(|it| visit.with("cursor", Some(&it.to_string())));
    let shown = shown(visit, &groups);
    if groups.groups.is_empty() {
        let what =
            if next.is_some() { "No job that was read has failed." } else { "No job has failed." };
        return Ok(html! {
            div.mt { (empty(what, "Failures stand here by what their errors have in common.")) }
            (older(next.as_deref(), shown))
        });
    }
    let columns = [
        Column::new("error, with numbers, ids and quotes masked").cut(),
        Column::number("jobs").beside().sorted("descending"),
        Column::number("first, last"),
        Column::new("kinds"),
        Column::new("clients"),
        Column::number("do").unnamed().below(),
    ];
    let rows = groups.groups.iter().map(|group| row(listed, group));
    Ok(html! {
        (PageTable::new("Jobs by error", columns).caption_hidden().wide().rows(rows))
        (older(next.as_deref(), shown))
        p.sm.mut.mt {
            "A retry gives each job one more attempt. The cause should be mended first."
        }
    })
}

fn shown(visit: &Visit, groups: &ErrorGroups) -> Markup {
    html! {
        (number_of(groups.counted)) " jobs, " (groups.groups.len()) " errors"
        @if let Some(at) = groups.back_to() { " · looked back to " (clock(at, visit.now)) }
    }
}

fn row(listed: &ListedJobs<'_>, group: &ErrorGroup) -> TableRow {
    let (visit, signature) = (listed.visit, group.signature.as_str());
    let kept = kept(&listed.query);
    // The jobs of this row, on the list that `more` names.
    let these = |more: &[(&'static str, &'static str)]| {
        let kept = kept.iter().filter(|it| !matches!(it.0, "error" | "group"));
        let kept = kept.map(|it| (it.0, it.1.as_str()));
        let has_status = kept.clone().any(|it| it.0 == "status");
        let status = (!has_status).then_some(("status", "failed"));
        let pairs = status.into_iter().chain(kept).chain([("error", signature)]);
        with_query("/jobs", pairs.chain(more.iter().copied()))
    };
    let asked = |action: &'static str| these(&[("group", "error"), ("ask", action)]);
    let may_retry = listed.states.iter().any(|it| matches!(*it, "failed" | "cancelled"));
    let may_cancel = listed.states.iter().any(|it| JobState::waiting(it).is_some());
    let cells = [
        html! {
            a.mono href=(these(&[])) { (one_line(signature, SAMPLE_CHARS_MAX)) }
            span.sub {
                "such as " (id_link("/jobs", group.sample)) " "
                @if let Some(error) = &group.error { (one_line(super::first_line(error), SAMPLE_CHARS_MAX)) }
            }
        },
        html! { b { (number_of(group.count)) } },
        two(ago(group.first_at, visit.now), ago(group.last_at, visit.now)),
        html! { span.mono { (counted(&group.kinds)) } },
        counted(&group.clients),
        html! {
            @if visit.viewer.may_operate() {
                @if may_cancel { a.btn.tight.danger href=(asked("cancel")) { "Cancel …" } }
                @if may_retry { a.btn.tight href=(asked("retry")) { "Retry " (group.count) " …" } }
            }
        },
    ];
    TableRow::new(cells).keyed(signature)
}

/// The largest of some counts: `acme 20, demo 1, 3 more`.
fn counted(counts: &BTreeMap<String, u64>) -> Markup {
    let mut largest: Vec<(&String, u64)> =
        counts.iter().map(|(name, count)| (name, *count)).collect();
    largest.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    html! {
        @for (at, (name, count)) in largest.iter().take(NAMED_MAX).enumerate() {
            @if at > 0 { ", " }
            (name) " " (count)
        }
        @if largest.len() > NAMED_MAX { ", " (largest.len() - NAMED_MAX) " more" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_counts_are_named() {
        let counts = [("acme", 1), ("b<", 20), ("c", 2), ("d", 3)];
        let counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
        assert_eq!(counted(&counts).into_string(), "b&lt; 20, d 3, c 2, 1 more");
    }
}
