//! `/system`: the nodes and whether they are alike, the database, what must always hold, and this
//! build. It answers without the database.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    parts::{
        Column, PageTable, Sign, StateMark, TableRow, Tone, ago, banner, clock, duration, id, note,
        number, outside, post_form, since, two,
    },
    visit::Visit,
};
use crate::{
    domain::Id,
    http::{
        api::{
            NODE_SILENT_MAX, NodeDetailJson, compared_nodes, parse_id,
            sessions::{SessionJson, page_of_sessions, revoke_session},
        },
        problem::Problem,
    },
    store::{Node, Page as RowPage, Totals},
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};
use std::time::Duration;

/// How long the page waits for the database before it shows what was read last.
const DATABASE_WAIT: Duration = Duration::from_millis(400);
/// How many sessions are looked through for those that live.
const SESSIONS_MAX: usize = 100;
/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;
/// A canary that is older is late. One starts every minute.
const CANARY_MAX_MS: i64 = 180_000;

/// `GET /system`.
pub(super) async fn show(visit: Visit, request: HttpRequest) -> PageResult {
    visit.query(&[])?;
    let counted = tokio::time::timeout(DATABASE_WAIT, visit.api().totals()).await;
    let fresh = counted.ok().and_then(Result::ok);
    let is_fresh = fresh.is_some();
    let totals = fresh.or_else(|| visit.api().last_totals());
    let undurable = if is_fresh {
        tokio::time::timeout(DATABASE_WAIT, visit.api().undurable()).await.ok().and_then(Result::ok)
    } else {
        None
    };
    let sessions = if is_fresh {
        let listed = page_of_sessions(visit.state(), &request, None, SESSIONS_MAX, None);
        tokio::time::timeout(DATABASE_WAIT, listed).await.ok().and_then(Result::ok)
    } else {
        None
    };
    let mut nodes: Vec<Node> = totals.as_ref().map(|it| it.nodes.clone()).unwrap_or_default();
    nodes.sort_by_key(|node| std::cmp::Reverse(node.id));
    let body = html! {
        div.head {
            h1 { "System" }
            span.sm.mut { "Postroom " (env!("CARGO_PKG_VERSION")) " · " (visit.state().role.as_str()) " · up " (uptime(&visit)) }
            span.end.row {
                a.btn.tight href=(visit.to("/audit")) { "Audit log" }
                (copy_command(&visit, "postroom nodes list", &[]))
            }
        }
        @if visit.done() == Some("revoked") {
            (note(Tone::Good, "The session has ended.", "At once on this node, within two seconds on the others.", None))
        }
        @if !is_fresh { (away(&visit)) }
        div.stale[!is_fresh] data-part="nodes" { (nodes_section(&visit, &nodes)) }
        div.two.sec {
            div data-part="database" { (database(&visit, undurable.as_deref(), is_fresh)) }
            div data-part="holds" { (must_hold(&visit, totals.as_deref())) }
        }
        (sessions_section(&visit, sessions.as_ref()))
    };
    Ok(visit.answer(&PageContent::new(PagePlace::System, "System", body).refresh(REFRESH_SECONDS)))
}

fn uptime(visit: &Visit) -> String {
    duration(i64::try_from(visit.state().started.elapsed().as_millis()).unwrap_or(i64::MAX))
}

fn away(visit: &Visit) -> Markup {
    let since = visit.api().totals_fail_since();
    let what = html! {
        "The database does not answer" @if let Some(at) = since { " since " (clock(at, visit.now)) } "."
    };
    banner(what, "What is grey here was read before.")
}

fn nodes_section(visit: &Visit, nodes: &[Node]) -> Markup {
    let own = visit.state().store.node();
    let (views, do_differ) = compared_nodes(nodes, own);
    html! {
        section aria-labelledby="nodes" {
            h2 #nodes { "Nodes" }
            @if do_differ { (differ_note()) }
            @if views.is_empty() { p.mut.ut { "They were not read yet." } }
            @else { (node_table(visit, nodes, &views, own)) }
        }
    }
}

fn differ_note() -> Markup {
    note(
        Tone::Warn,
        "Nodes that live are not alike.",
        "Their versions or the shared parts of their configurations differ. Nothing is done about it: deploy the same files to all.",
        None,
    )
}

