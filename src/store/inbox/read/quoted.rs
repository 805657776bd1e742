//! Reads our own messages to the leads of a group, because answers may repeat them (docs/RULES.md
//! TEXT).

use crate::{
    domain::Id,
    store::{
        engine::{
            StoreError,
            sql::sql,
            tx::{Tx, group},
        },
        inbox::{
            arrival::Arrival,
            decide::{
                known::Repeated,
                quotes::{ThreadKey, cut_quotes, threads},
            },
        },
        tables::leads::Leads,
    },
};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// How many characters of each of our messages are compared.
const OURS_CHARS: i32 = 10_000;

sql! {
    /// The three newest messages that we sent to a lead over a channel, among the lead's newest 20.
    /// By `messages_of_lead`.
    static READ_OURS =
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
         from @rows($1, n bigint, lead_id bigint, channel text) g";
}

/// Cuts from the group's answers the parts that repeat our messages. Their leads are locked.
pub(super) async fn find_quoted(
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    repeated: &HashMap<Id, Repeated>,
    leads: &Leads,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        /// The thread's index in the list of the requested ones.
        n: usize,
        lead_id: Id,
        channel: &'static str,
    }
    let asked: BTreeSet<ThreadKey> =
        threads(arrivals, repeated).filter(|(lead_id, _)| !leads.is_new(*lead_id)).collect();
    let asked: Vec<ThreadKey> = asked.into_iter().collect();
    let rows: Vec<Row> = asked
        .iter()
        .enumerate()
        .map(|(n, (lead_id, channel))| Row { n, lead_id: *lead_id, channel })
        .collect();
    let mut ours: HashMap<ThreadKey, Vec<String>> = HashMap::new();
    if !rows.is_empty() {
        for row in tx.all(&READ_OURS, [group(&rows)?, OURS_CHARS.into()]).await? {
            let n: i64 = row.try_get("", "n")?;
            let thread = usize::try_from(n).ok().and_then(|n| asked.get(n).copied());
            let body: Option<String> = row.try_get("", "body")?;
            if let (Some(thread), Some(body)) = (thread, body) {
                ours.entry(thread).or_default().push(body);
            }
        }
    }
    cut_quotes(arrivals, repeated, ours);
    Ok(())
}
