//! What the ends of jobs mean for the deliveries of their drafts (G5, docs/RULES.md SENDING).
//!
//! This is the one place where it is decided whether a send may be repeated. Whoever settles a job
//! (its handler, a rescue, a shutdown, a person) comes through here, under the lead's lock. If the
//! job's send is marked, only the handler's own word counts, and anything else makes the delivery
//! `uncertain`.

use super::{Settlement, Transition};
use crate::domain::{
    Id, SendNews,
    job::{DELIVER_REPLY, FailureReason},
    sending::{AccountState, AccountTrouble, DeliveryStatus, SendEnd, storable_id},
};
use crate::store::{
    engine::{
        Database, StoreError,
        ids::wall_clock,
        sql::sql,
        tx::{Tx, flag, group, millis},
    },
    tables::{
        answers::{self, StoredDelivery},
        leads::Leads,
        messages::{self, MessageInsert},
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

sql! {
    /// Settles deliveries. Their leads are locked. By primary key.
    static SETTLE_DELIVERIES =
        "update deliveries set status = g.status, error = g.error, provider_id = coalesce(g.provider_id, deliveries.provider_id), \
           message_id = coalesce(g.message_id, deliveries.message_id), \
           marked_run = case when g.is_over then deliveries.marked_run end, \
           settled_at = case when g.is_over then coalesce(deliveries.settled_at, @now) end \
         from @rows($1, id bigint, status text, error text, provider_id text, message_id bigint, is_over boolean) g \
         where deliveries.id = g.id";

    /// Writes what became of drafts that were to be sent; others stay as they are. Their leads are
    /// locked. By primary key: with the status as a condition, the plan would read all drafts of
    /// that status.
    static SETTLE_DRAFTS =
        "update drafts set status = case when drafts.status in ('approved', 'sending') then g.status else drafts.status end, \
           blocked_by = case when drafts.status in ('approved', 'sending') then g.blocked_by else drafts.blocked_by end \
         from @rows($1, id bigint, status text, blocked_by text) g where drafts.id = g.id";

    /// Notes accounts through which nothing is sent for a while. The longer pause counts. Returns
    /// those whose state has changed. By primary key.
    static PAUSE_ACCOUNTS =
        "insert into send_accounts (client_id, channel, state, paused_until, reason, since) \
         select g.client_id, g.channel, g.state, @in_ms(g.pause), g.reason, @now \
         from @rows($1, client_id text, channel text, state text, pause bigint, reason text) g \
         where true order by g.client_id, g.channel \
         on conflict (client_id, channel) do update set reason = excluded.reason, paused_until = case \
             when send_accounts.paused_until > excluded.paused_until then send_accounts.paused_until else excluded.paused_until end, \
           since = case when send_accounts.state = excluded.state then send_accounts.since else excluded.since end, \
           state = excluded.state \
         returning client_id, channel, state, reason, case when since = @now then 1 else 0 end as has_changed";

    /// Forgets the trouble of accounts to which their provider has answered as to any other. While
    /// one is paused, an answer is to an earlier call, and says nothing. Returns those that it
    /// forgot. By primary key.
    static RESUME_ACCOUNTS =
        "delete from send_accounts where (client_id, channel) in (select g.client_id, g.channel from @rows($1, client_id text, channel text) g) \
           and paused_until <= @now returning client_id, channel";
}

/// The deliveries of the drafts of these settlements, by draft. Their leads are locked.
async fn read_sends(
    tx: &Tx,
    all: &[Settlement],
) -> Result<HashMap<Id, StoredDelivery>, StoreError> {
    let drafts: Vec<Id> = all.iter().filter_map(|it| it.draft_id).collect();
    let found = answers::of_drafts(tx, &drafts).await?;
    Ok(found.into_iter().filter_map(|send| Some((send.draft_id?, send))).collect())
}

/// The delivery that the job of a settlement sends.
fn send_of<'a>(
    settlement: &Settlement,
    sends: &'a HashMap<Id, StoredDelivery>,
) -> Option<&'a StoredDelivery> {
    let send = sends.get(&settlement.draft_id?)?;
    (send.job_id == Some(settlement.job_id)).then_some(send)
}

/// True if a call may be on the wire.
fn is_marked(send: &StoredDelivery) -> bool {
    send.status == DeliveryStatus::Sending && send.marked_run.is_some()
}

