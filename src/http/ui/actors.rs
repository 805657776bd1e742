//! `/actors`: the actors of this node as a tree, with what they do and how they failed. It asks no
//! database.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    overview::bars,
    parts::{
        Column, PageTable, Sign, StateMark, TableRow, Tone, ago, choice, duration, empty, field,
        id_link, live, long_text, mini_bars, one_line, since, two,
    },
    pools::drawn,
    visit::Visit,
};
use crate::{
    domain::whole_millis,
    http::api::actors::{ActorFilter, FILTERS, actors},
    telemetry::{
        board::{ActorState, ActorType, ActorView},
        history::{HistorySpan, SeriesName},
        pool_post::PoolView,
    },
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The most slots of a pool that unfold.
const UNFOLDED_MAX: usize = 200;
/// The most actors of a filtered list: more would make the page too heavy.
const LISTED_MAX: usize = 50;
/// The most characters of a failure's first line.
const FAILURE_CHARS_MAX: usize = 160;

/// `GET /actors`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let query = visit.query(&FILTERS)?;
    let filter = ActorFilter::of(&query)?;
    let all = actors(visit.api());
    let pools = visit.state().board.pools();
    let shown: Vec<&ActorView> = all.iter().filter(|it| filter.takes(it)).collect();
    let failing = all.iter().filter(|it| it.last_failure.is_some()).count();
    let restarts: u64 = all.iter().map(|it| it.restarts).sum();
    let body = html! {
        div.head {
            h1 { "Actors" }
            span.sm.mut {
                (all.len()) " on this node, " (restarts) " restarts since its start, " (failing) " have failed once or more"
            }
            span.end { (copy_command(&visit, "postroom actors list", &[])) }
        }
        (filters(&visit))
        div data-part="actors" {
            @if shown.is_empty() {
                div.mt { (empty("No actor matches.", "All that there are stand here without a filter.")) }
            } @else {
                (table(&visit, &tree(&shown, filter.is_empty()), &pools))
                @if !filter.is_empty() && shown.len() > LISTED_MAX {
                    p.sm.mut.mt { (shown.len() - LISTED_MAX) " more match. Name a state, a type or a time." }
                }
            }
        }
    };
    Ok(visit.answer(&PageContent::new(PagePlace::Actors, "Actors", body).topics("actors")))
}

fn filters(visit: &Visit) -> Markup {
    let any = [("", "any")];
    let states = any.into_iter().chain(ActorState::ALL.map(|it| (it.as_str(), it.as_str())));
    let types = any.into_iter().chain(ActorType::ALL.map(|it| (it.as_str(), it.as_str())));
    let failed = [("", "whenever"), ("15m", "in 15 min"), ("1h", "in 1 h"), ("24h", "in 24 h")];
    let given = |name: &str| visit.given(name).unwrap_or_default();
    let is_listed = failed.iter().any(|it| it.0 == given("failed"));
    html! {
        form.filter action=(visit.plain("/actors")) {
            (choice("State", "state", given("state"), states))
            (choice("Type", "type", given("type"), types))
            @if is_listed { (choice("Failed", "failed", given("failed"), failed)) }
            @else { (field("Failed since", "failed", given("failed"), "", None)) }
            button.btn { "Filter" }
        }
    }
}

/// A row of the tree.
#[derive(Clone, Debug)]
enum Branch<'a> {
    /// An actor, and how many stand above it.
    Actor(usize, &'a ActorView),
    /// The slots of a pool: its kind, and how many actors stand above them.
    Slots(usize, &'a str, Vec<&'a ActorView>),
}

/// The actors below their parents. Without `is_tree`, a list of them.
fn tree<'a>(actors: &[&'a ActorView], is_tree: bool) -> Vec<Branch<'a>> {
    if !is_tree {
        return actors.iter().take(LISTED_MAX).map(|it| Branch::Actor(0, it)).collect();
    }
    let mut below: BTreeMap<&str, Vec<&'a ActorView>> = BTreeMap::new();
    for actor in actors {
        let has_parent = actors.iter().any(|it| it.name == actor.parent && it.name != actor.name);
        below.entry(if has_parent { actor.parent } else { "" }).or_default().push(actor);
    }
    let mut rows = Vec::new();
    add(&mut rows, &mut below, "", 0);
    rows
}

/// Adds those below `parent`. Each parent is taken once, so a circle ends.
fn add<'a>(
    rows: &mut Vec<Branch<'a>>,
    below: &mut BTreeMap<&str, Vec<&'a ActorView>>,
    parent: &str,
    depth: usize,
) {
    let mut slots: BTreeMap<&'a str, Vec<&'a ActorView>> = BTreeMap::new();
    for actor in below.remove(parent).unwrap_or_default() {
        match actor.name.rsplit_once('/') {
            Some((kind, _)) if actor.kind == ActorType::Handler => {
                slots.entry(kind).or_default().push(actor);
            }
            _ => {
                rows.push(Branch::Actor(depth, actor));
                add(rows, below, &actor.name, depth + 1);
            }
        }
    }
    for (kind, mut of_kind) in slots {
        of_kind.sort_by_key(|it| (it.name.len(), it.name.as_str()));
        rows.push(Branch::Slots(depth, kind, of_kind));
    }
}

