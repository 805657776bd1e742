//! `/inbox`: the drafts that wait for a person, one after the other, beside the thread and the
//! facts of each lead.
//!
//! A decision is sent to the address of the page itself, so that the page that says why something
//! was not done has the same address.

mod list;

use super::{
    PageResult,
    frame::{PageContent, PagePlace},
    lead::{
        self, Deed, LeadLoaded, LeadShown, NextDraft, ReviewForm, Stopped, carry_out, done_note,
        form_config, with_pair,
    },
    parts::outside,
    visit::Visit,
};
use crate::{
    domain::Id,
    http::{
        api::{DecidedLately, INBOX_PARAMETERS, InboxJson, InboxPage, InboxView},
        problem::Problem,
    },
};
use actix_web::{
    HttpRequest,
    web::{self, ServiceConfig},
};
use maud::{Markup, html};

/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;
/// How far back decisions are counted.
const LATELY_MS: i64 = 86_400_000;

/// Mounts the inbox.
pub(super) fn configure(cfg: &mut ServiceConfig) {
    cfg.service(
        web::resource("/inbox")
            .app_data(form_config())
            .route(web::get().to(show))
            .route(web::post().to(decide)),
    );
}

/// `GET /inbox`.
async fn show(visit: Visit) -> PageResult {
    Ok(visit.answer(&page(&visit, None).await?))
}

/// `POST /inbox`: decides about a draft, and shows the next one.
async fn decide(visit: Visit, form: web::Form<ReviewForm>, request: HttpRequest) -> PageResult {
    match carry_out(&visit, &request, &form).await? {
        Ok(deed) => Ok(visit.see(&after(&visit, &form, deed))),
        Err(stopped) => {
            let page = page(&visit, Some(&stopped)).await?;
            Ok(visit.answer(&page.status(stopped.status())))
        }
    }
}

/// The address behind a decision.
fn after(visit: &Visit, form: &ReviewForm, deed: Deed) -> String {
    let shown = if deed.is_decided() { form.next() } else { form.draft() };
    let shown = shown.map(|id| id.to_string());
    let address = visit.with("draft", shown.as_deref());
    match deed.told() {
        Some(told) => with_pair(&address, "done", &told),
        None => address,
    }
}

/// What the page shows.
struct InboxShown<'a> {
    visit: &'a Visit,
    view: InboxView,
    page: &'a InboxPage,
    rows: Vec<InboxJson<'a>>,
    /// What people have decided lately. It is not told to those who may see some clients only.
    lately: Option<DecidedLately>,
    chosen: Option<Chosen>,
    done: Markup,
}

/// What the panes beside the list show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chosen {
    lead_id: Id,
    draft_id: Option<Id>,
    /// True if the address names it. A phone shows the list until then.
    is_named: bool,
}

async fn page(visit: &Visit, stopped: Option<&Stopped>) -> Result<PageContent, Problem> {
    // 1. The list.
    let parameters = INBOX_PARAMETERS.iter().map(|it| it.name);
    let known: Vec<&str> = parameters.chain(["lead", "draft", "message"]).collect();
    let query = visit.query(&known)?;
    let api = visit.api();
    let asked = api.inbox_query(&query)?;
    let view = asked.view;
    let list = api.inbox(asked).await?;
    let lately = match &visit.viewer.clients {
        None => Some(api.decided_since(visit.now.plus_millis(-LATELY_MS)).await?),
        Some(_) => None,
    };
    // 2. The lead beside it.
    let one_id = |name: &str| query.ids(name).map(|ids| ids.first().copied());
    let chosen = choose(visit, &list, one_id("lead")?, one_id("draft")?).await?;
    let loaded = match chosen {
        Some(it) => {
            let named = [it.draft_id, one_id("message")?];
            Some(LeadLoaded::of(visit, it.lead_id, named, stopped.is_some()).await?)
        }
        None => None,
    };
    // 3. Both.
    let rows: Vec<InboxJson<'_>> = list.entries.iter().map(InboxJson::of).collect();
    let drafts: Vec<Id> = rows.iter().filter_map(|row| Some(row.draft.as_ref()?.id.0)).collect();
    let shown = loaded.as_ref().zip(chosen).map(|(loaded, it)| {
        let next = it.draft_id.map_or(NextDraft(None), |id| NextDraft::behind(id, &drafts));
        LeadShown::of(visit, loaded, stopped, address_of(visit, it), Some(next))
    });
    let done = done_note(visit).await?;
    let inbox = InboxShown { visit, view, page: &list, rows, lately, chosen, done };
    let title = match (view, inbox.rows.len(), &list.next) {
        (InboxView::Drafts, 0, None) => "Inbox · no draft waits".to_owned(),
        (InboxView::Drafts, 1, None) => "Inbox · 1 draft waits".to_owned(),
        (InboxView::Drafts, count, None) => format!("Inbox · {count} drafts wait"),
        _ => "Inbox".to_owned(),
    };
    let topics = match &shown {
        Some(shown) => format!("drafts {}", shown.topic()),
        None => "drafts".to_owned(),
    };
    // What stands first in the list may be another draft soon.
    let first = chosen.filter(|it| !it.is_named).map(|it| list::address_of(visit, it.named()));
    let page = PageContent::new(PagePlace::Inbox, title, body(&inbox, shown.as_ref()));
    Ok(page.app().topics(topics).refresh(REFRESH_SECONDS).again_from(first))
}

