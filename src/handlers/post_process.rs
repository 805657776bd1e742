//! Works through a message: what it says, whether it opts out, and what could be answered.
//!
//! One pipeline for all channels; what differs between them is in the rules that it asks
//! (docs/RULES.md SENTIMENT, DRAFTS).

use super::{Deps, JobHandler, conversation_of};
use crate::{
    analyst::{Analyst, AnalystError, DraftRequest, DraftText},
    channels::Channel,
    domain::{
        ChannelName, Conversation, Effect, Job, JobKind, Outcome, Sentiment, drafting::DraftCase,
        event::Direction, job::LEAD_SCORING, opt_out::opt_out_words, text, verdict,
    },
};
use std::{collections::BTreeMap, fmt, marker::PhantomData, time::Duration};

/// Works through messages of channel `C`.
pub struct PostProcess<C: Channel>(PhantomData<fn() -> C>);

impl<C: Channel> Default for PostProcess<C> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<C: Channel> fmt::Debug for PostProcess<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostProcess({})", C::NAME)
    }
}

impl<C: Channel> JobHandler for PostProcess<C> {
    const KIND: JobKind = C::POST_PROCESS;

    async fn handle(&self, job: &Job, deps: &Deps) -> Outcome {
        let it = match conversation_of(job, &deps.reader).await {
            Ok(it) => it,
            Err(outcome) => return outcome,
        };
        if it.message.direction == Direction::Outbound {
            return Outcome::Done(Vec::new());
        }
        let config = deps.config.get();
        let client = config.client(&job.client_id);
        let no_templates = BTreeMap::new();
        let found = Found {
            conversation: &it,
            channel: C::NAME,
            templates: client.map_or(&no_templates, |client| &client.templates),
            sender: client.and_then(|client| client.sender.as_deref()),
        }
        .thought_through(&*deps.analyst);
        match found.await {
            Ok(verdict) => {
                let max_attempts = config.pools.of(LEAD_SCORING.0).max_attempts;
                let read = Effect::Read { fingerprint: text::fingerprint(&it.message.body) };
                let effects = decide(verdict, C::NAME, max_attempts);
                Outcome::Done(std::iter::once(read).chain(effects).collect())
            }
            Err(error) => Outcome::Retry(error.to_string()),
        }
    }
}

/// What is thought about.
#[derive(Clone, Copy)]
struct Found<'a> {
    conversation: &'a Conversation,
    channel: ChannelName,
    templates: &'a BTreeMap<String, String>,
    sender: Option<&'a str>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    tag: Sentiment,
    opt_out: Option<String>,
    draft: Option<DraftText>,
}

impl Found<'_> {
    async fn thought_through(self, analyst: &dyn Analyst) -> Result<Verdict, AnalystError> {
        let opt_out = opt_out(self.conversation);
        let tag = match known_tag(self.conversation, opt_out.is_some()) {
            Some(tag) => tag,
            None => analyst.classify(self.conversation).await?,
        };
        let draft = if may_draft(self.conversation, tag, self.channel) {
            let Self { conversation, channel, templates, sender } = self;
            analyst.draft(DraftRequest { conversation, tag, channel, templates, sender }).await?
        } else {
            None
        };
        Ok(Verdict { tag, opt_out, draft })
    }
}

/// The words by which the lead opts out in this message. A quote is not the lead's word.
fn opt_out(it: &Conversation) -> Option<String> {
    let message = &it.message;
    let new_text = if message.has_new_text { message.body.as_str() } else { "" };
    opt_out_words(&message.channel, message.subject.as_deref(), new_text)
}

/// The tag for which nobody has to be asked: an opt-out wins over everything, and the provider's
/// own verdict stands, except on what a machine wrote, which may only be called so.
fn known_tag(it: &Conversation, is_opt_out: bool) -> Option<Sentiment> {
    if is_opt_out {
        return Some(Sentiment::Blacklist);
    }
    verdict::standing(it.message.sentiment, it.message.automated)
}

/// True where an answer is of use: the tag asks for one, nothing forbids it, and it would answer
/// the newest that the lead wrote.
fn may_draft(it: &Conversation, tag: Sentiment, channel: ChannelName) -> bool {
    let message = &it.message;
    let has_text = message.has_new_text && !message.body.trim().is_empty();
    let case = DraftCase {
        tag: Some(tag),
        is_automated: message.automated,
        has_text,
        is_deleted: false,
        is_newest: it.lead.newest_inbound_id == Some(message.id),
        barrier: it.lead.no_draft_on(channel),
    };
    case.may_be_drafted()
}

