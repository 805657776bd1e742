//! What is stored for clients, by channel: since when nothing came, and what waits for a person.

use super::{Desk, jobs::count};
use crate::domain::{Id, Timestamp, median_ms};
use crate::store::engine::{
    StoreError,
    ids::{first_at, given_out_at, wall_clock},
    sql::sql,
    tx::{group, read},
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::HashMap;

sql! {
    /// The newest message from a lead, and the one `$2` before it. By `messages_listed`.
    static READ_LAST_RECEIVED =
        "select g.client_id, g.channel, \
           (select x.id from messages x where x.client_id = g.client_id and x.channel = g.channel and x.direction = 'inbound' \
              order by x.id desc limit 1) as newest_id, \
           (select x.id from messages x where x.client_id = g.client_id and x.channel = g.channel and x.direction = 'inbound' \
              order by x.id desc limit 1 offset $2) as earlier_id \
         from @rows($1, client_id text, channel text) g";

    /// What waits for a person, up to `$2` of each. By `drafts_listed`, `quarantine_listed` and
    /// `deliveries_listed`. Held items are found by a range of one value: for an equality,
    /// PostgreSQL may read the held items of all clients by `quarantine_held`.
    static COUNT_UNDECIDED_OF =
        "select g.client_id, g.channel, \
           (select count(*) from (select 1 as one from drafts x where x.client_id = g.client_id and x.channel = g.channel \
              and x.status = 'pending' limit $2) d) as drafts, \
           (select count(*) from (select 1 as one from quarantine x where x.client_id = g.client_id and x.channel = g.channel \
              and x.status >= 'held' and x.status <= 'held' limit $2) q) as held, \
           (select count(*) from (select 1 as one from deliveries x where x.client_id = g.client_id and x.channel = g.channel \
              and x.status = 'uncertain' limit $2) u) as uncertain \
         from @rows($1, client_id text, channel text) g";

    /// How many messages of leads came after message `$2`, up to `$3`. By `messages_listed`.
    static COUNT_RECEIVED_OF =
        "select g.client_id, g.channel, \
           (select count(*) from (select 1 as one from messages x where x.client_id = g.client_id and x.channel = g.channel \
              and x.direction = 'inbound' and x.id > $2 limit $3) m) as received \
         from @rows($1, client_id text, channel text) g";

    /// How long the last `$2` answers took, from the message that is answered until they were sent.
    /// By `deliveries_listed`, which is over `id + 0`, and primary keys.
    static READ_ANSWER_TIMES =
        "select g.client_id, @ms(d.settled_at) - @ms(m.created_at) as took_ms \
         from @rows($1, client_id text, channel text) g join deliveries d on d.id @each( \
           select x.id from deliveries x where x.client_id = g.client_id and x.channel = g.channel and x.status = 'sent' \
             order by x.id + 0 desc limit $2) \
         join drafts r on r.id = d.draft_id join messages m on m.id = r.message_id where d.settled_at is not null";
}

/// The usual pause between messages is the mean of this many.
const PAUSES: usize = 20;
/// The most of what waits that is counted, of each client and channel.
pub const COUNTED_MAX: i64 = 1_000;
/// The time to answer is the median of this many of each channel.
const ANSWERS: usize = 10;
const HOUR_MS: i64 = 3_600_000;
/// How many clients and channels one statement asks for.
const PAIRS_MAX: usize = 1_000;

/// What is stored for a client on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNumbers {
    /// The client.
    pub client_id: String,
    /// The channel.
    pub channel: String,
    /// When the last message of a lead was stored.
    pub last_inbound_at: Option<Timestamp>,
    /// The mean pause between the last messages, in milliseconds; `None` if there are too few.
    pub usual_pause_ms: Option<i64>,
    /// Pending drafts; of this and the next two [`COUNTED_MAX`] stands for more.
    pub drafts: i64,
    /// Webhooks held in quarantine.
    pub held: i64,
    /// Deliveries of which nobody knows the end.
    pub uncertain: i64,
    /// Messages of leads that were stored within the last hour; [`COUNTED_MAX`] stands for more.
    pub received_in_hour: i64,
}

#[derive(Serialize)]
struct PairRow<'a> {
    client_id: &'a str,
    channel: &'a str,
}

