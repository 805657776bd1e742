//! The foot of the overview: what must always hold, and who works.

use super::{Shown, sign_of, steps::database_name};
use crate::{
    domain::whole_millis,
    http::ui::parts::{ago, duration, id, number, outside},
    store::Node,
    tuning::NodeStatus,
};
use maud::{Markup, html};
use std::{collections::BTreeSet, time::Duration};

/// A node that was silent for longer may have ended.
const SILENT_MAX: Duration = Duration::from_secs(60);
/// How many nodes are listed.
const NODES_MAX: usize = 4;
/// A canary that is older is late. One starts every minute.
const CANARY_MAX_MS: i64 = 180_000;

/// Ledger, canary and nodes.
pub(super) fn foot(shown: &Shown<'_>) -> Markup {
    html! {
        section.foot.sec aria-label="Ledger, canary, nodes" {
            div { (ledger(shown)) }
            div { (canary(shown)) }
            div { (nodes(shown)) }
        }
    }
}

fn heading(is_well: bool, text: &str) -> Markup {
    let (tone, sign) = sign_of(is_well);
    html! { h2.row.(tone.class()) { (sign) (text) } }
}

fn ledger(shown: &Shown<'_>) -> Markup {
    let Some(totals) = &shown.totals else {
        return html! { h2 { "Ledger" } p.mut { "The jobs were not counted yet." } };
    };
    let balance = totals.balance();
    let imbalance = balance.imbalance();
    let ended = balance.succeeded + balance.failed + balance.cancelled;
    let title = if imbalance == 0 { "Ledger balanced" } else { "The ledger does not balance" };
    html! {
        (heading(imbalance == 0, title))
        p {
            (number(balance.accepted)) " accepted = " (number(ended)) " ended + "
            (number(balance.pending)) " pending + " (number(balance.running)) " running"
            @if imbalance != 0 { ", " b { (number(imbalance)) " missing" } }
        }
        p.mut.sm { "counted at most a few seconds ago, of all nodes" }
    }
}

fn canary(shown: &Shown<'_>) -> Markup {
    let now = shown.visit.now;
    let Some((at, took)) = shown.visit.state().board.canary() else {
        return html! {
            h2 { "Canary" }
            p.mut { @if shown.visit.state().role.works() { "The first one is on its way." } @else { "This node works no jobs." } }
        };
    };
    let is_well = now.millis_since(at) < CANARY_MAX_MS;
    let took = duration(whole_millis(took));
    html! {
        (heading(is_well, if is_well { "Canary came back" } else { "The canary is late" }))
        p { (ago(at, now)) ", in " (took) }
        p.mut.sm { "one a minute, the whole way from storing to recording" }
    }
}

fn nodes(shown: &Shown<'_>) -> Markup {
    let Some(totals) = &shown.totals else {
        return html! { h2 { "Nodes" } p.mut { "They were not counted yet." } };
    };
    let own = shown.visit.state().store.node();
    let lives = |node: &&Node| node.id == own || node.silent <= SILENT_MAX;
    let living: Vec<&Node> = totals.nodes.iter().filter(lives).collect();
    let said: Vec<Option<NodeStatus>> =
        living.iter().map(|it| it.status.as_deref().and_then(NodeStatus::read)).collect();
    let versions: BTreeSet<(&str, &str)> =
        said.iter().flatten().map(|it| (it.version.as_str(), it.shared_hash.as_str())).collect();
    let is_same = versions.len() <= 1;
    let title = match living.len() {
        1 => "One node".to_owned(),
        count if is_same => format!("{count} nodes, same version and configuration"),
        count => format!("{count} nodes, not all alike"),
    };
    let now = shown.visit.now;
    html! {
        (heading(is_same, &title))
        @for (node, said) in living.iter().zip(&said).take(NODES_MAX) {
            p {
                a.q href=(shown.visit.to("/system")) {
                    @if let Some(said) = said { (outside(&said.host)) } @else { (id(node.id)) }
                }
                " " (node.role)
                @if node.id == own { ", this one" }
                span.mut { " · heard of " (ago(node.seen_at, now)) }
            }
        }
        @if living.len() > NODES_MAX { p.mut { (living.len() - NODES_MAX) " more" } }
        p.mut.sm {
            (env!("CARGO_PKG_VERSION")) " · configuration "
            (shown.visit.state().tuner.status().running.hash().get(..7).unwrap_or("")) " · "
            (database_name(shown.visit.state().store.database()))
        }
    }
}
