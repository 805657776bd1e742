//! Sends a draft without a person when its time has come, if everything still speaks for it
//! (docs/RULES.md AUTOMATIC).
//!
//! The job decides nothing about the text: the gate did. It approves the draft and enqueues the
//! job that sends it, which judges everything once more under the lead's lock.

use super::{
    Deps, JobHandler,
    send_rules::{has_settings, opens_in},
};
use crate::{
    config::Client,
    domain::{
        ChannelFacts, Effect, Job, JobKind, Outcome,
        backoff::AWAY_PAUSE,
        job::{AUTO_SEND_DELAYED, DELIVER_REPLY},
        outcome::Subject,
        schedule::SEARCHED_DAYS,
        sending::{MaySend, SendCase},
    },
    store::DraftToSend,
};
use std::time::Duration;

/// Approves drafts that a rule sends.
#[derive(Debug)]
pub struct AutoSendDelayed(Deps);

impl AutoSendDelayed {
    /// A handler that uses the reader and the configuration of `deps`.
    pub fn new(deps: &Deps) -> Self {
        Self(deps.clone())
    }
}

impl JobHandler for AutoSendDelayed {
    const KIND: JobKind = AUTO_SEND_DELAYED;

    async fn handle(&self, job: &Job) -> Outcome {
        let Self(deps) = self;
        let gone = || Outcome::Cancel("the draft is gone".to_owned());
        let Some(draft_id) = job.draft_id else { return gone() };
        let draft = match deps.reader.draft_to_send(draft_id).await {
            Ok(Some(draft)) => draft,
            Ok(None) => return gone(),
            Err(error) if error.is_away() => {
                tracing::warn!(%error, "the job waits for the database");
                return Outcome::Postpone(AWAY_PAUSE);
            }
            Err(error) => return Outcome::Retry(format!("could not read the draft: {error}")),
        };
        let config = deps.config.get();
        let client = config.client(&job.client_id);
        let channel = deps.channel(&draft.channel).map(|it| it.facts());
        match judged(&draft, client, channel, config.sending.enabled) {
            DelayedSend::Approve => Outcome::Done(vec![
                Effect::ApproveDraft { draft_id },
                Effect::Enqueue {
                    kind: DELIVER_REPLY,
                    subject: Subject::Draft(draft_id),
                    delay: Duration::ZERO,
                },
            ]),
            DelayedSend::Wait(pause) => Outcome::Snooze(pause),
            DelayedSend::Never(reason) => {
                Outcome::Cancel(format!("the draft is not sent automatically: {reason}"))
            }
        }
    }
}

