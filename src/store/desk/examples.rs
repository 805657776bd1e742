//! Labelled examples: what people decided otherwise than Postroom. A row is written with the
//! decision, and is kept as long as its message.

use super::{
    Page,
    found_by::{FoundBy, NewestBy, given, newest_by},
};
use crate::domain::{Id, Sentiment, conversation::LINE_CHARS_MAX};
use crate::store::engine::{Database, StoreError, sessions::Sessions, sql::sql, tx::Tx};

pub use entity::labelled_examples::Model as ExampleRow;

/// The columns of an [`ExampleRow`] `r`.
macro_rules! example_columns {
    () => {
        "r.id, r.client_id, r.lead_id, r.message_id, r.draft_id, r.channel, r.kind, r.subject, r.body, r.tag, r.opt_out, \
         r.automated, r.was, r.became, r.reason, r.decided_by, r.created_at"
    };
}

sql! {
    /// Adds an example with the beginnings of the texts of its message. By primary key.
    static PUT_EXAMPLE =
        "insert into labelled_examples (id, client_id, lead_id, message_id, draft_id, channel, kind, subject, body, tag, opt_out, \
           automated, was, became, reason, decided_by, created_at) \
         select $1, m.client_id, m.lead_id, m.id, $2, m.channel, $3, substr(m.subject, 1, $10), substr(m.body, 1, $10), \
           coalesce($4, m.sentiment), $5, m.automated, $6, $7, $8, $9, @now from messages m where m.id = $11";

    /// Examples, newest first. By primary key.
    static LIST_EXAMPLES = newest_by!(example_columns, "labelled_examples");

    /// Those of a lead. By `labelled_examples_of_lead`.
    static LIST_EXAMPLES_OF_LEAD =
        newest_by!(example_columns, "labelled_examples", "lead_id", "bigint");

    /// Those of some clients. By `labelled_examples_of_client`.
    static LIST_EXAMPLES_BY =
        newest_by!(example_columns, "labelled_examples", "client_id", "text");
}

/// What a person decided otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExampleKind {
    /// A message got another tag.
    Tag,
    /// The text of a draft was changed.
    Edited,
    /// A draft was rejected.
    Rejected,
}

impl ExampleKind {
    /// As stored and shown.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Edited => "edited",
            Self::Rejected => "rejected",
        }
    }
}

/// An example to add.
pub(super) struct LabelPut<'a> {
    pub(super) kind: ExampleKind,
    pub(super) message_id: Id,
    pub(super) draft_id: Option<Id>,
    /// The tag, or the text of the draft, before.
    pub(super) was: Option<&'a str>,
    /// The same after.
    pub(super) became: Option<&'a str>,
    /// The tag of the message; `None` if it keeps the one that it has.
    pub(super) tag: Option<Sentiment>,
    /// True if the lead opted out in the message.
    pub(super) is_opt_out: bool,
    pub(super) reason: Option<&'a str>,
    /// The person.
    pub(super) by: &'a str,
}

impl LabelPut<'_> {
    /// Adds it. The lead of the message is locked.
    pub(super) async fn put(&self, db: &Database, tx: &Tx) -> Result<(), StoreError> {
        let values = [
            db.next_id().into(),
            self.draft_id.into(),
            self.kind.as_str().into(),
            self.tag.map(Sentiment::as_str).into(),
            self.is_opt_out.into(),
            self.was.into(),
            self.became.into(),
            self.reason.into(),
            self.by.into(),
            i32::from(LINE_CHARS_MAX).into(),
            self.message_id.into(),
        ];
        tx.run(&PUT_EXAMPLE, values).await?;
        Ok(())
    }
}

/// A page of examples of a lead.
pub(super) async fn of_lead(
    reader: &Sessions,
    lead: Id,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<ExampleRow>, StoreError> {
    search(given(&LIST_EXAMPLES_OF_LEAD, &[lead])?).page(reader, limit, cursor, |_| true).await
}

/// A page of examples of these clients; of all if there are none.
pub(super) async fn list(
    reader: &Sessions,
    clients: &[String],
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<ExampleRow>, StoreError> {
    search(given(&LIST_EXAMPLES_BY, clients)?).page(reader, limit, cursor, |_| true).await
}

const fn search(by: Option<FoundBy>) -> NewestBy<ExampleRow> {
    NewestBy {
        all: &LIST_EXAMPLES,
        by,
        is_sought: false,
        since: None,
        until: None,
        id_of: |row| row.id,
    }
}
