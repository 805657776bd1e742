//! The tiles of the overview: numbers, each a link to what it counts.
//!
//! Where the page is limited to some clients, a tile counts those and links to their list. What is
//! known of all clients only says so, and links to the list of all.

use super::{COUNTS_WAIT, Shown, charts};
use crate::{
    domain::Timestamp,
    http::{
        api::ClientJson,
        ui::{
            parts::{Tone, duration, live, live_count, number, since},
            visit::Visit,
        },
    },
    store::{Backlog, COUNTED_MAX},
};
use maud::{Markup, html};

/// What a tile says of a number that is not known.
const NOT_COUNTED: &str = "not counted yet";

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

/// What waits for a person, of the clients that the page is limited to; `None` for what was not
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WaitingOfClients {
    drafts: Option<i64>,
    uncertain: Option<i64>,
    quarantined: Option<i64>,
}

impl WaitingOfClients {
    /// Counts what waits for the clients of the visit, by index and up to a bound each. `None` if
    /// the page shows all clients. Nothing is read of a database that does not answer.
    pub(super) async fn read(visit: &Visit, is_fresh: bool) -> Option<Self> {
        let clients = visit.clients();
        if clients.is_empty() {
            return None;
        }
        if !is_fresh {
            return Some(Self::default());
        }
        let reading = async {
            let mut known = visit.api().known_clients().await;
            let is_shown = |id: &str| clients.iter().any(|it| it == id);
            known.read_facts(visit.api(), is_shown).await;
            Self::of(known.list().iter().filter(|it| is_shown(it.id)))
        };
        Some(tokio::time::timeout(COUNTS_WAIT, reading).await.unwrap_or_default())
    }

    fn of<'a>(clients: impl Iterator<Item = &'a ClientJson<'a>>) -> Self {
        let add = |sum: Option<i64>, more: Option<i64>| match (sum, more) {
            (Some(sum), Some(more)) => Some(sum + more),
            (sum, more) => sum.or(more),
        };
        clients.fold(Self::default(), |sum, client| Self {
            drafts: add(sum.drafts, client.drafts_pending),
            uncertain: add(sum.uncertain, client.uncertain),
            quarantined: add(sum.quarantined, client.quarantined),
        })
    }
}

/// All tiles.
pub(super) fn tiles(shown: &Shown<'_>) -> Markup {
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

/// A count by its live key, or of some clients as it is now; a dash if it is not known.
fn count(shown: &Shown<'_>, key: &str, count: Option<i64>) -> Markup {
    if shown.of_clients.is_none() {
        return live_count("totals", key, count);
    }
    html! {
        @match count {
            Some(count) if count >= COUNTED_MAX => { (number(COUNTED_MAX)) "+" }
            Some(count) => (number(count)),
            None => span.z { "–" },
        }
    }
}

/// The tone of a count: `tone` if there is something, grey if not.
fn tone_of(count: Option<i64>, tone: Option<Tone>) -> Option<Tone> {
    if count.is_some_and(|it| it > 0) { tone } else { Some(Tone::Wait) }
}

/// The address of a list of all clients, for a tile that counts all.
fn of_all(shown: &Shown<'_>, path: &str, pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<(&str, &str)> = pairs.iter().copied().chain([("client", "")]).collect();
    shown.visit.to_with(path, &pairs)
}

/// Says that a tile counts all clients where the page is limited to some.
fn all_clients(shown: &Shown<'_>) -> Markup {
    html! { @if shown.of_clients.is_some() { ", all clients" } }
}

/// The jobs of the clients that the page shows.
fn backlog<'a>(shown: &'a Shown<'_>) -> impl Iterator<Item = &'a Backlog> {
    let clients = shown.visit.clients();
    let all = shown.totals.iter().flat_map(|it| &it.backlog);
    all.filter(move |it| clients.is_empty() || clients.contains(&it.client_id))
}

fn drafts<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let totals = shown.totals.as_ref();
    let (waiting, oldest) = match shown.of_clients {
        Some(of) => (of.drafts, None),
        None => (totals.map(|it| it.drafts_pending), totals.and_then(|it| it.oldest_draft_at)),
    };
    Tile {
        href: shown.visit.to_with("/inbox", &[("view", "drafts")]),
        name: "Drafts waiting",
        tone: tone_of(waiting, None),
        value: count(shown, "drafts/pending", waiting),
        below: match oldest.filter(|_| waiting != Some(0)) {
            Some(at) => html! { "oldest " (since(at, shown.visit.now)) },
            None if waiting.is_some_and(|it| it > 0) => html! { "for a person" },
            None if waiting.is_none() => html! { (NOT_COUNTED) },
            None => html! { "none waits" },
        },
    }
}

