//! `/nodes`: the processes over this database, and what each says of itself.

use super::{
    ApiResult, ApiState,
    objects::{self, RowKey},
    query::Query,
};
use crate::{domain::Timestamp, store::Node, tuning::NodeStatus};
use actix_web::{HttpRequest, web};
use serde::Serialize;
use std::{collections::BTreeSet, time::Duration};

/// A node that was silent for longer is not compared with the others: it may have ended.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// `GET /nodes`, newest first. `config_differs` says whether nodes that live have other
/// configurations or versions than each other; nothing is done about it.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &["limit", "cursor"])?;
    let (limit, cursor) = (query.limit()?, query.cursor()?);
    let mut nodes = state.desk.nodes().await?;
    let own = state.desk.node();
    let living = nodes.iter().filter(|node| node.id == own || node.silent <= SILENT_MAX);
    let config_differs = differ(living.filter_map(status_of));
    nodes.retain(|node| cursor.is_none_or(|cursor| node.id < cursor));
    nodes.sort_by_key(|node| std::cmp::Reverse(node.id));
    let has_more = nodes.len() > limit;
    nodes.truncate(limit);
    let next_cursor = nodes.last().filter(|_| has_more).map(|node| RowKey(node.id));
    let items = nodes
        .iter()
        .map(|node| NodeDetailJson { node: NodeJson::of(node), status: status_of(node) })
        .collect();
    objects::object(NodesJson { items, next_cursor, config_differs })
}

/// What a node says of itself. `None` if it has said nothing, or is of a version that says it in
/// another way.
fn status_of(node: &Node) -> Option<NodeStatus> {
    serde_json::from_str(node.status.as_deref()?).ok()
}

/// True if two have another version or another configuration.
fn differ(statuses: impl Iterator<Item = NodeStatus>) -> bool {
    statuses.map(|it| (it.version, it.config_hash)).collect::<BTreeSet<_>>().len() > 1
}

#[derive(Debug, Serialize)]
struct NodesJson<'a> {
    items: Vec<NodeDetailJson<'a>>,
    next_cursor: Option<RowKey>,
    config_differs: bool,
}

/// A node as it is in the overview.
#[derive(Debug, Serialize)]
pub(super) struct NodeJson<'a> {
    id: RowKey,
    role: &'a str,
    started_at: Timestamp,
    seen_at: Timestamp,
    version: Option<String>,
    host: Option<String>,
    config_hash: Option<String>,
}

#[derive(Debug, Serialize)]
struct NodeDetailJson<'a> {
    #[serde(flatten)]
    node: NodeJson<'a>,
    status: Option<NodeStatus>,
}

impl<'a> NodeJson<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
        let status = status_of(node);
        let said = |field: fn(NodeStatus) -> String| status.clone().map(field);
        Self {
            id: RowKey(node.id),
            role: &node.role,
            started_at: node.started_at,
            seen_at: node.seen_at,
            version: said(|it| it.version),
            host: said(|it| it.host),
            config_hash: said(|it| it.config_hash),
        }
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
            let statuses = said.iter().map(|(version, hash)| NodeStatus {
                version: (*version).to_owned(),
                config_hash: (*hash).to_owned(),
                ..NodeStatus::default()
            });
            assert_eq!(differ(statuses), expected, "{said:?}");
        }
    }
}