fn node_table(visit: &Visit, nodes: &[Node], views: &[NodeDetailJson<'_>], own: Id) -> Markup {
    let columns = [
        Column::new("node"),
        Column::new("state").beside(),
        Column::new("role"),
        Column::new("version").below(),
        Column::new("configuration"),
        Column::number("started"),
        Column::number("heard of"),
        Column::number("slots"),
    ];
    let rows = nodes.iter().zip(views).map(|(node, view)| {
        let status = view.status.as_ref();
        let host = match &view.node.host {
            Some(host) => two(outside(host), id(node.id)),
            None => html! { (id(node.id)) },
        };
        let slots: Option<usize> = status.map(|it| it.pools.iter().map(|pool| pool.size).sum());
        TableRow::new([
            host,
            html! { (state(node, view, own)) @if node.id == own { " " span.mut { "this one" } } },
            html! { (node.role) },
            html! { @if let Some(version) = &view.node.version { (outside(version)) } @else { span.z { "–" } } },
            configuration(visit, view),
            ago(node.started_at, visit.now),
            ago(node.seen_at, visit.now),
            html! {
                @match slots {
                    Some(count) => (number(i64::try_from(count).unwrap_or(i64::MAX))),
                    None => span.z { "–" },
                }
            },
        ])
        .keyed(node.id)
    });
    let table = PageTable::new("Nodes", columns).caption_hidden().rows(rows);
    html! { (table) }
}

fn state(node: &Node, view: &NodeDetailJson<'_>, own: Id) -> Markup {
    let is_draining = view.status.as_ref().is_some_and(|it| it.draining);
    if node.id != own && node.silent > NODE_SILENT_MAX {
        StateMark::new(Tone::Warn, Sign::Unsure, "silent").badge()
    } else if is_draining {
        StateMark::new(Tone::Busy, Sign::Pause, "draining").badge()
    } else {
        StateMark::RUNNING.quiet()
    }
}

fn configuration(visit: &Visit, view: &NodeDetailJson<'_>) -> Markup {
    let Some(status) = &view.status else { return html! { span.z { "–" } } };
    html! {
        span.mono { (outside(&status.config_hash)) }
        span.sub {
            "loaded " (clock(status.loaded_at, visit.now))
            @if status.pending_keys > 0 { ", " (status.pending_keys) " wait for a restart" }
            @if status.ignores_overrides { ", ignores overrides" }
        }
    }
}

/// Who has signed in to the pages: an operator sees all, others see themselves.
fn sessions_section(visit: &Visit, sessions: Option<&RowPage<SessionJson>>) -> Markup {
    let living = sessions.map(|page| page.items.iter().filter(|it| it.ended.is_none()));
    html! {
        section.sec aria-labelledby="sessions" data-part="sessions" {
            h2 #sessions { "Sessions" }
            @match living {
                None => p.mut.ut { "They are in the database, which does not answer now." },
                Some(living) => (session_table(visit, living)),
            }
            @if sessions.is_some_and(|it| it.next.is_some()) {
                p.sm.mut.ut { "The newest " (SESSIONS_MAX) " were looked through." }
            }
        }
    }
}

fn session_table<'a>(visit: &Visit, living: impl Iterator<Item = &'a SessionJson>) -> Markup {
    let columns = [
        Column::new("who"),
        Column::new("role").beside(),
        Column::new("browser").cut(),
        Column::number("began"),
        Column::number("last used"),
        Column::new("end it").unnamed().below(),
    ];
    let rows: Vec<TableRow> = living
        .map(|session| {
            let key = session.key();
            let name =
                html! { (outside(&session.name)) @if session.is_own { " " span.mut { "you" } } };
            let end = format!("/sessions/{key}/revoke");
            TableRow::new([
                if session.user == session.name { name } else { two(name, outside(&session.user)) },
                html! { (session.role.unwrap_or("–")) },
                outside(&session.browser),
                ago(session.created_at, visit.now),
                ago(session.used_at, visit.now),
                post_form(&end, html! { button.btn.tight.danger { "Revoke" } }),
            ])
            .keyed(key)
        })
        .collect();
    if rows.is_empty() {
        return html! { p.mut.ut { "Nobody is signed in: who looks has shown a token." } };
    }
    let table = PageTable::new("Sessions", columns).caption_hidden().rows(rows);
    html! { (table) }
}