/// True if the provider has taken what this run sent, and reported later that it did not arrive.
fn was_reported(send: &StoredDelivery, run: i64) -> bool {
    send.is_reported && send.status == DeliveryStatus::Failed && send.marked_run == Some(run)
}

/// Ends the jobs whose send is marked, or has failed after its provider took it, and whose handler
/// has said nothing about it: they must not run again. Returns the settlements, and the deliveries
/// by draft.
pub(super) async fn end_cut_off<'a>(
    tx: &Tx,
    mut all: Cow<'a, [Settlement]>,
) -> Result<(Cow<'a, [Settlement]>, HashMap<Id, StoredDelivery>), StoreError> {
    let sends = read_sends(tx, &all).await?;
    let is_cut_off = |settlement: &Settlement| {
        let send = send_of(settlement, &sends).filter(|_| settlement.send.is_none());
        // A job that waits has the number of its last run, whose end is known.
        let is_claimed = settlement.node.is_some();
        send.is_some_and(|send| is_marked(send) || is_claimed && was_reported(send, settlement.run))
    };
    let cut_off: Vec<usize> =
        (0..all.len()).filter(|at| all.get(*at).is_some_and(is_cut_off)).collect();
    for at in cut_off {
        if let Some(settlement) = all.to_mut().get_mut(at) {
            let reason = settlement.transition.failure().unwrap_or(FailureReason::Error);
            let on_wire = send_of(settlement, &sends).is_some_and(is_marked);
            let error = if on_wire {
                let why = without_verdict(&settlement.transition);
                settlement.send = Some(SendEnd::Unknown { why: why.clone() });
                why
            } else {
                "the provider reported that the answer did not arrive".to_owned()
            };
            settlement.transition = Transition::Fail { reason, error };
        }
    }
    Ok((all, sends))
}

/// The error of a send that ended otherwise than by its handler's word.
fn without_verdict(transition: &Transition) -> String {
    let end = match transition {
        Transition::Retry { error, .. } | Transition::Fail { error, .. } => error.as_str(),
        Transition::Succeed(_)
        | Transition::Snooze { .. }
        | Transition::Postpone { .. }
        | Transition::Release
        | Transition::Cancel { .. } => transition.word(),
    };
    format!("nobody knows whether the answer was sent: the attempt ended before its result ({end})")
}

/// Settles the deliveries and drafts of jobs that end before they were claimed. Their leads are
/// locked, and no call is on the wire.
pub(in crate::store) async fn end_unclaimed(
    db: &Database,
    tx: &Tx,
    all: &[Settlement],
) -> Result<(), StoreError> {
    let sends = read_sends(tx, all).await?;
    // Nothing was sent: no lead changes.
    let leads = &mut Leads::default();
    settle_sends(db, tx, all, &vec![true; all.len()], &sends, leads).await
}

/// What changes about a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DeliveryChange {
    status: DeliveryStatus,
    error: Option<String>,
    /// The status and the block of its draft.
    draft: (&'static str, Option<&'static str>),
}

/// What is known of a delivery before the end of its job is settled.
#[derive(Clone, Copy, Debug)]
struct DeliveryBefore {
    status: DeliveryStatus,
    /// The run whose call was the last.
    marked_run: Option<i64>,
    /// True if its provider has reported that it did not arrive.
    is_reported: bool,
}

impl DeliveryBefore {
    const fn of(send: &StoredDelivery) -> Self {
        let StoredDelivery { status, marked_run, is_reported, .. } = *send;
        Self { status, marked_run, is_reported }
    }
}

