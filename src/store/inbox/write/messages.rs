//! Writes new messages, changes of stored ones, and the deliveries and chats that belong to them.

use crate::{
    domain::{Id, SendNews, sending::DeliveryStatus},
    store::{
        engine::{
            StoreError,
            sql::sql,
            tx::{Tx, group},
        },
        inbox::decide::writes::{EchoedDelivery, MessageChange, Writes},
        tables::{answers::ended_rows, messages},
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// The cause of a failure that a provider reports after it took an answer.
const NOT_ARRIVED: &str = "the provider reported that it did not arrive";

/// True if a message loses its verdict, since it is judged again.
macro_rules! loses_verdict {
    () => {
        "g.judged_again and not exists (select 1 from labelled_examples e \
           where e.lead_id = messages.lead_id and e.message_id = messages.id and e.kind = 'tag')"
    };
}

sql! {
    /// Changes messages. It leaves the original in `raw_text`, `raw_html` and `payload`. A message
    /// that is judged again keeps a tag that a person gave. Their leads are locked. By primary key
    /// and `labelled_examples_of_lead`.
    static CHANGE_MESSAGES = concat!(
        "update messages set body = coalesce(g.body, messages.body), \
           has_new_text = (g.body is not null or messages.has_new_text), \
           edited_at = case when g.body is null then messages.edited_at else @now end, \
           edit_told_at = coalesce(g.edit_told_at, messages.edit_told_at), \
           sentiment = case when ",
        loses_verdict!(),
        " then null else messages.sentiment end, judged_by = case when ",
        loses_verdict!(),
        " then null else messages.judged_by end, \
           handled_at = case when g.judged_again then null else messages.handled_at end, \
           deleted_at = case when g.deleted then coalesce(messages.deleted_at, @now) else messages.deleted_at end, \
           failed_at = case when g.failed then coalesce(messages.failed_at, @now) else messages.failed_at end \
         from @rows($1, id bigint, body text, deleted boolean, failed boolean, judged_again boolean, edit_told_at instant) g \
         where messages.id = g.id"
    );

    /// Ends approved drafts of messages that are judged again: what they answer is not said any
    /// more. None has a call on the wire: that one is `sending`. Their leads are locked. By the
    /// unique key of drafts; `||` keeps PostgreSQL from reading all that are approved.
    static END_EDITED_DRAFTS =
        "update drafts set status = 'superseded', decided_at = @now, decided_by = 'message_edited', send_at = null, blocked_by = null \
         where message_id @ids($1) and status || '' = 'approved' returning channel";

    /// Marks the deliveries of messages that could not be delivered: what a provider reports after
    /// it took an answer wins. Returns them, with their drafts. By `deliveries_of_message`.
    static FAIL_DELIVERIES =
        "update deliveries set status = 'failed', error = $2, settled_at = @now \
         where message_id @ids($1) and status <> 'failed' returning id, channel, status, draft_id";

    /// Opens the drafts of these deliveries again: a person may have them sent once more. Their
    /// leads are locked. By primary key.
    static FAIL_DRAFTS =
        "update drafts set blocked_by = case when status in ('approved', 'sending', 'sent') then 'delivery_failed' else blocked_by end, \
           status = case when status in ('sending', 'sent') then 'approved' else status end where id @ids($1)";

    /// Settles deliveries whose echo came: each is sent, unless the provider has reported a failure
    /// since. Returns them, with their drafts. By primary key.
    static SETTLE_ECHOED =
        "update deliveries set status = case when deliveries.status = 'failed' then 'failed' else 'sent' end, \
           error = case when deliveries.status = 'failed' then deliveries.error end, \
           provider_id = coalesce(g.provider_id, deliveries.provider_id), message_id = g.message_id, \
           settled_at = coalesce(deliveries.settled_at, @now) \
         from @rows($1, id bigint, provider_id text, message_id bigint) g where deliveries.id = g.id \
         returning deliveries.id, deliveries.channel, deliveries.status, deliveries.draft_id";

    /// Ends the drafts of deliveries whose echo came: they are sent. Their leads are locked. By
    /// primary key.
    static END_ECHOED_DRAFTS =
        "update drafts set status = case when status in ('approved', 'sending') then 'sent' else status end where id @ids($1)";

    /// Stores the newest message of each chat. Sorted. By primary key.
    static PUT_CHATS =
        "insert into message_keys (client_id, channel, kind, key, message_id, first_seen) \
         select g.client_id, g.channel, 'chat', g.chat, g.message_id, @now \
         from @rows($1, client_id text, channel text, chat text, message_id bigint) g \
         where true order by g.client_id, g.channel, g.chat \
         on conflict (client_id, channel, kind, key) do update set message_id = excluded.message_id";
}

/// Writes new messages, providers' ids and texts for stored ones, and the changes of both.
pub(super) async fn write_messages(tx: &Tx, writes: &Writes<'_>) -> Result<(), StoreError> {
    messages::put(tx, &writes.messages).await?;
    messages::name(tx, &writes.names).await?;
    messages::fill(tx, &writes.fillings).await?;
    settle_deliveries(tx, &writes.deliveries).await?;
    // Failures come after echoes: the group may have a failure of its own echo.
    change_messages(tx, &writes.changes).await?;
    put_chats(tx, writes).await
}

async fn settle_deliveries(tx: &Tx, echoed: &[EchoedDelivery]) -> Result<(), StoreError> {
    if !echoed.is_empty() {
        let (mut drafts, mut ended): (Vec<Id>, Vec<QueryResult>) = Default::default();
        let settled = echoed.iter().filter(|it| it.is_settled);
        let settled: HashSet<Id> = settled.map(|delivery| delivery.id).collect();
        for row in tx.all(&SETTLE_ECHOED, [group(echoed)?]).await? {
            // One that failed stays failed, and so does its draft.
            if row.try_get::<String>("", "status")? == DeliveryStatus::Sent.as_str() {
                drafts.extend(row.try_get::<Option<Id>>("", "draft_id")?);
                if !settled.contains(&row.try_get("", "id")?) {
                    ended.push(row);
                }
            }
        }
        tx.note(ended_rows(&ended, None)?);
        if !drafts.is_empty() {
            tx.run(&END_ECHOED_DRAFTS, [group(&drafts)?]).await?;
        }
    }
    Ok(())
}

async fn change_messages(tx: &Tx, changes: &BTreeMap<Id, MessageChange>) -> Result<(), StoreError> {
    let changed: Vec<&MessageChange> = changes.values().filter(|it| it.is_any()).collect();
    if !changed.is_empty() {
        tx.run(&CHANGE_MESSAGES, [group(&changed)?]).await?;
    }
    let edited: Vec<Id> =
        changed.iter().filter(|change| change.judged_again).map(|change| change.id).collect();
    if !edited.is_empty() {
        for row in tx.all(&END_EDITED_DRAFTS, [group(&edited)?]).await? {
            let channel = row.try_get("", "channel")?;
            tx.note([SendNews::Draft { channel, status: "superseded" }]);
        }
    }
    let failed: Vec<Id> =
        changed.iter().filter(|change| change.failed).map(|change| change.id).collect();
    if !failed.is_empty() {
        let rows = tx.all(&FAIL_DELIVERIES, [group(&failed)?, NOT_ARRIVED.into()]).await?;
        tx.note(ended_rows(&rows, Some(NOT_ARRIVED))?);
        let mut drafts: Vec<Id> = Vec::new();
        for row in &rows {
            drafts.extend(row.try_get::<Option<Id>>("", "draft_id")?);
        }
        if !drafts.is_empty() {
            tx.run(&FAIL_DRAFTS, [group(&drafts)?]).await?;
        }
    }
    Ok(())
}

async fn put_chats(tx: &Tx, writes: &Writes<'_>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        channel: &'a str,
        chat: &'a str,
        message_id: Id,
    }
    let rows: Vec<Row<'_>> = writes
        .chats
        .iter()
        .map(|(chat, message_id)| Row {
            client_id: chat.client_id,
            channel: chat.channel,
            chat: chat.chat,
            message_id: *message_id,
        })
        .collect();
    if !rows.is_empty() {
        tx.run(&PUT_CHATS, [group(&rows)?]).await?;
    }
    Ok(())
}
