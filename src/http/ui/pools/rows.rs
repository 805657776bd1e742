//! The pools of this node, one row each.

use crate::{
    domain::Timestamp,
    http::{
        api::pools::{PoolJson, PoolOverrideJson},
        live::values::seconds,
        ui::{
            jobs::link_of,
            parts::{
                Column, PageTable, Sign, StateMark, TableRow, Tone, ago, clock, empty, live,
                live_count, one_line, outside, per_second, post_form, since, two, with_query,
            },
            visit::Visit,
        },
    },
};
use maud::{Markup, html};
use std::fmt::Write as _;

/// The most slots that are drawn.
const DRAWN_MAX: usize = 32;
/// The room of a drawn slot, in pixels.
const SLOT_WIDTH: usize = 6;
/// What the key `p` does.
const PAUSES: &str = "pause or resume the row";
/// A job that has been due for longer is late.
const LATE_MS: i64 = 300_000;

pub(super) fn table(visit: &Visit, pools: &[PoolJson], is_fresh: bool) -> Markup {
    if pools.is_empty() {
        return html! { div.mt { (empty("This node works no jobs.", "Its role is to take webhooks. Ask a node that works.")) } };
    }
    let columns = [
        Column::new("kind and state"),
        Column::new("slots"),
        Column::new("busy").beside(),
        Column::number("backlog, oldest due"),
        Column::number("wait p95, run p95"),
        Column::number("done/s, failed"),
        Column::new("what holds it").below(),
        Column::number("do").unnamed().below(),
    ];
    let rows = pools.iter().map(|pool| row(visit, pool, is_fresh));
    html! {
        (PageTable::new("Pools", columns).caption_hidden().wide().rows(rows))
        p.sm.mut.mt {
            "A size or pause set here is kept in the database until it is reset, ends, or the same key changes in a file. "
            "It is for all nodes."
        }
    }
}

fn row(visit: &Visit, pool: &PoolJson, is_fresh: bool) -> TableRow {
    let key = |key: &str| live("pools", &format!("{}/{key}", pool.kind));
    let now = visit.now;
    let cells = [
        html! {
            a.mono.kd href=(visit.to_with("/jobs", &[("kind", pool.kind)])) title=(pool.kind) { (pool.kind) }
            span.sub {
                (state(pool, now)) (key("state").whole(pool.state)) (key("size").whole(pool.size))
                @if pool.restarts > 0 { " " (pool.restarts) " restarts" }
            }
        },
        slots(visit, pool),
        html! {
            b { (key("busy").text(Some(&pool.busy.to_string()))) } span.mut { " of " (pool.size) }
            (drawn(pool.size, pool.busy, pool.claimed))
            @if pool.claimed > 0 { span.sub { (pool.claimed) " more claimed" } }
            @if pool.leaving > 0 { span.sub { (pool.leaving) " more still run" } }
        },
        html! {
            span.stale[!is_fresh] {
                (two(live_count("pools", &format!("{}/backlog", pool.kind), pool.backlog), oldest(pool.due_since, now)))
            }
        },
        {
            let (wait, run) = lately(visit, pool.kind);
            let shown = |name: &str, p95: Option<String>| {
                html! { (key(name).text(p95.as_deref())) @if p95.is_some() { " s" } }
            };
            two(shown("wait", wait), shown("run", run))
        },
        two(per_second(per_minute(pool.ended_per_minute) / 60.0), failed(pool)),
        held(visit, pool),
        buttons(visit, pool),
    ];
    TableRow::new(cells).keyed(pool.kind)
}

/// How long jobs of the kind waited for a slot here lately, and how long they ran, in seconds, as
/// the script is told it.
fn lately(visit: &Visit, kind: &str) -> (Option<String>, Option<String>) {
    let pools = visit.state().board.pools();
    let Some(pool) = pools.iter().find(|it| it.kind.0 == kind) else { return (None, None) };
    let numbers = visit.state().pool_numbers(pool, None);
    (numbers.wait_p95.map(seconds), numbers.run_p95.map(seconds))
}

/// Slots that it no longer has still run a job.
const SHRINKING: StateMark = StateMark::new(Tone::Busy, Sign::Run, "shrinking");

