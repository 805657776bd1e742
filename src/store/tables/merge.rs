//! Merges two leads that are found to be one person (docs/RULES.md P13). The younger keeps its row,
//! with `merged_into`; everything that it has moves to the older one.
//!
//! The caller has locked both leads. A head of the younger lead's line that runs stays there until
//! its run ends. If its job is to run again, it enters the older lead's line.

use super::{
    caps::Caps,
    heads::{DELETE_FOLLOWERS, DELETE_HEADS, Head, LOCK_HEADS},
    lines::{Entering, Place},
};
use crate::domain::Id;
use crate::store::engine::{
    Sql, StoreError,
    sql::sql,
    tx::{Tx, group},
};
use serde::Serialize;
use std::collections::BTreeSet;

sql! {
    /// Moves the identities of leads. By `lead_identities_of_lead`.
    pub(in crate::store) static MOVE_IDENTITIES =
        "update lead_identities set lead_id = g.into_id from @rows($1, from_id bigint, into_id bigint) g \
         where lead_identities.lead_id = g.from_id";

    /// Moves the messages of leads. By `messages_of_lead`.
    static MOVE_MESSAGES =
        "update messages set lead_id = g.into_id from @rows($1, from_id bigint, into_id bigint) g \
         where messages.lead_id = g.from_id";

    /// Moves the drafts of leads. By `drafts_of_lead`.
    static MOVE_DRAFTS =
        "update drafts set lead_id = g.into_id from @rows($1, from_id bigint, into_id bigint) g \
         where drafts.lead_id = g.from_id";

    /// Moves the deliveries of leads. By `deliveries_of_lead`.
    static MOVE_DELIVERIES =
        "update deliveries set lead_id = g.into_id from @rows($1, from_id bigint, into_id bigint) g \
         where deliveries.lead_id = g.from_id";

    /// Moves the labelled examples of leads. By `labelled_examples_of_lead`.
    static MOVE_EXAMPLES =
        "update labelled_examples set lead_id = g.into_id from @rows($1, from_id bigint, into_id bigint) g \
         where labelled_examples.lead_id = g.from_id";

    /// Moves the opt-outs of leads. By `opt_outs_of_lead`.
    static MOVE_OPT_OUTS =
        "update opt_outs set lead_id = g.into_id from @rows($1, from_id bigint, into_id bigint) g \
         where opt_outs.lead_id = g.from_id";

    /// Marks leads as merged. Their rows are locked. By primary key.
    static SET_MERGED =
        "update leads set merged_into = g.into_id from @rows($1, from_id bigint, into_id bigint) g where leads.id = g.from_id";

    /// Lets leads that were merged into the younger one before point to the older one: a chain is
    /// never longer than one step. By `leads_merged`.
    static SET_MERGED_BEFORE =
        "update leads set merged_into = g.into_id from @rows($1, from_id bigint, into_id bigint) g \
         where leads.merged_into = g.from_id";

    /// The heads of lines, without locks. By primary key.
    static READ_HEADS =
        "select line, job_id, kind, client_id, run, spared, node, \
           case when run_at is null then null else @ms(run_at) - @ms(@now) end as delay_ms \
         from job_ready where line @ids($1)";

    /// All followers in lines. By primary key: the `+` keeps planners from using the unique key of
    /// jobs for the order.
    static READ_BLOCKED =
        "select line, job_id, kind, client_id, run, spared from job_blocked where line @ids($1) order by +job_id";
}

/// The merge of one lead into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::store) struct Merge {
    /// The younger lead.
    pub(in crate::store) from_id: Id,
    /// The older lead.
    pub(in crate::store) into_id: Id,
}

/// The lead that `id` is after these merges.
pub(in crate::store) fn resolve(merges: &[Merge], id: Id) -> Id {
    merges.iter().find(|merge| merge.from_id == id).map_or(id, |merge| merge.into_id)
}

