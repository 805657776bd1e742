//! `/deliveries`: the sends of answers. Those of which nobody knows the end come first, for only a
//! person can settle them.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    parts::{
        Chip, Column, PageTable, ROWS, Sign, StateMark, TableRow, Tone, ago, chips, command, empty,
        id, link_button, new_rows, note, number, older, outside,
    },
    sends::{ShownSends, account_note, mark, on_the_wire, troubled},
    visit::Visit,
};
use crate::{
    domain::Timestamp,
    http::api::DELIVERY_STATUSES,
    store::{DeliveryFilter, DeliveryRow, Page as RowPage},
};
use maud::{Markup, html};

/// How many uncertain sends stand above the list.
const UNCERTAIN_MAX: usize = 20;
/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;

/// `GET /deliveries`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let query = visit.query(&["status", "channel", "lead", "limit", "cursor"])?;
    let mut filter = visit.api().delivery_filter(&query)?;
    filter.client = visit.clients();
    let (limit, cursor) = (query.limit_if_given()?, query.cursor()?);
    // 1. Those with an unknown end, unless the page is about others.
    let has_all = filter.status.is_empty();
    let uncertain = if has_all && cursor.is_none() {
        let filter = DeliveryFilter { status: vec!["uncertain".to_owned()], ..filter.clone() };
        visit.api().deliveries(filter, UNCERTAIN_MAX, None).await?
    } else {
        RowPage { items: Vec::new(), next: None }
    };
    // 2. The list.
    if has_all {
        let others = DELIVERY_STATUSES.into_iter().filter(|it| *it != "uncertain");
        filter.status = others.map(str::to_owned).collect();
    }
    let is_uncertain = filter.status == ["uncertain"];
    let limit = limit.unwrap_or(ROWS - uncertain.items.len());
    let page = visit.api().deliveries(filter, limit, cursor).await?;
    let uncertain_next = uncertain.next.is_some();
    let is_empty = page.items.is_empty() && page.next.is_none();
    let uncertain = ShownSends::read(&visit, uncertain.items).await?;
    let listed = ShownSends::read(&visit, page.items).await?;
    let older_page = page.next.map(|it| visit.with("cursor", Some(&it.to_string())));
    let body = html! {
        div.head { h1 { "Deliveries" } span.sm.mut { "each answer that was sent, or was to be sent" } (new_rows(&visit.here())) span.end { (copy_command(&visit, "postroom deliveries list", &["status", "client", "lead", "channel"])) } }
        (done(&visit))
        (accounts(&visit))
        @if has_all && cursor.is_none() { (unknown_ends(&visit, &uncertain, uncertain_next)) }
        div.sec { (status_chips(&visit, has_all)) }
        div.mt { (list(&visit, &listed, is_uncertain, has_all)) }
        @if !is_empty { (older(older_page.as_deref(), "newest first")) }
    };
    let title = if is_uncertain { "Deliveries · uncertain" } else { "Deliveries" };
    Ok(visit.answer(&PageContent::new(PagePlace::Deliveries, title, body).refresh(REFRESH_SECONDS)))
}

/// What the form that led here has done.
fn done(visit: &Visit) -> Markup {
    match visit.done() {
        Some("sent") => note(
            Tone::Good,
            "Noted as sent.",
            "The answer is a message of the thread now. Nothing was sent again.",
            None,
        ),
        Some("not_sent") => note(
            Tone::Good,
            "Noted as not sent.",
            "Its draft is open again. It goes out only if somebody approves it once more.",
            Some(link_button(&visit.to_with("/inbox", &[("view", "drafts")]), "Open the inbox")),
        ),
        _ => html! {},
    }
}

fn accounts(visit: &Visit) -> Markup {
    let totals = visit.api().last_totals();
    let accounts = totals.as_ref().map(|it| it.accounts.as_slice()).unwrap_or_default();
    html! { @for account in troubled(visit, accounts) { (account_note(account, visit.now)) } }
}

