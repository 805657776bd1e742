//! Held items that are alike: of one client, channel, event and reason.

use crate::{
    domain::{Id, Timestamp},
    http::{problem::Problem, ui::visit::Visit},
    store::{ListedQuarantine, QuarantineFilter},
};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// How many held items are grouped.
const GROUPED_MAX: usize = 500;

/// Held items that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QuarantineGroup {
    pub(super) client_id: String,
    pub(super) channel: String,
    pub(super) event_type: Option<String>,
    pub(super) reason: String,
    /// The items, newest first: at least one.
    pub(super) ids: Vec<Id>,
    /// True if there may be more: only so many held items are grouped.
    is_open: bool,
    pub(super) last_at: Timestamp,
}

impl QuarantineGroup {
    /// How many there are: `12`, or `500+`.
    pub(super) fn counted(&self) -> String {
        let count = self.ids.len();
        let noun = if count == 1 { "webhook" } else { "webhooks" };
        format!("{count}{} {noun}", if self.is_open { "+" } else { "" })
    }

    /// The newest of them.
    pub(super) fn newest(&self) -> Id {
        self.ids.first().copied().unwrap_or_default()
    }

    /// What the row of the group is found by: it stays while the group grows.
    pub(super) fn key(&self) -> String {
        let Self { client_id, channel, event_type, reason, .. } = self;
        let event = event_type.as_deref().unwrap_or_default();
        let parts = [client_id.as_str(), channel.as_str(), event, reason.as_str()].join("\0");
        let digest = Sha256::digest(parts);
        let start = digest.iter().take(8).fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        format!("g{start:016x}")
    }
}

/// The newest held items, those alike together, the largest group first.
///
/// # Errors
/// If the database is away.
pub(super) async fn held_groups(
    visit: &Visit,
    filter: QuarantineFilter,
) -> Result<Vec<QuarantineGroup>, Problem> {
    let page = visit.api().quarantined(filter, GROUPED_MAX, None).await?;
    let held = page
        .items
        .iter()
        .map(|item| (kind_of(item), item.id, Timestamp::from_millis(item.last_received_at.0)));
    Ok(grouped(held, page.next.is_some()))
}

/// What items of a group have in common: client, channel, event and reason.
type HeldKind<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

/// Groups items, which come newest first.
fn grouped<'a>(
    items: impl Iterator<Item = (HeldKind<'a>, Id, Timestamp)>,
    has_more: bool,
) -> Vec<QuarantineGroup> {
    let mut groups: HashMap<HeldKind<'a>, QuarantineGroup> = HashMap::new();
    for (kind, id, last_at) in items {
        let (client_id, channel, event_type, reason) = kind;
        let group = groups.entry(kind).or_insert_with(|| QuarantineGroup {
            client_id: client_id.to_owned(),
            channel: channel.to_owned(),
            event_type: event_type.map(str::to_owned),
            reason: reason.to_owned(),
            ids: Vec::new(),
            is_open: has_more,
            last_at,
        });
        group.ids.push(id);
    }
    let mut groups: Vec<QuarantineGroup> = groups.into_values().collect();
    groups.sort_by_key(|it| std::cmp::Reverse((it.ids.len(), it.newest())));
    groups
}

fn kind_of(item: &ListedQuarantine) -> HeldKind<'_> {
    (&item.client_id, &item.channel, item.event_type.as_deref(), &item.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_alike_are_one_group_and_the_largest_comes_first() {
        let at = Timestamp::from_millis(0);
        let items = [
            (("acme", "pager", Some("Paged"), "unknown_event"), 9, at),
            (("acme", "pager", None, "bad_field at"), 8, at),
            (("acme", "pager", None, "bad_field at"), 7, at),
        ];
        let groups = grouped(items.into_iter(), false);
        let found: Vec<(usize, Id)> = groups.iter().map(|it| (it.ids.len(), it.newest())).collect();
        assert_eq!(found, [(2, 8), (1, 9)]);
        assert_eq!(groups[0].counted(), "2 webhooks");
        let grown = items.into_iter().chain([(items[0].0, 3, at)]);
        let grown = grouped(grown, true);
        assert_eq!(grown[1].counted(), "2+ webhooks");
        // A row is found again although its group has grown.
        assert_eq!([groups[1].key(), groups[0].key()], [grown[0].key(), grown[1].key()]);
        assert_ne!(groups[0].key(), groups[1].key());
    }
}
