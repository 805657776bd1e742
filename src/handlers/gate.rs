//! Asks the gate about a new draft (docs/RULES.md AUTOMATIC). The rules are in
//! `domain::auto_send`; this gathers what they ask for.

use super::send_rules::has_settings;
use crate::{
    analyst::{DraftRequest, DraftText, Evaluation, EvaluationRequest},
    config::Client,
    domain::{
        ChannelFacts, Conversation, Timestamp,
        auto_send::{self, AutoReply, GateCase, Opinion, SendTiming, SendingFacts},
        outcome::{DraftFacts, GateVerdict},
        schedule::zone_of,
    },
    store::SendingContext,
};
use std::time::Duration;

/// A new draft, and what is known of its client and its lead.
#[derive(Clone, Copy)]
pub(super) struct NewDraft<'a> {
    /// The message that it answers, with its tag.
    pub(super) drafting: DraftRequest<'a>,
    /// How sure the classifier is of the tag; `None` if a rule or the provider gave it.
    pub(super) tag_confidence: Option<f32>,
    /// The draft.
    pub(super) text: &'a DraftText,
    /// The channel of the message and the draft.
    pub(super) channel: ChannelFacts,
    /// The client.
    pub(super) client: &'a Client,
    /// False if sending is switched off (`sending.enabled`).
    pub(super) is_enabled: bool,
    /// The campaign, the zone and the snooze.
    pub(super) context: &'a SendingContext,
}

impl NewDraft<'_> {
    /// How it came about, and how the gate judges it. `evaluated` asks the evaluator; it is awaited
    /// only if the answer counts. If there is none, a person must look.
    pub(super) async fn facts(
        self,
        evaluated: impl Future<Output = Option<Evaluation>>,
    ) -> DraftFacts {
        DraftFacts {
            tag: Some(self.drafting.tag),
            from_template: self.drafting.is_own_template(&self.text.body),
            gate: Some(self.judged(evaluated).await),
        }
    }

    async fn judged(self, evaluated: impl Future<Output = Option<Evaluation>>) -> GateVerdict {
        let Self { drafting, client, context, .. } = self;
        let Conversation { message, lead, .. } = drafting.message.conversation();
        let campaign = context.campaign.as_deref();
        let zone = zone_of(context.lead_zone.as_deref(), &client.timezone);
        let mut case = GateCase {
            mode: client.auto_reply_in(campaign),
            threshold: client.auto_send.threshold,
            sending: SendingFacts {
                is_enabled: self.is_enabled,
                has_settings: has_settings(Some(client), self.channel.name.0),
                is_channel_automatic: client.sends_by_rule(&self.channel, campaign),
                has_handle: message.can_be_answered,
                barrier: lead.no_draft_on(drafting.message.medium()),
                is_snoozed: context.is_snoozed(),
                is_newest: lead.newest_inbound_id == Some(message.id),
            },
            safety: EvaluationRequest::of(drafting, &self.text.body).safety(),
            tag_confidence: self.tag_confidence.map(as_written),
            reaches_others: message.reaches_others,
            opinion: None,
            timing: SendTiming {
                message_id: message.id,
                inbound_at: message.sent_at,
                delay_min: client.auto_send.delay_min,
                delay_max: client.auto_send.delay_max,
                hours: client.sending_hours(),
                zone: &zone,
                now: context.now,
            },
        };
        if let Some(verdict) = auto_send::without_evaluator(&case) {
            return verdict;
        }
        let evaluated = evaluated.await;
        case.opinion = evaluated.as_ref().map(|it| Opinion {
            is_safe: it.is_safe,
            confidence: as_written(it.confidence),
            reason: &it.reason,
        });
        auto_send::decide(&case)
    }
}

/// True if some draft of the client may be sent without a person. Else its drafts need no gate.
pub(super) fn is_used_by(client: &Client) -> bool {
    let modes = || client.auto_send.campaigns.values().chain([&client.auto_reply]);
    modes().any(|mode| *mode != AutoReply::Off)
}

/// How long after `now` the draft is sent; `None` if no rule sends it.
pub(super) fn delay(facts: &DraftFacts, now: Timestamp) -> Option<Duration> {
    let at = facts.gate.as_ref()?.send_at?;
    Some(Duration::from_millis(u64::try_from(at.millis_since(now)).unwrap_or_default()))
}

