//! Labelled examples: what people decided otherwise than Postroom. A row is written with the
//! decision, and is kept as long as its message.

use super::{Page, jobs::count};
use crate::domain::{Id, Sentiment, conversation::LINE_CHARS_MAX};
use crate::store::engine::{
    Database, StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{Tx, column, read},
};
use sea_orm::FromQueryResult;

pub use entity::labelled_examples::Model as ExampleRow;

/// All columns.
macro_rules! example {
    () => {
        "select e.id, e.client_id, e.lead_id, e.message_id, e.draft_id, e.channel, e.kind, e.subject, e.body, e.tag, e.opt_out, \
           e.was, e.became, e.reason, e.decided_by, e.created_at from "
    };
}

sql! {
    /// Adds an example with the beginnings of the texts of its message. By primary key.
    static PUT_EXAMPLE =
        "insert into labelled_examples (id, client_id, lead_id, message_id, draft_id, channel, kind, subject, body, tag, opt_out, \
           was, became, reason, decided_by, created_at) \
         select $1, m.client_id, m.lead_id, m.id, $2, m.channel, $3, substr(m.subject, 1, $10), substr(m.body, 1, $10), \
           coalesce($4, m.sentiment), $5, $6, $7, $8, $9, @now from messages m where m.id = $11";

    /// Examples, newest first. By primary key.
    static LIST_EXAMPLES =
        concat!(example!(), "labelled_examples e where e.id < $1 order by e.id desc limit $2");

    /// Those of a lead, newest first. By `labelled_examples_of_lead`: the sum keeps planners from
    /// walking the primary key.
    static LIST_EXAMPLES_OF_LEAD = concat!(
        example!(),
        "labelled_examples e where e.lead_id = $1 and e.id < $2 order by e.id + 0 desc limit $3"
    );

    /// The same for some clients, a page of each. By `labelled_examples_listed`,
    /// which is over `id + 0`.
    static LIST_EXAMPLES_BY = concat!(
        example!(),
        "@rows($3, client_id text) g join labelled_examples e on e.id @each( \
           select x.id from labelled_examples x where x.client_id = g.client_id and x.id + 0 < $1 order by x.id + 0 desc limit $2) \
         order by e.id desc limit $2"
    );
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
    let values = [lead.into(), cursor.unwrap_or(Id::MAX).into(), count(limit + 1)];
    let rows = read(reader, &LIST_EXAMPLES_OF_LEAD, values).await?;
    let rows: Vec<ExampleRow> =
        rows.iter().map(|row| ExampleRow::from_query_result(row, "")).collect::<Result<_, _>>()?;
    Ok(Page::cut(rows, limit, |row| row.id))
}

/// A page of examples of these clients; of all if there are none.
pub(super) async fn list(
    reader: &Sessions,
    clients: &[String],
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<ExampleRow>, StoreError> {
    let (before, most) = (cursor.unwrap_or(Id::MAX).into(), count(limit + 1));
    let rows = match clients {
        [] => read(reader, &LIST_EXAMPLES, [before, most]).await?,
        some => {
            let clients = column("client_id", some.iter().map(String::as_str))?;
            read(reader, &LIST_EXAMPLES_BY, [before, most, clients]).await?
        }
    };
    let items = rows.iter().map(|row| Ok(ExampleRow::from_query_result(row, "")?));
    let items = items.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Page::cut(items, limit, |it| it.id))
}
