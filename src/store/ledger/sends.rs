//! What the ends of jobs mean for the deliveries of their drafts (G5, docs/RULES.md SENDING).
//!
//! This is the one place where it is decided whether a send may be repeated. Whoever settles a job
//! (its handler, a rescue, a shutdown, a person) comes through here, under the lead's lock. If the
//! job's send is marked, only the handler's own word counts, and anything else makes the delivery
//! `uncertain`.

use super::{Settlement, Transition};
use crate::domain::{
    Id,
    job::{DELIVER_REPLY, FailureReason},
    sending::{AccountTrouble, DeliveryStatus, SendEnd, storable_id},
};
use crate::store::{
    engine::{
        Database, StoreError,
        ids::wall_clock,
        sql::sql,
        tx::{Tx, group, millis},
    },
    tables::{
        leads::{Lead, Leads},
        messages::{self, MessageInsert, SentMessage},
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

sql! {
    /// The deliveries of drafts, with what an outbound message needs. The leads are locked. By
    /// `deliveries_of_draft` and primary keys.
    static READ_SENDS =
        "select x.id, x.draft_id, x.job_id, x.status, x.marked_run, x.message_id, d.client_id, d.channel, d.subject, d.body, \
           m.campaign_id, m.sender, m.recipients \
         from deliveries x join drafts d on d.id = x.draft_id left join messages m on m.id = d.message_id where x.draft_id @ids($1)";

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

    /// Notes accounts through which nothing is sent for a while. By primary key.
    static PAUSE_ACCOUNTS =
        "insert into send_accounts (client_id, channel, state, paused_until, reason, since) \
         select g.client_id, g.channel, g.state, @in_ms(g.pause), g.reason, @now \
         from @rows($1, client_id text, channel text, state text, pause bigint, reason text) g \
         where true order by g.client_id, g.channel \
         on conflict (client_id, channel) do update set paused_until = excluded.paused_until, reason = excluded.reason, \
           since = case when send_accounts.state = excluded.state then send_accounts.since else excluded.since end, \
           state = excluded.state";

    /// Ends the pauses of accounts that have sent again. By primary key.
    static RESUME_ACCOUNTS =
        "delete from send_accounts where (client_id, channel) in (select g.client_id, g.channel from @rows($1, client_id text, channel text) g)";
}

/// The delivery of a draft, as it is under its lead's lock.
pub(super) struct Send {
    id: Id,
    job_id: Option<Id>,
    status: DeliveryStatus,
    marked_run: Option<i64>,
    message_id: Option<Id>,
    client_id: String,
    channel: String,
    subject: Option<String>,
    body: String,
    campaign_id: Option<Id>,
    /// The sender of the message that it answers, as JSON.
    lead_address: Option<String>,
    /// The recipients of that message, as JSON.
    our_addresses: Option<String>,
}

impl Send {
    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let status: String = row.try_get("", "status")?;
        Ok(Self {
            id: row.try_get("", "id")?,
            job_id: row.try_get("", "job_id")?,
            status: DeliveryStatus::stored(&status),
            marked_run: row.try_get::<Option<i32>>("", "marked_run")?.map(i64::from),
            message_id: row.try_get("", "message_id")?,
            client_id: row.try_get("", "client_id")?,
            channel: row.try_get("", "channel")?,
            subject: row.try_get("", "subject")?,
            body: row.try_get("", "body")?,
            campaign_id: row.try_get("", "campaign_id")?,
            lead_address: row.try_get("", "sender")?,
            our_addresses: row.try_get("", "recipients")?,
        })
    }

    /// True if a call may be on the wire.
    fn is_marked(&self) -> bool {
        self.status == DeliveryStatus::Sending && self.marked_run.is_some()
    }
}

/// The deliveries of the drafts of these settlements, by draft. Their leads are locked.
async fn read_sends(tx: &Tx, all: &[Settlement]) -> Result<HashMap<Id, Send>, StoreError> {
    let drafts: Vec<Id> = all.iter().filter_map(|it| it.draft_id).collect();
    let mut sends = HashMap::new();
    if drafts.is_empty() {
        return Ok(sends);
    }
    for row in tx.all(&READ_SENDS, [group(&drafts)?]).await? {
        sends.insert(row.try_get("", "draft_id")?, Send::from_row(&row)?);
    }
    Ok(sends)
}

/// The delivery that the job of a settlement sends.
fn send_of<'a>(settlement: &Settlement, sends: &'a HashMap<Id, Send>) -> Option<&'a Send> {
    let send = sends.get(&settlement.draft_id?)?;
    (send.job_id == Some(settlement.job_id)).then_some(send)
}

