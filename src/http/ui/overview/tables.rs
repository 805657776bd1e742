//! The tables of the overview: the kinds of jobs, and the clients with the largest backlogs.

use super::Shown;
use crate::{
    http::{
        api::{KindCount, by_kind},
        ui::parts::{
            Column, PageTable, Sign, StateMark, TableRow, bar, duration, live, live_count, number,
            per_second,
        },
    },
    store::Backlog,
    telemetry::pool_post::PoolView,
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// How many clients are listed by name.
const CLIENTS_MAX: usize = 10;
/// A job that has been due for longer is late.
const LATE_SECONDS: i64 = 300;

/// The jobs of a kind or a client that have not ended.
#[derive(Clone, Copy, Debug, Default)]
struct Unfinished {
    pending: i64,
    running: i64,
}

impl Unfinished {
    fn add(&mut self, counted: &Backlog) {
        self.pending += counted.pending;
        self.running += counted.running;
    }
}

fn backlog<'a>(shown: &'a Shown<'_>) -> impl Iterator<Item = &'a Backlog> {
    let client = shown.visit.client.as_deref();
    let is_shown = move |it: &&Backlog| client.is_none_or(|client| it.client_id == client);
    shown.totals.iter().flat_map(|it| &it.backlog).filter(is_shown)
}

/// The kinds that have a pool here, or a job on any node.
pub(super) fn kinds(shown: &Shown<'_>) -> Markup {
    let pools = shown.visit.state().board.pools();
    let counted: Vec<Backlog> = backlog(shown).cloned().collect();
    let kinds = by_kind(shown.visit.api(), &counted);
    let mut all = Unfinished::default();
    counted.iter().for_each(|it| all.add(it));
    let done: f64 = pools.iter().map(done_per_second).sum();
    let columns = [
        Column::new("kind"),
        Column::new("pool").below_if_marked(),
        Column::number("pending").beside(),
        Column::number("running"),
        Column::number("oldest due"),
        Column::number("done/s"),
    ];
    let rows = kinds.iter().map(|kind| {
        let pool = pools.iter().find(|pool| pool.kind.0 == kind.kind);
        row(shown, kind, pool)
    });
    let sum = |count: i64| shown.totals.as_ref().map_or_else(dash, |_| number(count));
    let oldest_seconds = kinds.iter().filter_map(|it| it.oldest_pending_seconds).max();
    let foot = [
        html! { "all" },
        html! {},
        sum(all.pending),
        sum(all.running),
        oldest(oldest_seconds),
        per_second(done),
    ];
    let caption = html! { "Kinds" @if let Some(client) = &shown.visit.client { " · " (client) } };
    html! { section aria-label="Kinds" { (PageTable::new(caption, columns).rows(rows).foot(foot)) } }
}

fn row(shown: &Shown<'_>, jobs: &KindCount, pool: Option<&PoolView>) -> TableRow {
    let kind = jobs.kind.as_str();
    let count = |key: &str, count: i64| {
        // Live values are of all clients.
        if shown.visit.client.is_some() {
            return number(count);
        }
        let count = shown.totals.as_ref().map(|_| count);
        live_count("totals", &format!("kinds/{kind}/{key}"), count)
    };
    TableRow::new([
        html! { a.mono href=(shown.visit.to_with("/jobs", &[("kind", kind)])) { (kind) } },
        state(kind, pool),
        count("pending", jobs.pending),
        count("running", jobs.running),
        oldest(jobs.oldest_pending_seconds),
        pool.map_or_else(dash, |pool| per_second(done_per_second(pool))),
    ])
}

fn state(kind: &str, pool: Option<&PoolView>) -> Markup {
    let Some(pool) = pool else { return html! { span.sg.wait { "no pool here" } } };
    let (word, mark) = if pool.paused {
        ("paused", StateMark::PAUSED.badge())
    } else if pool.is_backing_off() {
        ("backing_off", StateMark::BACKING_OFF.badge())
    } else {
        ("running", StateMark::RUNNING.quiet())
    };
    html! { (mark) (live("pools", &format!("{kind}/state")).whole(word)) }
}

fn oldest(seconds: Option<i64>) -> Markup {
    let Some(seconds) = seconds else { return dash() };
    let age = duration(seconds.saturating_mul(1_000));
    html! { @if seconds > LATE_SECONDS { b { (age) } } @else { (age) } }
}

#[expect(clippy::cast_precision_loss, reason = "attempts a minute are far below 2^52")]
fn done_per_second(pool: &PoolView) -> f64 {
    pool.per_minute as f64 / 60.0
}

fn dash() -> Markup {
    html! { span.z { "–" } }
}

/// The clients with the most pending jobs.
pub(super) fn clients(shown: &Shown<'_>) -> Markup {
    let mut by_client: BTreeMap<&str, Unfinished> = BTreeMap::new();
    for counted in shown.totals.iter().flat_map(|it| &it.backlog) {
        // Postroom's own jobs belong to nobody.
        let is_own = counted.client_id.starts_with('_');
        if !is_own && shown.visit.viewer.sees(&counted.client_id) {
            by_client.entry(&counted.client_id).or_default().add(counted);
        }
    }
    let mut largest: Vec<(&str, Unfinished)> = by_client.into_iter().collect();
    largest.sort_by_key(|(client, jobs)| (std::cmp::Reverse(jobs.pending), *client));
    let others = largest.split_off(largest.len().min(CLIENTS_MAX));
    let most = largest.first().map_or(1, |it| it.1.pending.max(1));
    let caps = shown.visit.state().config.get().caps();
    let row = |(client, jobs): &(&str, Unfinished)| {
        let cap = caps.get(*client).copied();
        let is_at_cap = cap.is_some_and(|cap| jobs.running >= i64::from(cap));
        TableRow::new([
            html! { a href=(shown.visit.to_with(&format!("/clients/{client}"), &[("client", "")])) { (client) } },
            number(jobs.pending),
            bar(share(jobs.pending, most)),
            html! {
                @if is_at_cap { (Sign::Held) " " }
                (number(jobs.running))
                @if let Some(cap) = cap { " of " (cap) }
            },
        ])
    };
    let columns = [
        Column::new("client").cut(),
        Column::number("pending").beside(),
        Column::new("share").unnamed(),
        Column::number("running"),
    ];
    let mut table = PageTable::new("Largest backlogs", columns).rows(largest.iter().map(row));
    if !others.is_empty() {
        let sum = |count: fn(&Unfinished) -> i64| others.iter().map(|it| count(&it.1)).sum();
        table = table.foot([
            html! { @if others.len() == 1 { "1 other" } @else { (others.len()) " others" } },
            number(sum(|it| it.pending)),
            html! {},
            number(sum(|it| it.running)),
        ]);
    }
    html! {
        section aria-label="Clients" {
            @if largest.is_empty() {
                h2 { "Largest backlogs" }
                p.mut.ut {
                    @if shown.totals.is_some() { "No client has a job that waits or runs." }
                    @else { "The jobs were not counted yet." }
                }
            } @else { (table) }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bar needs no more digits")]
fn share(count: i64, most: i64) -> f64 {
    count as f64 / most as f64
}
