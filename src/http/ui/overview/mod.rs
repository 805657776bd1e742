//! `/`: whether all is well, what is not, and the numbers of now.
//!
//! It answers without the database, too: then it has what was counted last and says when.

mod charts;
mod foot;
mod steps;
mod tables;

pub(super) use self::charts::{sent_in_a_day, webhooks_of_a_day};

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    health::{Health, wrong_list},
    parts::{Sign, Tone, banner, clock, duration, live, live_count, number, since},
    visit::Visit,
};
use crate::{domain::Timestamp, store::Totals};
use maud::{Markup, html};
use std::{sync::Arc, time::Duration};

/// How long the page waits for new counts before it shows the last ones.
const COUNTS_WAIT: Duration = Duration::from_millis(400);
/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 5;
/// The same until the first webhook has come.
const REFRESH_AT_FIRST_SECONDS: u32 = 2;

/// What the page shows.
struct Shown<'a> {
    visit: &'a Visit,
    health: Health,
    /// What was counted; `None` if nothing ever was.
    totals: Option<Arc<Totals>>,
    /// False if the counts are old, because the database does not answer.
    is_fresh: bool,
    /// True if nothing has come in since the database was made.
    is_first_start: bool,
}

/// `GET /`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let query = visit.query(&["range"])?;
    let range = charts::Range::of(&query)?;
    let counted = tokio::time::timeout(COUNTS_WAIT, visit.api().totals()).await;
    let fresh = counted.ok().and_then(Result::ok);
    let is_fresh = fresh.is_some();
    let totals = fresh.or_else(|| visit.api().last_totals());
    let is_first_start = is_fresh && is_first_start(&visit).await;
    let health = Health::of(&visit);
    let shown = Shown { visit: &visit, health, totals, is_fresh, is_first_start };
    let title = shown.health.title();
    let refresh = if is_first_start { REFRESH_AT_FIRST_SECONDS } else { REFRESH_SECONDS };
    let page = PageContent::new(PagePlace::Overview, title, body(&shown, range));
    Ok(visit.answer(&page.topics("totals pools").refresh(refresh)))
}

/// True if no message was ever stored. A slow database is not asked twice.
async fn is_first_start(visit: &Visit) -> bool {
    let has_messages = tokio::time::timeout(COUNTS_WAIT, visit.api().has_messages()).await;
    matches!(has_messages, Ok(Ok(false)))
}

fn body(shown: &Shown<'_>, range: charts::Range) -> Markup {
    html! {
        div data-part="verdict" { (verdict(shown)) }
        @if shown.is_first_start { (steps::steps(shown.visit)) }
        div.stale[!shown.is_fresh] data-part="tiles" {
            h2.vh { "Numbers of now" }
            (tiles(shown))
        }
        (charts::section(shown.visit, range))
        div.two.sec.stale[!shown.is_fresh] data-part="tables" {
            (tables::kinds(shown))
            (tables::clients(shown))
        }
        div.stale[!shown.is_fresh] data-part="foot" { (foot::foot(shown)) }
        p.mt { (copy_command(shown.visit, "postroom top", &[])) }
    }
}

fn verdict(shown: &Shown<'_>) -> Markup {
    let (visit, health) = (shown.visit, &shown.health);
    html! {
        @if !shown.is_fresh { (database_away(shown)) }
        div.verdict.(health.tone.class()) {
            (health.tone.sign())
            h1 {
                (health.sentence)
            }
            (live("totals", "verdict/state").whole(health.state))
            (live("totals", "verdict/wrong").whole(health.count()))
        }
        @if !health.lines.is_empty() {
            (wrong_list(visit, &health.lines))
            @if health.more > 0 {
                p.sm.mut.ut {
                    "And " (health.more) " more: " a href={ (visit.to("/system")) "#wrong" } { "System" } " lists all."
                }
            }
        }
    }
}

fn database_away(shown: &Shown<'_>) -> Markup {
    let now = shown.visit.now;
    let since = shown.visit.api().totals_fail_since();
    let what = html! {
        "The database does not answer" @if let Some(at) = since { " since " (clock(at, now)) } "."
    };
    let more = html! {
        "Webhooks get 429 and come again; nothing is lost. "
        span.mut {
            "Overview, Pools, Actors, Config and System still answer."
            @if shown.totals.is_some() { " What is grey here was counted before." }
        }
    };
    banner(what, more)
}

/// A number that links to what it counts.
struct Tile<'a> {
    href: String,
    name: &'a str,
    tone: Option<Tone>,
    value: Markup,
    below: Markup,
}

impl Tile<'_> {
    fn render(&self, key: usize) -> Markup {
        html! {
            a.tile.(self.tone.map_or("", Tone::class)) href=(self.href) data-key=(key) data-key-name=(self.name) {
                span { (self.name) }
                b { @if let Some(tone) = self.tone.filter(|it| *it != Tone::Wait) { (tone.sign()) } (self.value) }
                span { (self.below) }
            }
        }
    }
}

