//! The list of webhooks that were not understood.

use super::{
    FilterSpec, FilterValues, ListSpec, Listed, ShowBy, column, hidden,
    known::{CHANNEL, CLIENT, NEWEST, paragraph, words},
};

const EVENT: FilterSpec = FilterSpec {
    option: "event",
    parameter: "event_type",
    help: "Of the event that the provider calls so; '' for those without a name",
    values: FilterValues::TextOrNone("NAME"),
    default: None,
};
const REASON: FilterSpec = FilterSpec {
    option: "reason",
    parameter: "reason",
    help: "Not understood for this reason",
    values: FilterValues::Text("REASON"),
    default: None,
};

/// The list at `/api/v1/quarantine`.
pub(in crate::cli) enum QuarantineList {}

impl Listed for QuarantineList {
    const SPEC: ListSpec = ListSpec {
        path: "quarantine",
        noun: "quarantine item",
        plural: "items in quarantine",
        order: NEWEST,
        id: "id",
        show: ShowBy::Path,
        filters: &[
            FilterSpec {
                default: Some("held"),
                ..words("status", "STATE", "In this state", || {
                    vec!["held", "replayed", "discarded"]
                })
            },
            CLIENT,
            CHANNEL,
            EVENT,
            REASON,
        ],
        columns: &[
            column("id"),
            column("client_id"),
            column("channel"),
            column("event_type").long(),
            column("reason").long(),
            hidden("status"),
            column("count"),
            column("received_at"),
            hidden("last_received_at"),
            hidden("request_id"),
        ],
        below: |item, _| paragraph(item, "payload"),
    };
}

/// The same list, of which only items that are held can be changed.
pub(in crate::cli) enum HeldList {}

impl Listed for HeldList {
    const SPEC: ListSpec =
        ListSpec { filters: &[CLIENT, CHANNEL, EVENT, REASON], ..QuarantineList::SPEC };
}