/// The numbers of the client and channel that a row names.
fn of_pair<'a>(
    facts: &'a mut [ClientNumbers],
    row: &QueryResult,
) -> Result<Option<&'a mut ClientNumbers>, StoreError> {
    let client: String = row.try_get("", "client_id")?;
    let channel: String = row.try_get("", "channel")?;
    let is_of_it = |it: &&mut ClientNumbers| it.client_id == client && it.channel == channel;
    Ok(facts.iter_mut().rev().find(is_of_it))
}

impl Desk {
    /// What is stored for these clients on each of these channels.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn client_numbers(
        &self,
        clients: Vec<String>,
        channels: Vec<String>,
    ) -> Result<Vec<ClientNumbers>, StoreError> {
        let work = async move |db: crate::store::engine::Database| {
            let pairs: Vec<PairRow<'_>> = clients
                .iter()
                .flat_map(|client_id| {
                    channels.iter().map(move |channel| PairRow { client_id, channel })
                })
                .collect();
            let hour_ago = first_at(wall_clock().plus_millis(-HOUR_MS));
            let mut facts = Vec::with_capacity(pairs.len());
            for some in pairs.chunks(PAIRS_MAX) {
                let last =
                    read(db.api(), &READ_LAST_RECEIVED, [group(some)?, count(PAUSES)]).await?;
                let waits =
                    read(db.api(), &COUNT_UNDECIDED_OF, [group(some)?, COUNTED_MAX.into()]).await?;
                let received = read(
                    db.api(),
                    &COUNT_RECEIVED_OF,
                    [group(some)?, hour_ago.into(), COUNTED_MAX.into()],
                )
                .await?;
                for row in &last {
                    let newest: Option<Id> = row.try_get("", "newest_id")?;
                    let earlier: Option<Id> = row.try_get("", "earlier_id")?;
                    facts.push(ClientNumbers {
                        client_id: row.try_get("", "client_id")?,
                        channel: row.try_get("", "channel")?,
                        last_inbound_at: newest.map(given_out_at),
                        usual_pause_ms: newest.zip(earlier).map(mean_pause_ms),
                        drafts: 0,
                        held: 0,
                        uncertain: 0,
                        received_in_hour: 0,
                    });
                }
                for row in &waits {
                    let Some(of) = of_pair(&mut facts, row)? else { continue };
                    of.drafts = row.try_get("", "drafts")?;
                    of.held = row.try_get("", "held")?;
                    of.uncertain = row.try_get("", "uncertain")?;
                }
                for row in &received {
                    let Some(of) = of_pair(&mut facts, row)? else { continue };
                    of.received_in_hour = row.try_get("", "received")?;
                }
            }
            Ok(facts)
        };
        self.db.call(work).await
    }
}

impl Desk {
    /// How long the last answers of each of these clients took, in milliseconds: the median over
    /// the channels that are given with it. Those without an answer are left out.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn answer_times(
        &self,
        pairs: Vec<(String, String)>,
    ) -> Result<HashMap<String, i64>, StoreError> {
        self.db
            .call(|db| async move {
                let mut times: HashMap<String, Vec<i64>> = HashMap::new();
                for some in pairs.chunks(PAIRS_MAX) {
                    let rows: Vec<PairRow<'_>> = some
                        .iter()
                        .map(|(client_id, channel)| PairRow { client_id, channel })
                        .collect();
                    let values = [group(&rows)?, count(ANSWERS)];
                    for row in read(db.api(), &READ_ANSWER_TIMES, values).await? {
                        let took_ms: i64 = row.try_get("", "took_ms")?;
                        times.entry(row.try_get("", "client_id")?).or_default().push(took_ms);
                    }
                }
                let median = |(client, times)| Some((client, median(times)?));
                Ok(times.into_iter().filter_map(median).collect())
            })
            .await
    }
}

/// The median of times to answer. It is not negative, although a clock may have run ahead.
fn median(times: Vec<i64>) -> Option<i64> {
    median_ms(times).map(|it| it.max(0))
}

fn mean_pause_ms((newest, earlier): (Id, Id)) -> i64 {
    let pauses = i64::try_from(PAUSES).unwrap_or(1);
    given_out_at(newest).millis_since(given_out_at(earlier)) / pauses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_one_of_the_times() {
        for (times, expected) in [
            (vec![], None),
            (vec![7], Some(7)),
            (vec![9, 1], Some(1)),
            (vec![9, 1, 5], Some(5)),
            (vec![-4, -2], Some(0)),
        ] {
            assert_eq!(median(times), expected);
        }
    }
}
