//! What happens to messages after they were stored: they are edited, deleted, or did not arrive
//! (docs/RULES.md LINKEDIN).

use super::{
    Answer, Group, Inbound, Work,
    apply::opt_out,
    echoes::Echo,
    keys::{First, READ_KEYS, resolve},
};
use crate::{
    domain::{Event, Id, Signal, Timestamp, event::Direction},
    store::{StoreError, leads::Leads, sql::Sql, tx::group},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Messages as changes find them. By primary key.
pub(in crate::store) static READ_CHANGEABLE: Sql = Sql::new(
    "select id, lead_id, direction, body, case when deleted_at is null then 0 else 1 end as is_deleted, \
       case when failed_at is null then 0 else 1 end as has_failed, @ms(edit_told_at) as edit_told_at from messages where id @ids($1)",
);

/// By primary key. What came stays beside the new text.
pub(in crate::store) static CHANGE_MESSAGES: Sql = Sql::new(
    "update messages set body = coalesce(g.body, messages.body), \
       has_new_text = (g.body is not null or messages.has_new_text), \
       edited_at = case when g.body is null then messages.edited_at else @now end, \
       edit_told_at = coalesce(g.edit_told_at, messages.edit_told_at), \
       deleted_at = case when g.deleted then coalesce(messages.deleted_at, @now) else messages.deleted_at end, \
       failed_at = case when g.failed then coalesce(messages.failed_at, @now) else messages.failed_at end \
     from @rows($1, id bigint, body text, deleted boolean, failed boolean, edit_told_at instant) g \
     where messages.id = g.id",
);

/// What was sent and did not arrive. By `deliveries_of_message`.
pub(in crate::store) static FAIL_DELIVERIES: Sql = Sql::new(
    "update deliveries set status = 'failed', error = 'the provider reported that it did not arrive', settled_at = @now \
     where message_id @ids($1) and status <> 'failed'",
);

/// A message that something has happened to.
#[derive(Clone, Debug)]
pub(super) struct Changeable {
    pub(super) lead_id: Id,
    is_inbound: bool,
    body: String,
    /// The time of the event that told the body, where it was edited.
    edit_told_at: Option<Timestamp>,
    is_deleted: bool,
    has_failed: bool,
}

impl Changeable {
    /// Takes over an edited text, unless a newer one is known; false where that changes nothing.
    fn edit(&mut self, body: &str, at: Timestamp, change: &mut Change) -> bool {
        if self.edit_told_at.is_some_and(|it| at < it) {
            return false;
        }
        self.edit_told_at = Some(at);
        change.edit_told_at = Some(at.as_millis());
        if self.body == body {
            return false;
        }
        body.clone_into(&mut self.body);
        change.body = Some(body.to_owned());
        true
    }
}

/// What is to be written of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Change {
    id: Id,
    body: Option<String>,
    deleted: bool,
    failed: bool,
    /// In Unix milliseconds.
    edit_told_at: Option<i64>,
}

/// Which messages the changes of a group are about, as they are known so far.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Of each change: its message, stored before or earlier in the group.
    about: HashMap<usize, First>,
    stored: HashMap<Id, Changeable>,
    to_write: BTreeMap<Id, Change>,
}

impl Changes {
    /// The leads of the messages.
    pub(super) fn leads(&self) -> impl Iterator<Item = Id> {
        self.stored.values().map(|it| it.lead_id)
    }

    /// What is about an echo earlier in the group is about the message that its delivery has become.
    pub(super) fn follow(&mut self, echoes: &HashMap<usize, Echo>) {
        for about in self.about.values_mut() {
            if let First::InGroup(root) = about
                && let Some(id) = echoes.get(root).and_then(|it| it.message_id)
            {
                *about = First::Stored(id);
            }
        }
    }

    fn ids(&self) -> Vec<Id> {
        let stored = self.about.values().filter_map(|it| match it {
            First::Stored(id) => Some(*id),
            First::InGroup(_) => None,
        });
        stored.collect::<BTreeSet<Id>>().into_iter().collect()
    }
}

type KeyOf<'a> = (&'a str, &'static str, &'static str, &'a str);

#[derive(Serialize)]
struct Asked<'a> {
    client_id: &'a str,
    channel: &'static str,
    kind: &'static str,
    key: &'a str,
}

impl<'a> Group<'a> {
    /// Finds the messages that changes are about, as stored.
    pub(super) async fn find_changed(
        &self,
        firsts: &HashMap<usize, First>,
    ) -> Result<Changes, StoreError> {
        let mut changes = Changes::default();
        let mut in_group: HashMap<KeyOf<'a>, usize> = HashMap::new();
        let mut asked: Vec<(usize, Asked<'a>)> = Vec::new();
        for at in 0..self.inbound.len() {
            let Some((inbound, event)) = self.event(at) else { continue };
            let client: &str = &inbound.client_id;
            let row = |it: &'a crate::domain::event::MessageKey| {
                (client, inbound.channel.0, it.kind.as_str(), it.key.as_str())
            };
            if let Some((_, _, message)) = self.message(at) {
                for key in &message.keys {
                    in_group.entry(row(key)).or_insert(at);
                }
            }
            let Some(keys) = event.signal.about().filter(|_| !firsts.contains_key(&at)) else {
                continue;
            };
            if let Some(owner) = keys.iter().find_map(|it| in_group.get(&row(it))) {
                changes.about.insert(at, resolve(firsts, *owner));
                continue;
            }
            asked.extend(keys.iter().map(|it| {
                let (client_id, channel, kind, key) = row(it);
                (at, Asked { client_id, channel, kind, key })
            }));
        }
        self.look_up(&asked, &mut changes).await?;
        self.read_changeable(&mut changes).await?;
        Ok(changes)
    }