fn tiles(shown: &Shown<'_>) -> Markup {
    let all = [
        drafts(shown),
        uncertain(shown),
        failed(shown),
        quarantined(shown),
        oldest_due(shown),
        webhooks(shown),
        jobs_done(shown),
    ];
    html! {
        div.tiles.box.sec { @for (at, tile) in all.iter().enumerate() { (tile.render(at + 1)) } }
    }
}

/// A count by its live key; a dash if it is not known.
fn count(key: &str, count: Option<i64>) -> Markup {
    html! { (live_count("totals", key, count)) }
}

/// The tone of a count: `tone` if there is something, grey if not.
fn tone_of(count: Option<i64>, tone: Option<Tone>) -> Option<Tone> {
    if count.is_some_and(|it| it > 0) { tone } else { Some(Tone::Wait) }
}

fn drafts<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let waiting = shown.totals.as_ref().map(|it| it.drafts_pending);
    let oldest = shown.totals.as_ref().and_then(|it| it.oldest_draft_at);
    Tile {
        href: shown.visit.to_with("/inbox", &[("view", "drafts")]),
        name: "Drafts waiting",
        tone: tone_of(waiting, None),
        value: count("drafts/pending", waiting),
        below: match oldest.filter(|_| waiting != Some(0)) {
            Some(at) => html! { "oldest " (since(at, shown.visit.now)) },
            None => html! { "none waits" },
        },
    }
}

fn uncertain<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let uncertain = shown.totals.as_ref().map(|it| it.deliveries_uncertain);
    let below = if uncertain == Some(0) { "every end is known" } else { "look, then settle" };
    Tile {
        href: shown.visit.to_with("/deliveries", &[("status", "uncertain")]),
        name: "Uncertain",
        tone: tone_of(uncertain, Some(Tone::Unsure)),
        value: count("deliveries/uncertain", uncertain),
        below: html! { (below) },
    }
}

fn failed<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let failed = charts::failed_in_a_day(shown.visit);
    let all = shown.totals.as_ref().map(|it| it.failed);
    Tile {
        href: shown.visit.to_with("/jobs", &[("status", "failed"), ("group", "error")]),
        name: "Failures, 24 h",
        tone: tone_of(failed, None),
        value: html! { @if let Some(failed) = failed { (number(failed)) } @else { span.z { "–" } } },
        below: match all {
            Some(0) => html! { "no job has failed" },
            Some(all) => html! { (number(all)) " jobs failed" },
            None => html! { "on this node" },
        },
    }
}

fn quarantined<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let held = shown.totals.as_ref().map(|it| it.quarantined);
    let below = if held == Some(0) { "all was understood" } else { "not understood" };
    Tile {
        href: shown.visit.to_with("/received", &[("tab", "quarantine")]),
        name: "Quarantined",
        tone: tone_of(held, Some(Tone::Warn)),
        value: count("quarantine/held", held),
        below: html! { (below) },
    }
}

fn oldest_due<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let backlog = shown.totals.iter().flat_map(|it| &it.backlog);
    let oldest = backlog.filter_map(|it| Some((it.oldest_at?, it.kind.as_str()))).min();
    let age = oldest.map(|(at, _)| age_of(at, shown.visit.now));
    let is_late = oldest.is_some_and(|(at, _)| shown.visit.now.millis_since(at) > 300_000);
    Tile {
        href: shown.visit.to_with("/jobs", &[("status", "pending")]),
        name: "Oldest due",
        tone: if oldest.is_none() { Some(Tone::Wait) } else { is_late.then_some(Tone::Bad) },
        value: html! { (live("totals", "oldest_due").text(age.as_deref())) },
        below: html! { @if let Some((_, kind)) = oldest { span.mono { (kind) } } @else { "nothing is due" } },
    }
}

fn webhooks<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let rate = shown.visit.state().metrics.throughput().per_second().0;
    Tile {
        href: shown.visit.to("/received"),
        name: "Webhooks",
        tone: (rate < 0.05).then_some(Tone::Wait),
        value: html! { (live("totals", "webhooks_per_second").text(Some(&format!("{rate:.1}")))) small { "/s" } },
        below: html! { "in the last minute" },
    }
}

fn jobs_done<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let rate = shown.visit.state().metrics.throughput().per_second().1;
    let running: Option<i64> =
        shown.totals.as_ref().map(|it| it.backlog.iter().map(|it| it.running).sum());
    Tile {
        href: shown.visit.to("/jobs"),
        name: "Jobs done",
        tone: (rate < 0.05).then_some(Tone::Wait),
        value: html! { (live("totals", "jobs_per_second").text(Some(&format!("{rate:.1}")))) small { "/s" } },
        below: html! { (count("jobs/running", running)) " run now" },
    }
}

/// An age in one unit, as the script is told it.
fn age_of(at: Timestamp, now: Timestamp) -> String {
    let text = duration(now.millis_since(at).max(0));
    let mut words = text.split(' ');
    match (words.next(), words.next()) {
        (Some(count), Some(unit)) => format!("{count} {unit}"),
        _ => text,
    }
}

/// The sign of what is as it should be, or not.
fn sign_of(is_well: bool) -> (Tone, Sign) {
    if is_well { (Tone::Good, Sign::Ok) } else { (Tone::Bad, Sign::Fail) }
}