fn uncertain<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let uncertain = match shown.of_clients {
        Some(of) => of.uncertain,
        None => shown.totals.as_ref().map(|it| it.deliveries_uncertain),
    };
    let below = match uncertain {
        None => NOT_COUNTED,
        Some(0) => "every end is known",
        Some(_) => "look, then settle",
    };
    Tile {
        href: shown.visit.to_with("/deliveries", &[("status", "uncertain")]),
        name: "Uncertain",
        tone: tone_of(uncertain, Some(Tone::Unsure)),
        value: count(shown, "deliveries/uncertain", uncertain),
        below: html! { (below) },
    }
}

fn failed<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let failed = charts::failed_in_a_day(shown.visit);
    let all = shown.totals.as_ref().map(|it| it.failed);
    let below = match all {
        Some(0) => html! { "no job has failed" },
        Some(all) => html! { (number(all)) " jobs failed" },
        None => html! { "on this node" },
    };
    Tile {
        href: of_all(shown, "/jobs", &[("status", "failed"), ("group", "error")]),
        name: "Failures, 24 h",
        tone: tone_of(failed, None),
        value: html! { @if let Some(failed) = failed { (number(failed)) } @else { span.z { "–" } } },
        below: html! { (below) (all_clients(shown)) },
    }
}

fn quarantined<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let held = match shown.of_clients {
        Some(of) => of.quarantined,
        None => shown.totals.as_ref().map(|it| it.quarantined),
    };
    let below = match held {
        None => NOT_COUNTED,
        Some(0) => "all was understood",
        Some(_) => "not understood",
    };
    Tile {
        href: shown.visit.to_with("/received", &[("tab", "quarantine")]),
        name: "Quarantined",
        tone: tone_of(held, Some(Tone::Warn)),
        value: count(shown, "quarantine/held", held),
        below: html! { (below) },
    }
}

fn oldest_due<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let oldest = backlog(shown).filter_map(|it| Some((it.oldest_at?, it.kind.clone()))).min();
    let at = oldest.as_ref().map(|it| it.0);
    let age = at.map(|at| age_of(at, shown.visit.now));
    let is_late = at.is_some_and(|at| shown.visit.now.millis_since(at) > 300_000);
    Tile {
        href: shown.visit.to_with("/jobs", &[("status", "pending")]),
        name: "Oldest due",
        tone: if oldest.is_none() { Some(Tone::Wait) } else { is_late.then_some(Tone::Bad) },
        value: match (&shown.of_clients, at) {
            (None, _) => live("totals", "oldest_due").text(age.as_deref()),
            (Some(_), Some(at)) => since(at, shown.visit.now),
            (Some(_), None) => html! { span.z { "–" } },
        },
        below: html! { @if let Some((_, kind)) = oldest { span.mono { (kind) } } @else { "nothing is due" } },
    }
}

fn webhooks<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let rate = shown.visit.state().metrics.throughput().per_second().0;
    Tile {
        href: of_all(shown, "/received", &[]),
        name: "Webhooks",
        tone: (rate < 0.05).then_some(Tone::Wait),
        value: html! { (live("totals", "webhooks_per_second").text(Some(&format!("{rate:.1}")))) small { "/s" } },
        below: html! { "in the last minute" (all_clients(shown)) },
    }
}

fn jobs_done<'a>(shown: &Shown<'_>) -> Tile<'a> {
    let rate = shown.visit.state().metrics.throughput().per_second().1;
    let running = shown.totals.as_ref().map(|it| it.backlog.iter().map(|it| it.running).sum());
    Tile {
        href: of_all(shown, "/jobs", &[]),
        name: "Jobs done",
        tone: (rate < 0.05).then_some(Tone::Wait),
        value: html! { (live("totals", "jobs_per_second").text(Some(&format!("{rate:.1}")))) small { "/s" } },
        below: html! { (live_count("totals", "jobs/running", running)) " run now" (all_clients(shown)) },
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