/// What the end of a job changes about its delivery. `passed`: the job's fence holds. A lost fence
/// loses no knowledge: what is certain wins over what is not, `sent` over everything else, and what
/// the provider reports after it took the answer over `sent`.
fn change(
    before: DeliveryBefore,
    run: i64,
    send: Option<&SendEnd>,
    transition: &Transition,
    passed: bool,
) -> Option<DeliveryChange> {
    use DeliveryStatus::{Failed, Sending, Sent, Uncertain};
    let DeliveryBefore { status, marked_run, is_reported } = before;
    let is_own = marked_run == Some(run);
    let ends_job = matches!(transition, Transition::Fail { .. } | Transition::Cancel { .. });
    let failed = |why: &str| {
        let draft = ("approved", Some("delivery_failed"));
        Some(DeliveryChange { status: Failed, error: Some(why.to_owned()), draft })
    };
    match send {
        _ if is_reported => None,
        Some(SendEnd::Sent { .. }) => {
            Some(DeliveryChange { status: Sent, error: None, draft: ("sent", None) })
        }
        _ if status == Sent => None,
        Some(SendEnd::Failed { why } | SendEnd::Unsendable { why }) if is_own => failed(why),
        Some(SendEnd::NotSent { why, .. }) if is_own && (!passed || ends_job) => failed(why),
        Some(SendEnd::NotSent { why, .. }) if is_own => {
            let draft = ("approved", None);
            Some(DeliveryChange { status: Sending, error: Some(why.clone()), draft })
        }
        Some(SendEnd::NotCalled { .. }) if is_own && !passed => failed("no call was made"),
        Some(SendEnd::NotCalled { .. }) if is_own => {
            Some(DeliveryChange { status: Sending, error: None, draft: ("approved", None) })
        }
        Some(SendEnd::Unknown { why }) if passed && status == Sending => {
            let draft = ("sending", None);
            Some(DeliveryChange { status: Uncertain, error: Some(why.clone()), draft })
        }
        _ if passed && ends_job && status == Sending && marked_run.is_none() => {
            failed("it was not sent: its job ended before")
        }
        Some(
            SendEnd::Failed { .. }
            | SendEnd::Unsendable { .. }
            | SendEnd::NotSent { .. }
            | SendEnd::NotCalled { .. }
            | SendEnd::Unknown { .. },
        )
        | None => None,
    }
}

#[derive(Serialize)]
struct DeliveryRow {
    id: Id,
    status: &'static str,
    error: Option<String>,
    provider_id: Option<String>,
    message_id: Option<Id>,
    /// False if it waits for its retry.
    is_over: bool,
}

#[derive(Serialize)]
struct SettledDraft {
    id: Id,
    status: &'static str,
    blocked_by: Option<&'static str>,
}

#[derive(Serialize)]
struct PauseRow<'a> {
    client_id: &'a str,
    channel: &'a str,
    state: &'static str,
    /// In milliseconds, from the commit.
    pause: i64,
    reason: &'a str,
}

#[derive(Clone, Copy, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct AccountRow<'a> {
    client_id: &'a str,
    channel: &'a str,
}

/// What the ends of a group write about its sends.
#[derive(Default)]
struct SendWrites<'a> {
    deliveries: Vec<DeliveryRow>,
    drafts: Vec<SettledDraft>,
    /// The answers that were sent, as outbound messages.
    sent: Vec<MessageInsert<'a>>,
    /// By account: the last answer of its provider that pauses it, with the longest pause.
    paused: HashMap<AccountRow<'a>, PauseRow<'a>>,
    /// Accounts whose provider has taken or refused an answer.
    resumed: BTreeSet<AccountRow<'a>>,
    /// The deliveries that ended.
    ended: Vec<SendNews>,
}

/// Settles the deliveries of a group. `applied` says whose fence holds. The leads are locked, and
/// are written by the caller.
pub(super) async fn settle_sends(
    db: &Database,
    tx: &Tx,
    all: &[Settlement],
    applied: &[bool],
    sends: &HashMap<Id, StoredDelivery>,
    leads: &mut Leads,
) -> Result<(), StoreError> {
    let mut writes = SendWrites::default();
    for (settlement, passed) in all.iter().zip(applied) {
        match send_of(settlement, sends) {
            Some(send) => writes.add(db, settlement, *passed, send, leads),
            None => writes.drafts.extend(left_behind(settlement, *passed)),
        }
    }
    writes.write(tx).await
}

