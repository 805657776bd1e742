//! The handlers' handle: it reads what is stored, and cannot write.
//!
//! Conversations are read in groups: those that handlers ask for during a read are read together in
//! the next one. An idle daemon reads each at once; a busy one reads those of many slots with two
//! statements, or with one if nobody needs threads.

use crate::domain::{
    Conversation, Id, InboundMessage, LeadStatus, LeadView, Sentiment, Timestamp,
    conversation::{LINE_CHARS_MAX, Line, TRANSCRIPT_MAX},
    event::Direction,
    sending::reaches_others,
};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{column, flag, group, read},
};
use sea_orm::QueryResult;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

sql! {
    /// Messages with their leads. By primary key.
    static READ_CONVERSATIONS =
        "select m.id, m.channel, m.direction, m.subject, m.body, case when m.has_new_text then 1 else 0 end as has_new_text, \
           case when m.automated then 1 else 0 end as automated, m.sentiment, @ms(m.sent_at) as sent_at, \
           m.reply_handle, \
           l.id as lead_id, l.status as lead_status, l.sentiment as lead_sentiment, l.first_name, l.last_name, l.company_name, l.title, \
           case when l.opted_out_at is null then 0 else 1 end as opted_out, case when l.bounced_at is null then 0 else 1 end as bounced, \
           case when l.sms_dnd then 1 else 0 end as sms_dnd, l.newest_inbound_id \
         from messages m join leads l on l.id = m.lead_id where m.id @ids($1)";

    /// The newest messages of each lead: at most `$2`, with at most `$3` characters of each text.
    /// By `messages_of_lead`.
    static READ_TRANSCRIPTS_POSTGRES =
        "select g.lead_id, t.channel, t.direction, t.subject, t.body, @ms(t.sent_at) as sent_at \
         from @rows($1, lead_id bigint) g cross join lateral (select m.channel, m.direction, \
             substr(m.subject, 1, $3) as subject, substr(m.body, 1, $3) as body, m.sent_at from messages m \
           where m.lead_id = g.lead_id and m.deleted_at is null order by m.lead_id desc, m.id desc limit $2) t";

    /// The same for SQLite, which has no lateral join: it looks up the messages that a subquery
    /// lists for each lead.
    static READ_TRANSCRIPTS_SQLITE =
        "select g.lead_id, m.channel, m.direction, substr(m.subject, 1, $3) as subject, \
           substr(m.body, 1, $3) as body, @ms(m.sent_at) as sent_at \
         from @rows($1, lead_id bigint) g cross join messages m where m.id in (select x.id from messages x \
           where x.lead_id = g.lead_id and x.deleted_at is null order by x.id desc limit $2)";
}

/// The most conversations of one read. The transcript of each may have some 200 kB.
const GROUP_MAX: usize = 64;

/// The answer to a handler: the conversation, or `None` if its message or lead is gone.
type Found = Result<Option<Conversation>, StoreError>;

/// A handler's request, and the channel for its answer.
#[derive(Debug)]
struct ConversationRequest {
    message_id: Id,
    /// True if the messages before it are needed, too.
    with_thread: bool,
    reply: oneshot::Sender<Found>,
}

/// The requests that are not being read yet.
#[derive(Debug, Default)]
pub(super) struct ConversationQueue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the order of arrival.
    asked: VecDeque<ConversationRequest>,
    /// True while a task reads. It goes on until there are no requests.
    is_read: bool,
}

impl ConversationQueue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request. True if no task reads, and the caller must start one.
    fn ask(&self, asked: ConversationRequest) -> bool {
        let mut waiting = self.waiting();
        waiting.asked.push_back(asked);
        !std::mem::replace(&mut waiting.is_read, true)
    }

    /// The next group, without requests whose handler has gone. `None` if there is none; then the
    /// task must end.
    fn next_group(&self) -> Option<Vec<ConversationRequest>> {
        let mut waiting = self.waiting();
        waiting.asked.retain(|asked| !asked.reply.is_closed());
        let count = waiting.asked.len().min(GROUP_MAX);
        waiting.is_read = count > 0;
        (count > 0).then(|| waiting.asked.drain(..count).collect())
    }
}

/// The task that reads until there are no requests. If it is dropped before (a panic, the end of
/// the runtime), all waiting handlers get an error, and the next request starts a new task.
struct Reading {
    db: Database,
    queue: Arc<ConversationQueue>,
    is_over: bool,
}

