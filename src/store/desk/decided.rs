//! What people have decided about drafts: how long that took, and why they rejected some.

use super::{Desk, jobs::count};
use crate::domain::{
    Id, Timestamp,
    sending::{BY_RULE, REJECTED_BY_RULE},
};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{group, read},
};
use serde::Serialize;

sql! {
    /// When drafts were made. By primary key.
    static READ_DRAFTS_MADE = "select d.id, @ms(d.created_at) as created_ms from drafts d where d.id @ids($1)";

    /// The newest drafts of some clients, channels and statuses, at most `$2` of each, with who
    /// decided them and why. By `drafts_listed`, which is over `id + 0`.
    static LIST_DECIDED_DRAFTS =
        "select d.id, d.status, d.decided_by, d.note from @rows($1, client_id text, channel text, status text) g \
           join drafts d on d.id @each( \
             select x.id from drafts x where x.client_id = g.client_id and x.channel = g.channel and x.status = g.status \
               order by x.id + 0 desc limit $2)";
}

/// The most decisions of a client that are looked at: the newest ones.
pub const DECISIONS_MAX: usize = 200;
/// The statuses of drafts that somebody or a rule let go, and of those that were rejected.
const DECIDED: [&str; 4] = ["approved", "sending", "sent", REJECTED];
const REJECTED: &str = "rejected";

/// A decision of a person about a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionOfPerson {
    /// The draft.
    pub draft_id: Id,
    /// True if it was rejected; otherwise it was approved.
    pub is_rejected: bool,
    /// Why, if it was rejected and the person has said so.
    pub note: Option<String>,
}

impl Desk {
    /// When these drafts were made, in any order. Those that are not there are left out.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn drafts_made(&self, ids: Vec<Id>) -> Result<Vec<(Id, Timestamp)>, StoreError> {
        self.db
            .call(|db| async move {
                let rows = read(db.api(), &READ_DRAFTS_MADE, [group(&ids)?]).await?;
                let made = rows.iter().map(|row| {
                    let created_ms: i64 = row.try_get("", "created_ms")?;
                    Ok((row.try_get("", "id")?, Timestamp::from_millis(created_ms)))
                });
                made.collect()
            })
            .await
    }

    /// What people decided about the newest drafts of a client on these channels, newest draft
    /// first: at most [`DECISIONS_MAX`].
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn decisions_of(
        &self,
        client: String,
        channels: Vec<String>,
    ) -> Result<Vec<DecisionOfPerson>, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            channel: &'a str,
            status: &'a str,
        }
        self.db
            .call(|db| async move {
                let asked: Vec<Row<'_>> = channels
                    .iter()
                    .flat_map(|channel| {
                        DECIDED.map(|status| Row { client_id: &client, channel, status })
                    })
                    .collect();
                let values = [group(&asked)?, count(DECISIONS_MAX)];
                let mut decisions = Vec::new();
                for row in read(db.api(), &LIST_DECIDED_DRAFTS, values).await? {
                    let by: Option<String> = row.try_get("", "decided_by")?;
                    let status: String = row.try_get("", "status")?;
                    let is_rejected = status == REJECTED;
                    if by.is_some_and(|by| is_of_person(&by, is_rejected)) {
                        let note = row.try_get("", "note")?;
                        decisions.push(DecisionOfPerson {
                            draft_id: row.try_get("", "id")?,
                            is_rejected,
                            note: if is_rejected { note } else { None },
                        });
                    }
                }
                decisions.sort_by_key(|it| std::cmp::Reverse(it.draft_id));
                decisions.truncate(DECISIONS_MAX);
                Ok(decisions)
            })
            .await
    }
}

/// True unless a rule has decided.
fn is_of_person(by: &str, is_rejected: bool) -> bool {
    if is_rejected { !REJECTED_BY_RULE.contains(&by) } else { by != BY_RULE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_decides_is_no_decision_of_a_person() {
        for (by, is_rejected, expected) in [
            ("dana", true, true),
            ("dana", false, true),
            (BY_RULE, false, false),
            ("opt_out", true, false),
            ("bounce", true, false),
            // A person approved these, and they were not sent.
            ("opted_out", true, false),
            ("no_reply_handle", true, false),
        ] {
            assert_eq!(is_of_person(by, is_rejected), expected, "{by} {is_rejected}");
        }
    }
}
