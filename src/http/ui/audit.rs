//! `/audit`: who changed what, when, and how.

use super::{
    PageResult,
    command::{copy_command, copy_labelled},
    frame::{PageContent, PagePlace},
    parts::{
        ButtonLook, Column, PageTable, ROWS, Sign, TableRow, button, choice, clock, command, empty,
        field, id, new_rows, nothing_back_to, old_and_new, older, one_line, outside, two,
    },
    visit::Visit,
};
use crate::{
    domain::Timestamp,
    store::{AUDIT_ACTIONS, AuditRow, Page as RowPage, Via, given_out_at},
};
use maud::{Markup, html};

/// The characters of a value that a row shows.
const VALUE_CHARS: usize = 120;

/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;
/// The filters of the page, which are options of the command, too.
const FILTERS: [&str; 6] = ["action", "actor", "via", "target", "since", "until"];

/// `GET /audit`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let known: Vec<&str> = FILTERS.into_iter().chain(["limit", "cursor"]).collect();
    let query = visit.query(&known)?;
    let page = visit.api().audit_rows(&query, query.limit_if_given()?.unwrap_or(ROWS)).await?;
    let body = html! {
        p.crumb.sm { a href=(visit.to("/system")) { "System" } }
        div.head {
            h1 { "Audit" }
            span.sm.mut { "each change by a person, a command, a file or a signal" }
            (new_rows(&visit.here()))
            span.end.row {
                (copy_command(&visit, "postroom audit list", &FILTERS))
                (copy_labelled(&visit, "All as JSON lines", "postroom audit list --all --jsonl", &FILTERS))
            }
        }
        (filter(&visit))
        (list(&visit, &page))
    };
    let page = PageContent::new(PagePlace::System, "System · audit", body);
    Ok(visit.answer(&page.refresh(REFRESH_SECONDS)))
}

fn list(visit: &Visit, page: &RowPage<AuditRow>) -> Markup {
    let next = page.next.map(|it| (given_out_at(it), visit.with("cursor", Some(&it.to_string()))));
    html! {
        div.mt {
            @if !page.items.is_empty() { (table(visit, &page.items)) }
            @else if let Some((at, next)) = &next { (nothing_back_to(*at, visit.now, next)) }
            @else {
                (empty("Nothing matches.", "A change is listed here as soon as somebody makes one. To make one:"))
                (command("postroom reload"))
            }
        }
        @if !page.items.is_empty() { (older(next.as_ref().map(|it| it.1.as_str()), "newest first")) }
    }
}

fn filter(visit: &Visit) -> Markup {
    let given = |name: &str| visit.given(name).unwrap_or_default().to_owned();
    let action = given("action");
    // Several actions come from a link: they stay as they are.
    let is_listed = action.is_empty() || AUDIT_ACTIONS.contains(&action.as_str());
    let several = (!is_listed).then_some((action.as_str(), action.as_str()));
    let actions = [("", "all")].into_iter().chain(several).chain(AUDIT_ACTIONS.map(|it| (it, it)));
    // So do several ways.
    let way = given("via");
    let is_one = way.is_empty() || Via::ALL.iter().any(|it| it.as_str() == way);
    let several = (!is_one).then_some((way.as_str(), way.as_str()));
    let ways = [("", "any")].into_iter().chain(several);
    let ways = ways.chain(Via::ALL.map(|it| (it.as_str(), it.as_str())));
    html! {
        form.filter role="search" aria-label="Filter" {
            (choice("What", "action", &action, actions))
            (field("Who", "actor", &given("actor"), "a name", None))
            (choice("How", "via", &way, ways))
            (field("To what", "target", &given("target"), "an id, a key or a kind", None))
            (field("Since", "since", &given("since"), "4h", None))
            (field("Until", "until", &given("until"), "1h", None))
            (button(ButtonLook::Usual, html! { (Sign::Search) "Find" }))
        }
    }
}

fn table(visit: &Visit, rows: &[AuditRow]) -> Markup {
    let columns = [
        Column::new("what").cut(),
        Column::new("when").beside(),
        Column::new("who").below(),
        Column::new("to what"),
        Column::new("old → new"),
        Column::new("request"),
    ];
    let rows = rows.iter().map(|row| {
        let note = row.note.as_deref().filter(|it| !it.is_empty());
        let what = match note {
            Some(note) => two(&row.action, one_line(note, VALUE_CHARS)),
            None => html! { (row.action) },
        };
        TableRow::new([
            what,
            clock(Timestamp::from_millis(row.happened_at.0), visit.now),
            two(outside(&row.actor), way(row.role.as_deref(), &row.via)),
            html! { @if let Some(target) = &row.target { (outside(target)) } @else { span.z { "–" } } },
            values(row.old_value.as_deref(), row.new_value.as_deref()),
            html! { @if let Some(request) = &row.request_id { (id(request)) } @else { span.z { "–" } } },
        ])
        .keyed(row.id)
    });
    let table = PageTable::new("Changes", columns).caption_hidden().rows(rows);
    html! { (table) }
}

/// As whom somebody acted, and how. `role` is that of a person.
fn way(role: Option<&str>, via: &str) -> Markup {
    html! { @if let Some(role) = role { (role) ", " } "by " (via) }
}

fn values(old: Option<&str>, new: Option<&str>) -> Markup {
    if old.is_none() && new.is_none() {
        return html! { span.z { "–" } };
    }
    old_and_new(old, new, VALUE_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_shown_with_their_role_and_a_file_has_none() {
        assert_eq!(way(Some("viewer"), "page").into_string(), "viewer, by page");
        assert_eq!(way(None, "file").into_string(), "by file");
    }

    #[test]
    fn values_are_texts_from_outside() {
        let shown = values(Some("<b>"), Some("\u{202e}x")).into_string();
        assert!(shown.contains("&lt;b&gt;") && shown.contains("\\u202ex"), "{shown}");
        assert!(values(None, None).into_string().contains("–"));
        assert!(values(Some("a"), None).into_string().contains("gone"));
    }
}