fn table(visit: &Visit, rows: &[Branch<'_>], pools: &[PoolView]) -> Markup {
    let columns = [
        Column::new("actor"),
        Column::new("state").beside(),
        Column::number("since"),
        Column::number("restarts"),
        Column::number("mailbox"),
        Column::new("job"),
        Column::new("last failure").below(),
    ];
    let row = |branch: &Branch<'_>| match branch {
        Branch::Actor(depth, actor) => actor_row(visit, *depth, actor),
        Branch::Slots(depth, kind, slots) => slots_row(visit, *depth, kind, slots, pools),
    };
    html! { (PageTable::new("Actors", columns).caption_hidden().wide().rows(rows.iter().map(row))) }
}

/// How deep a row stands in the tree.
fn indent(depth: usize) -> Markup {
    html! { @if depth > 0 { span.z aria-hidden="true" { @for _ in 1..depth { "\u{a0}\u{a0}\u{a0}" } "└\u{a0}" } } }
}

const fn mark(state: ActorState) -> StateMark {
    match state {
        ActorState::Idle => StateMark::new(Tone::Wait, Sign::Due, "idle"),
        ActorState::Busy => StateMark::new(Tone::Busy, Sign::Run, "busy"),
        ActorState::BackingOff => StateMark::BACKING_OFF,
        ActorState::Dead => StateMark::new(Tone::Bad, Sign::Fail, "dead"),
    }
}

fn state(actor: &ActorView) -> Markup {
    let mark = mark(actor.state);
    let is_usual = matches!(actor.state, ActorState::Idle | ActorState::Busy);
    html! { @if is_usual { (mark.quiet()) } @else { (mark.badge()) } }
}

fn dash() -> Markup {
    html! { span.z { "–" } }
}

fn actor_row(visit: &Visit, depth: usize, actor: &ActorView) -> TableRow {
    let key = |key: &str| live("actors", &format!("{}/{key}", actor.name));
    let depth_of_mailbox = actor.mailbox_depth.to_string();
    let cells = [
        html! { (indent(depth)) span.mono { (actor.name) } span.sub { (actor.kind.as_str()) } },
        html! {
            (state(actor)) (key("state").whole(actor.state.as_str()))
            @if let Some(at) = actor.resumes_at {
                span.sub { "starts " (ago(at, visit.now)) ": " (too_often(visit)) }
            }
        },
        html! { (since(actor.since, visit.now)) },
        {
            let count = key("restarts").text(Some(&actor.restarts.to_string()));
            with_restarts_lately(visit, actor.kind.as_str(), count)
        },
        html! {
            @if actor.mailbox_capacity > 0 {
                (key("depth").text(Some(&depth_of_mailbox))) span.mut { " of " (actor.mailbox_capacity) }
            } @else { (dash()) }
        },
        html! { @if let Some(job) = actor.job_id { (id_link("/jobs", job)) } @else { (dash()) } },
        failure(visit, actor),
    ];
    TableRow::new(cells).keyed(&actor.name)
}

/// The last failure: when and why, and its whole text unfolds.
fn failure(visit: &Visit, actor: &ActorView) -> Markup {
    let Some(failure) = &actor.last_failure else { return dash() };
    let first = failure.reason.lines().next().unwrap_or_default();
    let is_all =
        first.len() == failure.reason.len() && first.chars().nth(FAILURE_CHARS_MAX).is_none();
    html! {
        (ago(failure.at, visit.now)) ": " (one_line(first, FAILURE_CHARS_MAX))
        @if !is_all { details.fold { summary { "Whole text" } (long_text(&failure.reason, None)) } }
    }
}

/// The slots of a pool: how many are busy, and a list of those that are not as usual.
fn slots_row(
    visit: &Visit,
    depth: usize,
    kind: &str,
    slots: &[&ActorView],
    pools: &[PoolView],
) -> TableRow {
    let pool = pools.iter().find(|it| it.kind.0 == kind);
    let count = |state: ActorState| slots.iter().filter(|it| it.state == state).count();
    let busy = count(ActorState::Busy);
    let restarts: u64 = slots.iter().map(|it| it.restarts).sum();
    let latest = slots.iter().filter(|it| it.last_failure.is_some());
    let latest = latest.max_by_key(|it| it.last_failure.as_ref().map(|failure| failure.at));
    let cells = [
        html! {
            (indent(depth)) a.mono href=(visit.to_with("/pools", &[("client", "")])) { (kind) }
            span.sub { (slots.len()) " slots" }
            (unfolded(visit, slots))
        },
        html! {
            span.row aria-label={ (busy) " of " (slots.len()) " busy" } {
                (busy) span.mut { " of " (slots.len()) " busy" }
                (drawn(slots.len(), busy, 0))
            }
            @if let Some(text) = pool.and_then(|it| waits(visit, it)) { span.sub { (text) } }
        },
        dash(),
        {
            let count = html! { @if restarts == 0 { span.z { "0" } } @else { (restarts) } };
            with_restarts_lately(visit, kind, count)
        },
        dash(),
        html! { @if busy == 0 { (dash()) } @else { (busy) " run" } },
        latest.map_or_else(dash, |slot| failure(visit, slot)),
    ];
    TableRow::new(cells).keyed(kind)
}

