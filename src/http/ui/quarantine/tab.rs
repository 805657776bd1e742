//! The tab of `/received` with what is in quarantine: in groups, and one by one.

use super::{
    groups::{QuarantineGroup, held_groups},
    kept, list_with, many, mark,
};
use crate::{
    domain::Timestamp,
    http::{
        api::{QUARANTINE_STATUSES, Query},
        problem::Problem,
        ui::{
            command::with_options,
            many::FollowedOperation,
            parts::{
                Chip, Column, PageTable, ROWS, TableRow, ago, chips, clock, command, copy_button,
                empty, id, id_link, link_button, nothing_back_to, number, older, outside, two,
            },
            visit::Visit,
        },
    },
    store::{ListedQuarantine, QuarantineFilter, given_out_at},
};
use maud::{Markup, html};

/// What the tab shows.
pub(in crate::http::ui) struct QuarantineTab {
    pub(in crate::http::ui) content: Markup,
    /// True if it follows an operation that goes on.
    pub(in crate::http::ui) is_followed: bool,
}

/// The command that lists the same.
///
/// # Errors
/// 400 for a text that is too long.
pub(in crate::http::ui) fn as_command(visit: &Visit, query: &Query) -> Result<Markup, Problem> {
    let given = ["status", "client", "channel"].into_iter();
    let given = given.filter_map(|name| Some((name, visit.given(name)?)));
    let [events, reasons] = [query.whole("event_type")?, query.whole("reason")?];
    let alike = events.iter().map(|it| ("event", it.as_str()));
    let alike = alike.chain(reasons.iter().map(|it| ("reason", it.as_str())));
    let text = with_options("postroom quarantine list", given.chain(alike));
    Ok(copy_button("Copy as command", &text))
}

/// The tab.
///
/// # Errors
/// 400 for a wrong filter; if the database is away.
pub(in crate::http::ui) async fn tab(
    visit: &Visit,
    query: &Query,
) -> Result<QuarantineTab, Problem> {
    let mut filter = visit.api().quarantine_filter(query)?;
    filter.client = visit.clients();
    if filter.status.is_empty() {
        filter.status = vec!["held".to_owned()];
    }
    // 1. What is asked, and what is being done.
    let asked = many::asked(visit, query, &filter).await?;
    let operation = FollowedOperation::of(visit, query).await?;
    // 2. The items.
    let (limit, cursor) = (query.limit_if_given()?.unwrap_or(ROWS), query.cursor()?);
    let is_held = filter.status == ["held"];
    let groups = if is_held && cursor.is_none() {
        held_groups(visit, filter.clone()).await?
    } else {
        Vec::new()
    };
    let page = visit.api().quarantined(filter.clone(), limit, cursor).await?;
    let looked_back = page.next.map(given_out_at);
    let older_page = page.next.map(|it| visit.with("cursor", Some(&it.to_string())));
    let kept = kept(query)?;
    let is_any = !page.items.is_empty() || older_page.is_some();
    let content = html! {
        @if let Some(operation) = &operation { (operation.strip(visit, &kept)) }
        @if let Some(asked) = &asked { (asked) }
        div.mt { (status_chips(visit, &filter)) }
        (alike(&filter))
        @if is_held && is_any && visit.viewer.may_operate() { (all_that_match(visit)) }
        @if !page.items.is_empty() {
            @if groups.len() > 1 || groups.iter().any(|it| it.ids.len() > 1) { (group_table(visit, &groups)) }
            section.sec aria-labelledby="items" { h2 #items { "Items" } (item_table(visit, &page.items)) }
        } @else if let (Some(at), Some(next)) = (looked_back, &older_page) {
            div.mt { (nothing_back_to(at, visit.now, next)) }
        } @else {
            div.mt { (nothing(is_held && !is_alike(&filter))) }
        }
        @if !page.items.is_empty() { (older(older_page.as_deref(), "newest first")) }
    };
    let is_followed = operation.as_ref().is_some_and(FollowedOperation::is_running);
    Ok(QuarantineTab { content, is_followed })
}

/// What stands in the place of an empty list.
fn nothing(is_all_that_is_held: bool) -> Markup {
    html! {
        @if is_all_that_is_held {
            (empty("All was understood.", "A webhook that is authentic and not understood is kept here for a person. What would be is tried with a file:"))
            (command("postroom send sms --file webhook.json"))
        } @else {
            (empty("Nothing matches.", "Items are listed here once they were replayed or discarded:"))
            (command("postroom quarantine replay ID"))
            (command("postroom quarantine discard ID"))
        }
    }
}

fn status_chips(visit: &Visit, filter: &QuarantineFilter) -> Markup {
    let chip = |status: &'static str| Chip {
        mark: mark(status),
        count: None,
        is_on: filter.status.iter().any(|it| it == status),
        href: visit.with("status", Some(status)),
    };
    chips("State", &QUARANTINE_STATUSES.map(chip))
}

