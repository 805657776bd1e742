//! `/leads/{id}`: a lead, why it is not answered, its thread, and its draft. The inbox shows the
//! same beside its list.

mod decide;
mod draft;
mod ends;
mod facts;
mod thread;
mod why;
mod words;

pub(super) use self::{
    decide::{Deed, ReviewForm, Stopped, carry_out, form_config},
    draft::{gate_text, pane},
    ends::done_note,
    facts::facts,
    thread::thread,
    words::{beginning, many, name_of},
};

use super::{
    PageResult,
    frame::{PageContent, PagePlace},
    parts::{Sign, command, outside},
    visit::Visit,
};
use crate::{
    domain::Id,
    http::{
        api::{LeadDetailJson, LeadRead, parse_id},
        live::{Topic, values::people as people_told},
        problem::Problem,
    },
    store::{DraftRow, DraftView},
};
use actix_web::{
    HttpRequest,
    web::{self, ServiceConfig},
};
use maud::html;

/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;

/// Mounts the page of a lead.
pub(super) fn configure(cfg: &mut ServiceConfig) {
    cfg.service(
        web::resource("/leads/{id}")
            .app_data(form_config())
            .route(web::get().to(show))
            .route(web::post().to(decide)),
    );
}

/// A lead with what is shown of it.
pub(super) struct LeadLoaded {
    read: LeadRead,
    /// The draft that is shown, whole.
    draft: Option<DraftView>,
    /// The text that it had before a person changed it.
    first_text: Option<String>,
    whole: Option<WholeText>,
}

/// A message of which all is shown.
pub(super) struct WholeText {
    id: Id,
    body: String,
}

impl LeadLoaded {
    /// Reads a lead with this draft, or with the one that matters most, and with all of the text of
    /// a message. After a decision that was stopped, a draft that waits matters more than one that
    /// was decided meanwhile.
    pub(super) async fn of(
        visit: &Visit,
        id: Id,
        [draft_id, message_id]: [Option<Id>; 2],
        is_stopped: bool,
    ) -> Result<Self, Problem> {
        let api = visit.api();
        let read = api.lead(id).await?;
        if !visit.viewer.sees(&read.detail.entry.lead.client_id) {
            return Err(Problem::not_found(format!("there is no lead {id}")));
        }
        let drafts = || read.detail.drafts.iter().map(|it| &it.row.draft);
        let may_show = |it: &DraftRow| !is_stopped || it.status == "pending";
        let given = draft_id.filter(|id| drafts().any(|it| it.id == *id && may_show(it)));
        let in_state = |states: &[&str]| drafts().find(|it| states.contains(&it.status.as_str()));
        let chosen = in_state(&["pending"])
            .or_else(|| in_state(&["approved", "sending"]))
            .or_else(|| drafts().next());
        let draft = match given.or_else(|| chosen.map(|it| it.id)) {
            Some(id) => Some(api.draft(id).await?),
            None => None,
        };
        let first_text = match &draft {
            Some(view) if view.draft.edited => api.first_text(id, view.draft.id).await?,
            _ => None,
        };
        let message = match message_id {
            Some(id) => api.message(id).await?.filter(|it| it.lead_id == read.detail.entry.lead.id),
            None => None,
        };
        let whole = message.map(|it| WholeText { id: it.id, body: it.body });
        Ok(Self { read, draft, first_text, whole })
    }
}

/// What is shown of a lead.
pub(super) struct LeadShown<'a> {
    visit: &'a Visit,
    read: &'a LeadRead,
    lead: LeadDetailJson<'a>,
    name: String,
    draft: Option<&'a DraftView>,
    first_text: Option<&'a str>,
    whole: Option<&'a WholeText>,
    /// A decision that was not carried out, with the text that came with it.
    stopped: Option<&'a Stopped>,
    /// The address of this page, which names the lead or the draft.
    address: String,
    /// The draft that is shown once this one is decided. `None` on the page of the lead.
    next: Option<NextDraft>,
}

/// What the inbox shows after a decision: the next draft, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NextDraft(pub(super) Option<Id>);