fn state(pool: &PoolJson, now: Timestamp) -> Markup {
    match (pool.state, pool.resumes_at) {
        ("paused", _) => StateMark::PAUSED.badge(),
        ("backing_off", Some(at)) => {
            html! { (StateMark::BACKING_OFF.badge()) " until " (clock(at, now)) }
        }
        ("backing_off", None) => StateMark::BACKING_OFF.badge(),
        _ if pool.leaving > 0 => SHRINKING.quiet(),
        _ => StateMark::RUNNING.quiet(),
    }
}

/// The size with its buttons, and what is set beside the files.
fn slots(visit: &Visit, pool: &PoolJson) -> Markup {
    let set = pool.r#override.as_ref();
    let is_sized = set.is_some_and(|it| it.size.is_some());
    html! {
        @if visit.viewer.may_operate() { (stepper(pool)) } @else { (pool.size) }
        @if is_sized { " " s title="as the files say" { (pool.configured_size) } span.mut { " file" } }
        @if let Some(set) = set { (origin(visit, pool.kind, set)) }
    }
}

/// A number between two buttons. Each leads to the question whether the size is to be set.
fn stepper(pool: &PoolJson) -> Markup {
    let ask = |size: usize| {
        let size = size.to_string();
        with_query("/pools", [("ask", "size"), ("kind", pool.kind), ("size", &size)])
    };
    let label = format!("slots of {}", pool.kind);
    html! {
        form.step action=(with_query("/pools", [])) {
            a href=(ask(pool.size.saturating_sub(1).max(1))) aria-label={ "one slot less for " (pool.kind) }
                data-key="-" data-key-name="one slot less for the row" { "−" }
            input name="size" inputmode="numeric" value=(pool.size) aria-label=(label) autocomplete="off";
            a href=(ask(pool.size + 1)) aria-label={ "one slot more for " (pool.kind) }
                data-key="+" data-key-name="one slot more for the row" { "+" }
            input type="hidden" name="kind" value=(pool.kind);
            input type="hidden" name="ask" value="size";
        }
    }
}

/// Who has set something, until when, and the way back.
fn origin(visit: &Visit, kind: &str, set: &PoolOverrideJson) -> Markup {
    html! {
        span.sub {
            "by " (outside(&set.latest.by)) " " (ago(set.latest.at, visit.now))
            @if let Some(until) = set.latest.expires_at { ", until " (clock(until, visit.now)) }
            @if let Some(note) = &set.latest.note { ": “" (one_line(note, 80)) "”" }
            @if visit.viewer.may_operate() {
                " "
                (post_form(&format!("/pools/{kind}/reset"), html! {
                    button.lnk aria-label={ "Reset " (kind) } data-key="0" data-key-name="reset the row" { "Reset" }
                }))
            }
        }
    }
}

/// The slots as small bars: those that are busy, those that are free, and outlined those that are
/// claimed beyond them.
pub(in crate::http::ui) fn drawn(size: usize, busy: usize, claimed: usize) -> Markup {
    if size > DRAWN_MAX || size == 0 {
        return html! {};
    }
    let ahead = claimed.min(DRAWN_MAX - size);
    let width = (size.max(busy) + ahead) * SLOT_WIDTH;
    let bars = |from: usize, to: usize| {
        let mut path = String::new();
        for slot in from..to {
            _ = write!(path, "M{} 0v8", slot * SLOT_WIDTH + 2);
        }
        path
    };
    let mut outlines = String::new();
    for slot in size.max(busy)..size.max(busy) + ahead {
        _ = write!(outlines, "M{}.5 .5h3v7h-3z", slot * SLOT_WIDTH);
    }
    html! {
        svg.slots width=(width) height="8" viewBox={ "0 0 " (width) " 8" } aria-hidden="true" {
            path.br.c4 d=(bars(busy.min(size), size)) {}
            path.br.busy d=(bars(0, busy.min(size))) {}
            @if busy > size { path.br.warn d=(bars(size, busy)) {} }
            @if ahead > 0 { path.ah.busy d=(outlines) {} }
        }
    }
}

fn oldest(due_since: Option<Timestamp>, now: Timestamp) -> Markup {
    let Some(at) = due_since else { return html! { span.z { "–" } } };
    html! { @if now.millis_since(at) > LATE_MS { b { (since(at, now)) } } @else { (since(at, now)) } }
}