/// Why slots of a pool wait for their restart.
fn waits(visit: &Visit, pool: &PoolView) -> Option<Markup> {
    (pool.backing_off > 0).then(|| {
        html! {
            (pool.backing_off) " wait for their restart, the first starts " (ago(pool.resumes_at, visit.now))
            ": " (too_often(visit))
        }
    })
}

/// Why an actor waits before it is started again.
fn too_often(visit: &Visit) -> Markup {
    let restart = visit.state().config.get().restart.clone();
    let window = duration(whole_millis(restart.window));
    html! { "more than " (restart.max_restarts) " restarts within " (window) }
}

/// The number of restarts since the start and, if there were any, those of the last hour as bars.
fn with_restarts_lately(visit: &Visit, of: &str, count: Markup) -> Markup {
    let history = &visit.state().history;
    let is_of = |name: &&SeriesName| matches!(name, SeriesName::Restarts(it) if *it == of);
    let names = history.names();
    let Some(name) = names.iter().find(is_of) else { return count };
    let lately = history.count_within(name, 3_600);
    if lately == 0 {
        return count;
    }
    let bars = bars(&history.numbers(name, HistorySpan::Hour), HistorySpan::Hour.step_seconds());
    let top = bars.iter().copied().fold(1.0, f64::max);
    two(count, html! { (mini_bars(&bars, top)) (lately) " in 1 h" })
}

/// The slots that do something or have failed; the others only wait.
fn unfolded(visit: &Visit, slots: &[&ActorView]) -> Markup {
    let is_told = |slot: &&&ActorView| {
        slot.state != ActorState::Idle || slot.restarts > 0 || slot.last_failure.is_some()
    };
    let slots: Vec<&ActorView> = slots.iter().filter(is_told).copied().collect();
    if slots.is_empty() {
        return html! {};
    }
    html! {
        details.fold {
            summary { (slots.len()) " that are busy or have failed" }
            ul.sm {
                @for slot in slots.iter().take(UNFOLDED_MAX) {
                    li {
                        span.mono { (slot.name) } " " (state(slot)) " " (since(slot.since, visit.now))
                        @if let Some(job) = slot.job_id { ", job " (id_link("/jobs", job)) }
                        @if slot.restarts > 0 { ", " (slot.restarts) " restarts" }
                        @if slot.last_failure.is_some() { ". " (failure(visit, slot)) }
                    }
                }
                @if slots.len() > UNFOLDED_MAX { li.mut { "and " (slots.len() - UNFOLDED_MAX) " more" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Timestamp, http::ui::parts::assert_told_apart};

    #[test]
    fn every_state_of_an_actor_has_a_mark_of_its_own() {
        let states = [ActorState::Idle, ActorState::Busy, ActorState::BackingOff, ActorState::Dead];
        assert_told_apart(&states.map(mark), &[]);
    }

    fn actor(name: &str, kind: ActorType, parent: &'static str) -> ActorView {
        ActorView {
            name: name.to_owned(),
            kind,
            parent,
            state: ActorState::Idle,
            since: Timestamp::from_millis(0),
            resumes_at: None,
            restarts: 0,
            last_failure: None,
            mailbox_depth: 0,
            mailbox_capacity: 0,
            job_id: None,
        }
    }

    fn names(rows: &[Branch<'_>]) -> Vec<String> {
        let name = |row: &Branch<'_>| match row {
            Branch::Actor(depth, actor) => format!("{depth} {}", actor.name),
            Branch::Slots(depth, kind, slots) => {
                let slots: Vec<&str> = slots.iter().map(|it| it.name.as_str()).collect();
                format!("{depth} {kind}: {}", slots.join(" "))
            }
        };
        rows.iter().map(name).collect()
    }

    #[test]
    fn actors_stand_below_their_parents_and_slots_together() {
        let all = [
            actor("K/10", ActorType::Handler, "supervisor"),
            actor("K/2", ActorType::Handler, "supervisor"),
            actor("guardian", ActorType::Guardian, ""),
            actor("ingest/sms", ActorType::Ingest, "supervisor"),
            actor("orphan", ActorType::Janitor, "gone"),
            actor("supervisor", ActorType::Supervisor, "guardian"),
        ];
        let all: Vec<&ActorView> = all.iter().collect();
        assert_eq!(
            names(&tree(&all, true)),
            ["0 guardian", "1 supervisor", "2 ingest/sms", "2 K: K/2 K/10", "0 orphan"]
        );
        assert_eq!(names(&tree(&all, false)).len(), all.len());
        let circle = [actor("a", ActorType::Janitor, "b"), actor("b", ActorType::Janitor, "a")];
        assert!(tree(&circle.iter().collect::<Vec<_>>(), true).is_empty());
    }
}
