//! `/pools`: what holds each kind of jobs, and how many of them may run.
//!
//! It answers without the database, too: then the backlog is that of the last count, and grey.

mod change;
mod elsewhere;
mod rows;

pub(super) use self::{
    change::{ask_pause, ask_size, pause, reset, resume, size},
    rows::drawn,
};

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    parts::{Segment, Tone, banner, clock, link_button, note, segments},
    visit::Visit,
};
use crate::{
    domain::Id,
    http::{
        api::{
            Query,
            pools::{PoolJson, pools},
        },
        problem::Problem,
    },
    store::{Node, Totals},
    tuning::NodeStatus,
};
use actix_web::web;
use maud::{Markup, html};
use std::{sync::Arc, time::Duration};

/// How long the page waits for new counts before it shows the last ones.
const COUNTS_WAIT: Duration = Duration::from_millis(400);
/// The most nodes to choose from.
const NODES_MAX: usize = 8;

/// `GET /pools`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let query = visit.query(&["node", "kind", "ask", "size"])?;
    let (totals, is_fresh) = counted(&visit).await;
    let own = visit.state().store.node();
    let node = query.ids("node")?.first().copied().unwrap_or(own);
    let here = pools(visit.api(), totals.as_deref());
    let mut is_wrong = false;
    let content = if node == own {
        let asked = change::asked(&visit, &query, &here)?;
        is_wrong = asked.as_ref().is_some_and(|it| it.1);
        html! {
            (config_strip(&visit))
            @if let Some((asked, _)) = &asked { (asked) }
            div data-part="pools" { (rows::table(&visit, &here, is_fresh)) }
        }
    } else {
        elsewhere::table(&visit, &node_of(totals.as_deref(), node)?)
    };
    let body = html! {
        (head(&visit, &here, totals.as_deref(), node))
        @if let Some(done) = visit.done() { (told(done)) }
        @if !is_fresh { (away(&visit)) }
        (content)
    };
    let page = PageContent::new(PagePlace::Pools, "Pools", body).topics("pools totals");
    let page = Ok(visit.answer(&page));
    if is_wrong { Visit::refuse(page) } else { page }
}

/// New counts, or the last ones if the database does not answer at once, and whether they are new.
async fn counted(visit: &Visit) -> (Option<Arc<Totals>>, bool) {
    let counted = tokio::time::timeout(COUNTS_WAIT, visit.api().totals()).await;
    match counted.ok().and_then(Result::ok) {
        Some(fresh) => (Some(fresh), true),
        None => (visit.api().last_totals(), false),
    }
}

fn node_of(totals: Option<&Totals>, id: Id) -> Result<Node, Problem> {
    let node = totals.and_then(|it| it.nodes.iter().find(|node| node.id == id));
    node.cloned().ok_or_else(|| Problem::not_found(format!("there is no node {id}")))
}

fn head(visit: &Visit, pools: &[PoolJson], totals: Option<&Totals>, shown: Id) -> Markup {
    let (busy, slots): (usize, usize) =
        pools.iter().fold((0, 0), |sum, it| (sum.0 + it.busy, sum.1 + it.size));
    let own = visit.state().store.node();
    let nodes = totals.map_or(&[][..], |it| &it.nodes);
    let named: Vec<(Id, String)> = nodes
        .iter()
        .take(NODES_MAX)
        .map(|node| {
            let said = node.status.as_deref().and_then(NodeStatus::read);
            let host = said.map_or_else(|| node.id.to_string(), |it| it.host);
            (node.id, if node.id == own { format!("{host}, this one") } else { host })
        })
        .collect();
    let choices: Vec<Segment<'_>> = named
        .iter()
        .map(|(id, word)| Segment {
            word,
            is_on: *id == shown,
            href: visit.with("node", Some(id.to_string()).filter(|_| *id != own).as_deref()),
        })
        .collect();
    html! {
        div.head {
            h1 { "Pools" }
            span.sm.mut { (pools.len()) " kinds, " (busy) " of " (slots) " slots busy on this node" }
            div.end.row {
                @if choices.len() > 1 { (segments("Node", &choices)) }
                (copy_command(visit, "postroom pools list", &[]))
            }
        }
    }
}

/// The configuration from which sizes come.
fn config_strip(visit: &Visit) -> Markup {
    let status = visit.state().tuner.status();
    let open = || Some(link_button(&visit.to("/config"), "Open Config"));
    if let Some(refused) = status.refused() {
        let what = format!("The last configuration is refused: {} errors.", refused.errors.len());
        let more = html! { "All runs on with that of " (clock(status.loaded_at, visit.now)) "." };
        return note(Tone::Bad, what, more, open());
    }
    let pending = status.pending.len();
    if pending > 0 {
        let what = format!("{pending} changed keys wait for a restart.");
        return note(Tone::Warn, what, "", open());
    }
    html! { p.sm.mut.ut { "Configuration of " (clock(status.loaded_at, visit.now)) ", accepted." } }
}

fn away(visit: &Visit) -> Markup {
    let since = visit.api().totals_fail_since();
    let what = html! {
        "The database does not answer" @if let Some(at) = since { " since " (clock(at, visit.now)) } "."
    };
    banner(what, "Slots are as they are now. What is grey was counted before.")
}

fn told(done: &str) -> Markup {
    let Some((kind, what)) = done.split_once(' ') else { return html! {} };
    let what = match what {
        "sized" => "has its new size",
        "paused" => "is paused: what runs ends, and nothing new starts",
        "resumed" => "runs again",
        "reset" => "runs as the files say",
        _ => return html! {},
    };
    html! { div role="status" { (note(Tone::Good, html! { span.mono { (kind) } " " (what) "." }, "", None)) } }
}

/// The path of the pages of pools, for forms.
pub(super) type KindPath = web::Path<String>;

/// The only number of slots that a query names.
fn size_in(query: &Query) -> Result<Option<usize>, Problem> {
    let Some(text) = query.text("size")? else { return Ok(None) };
    let value = text.parse::<u64>().map_or(serde_json::Value::Null, Into::into);
    crate::http::api::pools::size_in(&value).map(Some)
}