/// The words above are fetched again as a whole, and the rows each by itself, so that none moves
/// under the hand.
fn unknown_ends(visit: &Visit, uncertain: &ShownSends, has_more: bool) -> Markup {
    html! {
        section.sec aria-labelledby="unknown" {
            div data-part="unknown" {
                @if uncertain.rows.is_empty() {
                    h2.vh #unknown { "Uncertain" }
                    (empty("Every send has a known end.", "If a provider does not say whether it took an answer, the send is listed here."))
                } @else {
                    h2 #unknown { "Nobody knows whether these were sent" }
                    p.mut.ut { "Look at the provider first, then say what became of each. None is sent again by itself." }
                }
            }
            @if !uncertain.rows.is_empty() {
                (table(visit, uncertain, "Uncertain sends", true))
                @if has_more {
                    p.ut { a href=(visit.with("status", Some("uncertain"))) { "All uncertain sends" } }
                }
            }
        }
    }
}

fn status_chips(visit: &Visit, has_all: bool) -> Markup {
    let totals = visit.api().last_totals();
    // This is counted over all clients.
    let is_of_all = visit.clients().is_empty();
    let uncertain = totals.filter(|_| is_of_all).map(|it| it.deliveries_uncertain);
    let chip = |status: &'static str| Chip {
        mark: mark(status),
        count: uncertain.filter(|_| status == "uncertain"),
        is_on: visit.given("status") == Some(status),
        href: visit.with("status", Some(status)),
    };
    let all = Chip {
        mark: StateMark::new(Tone::Wait, Sign::Send, "all"),
        count: None,
        is_on: has_all,
        href: visit.with("status", None),
    };
    let of_status = ["uncertain", "sending", "failed", "sent"].map(chip);
    chips("State", &[all].into_iter().chain(of_status).collect::<Vec<_>>())
}

fn list(visit: &Visit, sends: &ShownSends, is_uncertain: bool, has_all: bool) -> Markup {
    if !sends.rows.is_empty() {
        // While the page is shown, a send may become uncertain, or be settled. Its row is then
        // replaced by one that must have as many columns.
        return table(visit, sends, "Deliveries", is_uncertain || has_all);
    }
    if is_uncertain {
        return empty("Every send has a known end.", "Nothing has to be settled.");
    }
    html! {
        (empty("No send matches.", "A send is listed here once a draft is approved and its time has come. To approve one:"))
        (command("postroom drafts list --status pending"))
        (command("postroom drafts approve ID"))
    }
}

fn table(visit: &Visit, sends: &ShownSends, caption: &str, has_actions: bool) -> Markup {
    let has_actions = has_actions && visit.viewer.may_review();
    let mut columns = vec![
        Column::new("answer").cut(),
        Column::new("state").beside(),
        Column::new("on the wire").below(),
        Column::new("channel"),
        Column::new("client"),
        Column::number("attempts"),
        Column::number("began"),
    ];
    if has_actions {
        columns.push(Column::new("what became of it").unnamed().below());
    }
    let rows = sends.rows.iter().map(|delivery| {
        let mut cells = vec![
            sends.what(visit, delivery),
            html! { (mark(&delivery.status)) },
            html! {
                (on_the_wire(delivery))
                @if let Some(of_provider) = &delivery.provider_id { span.sub { "provider's id " (id(of_provider)) } }
            },
            html! { (delivery.channel) },
            html! { (outside(&delivery.client_id)) },
            number(i64::from(delivery.attempts)),
            ago(Timestamp::from_millis(delivery.created_at.0), visit.now),
        ];
        if has_actions {
            cells.push(actions(visit, delivery));
        }
        TableRow::new(cells).keyed(delivery.id)
    });
    let table = PageTable::new(caption, columns).caption_hidden().rows(rows);
    html! { (table) }
}

fn actions(visit: &Visit, delivery: &DeliveryRow) -> Markup {
    if delivery.status != "uncertain" {
        return html! { span.z { "–" } };
    }
    let ask = |end: &str| visit.to_with(&format!("/deliveries/{}", delivery.id), &[("ask", end)]);
    html! {
        span.row {
            (link_button(&ask("sent"), "It was sent"))
            (link_button(&ask("not_sent"), "It was not sent"))
        }
    }
}