/// A confidence as it is written: 0.95 is not less than 0.95 because it had fewer bits.
fn as_written(confidence: f32) -> f64 {
    (f64::from(confidence) * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analyst::{
            Analyst, Local, RuledMessage,
            testing::{TEXT, conversation},
        },
        channels::{email::Email, facts_of, sms::Sms},
        config::{Config, Sources},
        domain::{Sentiment, auto_send::GateDecision},
    };
    use futures_util::FutureExt;
    use std::future::ready;

    const TEMPLATE: &str = "Hi {first_name}, it costs 10 a month.";
    /// A Wednesday, 2026-01-14T13:00:00Z.
    const NOW: Timestamp = Timestamp::from_millis(1_768_395_600_000);

    /// What the gate says about the answer to `it` by the client's template.
    fn facts(
        it: &Conversation,
        client: &str,
        evaluated: Option<Evaluation>,
        change: Change,
    ) -> DraftFacts {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("test.toml");
        let sms = "channels.sms.send = { api_key = \"k\" }";
        let template = format!("templates = {{ \"Information Requested\" = \"{TEMPLATE}\" }}");
        let toml = format!("[[clients]]\nid = \"a\"\n{template}\n{client}\n{sms}");
        std::fs::write(&file, toml).unwrap();
        let config = Config::load(&Sources { files: vec![file], ..Sources::default() }).unwrap();
        let client = config.client("a").unwrap();
        let tag = Sentiment::InformationRequested;
        let message = RuledMessage::new(it, TEXT);
        let drafting = DraftRequest::new(&message, tag, Some(client));
        let text = Local.draft(drafting).now_or_never().unwrap().unwrap().unwrap();
        let context = SendingContext {
            campaign: Some("c1".to_owned()),
            lead_zone: None,
            snoozed_until: None,
            now: NOW,
        };
        let mut draft = NewDraft {
            drafting,
            tag_confidence: Some(0.8),
            text: &text,
            channel: facts_of::<Sms>(),
            client,
            is_enabled: true,
            context: &context,
        };
        change(&mut draft);
        draft.facts(ready(evaluated)).now_or_never().unwrap()
    }

    type Change = fn(&mut NewDraft<'_>);

    fn says(is_safe: bool, confidence: f32) -> Option<Evaluation> {
        Some(Evaluation { is_safe, confidence, reason: "so it says".to_owned() })
    }

    fn asked(body: &str) -> Conversation {
        let mut it = conversation("sms", body);
        it.message.sent_at = NOW.plus_millis(-1_000);
        it
    }

    #[test]
    fn what_the_evaluator_calls_safe_has_its_time() {
        let it = asked("What does it cost?");
        let found = facts(&it, "auto_reply = \"gate\"", says(true, 0.95), |_| {});
        let gate = found.gate.clone().unwrap();
        assert!(found.from_template);
        assert_eq!((gate.decision, gate.confidence), (GateDecision::SendLater, Some(0.95)));
        let after = delay(&found, NOW.plus_millis(-1_000)).unwrap();
        assert!((180..=420).contains(&after.as_secs()), "{after:?}");
        // The least confidence that passes is the confidence itself.
        let exact = "auto_reply = \"gate\"\nauto_send.threshold = 0.95";
        let found = facts(&it, exact, says(true, 0.95), |_| {});
        assert_eq!(found.gate.unwrap().decision, GateDecision::SendLater);
        let found = facts(&it, exact, says(true, 0.949), |_| {});
        assert_eq!(delay(&found, NOW), None);
    }

    #[test]
    fn each_fact_reaches_the_gate() {
        use GateDecision::{NeedsReview, SendLater, Skip};
        let gate = "auto_reply = \"gate\"";
        let auto = "auto_reply = \"auto\"";
        let (safe, unsafe_) = (|| says(true, 0.95), || says(false, 0.5));
        let one = "What does it cost?";
        let none: Change = |_| {};
        let exception = "auto_reply = \"gate\"\nauto_send.campaigns = { c1 = \"off\" }";
        let rows: [(&str, &str, Option<Evaluation>, Change, GateDecision); 12] = [
            (one, "auto_reply = \"off\"", safe(), none, Skip),
            (one, exception, safe(), none, Skip),
            (one, gate, safe(), |it| it.is_enabled = false, Skip),
            (one, gate, safe(), |it| it.channel = facts_of::<Email>(), Skip),
            (one, gate, unsafe_(), none, NeedsReview),
            (one, gate, None, none, NeedsReview),
            (one, auto, None, none, NeedsReview),
            (one, auto, unsafe_(), none, SendLater),
            ("Great, thanks!", auto, safe(), none, NeedsReview),
            ("Takk men jeg vil ikke ha flere meldinger", auto, safe(), none, NeedsReview),
            (one, auto, safe(), |it| it.tag_confidence = Some(0.3), NeedsReview),
            (one, auto, safe(), |it| it.tag_confidence = None, SendLater),
        ];
        for (number, (body, client, evaluated, change, expected)) in rows.into_iter().enumerate() {
            let found = facts(&asked(body), client, evaluated, change).gate.unwrap();
            assert_eq!(found.decision, expected, "row {number}: {found:?}");
        }
        let mut late = asked(one);
        late.lead.newest_inbound_id = Some(8);
        let mut of_group = asked(one);
        of_group.message.reaches_others = true;
        assert_eq!(facts(&of_group, auto, safe(), none).gate.unwrap().decision, NeedsReview);
        let mut mute = asked(one);
        mute.message.can_be_answered = false;
        for it in [late, mute] {
            assert_eq!(facts(&it, gate, safe(), none).gate.unwrap().decision, Skip);
        }
    }
}