/// What becomes of a draft whose time has come.
#[derive(Debug, PartialEq, Eq)]
enum DelayedSend {
    /// It is sent.
    Approve,
    /// Not now: come again after this long.
    Wait(Duration),
    /// Never, for this reason. A person may still send it.
    Never(&'static str),
}

fn judged(
    draft: &DraftToSend,
    client: Option<&Client>,
    channel: Option<ChannelFacts>,
    is_enabled: bool,
) -> DelayedSend {
    let context = &draft.context;
    let campaign = context.campaign.as_deref();
    // 1. What only a person decides.
    if draft.is_pending && !draft.has_passed_gate {
        return DelayedSend::Never("the gate did not judge its text");
    }
    if draft.was_taken_back {
        return DelayedSend::Never("it was approved before, and taken back");
    }
    // 2. What is judged again when the send is marked, too.
    let case = SendCase {
        is_enabled,
        has_settings: has_settings(client, &draft.channel),
        is_by_person: false,
        is_automatic_allowed: client
            .zip(channel)
            .is_some_and(|(client, channel)| client.sends_by_rule(&channel, campaign)),
        opens_in: opens_in(client, context.lead_zone.as_deref(), context.now),
        is_approved: draft.is_pending || draft.is_approved_by_rule,
        delivery: None,
        message: draft.message,
        barrier: draft.barrier,
        is_snoozed: context.is_snoozed(),
        account_pause: Duration::ZERO,
    };
    match case.may_send() {
        MaySend::Yes => DelayedSend::Approve,
        MaySend::Later(pause) => DelayedSend::Wait(pause),
        MaySend::Never { reason: "not_approved", .. } => {
            DelayedSend::Never("it was decided already")
        }
        MaySend::Never { reason: "no_open_hour", .. } => DelayedSend::Never(NO_HOUR),
        MaySend::Never { reason, .. } => DelayedSend::Never(reason),
    }
}

const _: () = assert!(SEARCHED_DAYS == 90, "the reason says so");
const NO_HOUR: &str = "no hour is open in the next 90 days";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channels::{facts_of, sms::Sms},
        config::{Config, Sources},
        domain::{
            Timestamp,
            sending::{AnsweredMessage, SNOOZED_PAUSE, SWITCHED_OFF_PAUSE},
        },
        store::SendingContext,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_768_395_600_000); // 2026-01-14T13:00:00Z, a Wednesday

    fn config(client: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("test.toml");
        let sms = "channels.sms.send = { api_key = \"k\" }";
        std::fs::write(&file, format!("[[clients]]\nid = \"a\"\n{client}\n{sms}")).unwrap();
        Config::load(&Sources { files: vec![file], ..Sources::default() }).unwrap()
    }

    fn draft() -> DraftToSend {
        DraftToSend {
            is_pending: true,
            is_approved_by_rule: false,
            has_passed_gate: true,
            was_taken_back: false,
            channel: "sms".to_owned(),
            message: AnsweredMessage::ANSWERABLE,
            barrier: None,
            context: SendingContext {
                campaign: Some("c1".to_owned()),
                lead_zone: None,
                snoozed_until: None,
                now: NOW,
            },
        }
    }

    fn found(draft: &DraftToSend, client: &str, is_enabled: bool) -> DelayedSend {
        let config = config(client);
        judged(draft, config.client("a"), Some(facts_of::<Sms>()), is_enabled)
    }

    #[test]
    fn each_fact_alone_stops_or_delays_it() {
        type Change = fn(&mut DraftToSend);
        let rows: [(Change, DelayedSend); 16] = [
            (|_| {}, DelayedSend::Approve),
            (|it| it.is_pending = false, DelayedSend::Never("it was decided already")),
            (|it| (it.is_pending, it.is_approved_by_rule) = (false, true), DelayedSend::Approve),
            (
                |it| it.has_passed_gate = false,
                DelayedSend::Never("the gate did not judge its text"),
            ),
            (
                |it| it.was_taken_back = true,
                DelayedSend::Never("it was approved before, and taken back"),
            ),
            (|it| it.message.has_later = true, DelayedSend::Never("newer_message")),
            (|it| it.message.reaches_others = true, DelayedSend::Never("reaches_others")),
            (|it| it.message.is_edited = true, DelayedSend::Never("message_edited")),
            (|it| it.message.has_answerable_tag = false, DelayedSend::Never("tag_changed")),
            (|it| it.message.is_newest = false, DelayedSend::Never("newer_message")),
            (|it| it.message.is_answered = true, DelayedSend::Never("answered_by_a_person")),
            (|it| it.message.is_deleted = true, DelayedSend::Never("message_deleted")),
            (|it| it.message.has_handle = false, DelayedSend::Never("no_reply_handle")),
            (|it| it.barrier = Some("opted_out"), DelayedSend::Never("opted_out")),
            (
                |it| it.context.snoozed_until = Some(NOW.plus_millis(1)),
                DelayedSend::Wait(SNOOZED_PAUSE),
            ),
            (|it| it.context.snoozed_until = Some(NOW), DelayedSend::Approve),
        ];
        for (number, (change, expected)) in rows.into_iter().enumerate() {
            let mut it = draft();
            change(&mut it);
            assert_eq!(found(&it, "auto_reply = \"gate\"", true), expected, "row {number}");
        }
    }

    #[test]
    fn the_configuration_is_read_again() {
        let off = DelayedSend::Never("automatic_reply_off");
        assert_eq!(found(&draft(), "auto_reply = \"off\"", true), off);
        let exception = "auto_reply = \"auto\"\nauto_send.campaigns = { c1 = \"off\" }";
        assert_eq!(found(&draft(), exception, true), off);
        let switched_off = DelayedSend::Wait(SWITCHED_OFF_PAUSE);
        assert_eq!(found(&draft(), "auto_reply = \"auto\"", false), switched_off);
        // The client is not in the configuration any more.
        assert_eq!(judged(&draft(), None, Some(facts_of::<Sms>()), true), off);
        // The daemon does not have the channel any more.
        assert_eq!(judged(&draft(), config("auto_reply = \"auto\"").client("a"), None, true), off);
    }

    #[test]
    fn outside_the_hours_it_waits_for_the_next_window() {
        let client = |schedule: &str| {
            format!(
                "auto_reply = \"auto\"\ntimezone = \"America/New_York\"\nauto_send.schedule = {schedule}"
            )
        };
        let hour = Duration::from_secs(3_600);
        // 13:00 UTC is 08:00 in New York, 14:00 in Berlin and 21:00 in Hong Kong.
        let rows = [
            (None, "\"always\"", DelayedSend::Approve),
            (None, "\"business_hours\"", DelayedSend::Wait(hour)),
            (Some("Europe/Berlin"), "\"business_hours\"", DelayedSend::Approve),
            (Some("Asia/Hong_Kong"), "\"business_hours\"", DelayedSend::Wait(12 * hour)),
            (Some("Mars/Base"), "\"business_hours\"", DelayedSend::Wait(hour)),
            (None, "{ timezone = \"UTC\", start = \"13:00\" }", DelayedSend::Approve),
            (
                None,
                "{ timezone = \"UTC\", closed = [\"2026-01-01..2026-06-01\"] }",
                DelayedSend::Never(NO_HOUR),
            ),
        ];
        for (zone, schedule, expected) in rows {
            let mut it = draft();
            it.context.lead_zone = zone.map(str::to_owned);
            assert_eq!(found(&it, &client(schedule), true), expected, "{zone:?} {schedule}");
        }
    }
}