    async fn look_up(
        &self,
        asked: &[(usize, Asked<'a>)],
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        if asked.is_empty() {
            return Ok(());
        }
        // What this group has claimed for a message that comes after the change is not known to the change.
        let own: HashSet<Id> = self.message_ids.iter().copied().collect();
        let rows: Vec<&Asked<'_>> = asked.iter().map(|it| &it.1).collect();
        for row in self.tx.all(&READ_KEYS, [group(&rows)?]).await? {
            let text = |column: &str| row.try_get::<String>("", column);
            let found = (text("client_id")?, text("channel")?, text("kind")?, text("key")?);
            let id: Id = row.try_get("", "message_id")?;
            let is_it = |it: &Asked<'_>| {
                (it.client_id, it.channel, it.kind, it.key)
                    == (&found.0, found.1.as_str(), found.2.as_str(), &found.3)
            };
            for (at, _) in asked.iter().filter(|it| is_it(&it.1) && !own.contains(&id)) {
                changes.about.entry(*at).or_insert(First::Stored(id));
            }
        }
        Ok(())
    }

    /// Reads the messages; once more when their leads are locked.
    pub(super) async fn read_changeable(&self, changes: &mut Changes) -> Result<(), StoreError> {
        let ids = changes.ids();
        if ids.is_empty() {
            return Ok(());
        }
        for row in self.tx.all(&READ_CHANGEABLE, [group(&ids)?]).await? {
            let direction: String = row.try_get("", "direction")?;
            let it = Changeable {
                lead_id: row.try_get("", "lead_id")?,
                is_inbound: direction == Direction::Inbound.as_str(),
                body: row.try_get("", "body")?,
                edit_told_at: row
                    .try_get::<Option<i64>>("", "edit_told_at")?
                    .map(Timestamp::from_millis),
                is_deleted: row.try_get::<i32>("", "is_deleted")? != 0,
                has_failed: row.try_get::<i32>("", "has_failed")? != 0,
            };
            changes.stored.insert(row.try_get("", "id")?, it);
        }
        Ok(())
    }

    /// Applies a change to its message and, where the new text opts out, to its lead.
    pub(super) fn apply_change(
        &mut self,
        at: usize,
        inbound: &Inbound,
        event: &Event,
        changes: &mut Changes,
        leads: &mut Leads,
        work: &mut Work,
    ) {
        let id = match changes.about.get(&at) {
            Some(First::Stored(id)) => Some(*id),
            Some(First::InGroup(root)) => {
                let id = self.message_id(*root);
                let made = work.messages.iter().find(|it| it.id == id);
                if let Some(row) = made {
                    changes.stored.entry(id).or_insert_with(|| Changeable {
                        lead_id: row.lead_id,
                        is_inbound: row.direction == Direction::Inbound.as_str(),
                        body: row.body.clone(),
                        edit_told_at: None,
                        is_deleted: false,
                        has_failed: false,
                    });
                }
                Some(id)
            }
            None => None,
        };
        let found = id.and_then(|id| Some((id, changes.stored.get_mut(&id)?)));
        let Some((id, message)) = found else {
            self.answer(at, Answer::Ignored { reason: event.not_found() });
            return;
        };
        let lead_id = leads.resolve(message.lead_id);
        let change =
            changes.to_write.entry(id).or_insert_with(|| Change { id, ..Change::default() });
        let is_changed = match &event.signal {
            Signal::Edited { body, opt_out: words, .. } => {
                let is_new = message.edit(body, event.at, change);
                if let (true, Some(words), Some(lead)) =
                    (message.is_inbound, words, leads.get_mut(lead_id))
                {
                    opt_out(lead, inbound, event.at, Some(id), words, work) || is_new
                } else {
                    is_new
                }
            }
            Signal::Deleted { .. } => {
                change.deleted = true;
                let is_new = !std::mem::replace(&mut message.is_deleted, true);
                // Only the newest message has drafts that wait.
                if let (true, Some(lead)) = (is_new, leads.get_mut(lead_id))
                    && lead.newest_inbound.map(|it| it.1) == Some(id)
                {
                    work.end_drafts(lead_id, None, "superseded", "message_deleted");
                }
                is_new
            }
            Signal::Failed { .. } => {
                change.failed = true;
                !std::mem::replace(&mut message.has_failed, true)
            }
            // They are about a lead.
            Signal::Message(_)
            | Signal::OptOut { .. }
            | Signal::Bounce { .. }
            | Signal::DoNotDisturb { .. }
            | Signal::Hint { .. }
            | Signal::Category { .. }
            | Signal::Connected => false,
        };
        let reason = event.signal.reason();
        let answer = if is_changed {
            Answer::Recorded { message_id: Some(id), lead_id, reason }
        } else {
            Answer::Duplicate { message_id: Some(id), lead_id: Some(lead_id), job_id: None }
        };
        self.answer(at, answer);
    }

    /// Writes what has changed, after the group's messages.
    pub(super) async fn write_changes(&self, changes: &Changes) -> Result<(), StoreError> {
        let changed: Vec<&Change> = changes
            .to_write
            .values()
            .filter(|it| it.body.is_some() || it.edit_told_at.is_some() || it.deleted || it.failed)
            .collect();
        if !changed.is_empty() {
            self.tx.run(&CHANGE_MESSAGES, [group(&changed)?]).await?;
        }
        let failed: Vec<Id> = changed.iter().filter(|it| it.failed).map(|it| it.id).collect();
        if !failed.is_empty() {
            self.tx.run(&FAIL_DELIVERIES, [group(&failed)?]).await?;
        }
        Ok(())
    }
}
