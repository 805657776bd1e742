//! `/nodes`: the processes over this database, and what each says of itself.

use super::{
    ApiResult, ApiState,
    objects::{self, RowKey},
    query::Query,
    stopping::StopJson,
};
use crate::{
    domain::{Id, Timestamp},
    http::openapi::{ApiEndpoint, PAGE, get},
    store::Node,
    tuning::NodeStatus,
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeSet, time::Duration};

/// The nodes.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/nodes", list)
            .says("The processes over this database, newest first")
            .takes(&PAGE)
            .answers::<NodesJson<'_>>(),
    ]
}

/// A node that was silent for longer is not compared with the others: it may have ended.
pub(in crate::http) const SILENT_MAX: Duration = Duration::from_secs(60);

/// `GET /nodes`, newest first. `config_differs` says whether nodes that live have other
/// configurations or versions than each other, sections that belong to a machine aside. Nothing is
/// done about it. `stop` says what a stop of the node that answers would cut off, and `sending` how
/// many sends are on the wire.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PAGE)?;
    let (limit, cursor) = (query.limit()?, query.cursor()?);
    let mut nodes = state.desk.nodes().await?;
    nodes.sort_by_key(|node| std::cmp::Reverse(node.id));
    let (mut items, config_differs) = compared(&nodes, state.desk.node());
    items.retain(|item| cursor.is_none_or(|cursor| item.node.id.0 < cursor));
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| has_more).map(|item| item.node.id);
    let (stop, sending) = (state.stop(), state.sending().await?);
    objects::object(NodesJson { items, next_cursor, config_differs, stop, sending })
}

/// What each of these nodes says of itself, and whether those that live differ. `own` is this one.
pub(in crate::http) fn compared(nodes: &[Node], own: Id) -> (Vec<NodeDetailJson<'_>>, bool) {
    let items: Vec<NodeDetailJson<'_>> = nodes.iter().map(NodeDetailJson::of).collect();
    let lives = |node: &Node| node.id == own || node.silent <= SILENT_MAX;
    let living = nodes.iter().zip(&items).filter(|(node, _)| lives(node));
    let config_differs = differ(living.filter_map(|(_, item)| item.status.as_ref()));
    (items, config_differs)
}

/// True if two have another version, or another configuration in the part that they should share.
fn differ<'a>(statuses: impl Iterator<Item = &'a NodeStatus>) -> bool {
    statuses.map(|it| (&it.version, &it.shared_hash)).collect::<BTreeSet<_>>().len() > 1
}

#[derive(Debug, JsonSchema, Serialize)]
struct NodesJson<'a> {
    items: Vec<NodeDetailJson<'a>>,
    next_cursor: Option<RowKey>,
    config_differs: bool,
    /// What a stop of the node that answers would cut off.
    stop: StopJson,
    /// How many deliveries are on the wire, on all nodes; 100 stands for more.
    sending: usize,
}

/// A node as it is in the overview.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct NodeJson<'a> {
    id: RowKey,
    pub(in crate::http) role: &'a str,
    pub(in crate::http) started_at: Timestamp,
    pub(in crate::http) seen_at: Timestamp,
    pub(in crate::http) version: Option<String>,
    pub(in crate::http) host: Option<String>,
    pub(in crate::http) config_hash: Option<String>,
    /// True for the one node that does the chores for all.
    pub(in crate::http) leads: bool,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct NodeDetailJson<'a> {
    #[serde(flatten)]
    pub(in crate::http) node: NodeJson<'a>,
    pub(in crate::http) status: Option<NodeStatus>,
}

impl<'a> NodeJson<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
        NodeDetailJson::of(node).node
    }
}

impl<'a> NodeDetailJson<'a> {
    fn of(node: &'a Node) -> Self {
        let status = node.status.as_deref().and_then(NodeStatus::read);
        let said = |field: fn(&NodeStatus) -> &String| status.as_ref().map(field).cloned();
        let node = NodeJson {
            id: RowKey(node.id),
            role: &node.role,
            started_at: node.started_at,
            seen_at: node.seen_at,
            version: said(|it| &it.version),
            host: said(|it| &it.host),
            config_hash: said(|it| &it.config_hash),
            leads: node.leads,
        };
        Self { node, status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_differ_by_their_version_or_their_configuration() {
        for (said, expected) in [
            (&[][..], false),
            (&[("1", "a")], false),
            (&[("1", "a"), ("1", "a")], false),
            (&[("1", "a"), ("1", "b")], true),
            (&[("1", "a"), ("2", "a")], true),
        ] {
            let status = |(version, hash): &(&str, &str)| NodeStatus {
                version: (*version).to_owned(),
                shared_hash: (*hash).to_owned(),
                ..NodeStatus::default()
            };
            let statuses: Vec<NodeStatus> = said.iter().map(status).collect();
            assert_eq!(differ(statuses.iter()), expected, "{said:?}");
        }
    }
}
