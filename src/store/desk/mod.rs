//! The handle of the admin API: it reads lists, and retries or cancels jobs by hand.
//!
//! Its reads have connections of their own, so that no page waits for a flood of webhooks, and no
//! webhook or job waits for a slow page. Its statements end after 2 s, with [`StoreError::Busy`].

mod audit;
mod backlog;
pub(in crate::store) mod by_hand;
mod client_numbers;
mod database_state;
mod decided;
mod decisions;
mod deliveries;
mod erase;
mod examples;
mod explain;
mod failures;
mod found_by;
mod job_traces;
mod job_views;
pub(in crate::store) mod jobs;
mod ledger_check;
mod marks;
mod model_calls;
mod opt_outs;
mod overview;
mod people;
mod portions;
pub(in crate::store) mod quarantine;
mod received;
mod search;
mod sought;
mod values;
mod waiting;
mod written;

pub use self::{
    audit::{AuditFilter, AuditRow},
    backlog::Backlog,
    by_hand::{JobAction, JobActionError},
    client_numbers::{COUNTED_MAX, ClientNumbers},
    database_state::DatabaseState,
    decided::{DECISIONS_MAX, DecisionOfPerson},
    decisions::{DecisionError, DraftDecision, Rewriting, SeenDraft},
    deliveries::{DeliveryFilter, DeliveryRow},
    erase::Erased,
    examples::ExampleRow,
    explain::{JobCase, LeadCase, StoredNode},
    failures::{ErrorGroup, ErrorGroups},
    job_views::{FailedAttempt, JobDetail, JobView},
    jobs::JobFilter,
    ledger_check::LedgerBalance,
    marks::LeadMark,
    model_calls::{ModelCallFilter, ModelCallRow},
    opt_outs::{Lifting, OptOutRow},
    overview::{Totals, TroubledAccount},
    people::{IdentityRow, LeadCursor, LeadDetail, LeadEntry, LeadFilter, LeadName, LeadRow},
    quarantine::{ListedQuarantine, QuarantineFilter, QuarantineRow},
    received::{BODIES_SEARCHED, ReceivedFilter, ReceivedMessage, ReceivedRow, ReceivedTables},
    search::SearchHit,
    waiting::{InboxEntry, WaitingFilter},
    written::{
        DRAFT_STATUSES, DraftFilter, DraftRow, DraftView, Excerpt, ListedMessage, MessageFilter,
        MessageRow, WaitingFor,
    },
};

use crate::domain::{Id, JobStatus, Medium, Sentiment, trace::JobTrace};
use crate::store::{
    audit::AuditEntry,
    engine::{Database, StoreError},
    fleet::{
        nodes::{self, Node},
        notices::Notices,
    },
};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C = Id> {
    /// The items of the page.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// A page of at most `limit` of `items`. The caller reads one item more than `limit`: if there
    /// is one, there is a next page.
    pub(in crate::store) fn cut(
        mut items: Vec<T>,
        limit: usize,
        cursor_of: impl FnOnce(&T) -> C,
    ) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = if has_more { items.last().map(cursor_of) } else { None };
        Self { items, next }
    }
}

/// The handle of the admin API.
#[derive(Clone, Debug)]
pub struct Desk {
    pub(super) db: Database,
    pub(super) notices: Notices,
}

impl Desk {
    /// The id of this process in the database.
    pub fn node(&self) -> Id {
        self.db.node()
    }

