//! `/`: whether all is well, what is not, and the numbers of now.
//!
//! It answers without the database, too: then it has what was counted last and says when.

mod charts;
mod foot;
mod steps;
mod tables;
mod tiles;

pub(super) use self::charts::{bars, sent_in_a_day, webhooks_of_a_day};

use self::tiles::WaitingOfClients;
use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    health::{Health, wrong_list},
    parts::{Sign, Tone, banner, clock, live},
    visit::Visit,
};
use crate::store::Totals;
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
    /// What waits for a person of the clients that the page is limited to, if it is.
    of_clients: Option<WaitingOfClients>,
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
    let of_clients = WaitingOfClients::read(&visit, is_fresh).await;
    let shown = Shown { visit: &visit, health, totals, is_fresh, is_first_start, of_clients };
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
        // Empty later on, so that the steps leave while somebody watches.
        div data-part="steps" { @if shown.is_first_start { (steps::steps(shown.visit)) } }
        div.stale[!shown.is_fresh] data-part="tiles" {
            h2.vh { "Numbers of now" }
            (tiles::tiles(shown))
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

/// The sign of what is as it should be, or not.
fn sign_of(is_well: bool) -> (Tone, Sign) {
    if is_well { (Tone::Good, Sign::Ok) } else { (Tone::Bad, Sign::Fail) }
}