/// Moves everything that belongs to the younger leads, except the jobs in their lines. Before, the
/// caller has ended drafts: the two leads together have at most one pending draft per channel.
pub(in crate::store) async fn move_belongings(tx: &Tx, merges: &[Merge]) -> Result<(), StoreError> {
    let moves: [&Sql; 8] = [
        &MOVE_IDENTITIES,
        &MOVE_MESSAGES,
        &MOVE_DRAFTS,
        &MOVE_DELIVERIES,
        &MOVE_EXAMPLES,
        &MOVE_OPT_OUTS,
        &SET_MERGED_BEFORE,
        &SET_MERGED,
    ];
    for sql in moves {
        tx.run(sql, [group(merges)?]).await?;
    }
    Ok(())
}

/// The jobs that wait in the lines of merged leads, on their way into the lines of the older leads.
#[derive(Debug, Default)]
pub(in crate::store) struct Moving {
    /// All of them in the order of arrival, with the lines that they enter.
    pub(in crate::store) entering: Vec<Entering>,
    /// The heads among them, with the lines that they leave.
    heads: Vec<Place>,
    /// The job ids of the followers among them.
    blocked: Vec<Id>,
}

impl Moving {
    /// Reads the jobs to move. Followers cannot move meanwhile, because their leads are locked. A
    /// head can: a claim locks no lead.
    pub(in crate::store) async fn read(tx: &Tx, merges: &[Merge]) -> Result<Self, StoreError> {
        let mut moving = Self::default();
        if merges.is_empty() {
            return Ok(moving);
        }
        let lines: Vec<Id> = merges.iter().map(|it| it.from_id).collect();
        let enters = |place: &Place, delay_ms| Entering {
            place: Place { line: resolve(merges, place.line), ..place.clone() },
            delay_ms,
            is_by_hand: false,
        };
        for row in tx.all(&READ_HEADS, [group(&lines)?]).await? {
            if row.try_get::<Option<Id>>("", "node")?.is_some() {
                continue;
            }
            let place = Place::from_row(&row)?;
            let delay_ms: Option<i64> = row.try_get("", "delay_ms")?;
            moving.entering.push(enters(&place, delay_ms.map_or(0, |delay| delay.max(1))));
            moving.heads.push(place);
        }
        for row in tx.all(&READ_BLOCKED, [group(&lines)?]).await? {
            let place = Place::from_row(&row)?;
            moving.entering.push(enters(&place, 0));
            moving.blocked.push(place.job_id);
        }
        moving.entering.sort_by_key(|entering| entering.place.job_id);
        Ok(moving)
    }

    /// The clients whose heads move.
    pub(in crate::store) fn clients(&self) -> impl Iterator<Item = &str> {
        self.heads.iter().map(|head| head.client_id.as_str())
    }

    /// Takes the jobs out of the lines that they leave. The caller has locked `job_caps` and
    /// `job_clients`.
    ///
    /// # Errors
    /// A conflict if a head was claimed meanwhile.
    pub(in crate::store) async fn take_out(
        &self,
        tx: &Tx,
        caps: &mut Caps,
    ) -> Result<(), StoreError> {
        if !self.heads.is_empty() {
            let lines: BTreeSet<Id> = self.heads.iter().map(|it| it.line).collect();
            let lines: Vec<Id> = lines.into_iter().collect();
            let mut waiting = 0;
            for row in tx.all(&LOCK_HEADS, [group(&lines)?]).await? {
                let head = Head::from_row(&row)?;
                let place = self.heads.iter().find(|place| place.job_id == head.job_id);
                if let (None, Some(place)) = (head.node, place) {
                    waiting += 1;
                    caps.leaves(&place.client_id, head.admission);
                }
            }
            if waiting != self.heads.len() {
                return Err(StoreError::Conflict("a head was claimed meanwhile".to_owned()));
            }
            tx.run(&DELETE_HEADS, [group(&lines)?]).await?;
        }
        if !self.blocked.is_empty() {
            tx.run(&DELETE_FOLLOWERS, [group(&self.blocked)?]).await?;
        }
        Ok(())
    }
}
