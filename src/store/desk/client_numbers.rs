//! What is stored for clients, by channel: since when nothing came, and what waits for a person.

use super::{Desk, jobs::count};
use crate::domain::{Id, Timestamp};
use crate::store::engine::{
    StoreError,
    ids::given_out_at,
    sql::sql,
    tx::{group, read},
};
use serde::Serialize;

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
}

/// The usual pause between messages is the mean of this many.
const PAUSES: usize = 20;
/// The most of what waits that is counted, of each client and channel.
pub const COUNTED_MAX: i64 = 1_000;
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
}

#[derive(Serialize)]
struct PairRow<'a> {
    client_id: &'a str,
    channel: &'a str,
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
            let mut facts = Vec::with_capacity(pairs.len());
            for some in pairs.chunks(PAIRS_MAX) {
                let last =
                    read(db.api(), &READ_LAST_RECEIVED, [group(some)?, count(PAUSES)]).await?;
                let waits =
                    read(db.api(), &COUNT_UNDECIDED_OF, [group(some)?, COUNTED_MAX.into()]).await?;
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
                    });
                }
                for row in &waits {
                    let client: String = row.try_get("", "client_id")?;
                    let channel: String = row.try_get("", "channel")?;
                    let of = facts
                        .iter_mut()
                        .rev()
                        .find(|it| it.client_id == client && it.channel == channel);
                    let Some(of) = of else { continue };
                    of.drafts = row.try_get("", "drafts")?;
                    of.held = row.try_get("", "held")?;
                    of.uncertain = row.try_get("", "uncertain")?;
                }
            }
            Ok(facts)
        };
        self.db.call(work).await
    }
}

fn mean_pause_ms((newest, earlier): (Id, Id)) -> i64 {
    let pauses = i64::try_from(PAUSES).unwrap_or(1);
    given_out_at(newest).millis_since(given_out_at(earlier)) / pauses
}