/// What should change.
fn decide(verdict: Verdict, channel: ChannelName, scoring_attempts: u32) -> Vec<Effect> {
    let mut effects = vec![Effect::Judge(verdict.tag)];
    effects.extend(verdict.opt_out.map(|reason| Effect::OptOut { channel, reason }));
    effects.extend(verdict.draft.map(|DraftText { subject, body, parts }| Effect::AddDraft {
        channel,
        subject,
        body,
        parts,
    }));
    effects.push(Effect::Enqueue {
        kind: LEAD_SCORING,
        max_attempts: scoring_attempts,
        delay: Duration::ZERO,
    });
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::{
        Local,
        testing::{Away, conversation},
    };
    use futures_util::FutureExt;

    const SMS: ChannelName = ChannelName("sms");

    fn verdict(it: &Conversation, channel: ChannelName) -> Verdict {
        let templates = BTreeMap::new();
        let found = Found { conversation: it, channel, templates: &templates, sender: None };
        found.thought_through(&Local).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn a_message_is_judged_drafted_and_scored_in_that_order() {
        let it = conversation("sms", "Can you call me tomorrow?");
        let effects = decide(verdict(&it, SMS), SMS, 4);
        let [Effect::Judge(tag), Effect::AddDraft { channel, subject, body, parts }, scoring] =
            effects.as_slice()
        else {
            panic!("{effects:?}")
        };
        assert_eq!((*tag, *channel, subject), (Sentiment::CallRequested, SMS, &None));
        assert_eq!(parts, std::slice::from_ref(body));
        let expected =
            Effect::Enqueue { kind: LEAD_SCORING, max_attempts: 4, delay: Duration::ZERO };
        assert_eq!(*scoring, expected);
    }

    #[test]
    fn an_opt_out_wins_over_everything() {
        let mut it = conversation("sms", "STOP");
        it.message.sentiment = Some(Sentiment::Interested);
        let effects = decide(verdict(&it, SMS), SMS, 4);
        assert!(matches!(
            effects.as_slice(),
            [Effect::Judge(Sentiment::Blacklist), Effect::OptOut { .. }, Effect::Enqueue { .. }]
        ));
    }

    #[test]
    fn a_verdict_that_is_there_stands() {
        use Sentiment::{AutomatedReply, Interested, Neutral, NotInterested, OutOfOffice};
        let rows = [
            (None, false, NotInterested),
            (Some(Neutral), false, NotInterested),
            (Some(Interested), false, Interested),
            (Some(OutOfOffice), false, OutOfOffice),
            (Some(OutOfOffice), true, OutOfOffice),
            (Some(Interested), true, AutomatedReply),
            (None, true, AutomatedReply),
        ];
        for (hint, automated, tag) in rows {
            let mut it = conversation("email", "No thanks");
            it.message.sentiment = hint;
            it.message.automated = automated;
            assert_eq!(verdict(&it, ChannelName("email")).tag, tag, "{hint:?} {automated}");
        }
    }

    #[test]
    fn a_draft_needs_a_newest_message_of_a_person_and_no_barrier() {
        type Change = fn(&mut Conversation);
        let rows: [(&str, Change, bool); 11] = [
            ("sms", |_| {}, true),
            ("email", |_| {}, true),
            ("sms", |it| it.message.can_be_answered = false, true),
            ("sms", |it| it.message.automated = true, false),
            ("sms", |it| it.message.has_new_text = false, false),
            ("sms", |it| it.message.body = " ".to_owned(), false),
            ("sms", |it| it.lead.newest_inbound_id = Some(8), false),
            ("sms", |it| it.lead.newest_inbound_id = None, false),
            ("linkedin", |it| it.lead.opted_out = true, false),
            ("email", |it| it.lead.bounced = true, false),
            ("sms", |it| it.lead.sms_dnd = true, false),
        ];
        for (number, (channel, change, drafts)) in rows.into_iter().enumerate() {
            let mut it = conversation(channel, "I'm interested");
            it.message.sentiment = Some(Sentiment::Interested);
            change(&mut it);
            let channel = [SMS, ChannelName("email"), ChannelName("linkedin")]
                .into_iter()
                .find(|it| it.0 == channel)
                .unwrap();
            assert_eq!(verdict(&it, channel).draft.is_some(), drafts, "row {number}");
        }
    }

    #[test]
    fn a_barrier_of_another_channel_stops_no_draft() {
        let mut it = conversation("linkedin", "I'm interested");
        it.lead.bounced = true;
        it.lead.sms_dnd = true;
        assert!(verdict(&it, ChannelName("linkedin")).draft.is_some());
    }

    #[test]
    fn tags_that_get_no_draft_get_none() {
        for tag in Sentiment::ALL {
            let mut it = conversation("sms", "whatever you say");
            it.message.sentiment = Some(tag);
            assert_eq!(verdict(&it, SMS).draft.is_some(), tag.gets_draft(), "{tag:?}");
        }
    }

    #[test]
    fn an_analyst_that_is_away_is_asked_again_later_and_told_nothing() {
        let templates = BTreeMap::new();
        let it = conversation("sms", "secret words");
        let found = Found { conversation: &it, channel: SMS, templates: &templates, sender: None };
        let error = found.thought_through(&Away).now_or_never().unwrap().unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