#[expect(clippy::cast_precision_loss, reason = "attempts a minute are far below 2^52")]
const fn per_minute(count: u64) -> f64 {
    count as f64
}

/// The share of attempts that fail.
fn failed(pool: &PoolJson) -> Markup {
    if pool.ended_per_minute == 0 || pool.failed_per_minute == 0 {
        return html! { span.z { "0 %" } };
    }
    let percent = per_minute(pool.failed_per_minute) / per_minute(pool.ended_per_minute) * 100.0;
    html! { b { (format!("{percent:.1} %")) } }
}

fn held(visit: &Visit, pool: &PoolJson) -> Markup {
    let Some(held) = &pool.held_by else { return html! { span.z { "–" } } };
    if held.reason == "nothing" {
        return html! { span.z { "nothing" } };
    }
    html! {
        (one_line(&held.sentence, 400))
        @for link in held.links.iter().filter(|it| it.r#type != "pool") {
            " " span.sm { (link_of(visit, link.r#type, &link.id, None)) }
        }
    }
}

fn buttons(visit: &Visit, pool: &PoolJson) -> Markup {
    if !visit.viewer.may_operate() {
        return html! {};
    }
    let ask = with_query("/pools", [("ask", "pause"), ("kind", pool.kind)]);
    html! {
        @if pool.paused {
            (post_form(&format!("/pools/{}/resume", pool.kind), html! {
                button.btn.tight aria-label={ "Resume " (pool.kind) } data-key="p" data-key-name=(PAUSES) { (Sign::Run) "Resume" }
            }))
        } @else {
            a.btn.tight.quiet href=(ask) aria-label={ "Pause " (pool.kind) } data-key="p" data-key-name=(PAUSES) { "Pause …" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ui::parts::assert_told_apart;

    #[test]
    fn every_state_of_a_pool_has_a_mark_of_its_own() {
        let marks = [StateMark::PAUSED, StateMark::BACKING_OFF, SHRINKING, StateMark::RUNNING];
        assert_told_apart(&marks, &[]);
    }

    #[test]
    fn a_pool_that_backs_off_says_until_when() {
        let at = Timestamp::from_millis(1_768_744_991_120);
        let pool = |state: &'static str, resumes_at: Option<Timestamp>| PoolJson {
            kind: "A",
            size: 4,
            configured_size: 4,
            busy: 0,
            leaving: 0,
            claimed: 0,
            paused: false,
            state,
            r#override: None,
            ignores_overrides: false,
            backlog: None,
            due_since: None,
            held_by: None,
            restarts: 3,
            resumes_at,
            max_attempts: 5,
            timeout_ms: 60_000,
            ended_per_minute: 0,
            failed_per_minute: 0,
        };
        let shown = |state: &'static str, resumes_at: Option<Timestamp>| {
            super::state(&pool(state, resumes_at), at.plus_millis(-5_000)).into_string()
        };
        let backing_off = shown("backing_off", Some(at));
        assert!(backing_off.contains(" until <time datetime=\"2026-01-18T"), "{backing_off}");
        assert!(!shown("backing_off", None).contains("until"));
        assert!(!shown("running", Some(at)).contains("until"));
    }

    #[test]
    fn slots_are_drawn_as_they_are() {
        let four = drawn(4, 1, 2).into_string();
        assert!(four.contains("width=\"36\""), "{four}");
        assert!(four.contains("class=\"br c4\" d=\"M8 0v8M14 0v8M20 0v8\""), "{four}");
        assert!(four.contains("class=\"br busy\" d=\"M2 0v8\""), "{four}");
        assert!(
            four.contains("class=\"ah busy\" d=\"M24.5 .5h3v7h-3zM30.5 .5h3v7h-3z\""),
            "{four}"
        );
        let shrinking = drawn(1, 2, 0).into_string();
        assert!(shrinking.contains("class=\"br warn\" d=\"M8 0v8\""), "{shrinking}");
        assert_eq!(drawn(500, 3, 0).into_string(), "");
        assert_eq!(drawn(0, 0, 0).into_string(), "");
    }
}