    /// `sqlite` or `postgres`.
    pub fn database(&self) -> &'static str {
        self.db.kind()
    }

    /// Jobs before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn jobs(
        &self,
        filter: JobFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<JobView>, StoreError> {
        self.db.call(|db| async move { jobs::page(db.api(), &filter, limit, cursor).await }).await
    }

    /// A job with its failed attempts.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn job(&self, id: Id) -> Result<Option<JobDetail>, StoreError> {
        self.db.call(|db| async move { jobs::detail(db.api(), id).await }).await
    }

    /// These jobs, newest first. Those that are not there are left out.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn jobs_with(&self, ids: Vec<Id>) -> Result<Vec<JobView>, StoreError> {
        self.db.call(|db| async move { jobs::views(db.api(), &ids).await }).await
    }

    /// Where these leads stand, in any order. Those that are not there are left out.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn lead_marks(&self, ids: Vec<Id>) -> Result<Vec<LeadMark>, StoreError> {
        self.db.call(|db| async move { marks::leads(db.api(), &ids).await }).await
    }

    /// The stored facts from which it follows why a job does not run, read at one instant. `None`
    /// if there is no such job.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn job_case(&self, id: Id) -> Result<Option<JobCase>, StoreError> {
        self.db.call(|db| async move { explain::job(db.api(), id).await }).await
    }

    /// The stored facts from which it follows why a lead is not answered, read at one instant.
    /// `None` if there is no such lead.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn lead_case(&self, id: Id) -> Result<Option<LeadCase>, StoreError> {
        self.db.call(|db| async move { explain::lead(db.api(), db.channels(), id).await }).await
    }

    /// Why the last write of this process to the database failed, while that counts.
    pub fn write_error(&self) -> Option<StoreError> {
        self.db.connections().last_failed_write.error()
    }

    /// Gives a failed or cancelled job one more attempt. `trace` is the span in which a person asks
    /// for it, if that is recorded.
    ///
    /// # Errors
    /// If there is no such job, if it has not failed or been cancelled, or if the database is
    /// unreachable.
    pub async fn retry(&self, id: Id, trace: Option<JobTrace>) -> Result<JobView, JobActionError> {
        let retried =
            self.db.call(move |db| async move { by_hand::retry(&db, id, trace).await }).await?;
        self.notices.announce();
        retried
    }

    /// Cancels a job that is pending or running. The result of its run is then refused.
    ///
    /// # Errors
    /// If there is no such job, if it has ended, or if the database is unreachable.
    pub async fn cancel(&self, id: Id) -> Result<JobView, JobActionError> {
        self.db.call(|db| async move { by_hand::cancel(&db, id).await }).await?
    }

    /// Leads, ordered by their newest message, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn leads(
        &self,
        filter: LeadFilter,
        limit: usize,
        cursor: Option<LeadCursor>,
    ) -> Result<Page<LeadEntry, LeadCursor>, StoreError> {
        self.db
            .call(|db| async move { people::leads(db.api(), &filter, limit, cursor).await })
            .await
    }

    /// A lead with its thread.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn lead(&self, id: Id) -> Result<Option<LeadDetail>, StoreError> {
        self.db.call(|db| async move { people::lead(db.api(), id).await }).await
    }

    /// What these leads are called.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn lead_names(&self, ids: Vec<Id>) -> Result<Vec<LeadName>, StoreError> {
        self.db.call(|db| async move { people::names(db.api(), &ids).await }).await
    }

    /// These drafts, newest first, with only the beginnings of long texts.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn drafts_of_ids(&self, ids: Vec<Id>) -> Result<Vec<Excerpt<DraftView>>, StoreError> {
        self.db.call(|db| async move { written::drafts_of_ids(db.api(), &ids).await }).await
    }

    /// The leads that were merged into a lead.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn merged_leads(&self, id: Id) -> Result<Vec<LeadEntry>, StoreError> {
        self.db.call(|db| async move { people::merged(db.api(), id).await }).await
    }

    /// The quarantined items of a client that name one of these identities, given as kind and
    /// value. It reads the bodies of all items of the client. Newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn quarantined_about(
        &self,
        client: String,
        identities: Vec<(String, String)>,
    ) -> Result<Vec<Id>, StoreError> {
        self.db
            .call(|db| async move {
                let sought = identities.iter().map(|it| (it.0.as_str(), it.1.as_str()));
                sought::find(db.api(), &client, sought).await
            })
            .await
    }

    /// The opt-outs of a lead, oldest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn opt_outs(&self, id: Id) -> Result<Vec<OptOutRow>, StoreError> {
        self.db.call(|db| async move { opt_outs::of_lead(db.api(), id).await }).await
    }

    /// Opts a lead out by hand. `entry` becomes its row of the audit log.
    ///
    /// # Errors
    /// If there is no such lead, if the same is noted already, or if the database is unreachable.
    pub async fn opt_out(&self, id: Id, entry: AuditEntry) -> Result<(), DecisionError> {
        self.db.call(|db| async move { opt_outs::opt_out(&db, id, &entry).await }).await?
    }

    /// Lifts the opt-outs of a lead. `entry` becomes its row of the audit log.
    ///
    /// # Errors
    /// If there is no such lead, if it has not opted out, if it has another opt-out than those that
    /// are to be lifted, or if the database is unreachable.
    pub async fn lift_opt_out(
        &self,
        id: Id,
        lifting: Lifting,
        entry: AuditEntry,
    ) -> Result<(), DecisionError> {
        self.db.call(|db| async move { opt_outs::lift(&db, id, &lifting, &entry).await }).await?
    }

    /// Erases all that is stored about a lead. Its identities stay suppressed, as keyed hashes, if
    /// it has opted out or if `is_suppressed`. `entry` becomes its row of the audit log. If it ends
    /// early, it can be done again.
    ///
    /// # Errors
    /// If there is no such lead, if a delivery of it is on the wire, or if the database is
    /// unreachable.
    pub async fn erase(
        &self,
        id: Id,
        is_suppressed: bool,
        entry: AuditEntry,
    ) -> Result<Erased, DecisionError> {
        self.db.call(|db| async move { erase::erase(&db, id, is_suppressed, &entry).await }).await?
    }

    /// Messages before `cursor`, newest first, with only the beginnings of long texts.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn messages(
        &self,
        filter: MessageFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<Excerpt<ListedMessage>>, StoreError> {
        self.db
            .call(|db| async move { written::messages(db.api(), &filter, limit, cursor).await })
            .await
    }

    /// A message with its body as received.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn message(&self, id: Id) -> Result<Option<MessageRow>, StoreError> {
        self.db.call(|db| async move { written::message(db.api(), id).await }).await
    }

    /// Drafts before `cursor`, newest first, with only the beginnings of long texts.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn drafts(
        &self,
        filter: DraftFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<Excerpt<DraftView>>, StoreError> {
        self.db
            .call(|db| async move { written::drafts(db.api(), &filter, limit, cursor).await })
            .await
    }

    /// Drafts that wait after `cursor`, oldest first, with their leads and the messages that they
    /// answer.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn waiting(
        &self,
        filter: WaitingFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<InboxEntry>, StoreError> {
        self.db
            .call(|db| async move { waiting::drafts(db.api(), &filter, limit, cursor).await })
            .await
    }

    /// Leads, ordered by their newest message, newest first, with their newest inbound message.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn inbox_of_leads(
        &self,
        filter: LeadFilter,
        limit: usize,
        cursor: Option<LeadCursor>,
    ) -> Result<Page<InboxEntry, LeadCursor>, StoreError> {
        self.db
            .call(|db| async move { waiting::leads(db.api(), &filter, limit, cursor).await })
            .await
    }

    /// A draft with its whole text.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn draft(&self, id: Id) -> Result<Option<DraftView>, StoreError> {
        self.db.call(|db| async move { written::draft(db.api(), id).await }).await
    }

    /// Carries a person's decision about a draft out, and returns the draft. `entry` says who
    /// decides, and becomes a row of the audit log.
    ///
    /// # Errors
    /// If there is no such draft, if it is not as `seen` any more, if its state or a value does not
    /// allow it, or if the database is unreachable.
    pub async fn decide(
        &self,
        id: Id,
        decision: DraftDecision,
        seen: SeenDraft,
        entry: AuditEntry,
    ) -> Result<DraftView, DecisionError> {
        let decided = self
            .db
            .call(|db| async move { decisions::decide(&db, id, &decision, &seen, &entry).await });
        decided.await??;
        self.notices.announce();
        self.draft(id).await?.ok_or(DecisionError::NotFound { what: "draft", id })
    }

    /// Settles a delivery of which nobody knows the end, and returns it. `entry` says who decides,
    /// and becomes a row of the audit log.
    ///
    /// # Errors
    /// If there is no such delivery, if it is not uncertain, or if the database is unreachable.
    pub async fn resolve(
        &self,
        id: Id,
        is_sent: bool,
        entry: AuditEntry,
    ) -> Result<DeliveryRow, DecisionError> {
        let resolved =
            self.db.call(|db| async move { decisions::resolve(&db, id, is_sent, &entry).await });
        resolved.await??;
        self.delivery(id).await?.ok_or(DecisionError::NotFound { what: "delivery", id })
    }

    /// Gives a message another tag, and returns the message. With `opts_out`, its lead has opted
    /// out in it: a person has read that. `entry` says who decides and why, and becomes a row of
    /// the audit log.
    ///
    /// # Errors
    /// If there is no such message, if no lead wrote it, or if the database is unreachable.
    pub async fn retag(
        &self,
        id: Id,
        tag: Sentiment,
        opts_out: bool,
        entry: AuditEntry,
    ) -> Result<MessageRow, DecisionError> {
        self.db
            .call(move |db| async move { decisions::retag(&db, id, tag, opts_out, &entry).await })
            .await??;
        self.message(id).await?.ok_or(DecisionError::NotFound { what: "message", id })
    }

    /// Labelled examples of a lead before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn examples_of_lead(
        &self,
        lead: Id,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ExampleRow>, StoreError> {
        self.db
            .call(|db| async move { examples::of_lead(db.api(), lead, limit, cursor).await })
            .await
    }

    /// Labelled examples of these clients before `cursor`, newest first; of all clients if none is
    /// named.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn examples(
        &self,
        clients: Vec<String>,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ExampleRow>, StoreError> {
        self.db
            .call(|db| async move { examples::list(db.api(), &clients, limit, cursor).await })
            .await
    }

    /// The medium of a channel as stored; `None` if this daemon does not have that channel.
    pub fn medium_of(&self, channel: &str) -> Option<Medium> {
        self.db.channels().medium_of(channel)
    }

    /// Deliveries before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn deliveries(
        &self,
        filter: DeliveryFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<DeliveryRow>, StoreError> {
        self.db
            .call(|db| async move { deliveries::list(db.api(), &filter, limit, cursor).await })
            .await
    }

    /// A delivery.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn delivery(&self, id: Id) -> Result<Option<DeliveryRow>, StoreError> {
        self.db.call(|db| async move { deliveries::one(db.api(), id).await }).await
    }

    /// Webhooks in quarantine before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn quarantine(
        &self,
        filter: QuarantineFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ListedQuarantine>, StoreError> {
        self.db
            .call(|db| async move { quarantine::list(db.api(), filter, limit, cursor).await })
            .await
    }

    /// One webhook in quarantine.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn quarantine_item(&self, id: Id) -> Result<Option<QuarantineRow>, StoreError> {
        self.db.call(|db| async move { quarantine::one(db.api(), id).await }).await
    }

    /// Notes that an item was `replayed` or `discarded`. False if it was not held any more.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn settle_quarantine(
        &self,
        id: Id,
        status: &'static str,
    ) -> Result<bool, StoreError> {
        self.db.call(|db| async move { quarantine::settle(&db, id, status).await }).await
    }

    /// Rows of the audit log before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn audit(
        &self,
        filter: AuditFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<AuditRow>, StoreError> {
        self.db.call(|db| async move { audit::page(db.api(), &filter, limit, cursor).await }).await
    }

    /// Calls of models before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn model_calls(
        &self,
        filter: ModelCallFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ModelCallRow>, StoreError> {
        self.db
            .call(|db| async move { model_calls::page(db.api(), &filter, limit, cursor).await })
            .await
    }

    /// All nodes with a row.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.db.call(|db| async move { nodes::read_all(&db, db.api()).await }).await
    }

    /// The counts of the overview. It reads the queue's small tables as a whole, portion by
    /// portion: call it at most every few seconds.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        self.db
            .call(|db| async move {
                let api = db.api();
                overview::totals(&db, api, nodes::read_all(&db, api).await?).await
            })
            .await
    }
}

/// The statuses of jobs that have not ended.
const UNFINISHED: [JobStatus; 2] = [JobStatus::Pending, JobStatus::Running];
/// The statuses of jobs that can be retried.
const UNSUCCESSFUL: [JobStatus; 2] = [JobStatus::Failed, JobStatus::Cancelled];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one_only_where_there_is_more() {
        let cut = |items: Vec<i64>| Page::cut(items, 2, |item| *item);
        assert_eq!(cut(vec![3, 2, 1]), Page { items: vec![3, 2], next: Some(2) });
        assert_eq!(cut(vec![3, 2]), Page { items: vec![3, 2], next: None });
        assert_eq!(cut(vec![]), Page { items: vec![], next: None });
    }
}