/// What is shown beside the list: what the address names, else its first row.
async fn choose(
    visit: &Visit,
    list: &InboxPage,
    lead: Option<Id>,
    draft: Option<Id>,
) -> Result<Option<Chosen>, Problem> {
    if let Some(id) = draft {
        // It may have left the list, because it is decided.
        let draft = visit.api().draft(id).await?.draft;
        if !visit.viewer.sees(&draft.client_id) {
            return Err(Problem::not_found(format!("there is no draft {id}")));
        }
        let lead_id = draft.lead_id;
        return Ok(Some(Chosen { lead_id, draft_id: Some(id), is_named: true }));
    }
    if let Some(lead_id) = lead {
        return Ok(Some(Chosen { lead_id, draft_id: None, is_named: true }));
    }
    Ok(list.entries.first().map(|entry| Chosen {
        lead_id: entry.lead.lead.id,
        draft_id: entry.draft.as_ref().map(|it| it.row.draft.id),
        is_named: false,
    }))
}

impl Chosen {
    /// The parameter that names it, with its value.
    fn named(self) -> (&'static str, Id) {
        match self.draft_id {
            Some(id) => ("draft", id),
            None => ("lead", self.lead_id),
        }
    }
}

/// The address of the inbox with this lead beside it.
fn address_of(visit: &Visit, chosen: Chosen) -> String {
    let (name, id) = chosen.named();
    if chosen.is_named { visit.here() } else { visit.with(name, Some(&id.to_string())) }
}

fn body(inbox: &InboxShown<'_>, shown: Option<&LeadShown<'_>>) -> Markup {
    let is_named = inbox.chosen.is_some_and(|it| it.is_named);
    html! {
        (list::tool(inbox))
        div.panes {
            section.pane.list.at[!is_named] #list aria-label=(list::label(inbox.view)) tabindex="0" {
                (list::rows(inbox))
                (inbox.done)
            }
            @match shown {
                Some(shown) => {
                    section.pane.read.at[is_named] #lead aria-label="Thread" {
                        (lead_head(inbox.visit, shown))
                        div.back tabindex="0" role="region" aria-label="Messages, oldest first" {
                            div data-part={ "thread-" (shown.lead().lead.id.0) } {
                                (lead::thread(shown))
                                (shown.watch())
                            }
                        }
                    }
                    section.pane.at[is_named] aria-label="Draft" tabindex="0" {
                        div.draft data-part={ "pane-" (shown.lead().lead.id.0) } {
                            (lead::pane(shown))
                            details.fold {
                                summary { span { "About " (outside(shown.name())) } }
                                (lead::facts(shown))
                            }
                        }
                    }
                },
                None => {
                    section.pane.read aria-label="Thread" { p.pad.mut { "Here is the thread of the lead that is chosen." } }
                    section.pane aria-label="Draft" {}
                },
            }
        }
    }
}

fn lead_head(visit: &Visit, shown: &LeadShown<'_>) -> Markup {
    let lead = &shown.lead().lead;
    html! {
        header.lead {
            @let named = if visit.given("lead").is_some() { "lead" } else { "draft" };
            a.only href=(visit.with(named, None)) { "Back to the list" }
            div.row {
                h2 { a.q href=(visit.to(&format!("/leads/{}", lead.id.0))) { (outside(shown.name())) } }
            }
            p.mut.sm {
                (lead.client_id)
                @if let Some(company) = lead.company_name { " · " (outside(company)) }
                @if let Some(title) = lead.title { ", " (outside(title)) }
            }
            (lead::presence(visit, lead.id.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_added_to_an_address_with_and_without_a_query() {
        assert_eq!(with_pair("/inbox", "done", "undone.7"), "/inbox?done=undone.7");
        assert_eq!(with_pair("/inbox?a=b", "done", "undone.7"), "/inbox?a=b&done=undone.7");
    }
}