impl Reading {
    async fn run(mut self) {
        while let Some(group) = self.queue.next_group() {
            // Two handlers may ask for the same message.
            let (mut asked, mut left) = (BTreeMap::new(), HashMap::<Id, usize>::new());
            for it in &group {
                *asked.entry(it.message_id).or_insert(false) |= it.with_thread;
                *left.entry(it.message_id).or_default() += 1;
            }
            let mut found = together(&self.db, asked).await;
            for ConversationRequest { message_id, reply, .. } in group {
                let others = left.get_mut(&message_id).map_or(0, |count| {
                    *count -= 1;
                    *count
                });
                let answer = match others {
                    0 => found.remove(&message_id),
                    _ => found.get(&message_id).cloned(),
                };
                // A handler that was cut off meanwhile takes no answer.
                drop(reply.send(answer.unwrap_or(Ok(None))));
            }
        }
        self.is_over = true;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.is_over {
            *self.queue.waiting() = Waiting::default();
        }
    }
}

/// The handlers' handle. It cannot write.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) db: Database,
    /// The requests of all clones of the handle.
    pub(super) queue: Arc<ConversationQueue>,
}

impl Reader {
    /// A message with its lead and their thread; `None` if the message or the lead is gone.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn conversation(&self, message_id: Id) -> Result<Option<Conversation>, StoreError> {
        self.asked(message_id, true).await
    }

    /// A message with its lead, without their thread: the transcript is empty, unless another
    /// handler asks for it at the same time. `None` if the message or the lead is gone.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn message_and_lead(
        &self,
        message_id: Id,
    ) -> Result<Option<Conversation>, StoreError> {
        self.asked(message_id, false).await
    }

    async fn asked(&self, message_id: Id, with_thread: bool) -> Found {
        let (reply, answer) = oneshot::channel();
        if self.queue.ask(ConversationRequest { message_id, with_thread, reply }) {
            let reading =
                Reading { db: self.db.clone(), queue: self.queue.clone(), is_over: false };
            self.db.spawn_detached(reading.run());
        }
        let lost = |_| Err(StoreError::Unreachable("the store is stopped".to_owned()));
        answer.await.unwrap_or_else(lost)
    }
}

/// Reads these messages in one call; `asked` says of each whether its thread is needed. If that
/// fails although the database is reachable, each is read alone, so that one that cannot be read
/// does not fail the others.
async fn together(db: &Database, asked: BTreeMap<Id, bool>) -> HashMap<Id, Found> {
    let read =
        |asked: BTreeMap<Id, bool>| db.call(|db| async move { conversations(&db, &asked).await });
    match read(asked.clone()).await {
        Ok(found) => found,
        Err(error) if error.is_away() || asked.len() == 1 => {
            asked.into_keys().map(|id| (id, Err(error.clone()))).collect()
        }
        Err(_) => {
            let mut found = HashMap::new();
            for (id, with_thread) in asked {
                match read(BTreeMap::from([(id, with_thread)])).await {
                    Ok(one) => found.extend(one),
                    Err(error) => drop(found.insert(id, Err(error))),
                }
            }
            found
        }
    }
}

/// Messages with their leads, and with their threads where those are asked for, by message id.
/// Messages that are gone are missing.
async fn conversations(
    db: &Database,
    asked: &BTreeMap<Id, bool>,
) -> Result<HashMap<Id, Found>, StoreError> {
    // 1. Read the messages and leads.
    let ids: Vec<Id> = asked.keys().copied().collect();
    let mut found = Vec::with_capacity(ids.len());
    for row in read(db.reader(), &READ_CONVERSATIONS, [group(&ids)?]).await? {
        found.push((message(&row)?, lead(&row)?));
    }
    // 2. Read the threads of the leads. The count says how many of the messages need each.
    let mut leads: BTreeMap<Id, usize> = BTreeMap::new();
    for (message, lead) in &found {
        if asked.get(&message.id) == Some(&true) {
            *leads.entry(lead.id).or_default() += 1;
        }
    }
    let mut transcripts = transcripts(db, leads.keys().copied()).await?;
    // 3. Put them together.
    let conversation = |(message, lead): (InboundMessage, LeadView)| {
        let transcript = match leads.get(&lead.id) {
            Some(1) if asked.get(&message.id) == Some(&true) => transcripts.remove(&lead.id),
            _ => transcripts.get(&lead.id).cloned(),
        };
        let transcript = transcript.unwrap_or_default();
        (message.id, Ok(Some(Conversation { message, lead, transcript })))
    };
    Ok(found.into_iter().map(conversation).collect())
}

