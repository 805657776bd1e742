//! For the admin API: what is stored, as pages of it, and what a person does to jobs by hand.
//!
//! Reads go over connections of their own, so that no page waits behind a flood of webhooks, and no webhook or
//! job behind a slow page. A statement of theirs ends after 2 s, as [`StoreError::Busy`].

mod by_hand;
mod job_views;
mod jobs;
mod overview;
mod people;
mod portions;
mod quarantine;
mod values;
mod written;

pub use self::{
    by_hand::{ByKind, JobActionError},
    job_views::{FailedAttempt, JobDetail, JobView},
    jobs::JobFilter,
    overview::{Backlog, Totals},
    people::{IdentityRow, LeadCursor, LeadDetail, LeadEntry, LeadFilter, LeadRow},
    quarantine::{ListedQuarantine, QuarantineFilter, QuarantineRow},
    written::{DraftRow, Excerpt, ListedMessage, MessageFilter, MessageRow},
};

use crate::domain::{Id, JobStatus};
use crate::store::{
    engine::{Database, StoreError},
    fleet::{nodes, notices::Notices},
};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C = Id> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; `None` on the last.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// A page of at most `limit` of `items`, which may be one more to tell that there is a next page.
    fn cut(mut items: Vec<T>, limit: usize, cursor_of: impl FnOnce(&T) -> C) -> Self {
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
    /// This process, as the database knows it.
    pub fn node(&self) -> Id {
        self.db.node()
    }

    /// `sqlite` or `postgres`.
    pub fn database(&self) -> &'static str {
        self.db.kind()
    }

    /// Jobs, newest first, those before `cursor`.
    ///
    /// # Errors
    /// When the database is away.
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
    /// When the database is away.
    pub async fn job(&self, id: Id) -> Result<Option<JobDetail>, StoreError> {
        self.db.call(|db| async move { jobs::detail(db.api(), id).await }).await
    }

    /// Gives a failed or cancelled job one more attempt.
    ///
    /// # Errors
    /// When there is no such job, when it has not failed or been cancelled, when the database is away.
    pub async fn retry(&self, id: Id) -> Result<JobView, JobActionError> {
        let retried = self.db.call(|db| async move { by_hand::retry(&db, id).await }).await?;
        self.notices.announce();
        retried
    }

    /// Ends a job that is pending or running; the result of its run is then refused.
    ///
    /// # Errors
    /// When there is no such job, when it has ended, when the database is away.
    pub async fn cancel(&self, id: Id) -> Result<JobView, JobActionError> {
        self.db.call(|db| async move { by_hand::cancel(&db, id).await }).await?
    }

    /// Retries all jobs that have failed or been cancelled and match; says how many there were of each kind. It is done
    /// in groups, and goes on when the caller is dropped.
    ///
    /// # Errors
    /// When the database is away; what was done before that stays done.
    pub async fn retry_many(&self, filter: JobFilter) -> Result<ByKind, StoreError> {
        let count = by_hand::retry_many(&self.db, filter).await?;
        self.notices.announce();
        Ok(count)
    }

    /// Cancels all jobs that have not ended and match; says how many there were of each kind. It is done in groups, and
    /// goes on when the caller is dropped.
    ///
    /// # Errors
    /// When the database is away; what was done before that stays done.
    pub async fn cancel_many(&self, filter: JobFilter) -> Result<ByKind, StoreError> {
        by_hand::cancel_many(&self.db, filter).await
    }

    /// Leads, by their newest message, newest first.
    ///
    /// # Errors
    /// When the database is away.
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
    /// When the database is away.
    pub async fn lead(&self, id: Id) -> Result<Option<LeadDetail>, StoreError> {
        self.db.call(|db| async move { people::lead(db.api(), id).await }).await
    }

    /// Messages, newest first, those before `cursor`, with the beginnings of long texts.
    ///
    /// # Errors
    /// When the database is away.
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

    /// A message with what was received.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn message(&self, id: Id) -> Result<Option<MessageRow>, StoreError> {
        self.db.call(|db| async move { written::message(db.api(), id).await }).await
    }

    /// Drafts with one of these statuses (none is all), newest first, those before `cursor`, with the beginnings of
    /// long texts.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn drafts(
        &self,
        status: Vec<String>,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<Excerpt<DraftRow>>, StoreError> {
        self.db
            .call(|db| async move { written::drafts(db.api(), status, limit, cursor).await })
            .await
    }

    /// A draft with all of its text.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn draft(&self, id: Id) -> Result<Option<DraftRow>, StoreError> {
        self.db.call(|db| async move { written::draft(db.api(), id).await }).await
    }

    /// Webhooks that were not understood, newest first, those before `cursor`.
    ///
    /// # Errors
    /// When the database is away.
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

    /// One of them.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn quarantine_item(&self, id: Id) -> Result<Option<QuarantineRow>, StoreError> {
        self.db.call(|db| async move { quarantine::one(db.api(), id).await }).await
    }

    /// Notes that one was `replayed` or `discarded`; false where it was not held any more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn settle_quarantine(
        &self,
        id: Id,
        status: &'static str,
    ) -> Result<bool, StoreError> {
        self.db.call(|db| async move { quarantine::settle(&db, id, status).await }).await
    }

    /// Counts. Reads the queue's small tables whole, so ask for it at most every few seconds.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        self.db
            .call(|db| async move {
                let api = db.api();
                overview::totals(api, nodes::read_all(api).await?).await
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
        let cut = |items: Vec<i64>| Page::cut(items, 2, |it| *it);
        assert_eq!(cut(vec![3, 2, 1]), Page { items: vec![3, 2], next: Some(2) });
        assert_eq!(cut(vec![3, 2]), Page { items: vec![3, 2], next: None });
        assert_eq!(cut(vec![]), Page { items: vec![], next: None });
    }
}