/// True if the list shows some events or reasons only.
fn is_alike(filter: &QuarantineFilter) -> bool {
    !filter.event_type.is_empty() || !filter.reason.is_empty()
}

/// What the items that are shown have in common, and the way to all others.
fn alike(filter: &QuarantineFilter) -> Markup {
    html! {
        @if is_alike(filter) {
            p.row.sm.ut {
                span { "Only:" }
                @for reason in &filter.reason { b { (outside(reason)) } }
                @for event in &filter.event_type {
                    @if event.is_empty() { span { "no name" } } @else { (outside(event)) }
                }
                @for channel in &filter.channel { span { (channel) } }
                a href=(list_with([])) { "show all" }
            }
        }
    }
}

/// What can be done to all that match.
fn all_that_match(visit: &Visit) -> Markup {
    html! {
        div.bulk.box {
            span.sm.mut { "All that match:" }
            a.btn.tight href=(visit.with("ask", Some("replay"))) data-all { "Replay all …" }
            a.btn.tight.danger href=(visit.with("ask", Some("discard"))) { "Discard all …" }
        }
    }
}

fn group_table(visit: &Visit, groups: &[QuarantineGroup]) -> Markup {
    let may_operate = visit.viewer.may_operate();
    let mut columns = vec![
        Column::new("why").cut(),
        Column::number("held").beside(),
        Column::new("channel"),
        Column::new("client"),
        Column::new("last").below(),
    ];
    if may_operate {
        columns.push(Column::new("what to do").unnamed().below());
    }
    let rows = groups.iter().map(|group| {
        let newest = group.newest().to_string();
        let ask = |action: &str| {
            list_with([
                ("client", group.client_id.as_str()),
                ("channel", group.channel.as_str()),
                ("event_type", group.event_type.as_deref().unwrap_or_default()),
                ("reason", group.reason.as_str()),
                ("ask", action),
            ])
        };
        let event = group.event_type.as_deref();
        let mut cells = vec![
            two(outside(&group.reason), html! { @if let Some(event) = event { (outside(event)) } @else { "no name" } }),
            html! { (group.counted()) },
            html! { (group.channel) },
            outside(&group.client_id),
            ago(group.last_at, visit.now),
        ];
        if may_operate {
            cells.push(html! {
                span.nw {
                    (link_button(&visit.to_with(&format!("/quarantine/{newest}"), &[("try", "true")]), "Try"))
                    " " (link_button(&ask("replay"), "Replay …"))
                    " " (link_button(&ask("discard"), "Discard …"))
                }
            });
        }
        TableRow::new(cells).keyed(group.key())
    });
    let table = PageTable::new("Groups", columns).caption_hidden().rows(rows);
    html! { section.sec aria-labelledby="groups" { h2 #groups { "By reason" } (table) } }
}

fn item_table(visit: &Visit, items: &[ListedQuarantine]) -> Markup {
    let columns = [
        Column::new("why").cut(),
        Column::new("state").beside(),
        Column::new("last").below(),
        Column::new("client"),
        Column::new("channel"),
        Column::new("request"),
        Column::number("times"),
        Column::new("item"),
    ];
    let rows = items.iter().map(|item| {
        let event = item.event_type.as_deref();
        let why = html! {
            a href=(visit.to(&format!("/quarantine/{}", item.id))) { (outside(&item.reason)) }
        };
        let last_at = Timestamp::from_millis(item.last_received_at.0);
        TableRow::new([
            two(why, html! { @if let Some(event) = event { (outside(event)) } @else { "no name" } }),
            mark(&item.status).quiet(),
            clock(last_at, visit.now),
            outside(&item.client_id),
            html! { (item.channel) },
            html! { @if let Some(request) = &item.request_id { (id(request)) } @else { span.z { "–" } } },
            number(item.count),
            id_link("/quarantine", item.id),
        ])
        .keyed(item.id)
    });
    let table = PageTable::new("Quarantined webhooks", columns).caption_hidden().rows(rows);
    html! { (table) }
}