/// The newest messages of these leads, oldest first, by lead.
async fn transcripts(
    db: &Database,
    leads: impl ExactSizeIterator<Item = Id>,
) -> Result<HashMap<Id, Vec<Line>>, StoreError> {
    let mut transcripts: HashMap<Id, Vec<Line>> = HashMap::new();
    if leads.len() == 0 {
        return Ok(transcripts);
    }
    let limit = i64::try_from(TRANSCRIPT_MAX).unwrap_or(i64::MAX);
    let values = [column("lead_id", leads)?, limit.into(), i32::from(LINE_CHARS_MAX).into()];
    let text = match db.is_sqlite() {
        true => &READ_TRANSCRIPTS_SQLITE,
        false => &READ_TRANSCRIPTS_POSTGRES,
    };
    for row in read(db.reader(), text, values).await? {
        transcripts.entry(row.try_get("", "lead_id")?).or_default().push(line(&row)?);
    }
    for transcript in transcripts.values_mut() {
        transcript.sort_by_key(|line| line.at);
    }
    Ok(transcripts)
}

fn direction(text: &str) -> Direction {
    if text == "outbound" { Direction::Outbound } else { Direction::Inbound }
}

fn message(row: &QueryResult) -> Result<InboundMessage, StoreError> {
    let sentiment: Option<String> = row.try_get("", "sentiment")?;
    let reply_handle: Option<String> = row.try_get("", "reply_handle")?;
    Ok(InboundMessage {
        id: row.try_get("", "id")?,
        channel: row.try_get("", "channel")?,
        direction: direction(&row.try_get::<String>("", "direction")?),
        subject: row.try_get("", "subject")?,
        body: row.try_get("", "body")?,
        has_new_text: flag(row, "has_new_text")?,
        automated: flag(row, "automated")?,
        sentiment: sentiment.and_then(|word| Sentiment::parse(&word)),
        sent_at: Timestamp::from_millis(row.try_get("", "sent_at")?),
        can_be_answered: reply_handle.is_some(),
        reaches_others: reaches_others(reply_handle.as_deref()),
    })
}

fn lead(row: &QueryResult) -> Result<LeadView, StoreError> {
    let status: String = row.try_get("", "lead_status")?;
    let sentiment: Option<String> = row.try_get("", "lead_sentiment")?;
    let newest_inbound_id: Option<Id> = row.try_get("", "newest_inbound_id")?;
    Ok(LeadView {
        id: row.try_get("", "lead_id")?,
        status: LeadStatus::parse(&status).unwrap_or(LeadStatus::New),
        sentiment: sentiment.and_then(|word| Sentiment::parse(&word)),
        first_name: row.try_get("", "first_name")?,
        last_name: row.try_get("", "last_name")?,
        company_name: row.try_get("", "company_name")?,
        title: row.try_get("", "title")?,
        opted_out: flag(row, "opted_out")?,
        bounced: flag(row, "bounced")?,
        sms_dnd: flag(row, "sms_dnd")?,
        has_inbound: newest_inbound_id.is_some(),
        newest_inbound_id,
    })
}

fn line(row: &QueryResult) -> Result<Line, StoreError> {
    Ok(Line {
        at: Timestamp::from_millis(row.try_get("", "sent_at")?),
        channel: row.try_get("", "channel")?,
        direction: direction(&row.try_get::<String>("", "direction")?),
        subject: row.try_get("", "subject")?,
        body: row.try_get("", "body")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for a message. Returns whether the caller must start the reading task, and the channel
    /// of the answer.
    fn ask(conversations: &ConversationQueue, message_id: Id) -> (bool, oneshot::Receiver<Found>) {
        let (reply, answer) = oneshot::channel();
        (conversations.ask(ConversationRequest { message_id, with_thread: true, reply }), answer)
    }

    fn ids(group: Option<Vec<ConversationRequest>>) -> Vec<Id> {
        group.into_iter().flatten().map(|it| it.message_id).collect()
    }

    #[test]
    fn what_is_asked_for_during_a_read_goes_with_the_next_one() {
        let conversations = ConversationQueue::default();
        let (reads, _first) = ask(&conversations, 1);
        assert!(reads, "nobody else reads");
        assert_eq!(ids(conversations.next_group()), [1]);
        let others: Vec<_> = (2..=100).map(|id| ask(&conversations, id)).collect();
        assert!(others.iter().all(|it| !it.0), "somebody reads already");
        let most = i64::try_from(GROUP_MAX).unwrap();
        assert_eq!(ids(conversations.next_group()), (2..2 + most).collect::<Vec<_>>());
        assert_eq!(ids(conversations.next_group()), (2 + most..=100).collect::<Vec<_>>());
        assert!(conversations.next_group().is_none());
        assert!(ask(&conversations, 101).0, "the last one has stopped reading");
    }

    #[test]
    fn nothing_is_read_for_a_handler_that_was_cut_off() {
        let conversations = ConversationQueue::default();
        let (_, cut_off) = ask(&conversations, 1);
        let (_, _waits) = ask(&conversations, 2);
        drop(cut_off);
        assert_eq!(ids(conversations.next_group()), [2]);
    }
}
