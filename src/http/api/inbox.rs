//! `/inbox`: leads with what waits for a person, and with the message that it is about.

use super::{
    ApiResult, ApiState,
    drafts::DraftJson,
    leads::LeadJson,
    messages::MessageJson,
    objects::{self, List},
    query::{Query, lead_cursor_text},
};
use crate::{
    domain::{LeadStatus, Sentiment},
    http::{
        openapi::{ApiEndpoint, ApiParameter, CHANNEL, CLIENT, CURSOR, LIMIT, Q, Takes, get},
        problem::Problem,
    },
    store::{InboxEntry, LeadCursor, LeadFilter, WaitingFilter, WaitingFor},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The inbox.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/inbox", list)
            .says("Leads with what waits for a person")
            .takes(&INBOX_PARAMETERS)
            .answers::<List<InboxJson<'_>>>(),
    ]
}

/// The parameters of the inbox.
pub(in crate::http) const INBOX_PARAMETERS: [ApiParameter; 8] = [
    ApiParameter::new("view", Takes::Word(|| InboxView::ALL.map(InboxView::as_str).to_vec())),
    CLIENT,
    CHANNEL,
    ApiParameter::new("campaign", Takes::Ids),
    ApiParameter::new("tag", Takes::Words(|| Sentiment::ALL.map(Sentiment::as_str).to_vec())),
    Q,
    LIMIT,
    CURSOR,
];

/// What the inbox lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum InboxView {
    /// Pending drafts that are not put off, oldest first.
    Drafts,
    /// Drafts that are not sent because something blocks them, oldest first.
    Attention,
    /// All leads, those with the newest message first.
    All,
    /// Pending drafts that a person has put off, oldest first.
    Snoozed,
    /// Leads that must not be written to: they have opted out, or mail to them bounced.
    OptedOut,
}

impl InboxView {
    /// All of them, in the order in which they are offered.
    pub(in crate::http) const ALL: [Self; 5] =
        [Self::Drafts, Self::Attention, Self::All, Self::Snoozed, Self::OptedOut];

    /// As the parameter `view` spells it.
    pub(in crate::http) const fn as_str(self) -> &'static str {
        match self {
            Self::Drafts => "drafts",
            Self::Attention => "attention",
            Self::All => "all",
            Self::Snoozed => "snoozed",
            Self::OptedOut => "opted_out",
        }
    }

    /// What its drafts wait for; `None` if it lists leads.
    pub(in crate::http) const fn waiting_for(self) -> Option<WaitingFor> {
        match self {
            Self::Drafts => Some(WaitingFor::Decision),
            Self::Attention => Some(WaitingFor::Help),
            Self::Snoozed => Some(WaitingFor::Time),
            Self::All | Self::OptedOut => None,
        }
    }

    fn of(query: &Query) -> Result<Self, Problem> {
        let known = Self::ALL.map(Self::as_str);
        let given = query.one_of("view", &known)?;
        match given.as_slice() {
            [] => Ok(Self::Drafts),
            [word] => Ok(Self::ALL.into_iter().find(|it| it.as_str() == word).unwrap_or(Self::All)),
            _ => Err(Problem::bad_request("view", "`view` is given twice")),
        }
    }
}

/// A page of the inbox that is asked for.
#[derive(Clone, Debug)]
pub(in crate::http) struct InboxQuery {
    pub(in crate::http) view: InboxView,
    wanted: Wanted,
    limit: usize,
}

#[derive(Clone, Debug)]
enum Wanted {
    Drafts(WaitingFilter, Option<crate::domain::Id>),
    Leads(LeadFilter, Option<LeadCursor>),
}

/// A page of the inbox.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct InboxPage {
    pub(in crate::http) entries: Vec<InboxEntry>,
    /// Where the next page begins.
    pub(in crate::http) next: Option<String>,
}

impl ApiState {
    /// Reads a query of [`INBOX_PARAMETERS`].
    ///
    /// # Errors
    /// 400 that names the parameter at fault.
    pub(in crate::http) fn inbox_query(&self, query: &Query) -> Result<InboxQuery, Problem> {
        let view = InboxView::of(query)?;
        let text = query.text("q")?.map(str::to_owned);
        let client = query.values("client");
        let limit = query.limit()?;
        for name in ["channel", "tag", "campaign"] {
            if view.waiting_for().is_none() && !query.values(name).is_empty() {
                let detail = format!(
                    "`{name}` goes with the views `drafts`, `attention` and `snoozed` only"
                );
                return Err(Problem::bad_request(name, detail));
            }
        }
        if let Some(why) = view.waiting_for() {
            let tags = || Sentiment::ALL.map(Sentiment::as_str).join(", ");
            let tag = query.parsed("tag", Sentiment::parse, tags)?;
            let filter = WaitingFilter {
                why,
                client,
                channel: self.channels_in(query)?,
                tag: tag.into_iter().map(|tag| tag.as_str().to_owned()).collect(),
                campaign: query.ids("campaign")?,
                text,
            };
            let wanted = Wanted::Drafts(filter, query.cursor()?);
            return Ok(InboxQuery { view, wanted, limit });
        }
        let status = match view {
            InboxView::OptedOut => vec![LeadStatus::Blacklisted],
            InboxView::Drafts | InboxView::Attention | InboxView::All | InboxView::Snoozed => {
                Vec::new()
            }
        };
        let wanted = Wanted::Leads(LeadFilter { client, status, text }, query.lead_cursor()?);
        Ok(InboxQuery { view, wanted, limit })
    }

    /// A page of the inbox. If it is searched, it may have fewer rows than asked for, and yet a
    /// next page.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn inbox(&self, asked: InboxQuery) -> Result<InboxPage, Problem> {
        let _permit = self.heavy_reads.permit().await?;
        match asked.wanted {
            Wanted::Drafts(filter, cursor) => {
                let page = self.desk.waiting(filter, asked.limit, cursor).await?;
                let next = page.next.map(|id| id.to_string());
                Ok(InboxPage { entries: page.items, next })
            }
            Wanted::Leads(filter, cursor) => {
                let page = self.desk.inbox_of_leads(filter, asked.limit, cursor).await?;
                Ok(InboxPage { entries: page.items, next: page.next.map(lead_cursor_text) })
            }
        }
    }
}

/// `GET /inbox`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &INBOX_PARAMETERS)?;
    let page = state.inbox(state.inbox_query(&query)?).await?;
    objects::page(page.entries.iter().map(InboxJson::of).collect(), page.next)
}

/// A row of the inbox.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct InboxJson<'a> {
    pub(in crate::http) lead: LeadJson<'a>,
    /// The draft that waits; `null` in the other views.
    pub(in crate::http) draft: Option<DraftJson<'a>>,
    /// The message that the draft answers; without a draft, the lead's newest inbound message.
    pub(in crate::http) message: Option<MessageJson<'a>>,
}

impl<'a> InboxJson<'a> {
    pub(in crate::http) fn of(entry: &'a InboxEntry) -> Self {
        Self {
            lead: LeadJson::of(&entry.lead),
            draft: entry.draft.as_ref().map(DraftJson::of),
            message: entry.message.as_ref().map(MessageJson::of),
        }
    }
}