/// Ends the jobs whose send is marked and whose handler has said nothing about it: they must not
/// run again. Returns the settlements, and the deliveries by draft.
pub(super) async fn end_cut_off<'a>(
    tx: &Tx,
    mut all: Cow<'a, [Settlement]>,
) -> Result<(Cow<'a, [Settlement]>, HashMap<Id, Send>), StoreError> {
    let sends = read_sends(tx, &all).await?;
    let is_cut_off = |settlement: &Settlement| {
        settlement.send.is_none() && send_of(settlement, &sends).is_some_and(Send::is_marked)
    };
    let cut_off: Vec<usize> =
        (0..all.len()).filter(|at| all.get(*at).is_some_and(is_cut_off)).collect();
    for at in cut_off {
        if let Some(settlement) = all.to_mut().get_mut(at) {
            let why = without_verdict(&settlement.transition);
            let reason = settlement.transition.failure().unwrap_or(FailureReason::Error);
            settlement.transition = Transition::Fail { reason, error: why.clone() };
            settlement.send = Some(SendEnd::Unknown { why });
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
    settle_sends(db, tx, all, &vec![true; all.len()], &sends, leads).await.map(drop)
}

/// What changes about a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DeliveryChange {
    status: DeliveryStatus,
    error: Option<String>,
    /// The status and the block of its draft.
    draft: (&'static str, Option<&'static str>),
}

/// What the end of a job changes about its delivery, which has this status and whose call was last
/// made by the run `marked_run`. `passed`: the job's fence holds. A lost fence loses no knowledge:
/// what is certain wins over what is not, and `sent` over everything.
fn change(
    status: DeliveryStatus,
    marked_run: Option<i64>,
    run: i64,
    send: Option<&SendEnd>,
    transition: &Transition,
    passed: bool,
) -> Option<DeliveryChange> {
    use DeliveryStatus::{Failed, Sending, Sent, Uncertain};
    let is_own = marked_run == Some(run);
    let ends_job = matches!(transition, Transition::Fail { .. } | Transition::Cancel { .. });
    let failed = |why: &str| {
        let draft = ("approved", Some("delivery_failed"));
        Some(DeliveryChange { status: Failed, error: Some(why.to_owned()), draft })
    };
    match send {
        Some(SendEnd::Sent { .. }) => {
            Some(DeliveryChange { status: Sent, error: None, draft: ("sent", None) })
        }
        _ if status == Sent => None,
        Some(SendEnd::Failed { why }) if is_own => failed(why),
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
    sent: Vec<MessageInsert>,
    /// By account: the last answer of it that pauses it.
    paused: HashMap<AccountRow<'a>, PauseRow<'a>>,
    /// Accounts that have sent.
    resumed: BTreeSet<AccountRow<'a>>,
    /// The channels and statuses of the deliveries that ended.
    ended: Vec<(String, DeliveryStatus)>,
}

/// Settles the deliveries of a group. `applied` says whose fence holds. The leads are locked, and
/// are written by the caller. Returns the channels and statuses of the deliveries that ended.
pub(super) async fn settle_sends(
    db: &Database,
    tx: &Tx,
    all: &[Settlement],
    applied: &[bool],
    sends: &HashMap<Id, Send>,
    leads: &mut Leads,
) -> Result<Vec<(String, DeliveryStatus)>, StoreError> {
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
        send: &'a Send,
        leads: &mut Leads,
    ) {
        let (end, transition) = (settlement.send.as_ref(), &settlement.transition);
        let (client_id, channel) = (send.client_id.as_str(), send.channel.as_str());
        let account = AccountRow { client_id, channel };
        if let Some(SendEnd::NotSent { why, account: Some(trouble) }) = end {
            let AccountTrouble { state, pause } = trouble;
            let pause = millis(*pause);
            let row = PauseRow { client_id, channel, state: state.as_str(), pause, reason: why };
            self.paused.insert(account, row);
        }
        let found = change(send.status, send.marked_run, settlement.run, end, transition, passed);
        let Some(DeliveryChange { status, error, draft }) = found else { return };
        let (mut provider_id, mut message_id) = (None, None);
        if let Some(SendEnd::Sent { provider_id: told }) = end {
            provider_id = told.as_deref().and_then(storable_id);
            self.resumed.insert(account);
            let lead_id = settlement.lead_id.map(|id| leads.resolve(id));
            let lead = lead_id.and_then(|id| leads.get_mut(id));
            // The provider may have told it back already: then its message is stored.
            if let Some(lead) = lead.filter(|_| send.message_id.is_none()) {
                let message = sent_message(db.next_id(), send, provider_id.as_deref(), lead);
                message_id = Some(message.id);
                self.sent.push(message);
            }
        }
        self.deliveries.push(DeliveryRow {
            id: send.id,
            status: status.as_str(),
            error,
            provider_id,
            message_id,
            is_over: status != DeliveryStatus::Sending,
        });
        // A repeated word of the same end is no other end.
        if status != DeliveryStatus::Sending && send.status != status {
            self.ended.push((send.channel.clone(), status));
        }
        let (status, blocked_by) = draft;
        self.drafts.extend(settlement.draft_id.map(|id| SettledDraft { id, status, blocked_by }));
    }

    async fn write(self, tx: &Tx) -> Result<Vec<(String, DeliveryStatus)>, StoreError> {
        messages::put(tx, &self.sent).await?;
        if !self.deliveries.is_empty() {
            tx.run(&SETTLE_DELIVERIES, [group(&self.deliveries)?]).await?;
        }
        if !self.drafts.is_empty() {
            tx.run(&SETTLE_DRAFTS, [group(&self.drafts)?]).await?;
        }
        if !self.resumed.is_empty() {
            let resumed: Vec<AccountRow<'_>> = self.resumed.into_iter().collect();
            tx.run(&RESUME_ACCOUNTS, [group(&resumed)?]).await?;
        }
        if !self.paused.is_empty() {
            let paused: Vec<PauseRow<'_>> = self.paused.into_values().collect();
            tx.run(&PAUSE_ACCOUNTS, [group(&paused)?]).await?;
        }
        Ok(self.ended)
    }
}

/// The outbound message of an answer that was sent now. Its lead's last times follow.
fn sent_message(id: Id, send: &Send, provider_id: Option<&str>, lead: &mut Lead) -> MessageInsert {
    let now = wall_clock();
    let lead = lead.change();
    lead.last_outbound_at = lead.last_outbound_at.max(Some(now));
    lead.last_message_at = lead.last_message_at.max(Some(now));
    MessageInsert::sent(SentMessage {
        id,
        lead_id: lead.id,
        client_id: &send.client_id,
        channel: &send.channel,
        provider_id,
        campaign_id: send.campaign_id,
        subject: send.subject.as_deref(),
        body: &send.body,
        lead_address: send.lead_address.as_deref(),
        our_addresses: send.our_addresses.as_deref(),
        at: now,
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
            let found = change(status, marked_run, RUN, end, &transition, passed);
            assert_eq!(found.map(|it| it.status), expected, "row {number}");
        }
    }

    proptest! {
        #[test]
        fn sent_is_never_lost_and_nothing_leaves_it(
            status in statuses(), end in ends(), marked in prop::option::of(1..6_i64), passed: bool, ends_job: bool,
        ) {
            let transition = if ends_job { fail() } else { retry() };
            let after = change(status, marked, RUN, end.as_ref(), &transition, passed)
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
