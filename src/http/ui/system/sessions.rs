//! Who has signed in to the pages.

use crate::{
    http::{
        api::{
            parse_id,
            sessions::{SessionJson, revoke_session},
        },
        problem::Problem,
        ui::{
            PageResult,
            parts::{Column, PageTable, TableRow, ago, outside, post_form, two},
            visit::Visit,
        },
    },
    store::Page as RowPage,
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};

/// How many sessions are looked through for those that live.
pub(super) const SESSIONS_MAX: usize = 100;

/// Who has signed in to the pages: an operator sees all, others see themselves.
pub(super) fn section(visit: &Visit, sessions: Option<&RowPage<SessionJson>>) -> Markup {
    let living = sessions.map(|page| page.items.iter().filter(|it| it.ended.is_none()));
    html! {
        section.sec aria-labelledby="sessions" data-part="sessions" {
            h2 #sessions { "Sessions" }
            @match living {
                None => p.mut.ut { "They are in the database, which does not answer now." },
                Some(living) => (session_table(visit, living)),
            }
            @if sessions.is_some_and(|it| it.next.is_some()) {
                p.sm.mut.ut { "The newest " (SESSIONS_MAX) " were looked through." }
            }
        }
    }
}

fn session_table<'a>(visit: &Visit, living: impl Iterator<Item = &'a SessionJson>) -> Markup {
    let columns = [
        Column::new("who"),
        Column::new("role").beside(),
        Column::new("browser").cut(),
        Column::number("began"),
        Column::number("last used"),
        Column::new("end it").unnamed().below(),
    ];
    let rows: Vec<TableRow> = living
        .map(|session| {
            let key = session.key();
            let name =
                html! { (outside(&session.name)) @if session.is_own { " " span.mut { "you" } } };
            let end = format!("/sessions/{key}/revoke");
            TableRow::new([
                if session.user == session.name { name } else { two(name, outside(&session.user)) },
                html! { (session.role.unwrap_or("–")) },
                outside(&session.browser),
                ago(session.created_at, visit.now),
                ago(session.used_at, visit.now),
                post_form(&end, html! { button.btn.tight.danger { "Revoke" } }),
            ])
            .keyed(key)
        })
        .collect();
    if rows.is_empty() {
        return html! { p.mut.ut { "Nobody is signed in: who looks has shown a token." } };
    }
    let table = PageTable::new("Sessions", columns).caption_hidden().rows(rows);
    html! { (table) }
}

/// `POST /sessions/{id}/revoke`: an operator may end any session, others their own.
pub(in crate::http::ui) async fn revoke(
    visit: Visit,
    path: web::Path<String>,
    request: HttpRequest,
) -> PageResult {
    let id = parse_id(&path).ok_or_else(|| Problem::not_found("there is no such session"))?;
    revoke_session(visit.state(), &request, id).await?;
    Ok(visit.see(&visit.to_with("/system", &[("done", "revoked")])))
}