impl<'a> SendWrites<'a> {
    /// Adds what the end of a job means for its send.
    fn add(
        &mut self,
        db: &Database,
        settlement: &'a Settlement,
        passed: bool,
        send: &'a StoredDelivery,
        leads: &mut Leads,
    ) {
        let (end, transition) = (settlement.send.as_ref(), &settlement.transition);
        let (client_id, channel) = (send.client_id.as_str(), send.channel.as_str());
        let account = AccountRow { client_id, channel };
        if let Some(SendEnd::NotSent { why, account: Some(trouble) }) = end {
            let AccountTrouble { state, pause } = trouble;
            let pause = millis(*pause);
            let before = self.paused.get(&account).map_or(0, |row| row.pause);
            let (state, pause) = (state.as_str(), pause.max(before));
            let row = PauseRow { client_id, channel, state, pause, reason: why };
            self.paused.insert(account, row);
        }
        if let Some(SendEnd::Sent { .. } | SendEnd::Failed { .. }) = end {
            self.resumed.insert(account);
        }
        let before = DeliveryBefore::of(send);
        let found = change(before, settlement.run, end, transition, passed);
        let Some(DeliveryChange { status, error, draft }) = found else { return };
        // A group can contain two settlements of the same run.
        let is_same = |row: &DeliveryRow| (row.id, row.status) == (send.id, status.as_str());
        if self.deliveries.iter().any(is_same) {
            return;
        }
        let (mut provider_id, mut message_id) = (None, None);
        if let Some(SendEnd::Sent { provider_id: told }) = end {
            provider_id = told.as_deref().and_then(storable_id);
            let lead_id = settlement.lead_id.map(|id| leads.resolve(id));
            let lead = lead_id.and_then(|id| leads.get_mut(id));
            if let Some(lead) = lead {
                let now = wall_clock();
                // The provider may have told it back already: then its message is stored.
                let message = send.message(db.next_id(), lead.id, provider_id.as_deref(), now);
                if let Some(message) = message {
                    let lead = lead.change();
                    lead.last_outbound_at = lead.last_outbound_at.max(Some(now));
                    lead.last_message_at = lead.last_message_at.max(Some(now));
                    message_id = Some(message.id);
                    self.sent.push(message);
                }
            }
        }
        // A repeated word of the same end is no other end.
        if status != DeliveryStatus::Sending && send.status != status {
            self.ended.push(send.ended(status, error.as_deref()));
        }
        self.deliveries.push(DeliveryRow {
            id: send.id,
            status: status.as_str(),
            error,
            provider_id,
            message_id,
            is_over: status != DeliveryStatus::Sending,
        });
        let (status, blocked_by) = draft;
        self.drafts.extend(settlement.draft_id.map(|id| SettledDraft { id, status, blocked_by }));
    }

    async fn write(self, tx: &Tx) -> Result<(), StoreError> {
        messages::put(tx, &self.sent).await?;
        if !self.deliveries.is_empty() {
            tx.run(&SETTLE_DELIVERIES, [group(&self.deliveries)?]).await?;
        }
        if !self.drafts.is_empty() {
            tx.run(&SETTLE_DRAFTS, [group(&self.drafts)?]).await?;
        }
        if !self.resumed.is_empty() {
            let resumed: Vec<AccountRow<'_>> = self.resumed.into_iter().collect();
            let rows = tx.all(&RESUME_ACCOUNTS, [group(&resumed)?]).await?;
            tx.note(rows.iter().map(|row| account_news(row, None)).collect::<Result<Vec<_>, _>>()?);
        }
        if !self.paused.is_empty() {
            let paused: Vec<PauseRow<'_>> = self.paused.into_values().collect();
            for row in tx.all(&PAUSE_ACCOUNTS, [group(&paused)?]).await? {
                let state: String = row.try_get("", "state")?;
                if flag(&row, "has_changed")? {
                    tx.note([account_news(&row, AccountState::parse(&state))?]);
                }
            }
        }
        tx.note(self.ended);
        Ok(())
    }
}

/// What is told of an account, whose row this is, and which is in this trouble now.
fn account_news(row: &QueryResult, state: Option<AccountState>) -> Result<SendNews, StoreError> {
    Ok(SendNews::Account {
        client_id: row.try_get("", "client_id")?,
        channel: row.try_get("", "channel")?,
        cause: if state.is_some() { row.try_get("", "reason")? } else { String::new() },
        state,
    })
}

