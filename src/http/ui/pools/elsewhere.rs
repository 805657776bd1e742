//! The pools of another node, as it says of itself.

use crate::{
    http::ui::{
        parts::{Column, PageTable, StateMark, TableRow, ago, empty, id, outside},
        visit::Visit,
    },
    store::Node,
    tuning::{NodeStatus, PoolStatus},
};
use maud::{Markup, html};

pub(super) fn table(visit: &Visit, node: &Node) -> Markup {
    let said = node.status.as_deref().and_then(NodeStatus::read).unwrap_or_default();
    if said.pools.is_empty() {
        return html! { div.mt { (empty("That node tells of no pools.", "It works no jobs, or it has too many to tell.")) } };
    }
    let row = |pool: &PoolStatus| {
        TableRow::new([
            html! { span.mono { (outside(&pool.kind)) } },
            if pool.paused { StateMark::PAUSED.badge() } else { StateMark::RUNNING.quiet() },
            html! { (pool.busy) span.mut { " of " (pool.size) } },
            html! {
                @if let Some(set) = &pool.r#override { (outside(set)) } @else { span.z { "as the files say" } }
            },
        ])
    };
    let columns = [
        Column::new("kind"),
        Column::new("state").beside(),
        Column::number("busy slots"),
        Column::new("set beside the files"),
    ];
    html! {
        p.sm.mut.ut {
            "As " (outside(&said.host)) " (" (id(node.id)) ") says of itself, heard of " (ago(node.seen_at, visit.now))
            ". Busy slots are as it told them, every ten seconds at most."
        }
        (PageTable::new("Pools of another node", columns).caption_hidden().rows(said.pools.iter().map(row)))
    }
}