impl<'a> LeadShown<'a> {
    pub(super) fn of(
        visit: &'a Visit,
        loaded: &'a LeadLoaded,
        stopped: Option<&'a Stopped>,
        address: String,
        next: Option<NextDraft>,
    ) -> Self {
        let lead = loaded.read.json();
        Self {
            visit,
            read: &loaded.read,
            name: name_of(&lead.lead),
            lead,
            draft: loaded.draft.as_ref(),
            first_text: loaded.first_text.as_deref(),
            whole: loaded.whole.as_ref(),
            stopped,
            address,
            next,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn lead(&self) -> &LeadDetailJson<'a> {
        &self.lead
    }

    /// The newest inbound message of the lead that this page shows.
    fn newest_inbound_id(&self) -> Option<Id> {
        let inbound = self.lead.messages.iter().filter(|it| it.direction == "inbound");
        inbound.map(|it| it.id.0).max()
    }

    /// The address of this page with all of the text of a message.
    fn whole_address(&self, message_id: Id) -> String {
        let message = message_id.to_string();
        format!("{}#m{message}", with_pair(&self.address, "message", &message))
    }

    /// The topic under which changes of this lead are told.
    pub(super) fn topic(&self) -> String {
        format!("lead/{}", self.lead.lead.id.0)
    }

    /// Hidden elements that have the page fetched again once there is another draft, or once
    /// somebody has decided.
    fn watch_drafts(&self) -> maud::Markup {
        let newest = self.lead.drafts.first();
        let id = newest.map(|it| it.id.0.to_string()).unwrap_or_default();
        let status = newest.map_or("", |it| it.status);
        html! {
            (super::parts::live(&self.topic(), "draft").whole(id))
            (super::parts::live(&self.topic(), "draft_status").whole(status))
        }
    }

    /// A hidden element that has the page fetched again once the lead has written again.
    pub(super) fn watch(&self) -> maud::Markup {
        let newest = self.read.detail.entry.lead.newest_inbound_id;
        html! {
            @if let Some(newest) = newest {
                (super::parts::live(&self.topic(), "inbound").whole(newest))
            }
        }
    }
}

/// Who else looks at a lead now, on this node. The page is fetched again when that changes.
pub(super) fn presence(visit: &Visit, id: Id) -> maud::Markup {
    let topic = Topic::Lead(id);
    let mut people = visit.state().hub.people_at(topic);
    let others: Vec<String> =
        people.iter().filter(|it| **it != visit.viewer.name).cloned().collect();
    // Once the page is open, its viewer is among them.
    if visit.viewer.session.is_some() {
        people.insert(visit.viewer.name.clone());
    }
    html! {
        div data-part={ "people-" (id) } {
            (super::parts::live(&topic.to_string(), "people").whole(people_told(&people)))
            @if !others.is_empty() {
                p.sm role="status" {
                    (Sign::Dot) " "
                    @for (at, name) in others.iter().enumerate() {
                        @if at > 0 { ", " }
                        b { (outside(name)) }
                    }
                    @if others.len() == 1 { " is here" } @else { " are here" }
                }
            }
        }
    }
}

/// An address of ours with one more pair in its query.
pub(super) fn with_pair(address: &str, name: &str, value: &str) -> String {
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}{name}={value}")
}

/// `GET /leads/{id}`.
async fn show(visit: Visit, path: web::Path<String>) -> PageResult {
    let id = lead_in(&path)?;
    Ok(visit.answer(&page(&visit, id, None).await?))
}

/// `POST /leads/{id}`: decides about a draft.
async fn decide(
    visit: Visit,
    path: web::Path<String>,
    form: web::Form<ReviewForm>,
    request: HttpRequest,
) -> PageResult {
    let id = lead_in(&path)?;
    match carry_out(&visit, &request, &form).await? {
        Ok(deed) => {
            let back = visit.here();
            let address = deed.told().map(|told| with_pair(&back, "done", &told));
            Ok(visit.see(&address.unwrap_or(back)))
        }
        Err(stopped) => {
            let page = page(&visit, id, Some(&stopped)).await?;
            Ok(visit.answer(&page.status(stopped.status())))
        }
    }
}

fn lead_in(path: &str) -> Result<Id, Problem> {
    parse_id(path).ok_or_else(|| Problem::not_found("there is no such lead"))
}

async fn page(visit: &Visit, id: Id, stopped: Option<&Stopped>) -> Result<PageContent, Problem> {
    let query = visit.query(&["draft", "message"])?;
    let one_id = |name: &str| query.ids(name).map(|ids| ids.first().copied());
    let named = [one_id("draft")?, one_id("message")?];
    let loaded = LeadLoaded::of(visit, id, named, stopped.is_some()).await?;
    let explained = visit.api().explain_lead(id).await?;
    let shown = LeadShown::of(visit, &loaded, stopped, visit.here(), None);
    let lead = &shown.lead.lead;
    let done = done_note(visit).await?;
    let body = html! {
        p.crumb { a href=(visit.to("/inbox")) { "Inbox" } span.mut { " / " (lead.client_id) } }
        div.head {
            h1 { (outside(&shown.name)) }
            span.mut { @if let Some(company) = lead.company_name { (outside(company)) } @if let Some(title) = lead.title { " · " (outside(title)) } }
        }
        @if let Some(into) = &lead.merged_into {
            p.say { "This lead is one person with lead " (super::parts::id_link("/leads", into.0)) ", which has its messages." }
        }
        (presence(visit, id))
        (done)
        div.side {
            div {
                div data-part={ "why-" (id) } { (why::why(&shown, &explained)) (shown.watch()) }
                section.sec aria-labelledby="h-thread" data-part={ "thread-" (id) } {
                    div.head {
                        h2 #h-thread { "Thread" }
                        span.sm.mut { (many(shown.lead.messages.len(), "message")) }
                        a.sm href=(visit.to_with("/received", &[("lead", &id.to_string())])) { "In Received" }
                    }
                    (thread(&shown))
                }
            }
            aside aria-label="Draft and facts" {
                div data-part={ "pane-" (id) } { (pane(&shown)) }
                h2.sec { "About " (outside(&shown.name)) }
                (facts(&shown))
                div.mt { (command(&format!("postroom leads explain {id}"))) }
            }
        }
    };
    let title = format!("{} · {}", shown.name, lead.client_id);
    // Another draft may matter more soon.
    let draft = shown.draft.filter(|_| visit.given("draft").is_none());
    let draft = draft.map(|it| visit.with("draft", Some(&it.draft.id.to_string())));
    Ok(PageContent::new(PagePlace::Inbox, title, body)
        .topics(shown.topic())
        .refresh(REFRESH_SECONDS)
        .again_from(draft))
}