/// The draft of a job that was to send it and ended before it marked a send: a person must see
/// that it was not sent.
fn left_behind(settlement: &Settlement, passed: bool) -> Option<SettledDraft> {
    let blocked_by = match settlement.transition {
        Transition::Fail { .. } => "delivery_failed",
        Transition::Cancel { .. } => "cancelled",
        Transition::Succeed(_)
        | Transition::Retry { .. }
        | Transition::Snooze { .. }
        | Transition::Postpone { .. }
        | Transition::Release => return None,
    };
    let id = settlement.draft_id.filter(|_| passed && settlement.kind == DELIVER_REPLY.0)?;
    Some(SettledDraft { id, status: "approved", blocked_by: Some(blocked_by) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const RUN: i64 = 3;

    fn fail() -> Transition {
        Transition::Fail { reason: FailureReason::Error, error: "no".to_owned() }
    }

    fn retry() -> Transition {
        let after = Duration::ZERO;
        Transition::Retry { after, reason: FailureReason::Error, error: "no".to_owned() }
    }

    fn ends() -> impl Strategy<Value = Option<SendEnd>> {
        let why = "why".to_owned();
        prop_oneof![
            Just(None),
            Just(Some(SendEnd::Sent { provider_id: None })),
            Just(Some(SendEnd::NotSent { why: why.clone(), account: None })),
            Just(Some(SendEnd::NotCalled { after: Duration::ZERO })),
            Just(Some(SendEnd::Failed { why: why.clone() })),
            Just(Some(SendEnd::Unsendable { why: why.clone() })),
            Just(Some(SendEnd::Unknown { why })),
        ]
    }

    fn statuses() -> impl Strategy<Value = DeliveryStatus> {
        prop::sample::select(DeliveryStatus::ALL.to_vec())
    }

    #[test]
    fn each_end_has_its_status() {
        use DeliveryStatus::{Failed, Sending, Sent, Uncertain};
        let why = || "why".to_owned();
        let sent = SendEnd::Sent { provider_id: None };
        let not_sent = SendEnd::NotSent { why: why(), account: None };
        let (refused, unknown) = (SendEnd::Failed { why: why() }, SendEnd::Unknown { why: why() });
        let marked = Some(RUN);
        for (number, (status, marked_run, end, transition, passed, expected)) in [
            (Sending, marked, Some(&sent), fail(), true, Some(Sent)),
            (Sending, marked, Some(&not_sent), retry(), true, Some(Sending)),
            (Sending, marked, Some(&not_sent), fail(), true, Some(Failed)),
            (Sending, marked, Some(&refused), fail(), true, Some(Failed)),
            (Sending, marked, Some(&unknown), fail(), true, Some(Uncertain)),
            // Without a mark, the end of the job is the end of the send.
            (Sending, None, None, fail(), true, Some(Failed)),
            (Sending, None, None, retry(), true, None),
            // The lease was lost: certain knowledge still counts.
            (Uncertain, marked, Some(&sent), fail(), false, Some(Sent)),
            (Uncertain, marked, Some(&refused), fail(), false, Some(Failed)),
            (Uncertain, marked, Some(&not_sent), retry(), false, Some(Failed)),
            (Uncertain, marked, Some(&unknown), fail(), false, None),
            (Failed, marked, Some(&sent), fail(), false, Some(Sent)),
            // Another run has made a call since.
            (Sending, Some(RUN + 1), Some(&not_sent), retry(), false, None),
            (Sending, Some(RUN + 1), Some(&refused), fail(), false, None),
            // What is sent stays sent.
            (Sent, marked, Some(&refused), fail(), true, None),
            (Sent, marked, None, fail(), true, None),
        ]
        .into_iter()
        .enumerate()
        {
            let before = DeliveryBefore { status, marked_run, is_reported: false };
            let found = change(before, RUN, end, &transition, passed);
            assert_eq!(found.map(|it| it.status), expected, "row {number}");
            // What the provider reported after it took the answer is not overwritten.
            let reported = DeliveryBefore { status: Failed, is_reported: true, ..before };
            assert_eq!(change(reported, RUN, end, &transition, passed), None, "row {number}");
        }
    }

    proptest! {
        #[test]
        fn sent_is_never_lost_and_nothing_leaves_it(
            status in statuses(), end in ends(), marked in prop::option::of(1..6_i64), passed: bool, ends_job: bool,
        ) {
            let transition = if ends_job { fail() } else { retry() };
            let before = DeliveryBefore { status, marked_run: marked, is_reported: false };
            let after = change(before, RUN, end.as_ref(), &transition, passed)
                .map_or(status, |it| it.status);
            if status == DeliveryStatus::Sent || matches!(end, Some(SendEnd::Sent { .. })) {
                prop_assert_eq!(after, DeliveryStatus::Sent);
            }
            // An uncertain one is settled by certain knowledge only.
            if status == DeliveryStatus::Uncertain && matches!(end, None | Some(SendEnd::Unknown { .. })) {
                prop_assert_eq!(after, status);
            }
            // Without its fence a job makes nothing uncertain, and puts nothing back.
            if !passed {
                prop_assert!(after == status || after == DeliveryStatus::Sent || after == DeliveryStatus::Failed);
            }
        }
    }
}
