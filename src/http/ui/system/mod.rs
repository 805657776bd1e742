//! `/system`: what is wrong, what a stop would cut off, the nodes and whether they are alike, the
//! database, what must always hold, and this build. It answers without the database.

mod database;
mod nodes;
mod sessions;
mod stop;

pub(super) use self::sessions::revoke;

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    health::{Health, wrong_list},
    parts::{
        Sign, StateMark, Tone, ago, banner, clock, duration, note, number, number_of, outside,
        since,
    },
    visit::Visit,
};
use crate::{
    domain::whole_millis,
    http::api::{if_read, sessions::page_of_sessions},
    store::{Node, Totals},
    tuning::NodeStatus,
};
use actix_web::HttpRequest;
use maud::{Markup, html};
use std::{fmt::Display, time::Duration};

/// How long the page waits for the database before it shows what was read last.
const DATABASE_WAIT: Duration = Duration::from_millis(400);
/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;
/// A canary that is older is late. One starts every minute.
const CANARY_MAX_MS: i64 = 180_000;
/// The commit of which this binary was built, if the build was told it: the variable
/// `POSTROOM_COMMIT` of the compiler's environment.
const COMMIT: Option<&str> = option_env!("POSTROOM_COMMIT");
/// So much of a commit is shown.
const COMMIT_CHARS_MAX: usize = 12;

/// What the page waits for; `None` if that takes too long or fails. A failure is logged.
async fn in_time<T, E: Display>(
    what: &'static str,
    reading: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    let read = tokio::time::timeout(DATABASE_WAIT, reading).await.ok()?;
    if_read(read, what)
}

/// `GET /system`.
pub(super) async fn show(visit: Visit, request: HttpRequest) -> PageResult {
    visit.query(&[])?;
    let fresh = in_time("counts", visit.api().totals()).await;
    let is_fresh = fresh.is_some();
    let totals = fresh.or_else(|| visit.api().last_totals());
    // All are read at once, so that the page waits as long as for one.
    let (undurable, state, sending, sessions) = if is_fresh {
        tokio::join!(
            in_time("durability", visit.api().undurable()),
            in_time("state of the database", visit.api().database_state()),
            in_time("sends on the wire", visit.api().sending()),
            in_time(
                "sessions",
                page_of_sessions(visit.state(), &request, None, sessions::SESSIONS_MAX, None)
            ),
        )
    } else {
        (None, None, None, None)
    };
    let mut all: Vec<Node> = totals.as_ref().map(|it| it.nodes.clone()).unwrap_or_default();
    all.sort_by_key(|node| std::cmp::Reverse(node.id));
    let body = html! {
        div.head {
            h1 { "System" }
            span.sm.mut {
                "Postroom " (env!("CARGO_PKG_VERSION"))
                @if let Some(commit) = commit(COMMIT) { " (" span.mono { (commit) } ")" }
                " · " (visit.state().role.as_str()) " · up " (uptime(&visit))
            }
            span.end.row {
                a.btn.tight href=(visit.to("/audit")) { "Audit log" }
                (copy_command(&visit, "postroom nodes list", &[]))
            }
        }
        @if visit.done() == Some("revoked") {
            (note(Tone::Good, "The session has ended.", "At once on this node, within two seconds on the others.", None))
        }
        div data-part="away" { @if !is_fresh { (away(&visit)) } }
        div data-part="wrong" { (wrong(&visit)) }
        div data-part="stop" { (stop::section(&visit, &visit.api().stop(), sending)) }
        div.stale[!is_fresh] data-part="nodes" { (nodes::section(&visit, &all)) }
        div.two.sec {
            div data-part="database" {
                (database::section(&visit, undurable.as_deref(), state.as_ref(), is_fresh))
            }
            div data-part="holds" { (must_hold(&visit, totals.as_deref())) }
        }
        (sessions::section(&visit, sessions.as_ref()))
    };
    Ok(visit.answer(&PageContent::new(PagePlace::System, "System", body).refresh(REFRESH_SECONDS)))
}

/// All that is wrong. The overview lists the first lines of it.
fn wrong(visit: &Visit) -> Markup {
    let lines = Health::all_lines(visit);
    html! {
        section.sec aria-labelledby="wrong" {
            h2 #wrong { "What is wrong" }
            @if lines.is_empty() { p.mut.ut { "Nothing." } } @else { (wrong_list(visit, &lines)) }
        }
    }
}