/// `POST /sessions/{id}/revoke`: an operator may end any session, others their own.
pub(super) async fn revoke(
    visit: Visit,
    path: web::Path<String>,
    request: HttpRequest,
) -> PageResult {
    let id = parse_id(&path).ok_or_else(|| Problem::not_found("there is no such session"))?;
    revoke_session(visit.state(), &request, id).await?;
    Ok(visit.see(&visit.to_with("/system", &[("done", "revoked")])))
}

fn database(visit: &Visit, undurable: Option<&[String]>, is_fresh: bool) -> Markup {
    let store = &visit.state().store;
    let (busy, idle) = store.connections();
    let count = |it: usize| number(i64::try_from(it).unwrap_or(i64::MAX));
    html! {
        section aria-labelledby="database" {
            h2 #database { "Database" }
            dl.dl.ut {
                dt { "Kind" } dd { (store.database()) @if store.is_pooled() { ", behind a pooler" } }
                dt { "Answers" } dd { (answer_mark(is_fresh)) }
                dt { "Connections" } dd { (count(busy)) " busy, " (count(idle)) " idle, of this node" }
                dt { "Outages seen" } dd { (number(i64::from(store.outages()))) }
                dt { "Durability" }
                dd {
                    @match undurable {
                        Some([]) => { "a commit is flushed before it is acknowledged" }
                        Some(off) => { b { "acknowledged webhooks may be lost: " (outside(&off.join(", "))) } }
                        None => span.z { "not known now" },
                    }
                }
                @if let Some(trouble) = store.disk_trouble() { dt { "Disk" } dd { b { (outside(&trouble)) } } }
                dt { "Migrations" } dd { "all are applied: the daemon starts only on the schema of its version" }
            }
        }
    }
}

fn answer_mark(is_fresh: bool) -> Markup {
    if is_fresh {
        StateMark::new(Tone::Good, Sign::Ok, "yes").quiet()
    } else {
        StateMark::new(Tone::Bad, Sign::Fail, "no").badge()
    }
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
                            (duration(i64::try_from(took.as_millis()).unwrap_or(i64::MAX)))
                        }
                        None => span.z { "not yet" },
                    }
                }
                dt { "Leader" } dd { @if state.membership.leads(lease) { "this node" } @else { "another node" } }
                dt { "Supervisor" } dd { "ticked " (ago(state.board.ticked_at(), visit.now)) }
                dt { "Lost threads" } dd { (number(i64::try_from(state.board.lost_threads()).unwrap_or(i64::MAX))) }
                dt { "Configuration" }
                dd {
                    a href=(visit.to("/config")) { span.mono { (state.tuner.status().running.hash()) } }
                    " for " (since(state.tuner.status().loaded_at, visit.now))
                }
            }
        }
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
    use crate::{domain::Timestamp, tuning::NodeStatus};

    fn node(version: &str, silent: Duration) -> Node {
        let status = NodeStatus {
            version: version.to_owned(),
            host: "<script>".to_owned(),
            shared_hash: "a".to_owned(),
            ..NodeStatus::default()
        };
        Node {
            id: 7,
            role: "all".to_owned(),
            started_at: Timestamp::from_millis(0),
            seen_at: Timestamp::from_millis(0),
            silent,
            status: serde_json::to_string(&status).ok(),
        }
    }

    #[test]
    fn nodes_of_another_version_are_told_apart_unless_they_are_gone() {
        for (silent, expected) in [(0, true), (61, false)] {
            let nodes = [node("1", Duration::ZERO), node("2", Duration::from_secs(silent))];
            assert_eq!(compared_nodes(&nodes, 1).1, expected);
        }
    }

    #[test]
    fn a_silent_node_says_so() {
        let nodes = [node("1", Duration::from_secs(90))];
        let (views, _) = compared_nodes(&nodes, 1);
        assert!(state(&nodes[0], &views[0], 1).into_string().contains("silent"));
        assert!(state(&nodes[0], &views[0], 7).into_string().contains("running"));
    }
}
