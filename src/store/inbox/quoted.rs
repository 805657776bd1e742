//! What in an answer repeats what we had sent to that lead (docs/RULES.md TEXT): cut before anything is stored or
//! judged of it, once the lead is known.

use super::{Group, find::Found, keys::First};
use crate::{
    domain::{
        Id,
        event::{Direction, NewMessage},
        opt_out::opt_out_words,
        quoted::{cut_what_repeats, may_repeat},
    },
    store::{StoreError, leads::Leads, messages, sql::Sql, tx::group},
};
use serde::Serialize;
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

/// This many characters of each of our messages are compared.
const OURS_CHARS: i32 = 10_000;

/// The three newest messages that we had sent to a lead over a channel, of the lead's last 20. By `messages_of_lead`.
pub(in crate::store) static READ_OURS: Sql = Sql::new(
    "select g.n, (select substr(m.body, 1, $2) from messages m where m.id = \
       (select o.id from (select i.id, i.direction, i.channel from messages i where i.lead_id = g.lead_id \
        order by i.lead_id desc, i.id desc limit 20) o \
        where o.direction = 'outbound' and o.channel = g.channel order by o.id desc limit 1)) as body \
     from @rows($1, n bigint, lead_id bigint, channel text) g \
     union all \
     select g.n, (select substr(m.body, 1, $2) from messages m where m.id = \
       (select o.id from (select i.id, i.direction, i.channel from messages i where i.lead_id = g.lead_id \
        order by i.lead_id desc, i.id desc limit 20) o \
        where o.direction = 'outbound' and o.channel = g.channel order by o.id desc limit 1 offset 1)) as body \
     from @rows($1, n bigint, lead_id bigint, channel text) g \
     union all \
     select g.n, (select substr(m.body, 1, $2) from messages m where m.id = \
       (select o.id from (select i.id, i.direction, i.channel from messages i where i.lead_id = g.lead_id \
        order by i.lead_id desc, i.id desc limit 20) o \
        where o.direction = 'outbound' and o.channel = g.channel order by o.id desc limit 1 offset 2)) as body \
     from @rows($1, n bigint, lead_id bigint, channel text) g",
);

/// What is left of a message without what repeats ours.
#[derive(Debug)]
pub(super) struct Cut {
    /// `None` where nothing is left: the body stays, and is not judged.
    body: Option<String>,
    opt_out: Option<String>,
}

impl Cut {
    /// The message as it is stored.
    pub(super) fn applied<'a>(&self, message: &'a NewMessage) -> Cow<'a, NewMessage> {
        let mut message = message.clone();
        message.opt_out.clone_from(&self.opt_out);
        match &self.body {
            Some(body) => message.body.clone_from(body),
            None => message.has_new_text = false,
        }
        Cow::Owned(message)
    }
}

impl Group<'_> {
    /// What inbound messages of the group repeat, by their places. Their leads are locked.
    pub(super) async fn find_quoted(
        &self,
        firsts: &HashMap<usize, First>,
        lead_of: &HashMap<usize, Found>,
        repeated: &HashMap<Id, messages::KnownMessage>,
        leads: &Leads,
    ) -> Result<HashMap<usize, Cut>, StoreError> {
        #[derive(Serialize)]
        struct Row {
            n: usize,
            lead_id: Id,
            channel: &'static str,
        }
        let mut asked: HashMap<usize, Id> = HashMap::new();
        let mut ours: HashMap<(Id, &'static str), Vec<String>> = HashMap::new();
        let mut threads: BTreeSet<(Id, &'static str)> = BTreeSet::new();
        for at in 0..self.inbound.len() {
            let Some((inbound, _, message)) = self.message(at) else { continue };
            let lead_id = match firsts.get(&at) {
                // Only a text that comes late is stored of a duplicate.
                Some(First::Stored(id)) => {
                    repeated.get(id).filter(|it| it.is_empty && it.is_inbound).map(|it| it.lead_id)
                }
                Some(First::InGroup(_)) => None,
                None => lead_of.get(&at).map(|it| it.lead_id),
            };
            let Some(lead_id) = lead_id else { continue };
            let thread = (lead_id, inbound.channel.0);
            if message.direction == Direction::Outbound {
                // Sent in this very group, before the answer to it.
                ours.entry(thread).or_default().push(message.body.clone());
            } else if message.has_new_text && may_repeat(&message.body) {
                asked.insert(at, lead_id);
                if !leads.is_new(lead_id) {
                    threads.insert(thread);
                }
            }
        }
        let threads: Vec<(Id, &'static str)> = threads.into_iter().collect();
        let rows: Vec<Row> = threads
            .iter()
            .enumerate()
            .map(|(n, (lead_id, channel))| Row { n, lead_id: *lead_id, channel })
            .collect();
        if !rows.is_empty() {
            for row in self.tx.all(&READ_OURS, [group(&rows)?, OURS_CHARS.into()]).await? {
                let n: i64 = row.try_get("", "n")?;
                let thread = usize::try_from(n).ok().and_then(|n| threads.get(n).copied());
                let body: Option<String> = row.try_get("", "body")?;
                if let (Some(thread), Some(body)) = (thread, body) {
                    ours.entry(thread).or_default().push(body);
                }
            }
        }
        let mut cuts = HashMap::new();
        for (at, lead_id) in asked {
            let Some((inbound, _, message)) = self.message(at) else { continue };
            let channel = inbound.channel.0;
            let Some(ours) = ours.get(&(lead_id, channel)) else { continue };
            let Some(body) = cut_what_repeats(&message.body, ours.iter().map(String::as_str))
            else {
                continue;
            };
            let opt_out = opt_out_words(channel, message.subject.as_deref(), &body);
            cuts.insert(at, Cut { body: (!body.is_empty()).then_some(body), opt_out });
        }
        Ok(cuts)
    }
}