/// The beginning of the commit; `None` if the build was told none.
fn commit(told: Option<&str>) -> Option<String> {
    let short: String = told?.trim().chars().take(COMMIT_CHARS_MAX).collect();
    (!short.is_empty()).then_some(short)
}

fn uptime(visit: &Visit) -> String {
    duration(whole_millis(visit.state().started.elapsed()))
}

fn away(visit: &Visit) -> Markup {
    let since = visit.api().totals_fail_since();
    let what = html! {
        "The database does not answer" @if let Some(at) = since { " since " (clock(at, visit.now)) } "."
    };
    banner(what, "What is grey here was read before.")
}

/// The ledger, the canary, and who leads.
fn must_hold(visit: &Visit, totals: Option<&Totals>) -> Markup {
    let state = visit.state();
    let lease = state.config.get().supervisor.lease;
    html! {
        section aria-labelledby="holds" {
            h2 #holds { "What must hold" }
            dl.dl.ut {
                dt { "Ledger" } dd { (ledger(totals)) }
                dt { "Canary" }
                dd {
                    @match state.board.canary() {
                        Some((at, _)) if visit.now.millis_since(at) >= CANARY_MAX_MS => {
                            (StateMark::new(Tone::Bad, Sign::Fail, "late").badge()) " came back " (ago(at, visit.now))
                        }
                        Some((at, took)) => {
                            "came back " (ago(at, visit.now)) ", in "
                            (duration(whole_millis(took)))
                        }
                        None => span.z { "not yet" },
                    }
                }
                dt { "Leader" }
                dd { @if state.membership.leads(lease) { "this node" } @else { (leader(totals)) } }
                dt { "Next pruning" } dd { (next_pruning(visit, lease)) }
                dt { "Supervisor" } dd { "ticked " (ago(state.board.ticked_at(), visit.now)) }
                dt { "Lost threads" } dd { (number_of(state.board.lost_threads())) }
                dt { "Configuration" }
                dd {
                    a href=(visit.to("/config")) { span.mono { (state.tuner.status().running.hash()) } }
                    " for " (since(state.tuner.status().loaded_at, visit.now))
                }
            }
        }
    }
}

/// The node that does the chores for all, by what was last read.
fn leader(totals: Option<&Totals>) -> Markup {
    let leader = totals.and_then(|it| it.nodes.iter().find(|node| node.leads));
    let Some(leader) = leader else {
        return html! { span.z { "no node, or one that was not read yet" } };
    };
    let said = leader.status.as_deref().and_then(NodeStatus::read);
    html! {
        @if let Some(said) = said { (outside(&said.host)) " " }
        span.mono.mut { (leader.id) }
    }
}

fn next_pruning(visit: &Visit, lease: Duration) -> Markup {
    let state = visit.state();
    if !state.membership.leads(lease) {
        return html! { "the leader does it" };
    }
    match state.board.next_pruning() {
        Some(at) => ago(at, visit.now),
        None => html! { span.z { "not yet" } },
    }
}

fn ledger(totals: Option<&Totals>) -> Markup {
    let Some(totals) = totals else { return html! { span.z { "not counted yet" } } };
    let balance = totals.balance();
    let imbalance = balance.imbalance();
    if imbalance != 0 {
        return html! {
            (StateMark::new(Tone::Bad, Sign::Fail, "broken").badge()) " " (number(imbalance)) " jobs are missing"
        };
    }
    html! { "balanced: " (number(balance.accepted)) " accepted jobs have ended or are there" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_shown_if_the_build_was_told_one() {
        let shown = |told: Option<&str>| commit(told);
        assert_eq!(shown(Some("0ae7633887f1f0a5")).as_deref(), Some("0ae7633887f1"));
        assert_eq!(shown(Some("abc1234")).as_deref(), Some("abc1234"));
        assert_eq!((shown(Some(" ")), shown(None)), (None, None));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_not_waited_for() {
        assert_eq!(in_time("", async { Ok::<_, String>(7) }).await, Some(7));
        assert_eq!(in_time("", async { Err::<i32, _>("away") }).await, None);
        assert_eq!(in_time("", std::future::pending::<Result<i32, String>>()).await, None);
    }
}
