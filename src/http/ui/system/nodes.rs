//! The processes over the database, and whether they are alike.

use crate::{
    domain::Id,
    http::{
        api::{NODE_SILENT_MAX, NodeDetailJson, compared_nodes},
        ui::{
            parts::{
                Column, PageTable, Sign, StateMark, TableRow, Tone, ago, clock, id, note, outside,
                two,
            },
            visit::Visit,
        },
    },
    store::Node,
    telemetry::pool_post::PoolView,
    tuning::PoolStatus,
};
use maud::{Markup, html};

/// The nodes, as `nodes` were read last.
pub(super) fn section(visit: &Visit, nodes: &[Node]) -> Markup {
    let own = visit.state().store.node();
    let (views, do_differ) = compared_nodes(nodes, own);
    html! {
        section.sec aria-labelledby="nodes" {
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
        Column::number("busy slots"),
    ];
    let here = visit.state().board.pools();
    let rows = nodes.iter().zip(views).map(|(node, view)| {
        let host = match &view.node.host {
            Some(host) => two(outside(host), id(node.id)),
            None => html! { (id(node.id)) },
        };
        let busy = if node.id == own { busy_here(&here) } else { busy_of(view) };
        TableRow::new([
            host,
            html! { (state(node, view, own)) @if node.id == own { " " span.mut { "this one" } } },
            html! { (node.role) @if node.leads { span.sub { (leader_mark()) } } },
            html! { @if let Some(version) = &view.node.version { (outside(version)) } @else { span.z { "–" } } },
            configuration(visit, view),
            ago(node.started_at, visit.now),
            ago(node.seen_at, visit.now),
            html! {
                @match busy {
                    Some((busy, slots)) => { (busy) span.mut { " of " (slots) } }
                    None => span.z { "–" },
                }
            },
        ])
        .keyed(node.id)
    });
    let table = PageTable::new("Nodes", columns).caption_hidden().rows(rows);
    html! { (table) }
}

/// The node that does the chores for all.
fn leader_mark() -> Markup {
    StateMark::new(Tone::Good, Sign::Ok, "leader").quiet()
}

/// The busy slots of this node, and all of its slots, as they are now; `None` if it has none.
fn busy_here(pools: &[PoolView]) -> Option<(usize, usize)> {
    let sum = |count: fn(&PoolView) -> usize| pools.iter().map(count).sum();
    (!pools.is_empty()).then(|| (sum(|it| it.busy), sum(|it| it.size)))
}

/// The same of another node, as it told them last; `None` if it has told of no pools.
fn busy_of(view: &NodeDetailJson<'_>) -> Option<(usize, usize)> {
    let pools = &view.status.as_ref()?.pools;
    let sum = |count: fn(&PoolStatus) -> usize| pools.iter().map(count).sum();
    (!pools.is_empty()).then(|| (sum(|it| it.busy), sum(|it| it.size)))
}

const SILENT: StateMark = StateMark::new(Tone::Warn, Sign::Unsure, "silent");
const DRAINING: StateMark = StateMark::new(Tone::Busy, Sign::Pause, "draining");

fn state(node: &Node, view: &NodeDetailJson<'_>, own: Id) -> Markup {
    let is_draining = view.status.as_ref().is_some_and(|it| it.draining);
    if node.id != own && node.silent > NODE_SILENT_MAX {
        SILENT.badge()
    } else if is_draining {
        DRAINING.badge()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ui::parts::assert_told_apart;
    use crate::{domain::Timestamp, tuning::NodeStatus};
    use std::time::Duration;

    #[test]
    fn every_state_of_a_node_has_a_mark_of_its_own() {
        assert_told_apart(&[SILENT, DRAINING, StateMark::RUNNING], &[]);
    }

    fn node(version: &str, silent: Duration) -> Node {
        let status = NodeStatus {
            version: version.to_owned(),
            host: "<script>".to_owned(),
            shared_hash: "a".to_owned(),
            pools: vec![PoolStatus { size: 8, busy: 3, ..PoolStatus::default() }; 2],
            ..NodeStatus::default()
        };
        Node {
            id: 7,
            role: "all".to_owned(),
            started_at: Timestamp::from_millis(0),
            seen_at: Timestamp::from_millis(0),
            silent,
            status: serde_json::to_string(&status).ok(),
            leads: false,
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

    #[test]
    fn a_node_tells_its_busy_slots() {
        let silent = Node { status: None, ..node("1", Duration::ZERO) };
        let nodes = [node("1", Duration::ZERO), silent];
        let (views, _) = compared_nodes(&nodes, 1);
        assert_eq!((busy_of(&views[0]), busy_of(&views[1])), (Some((6, 16)), None));
    }
}
