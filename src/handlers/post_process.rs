//! Works through a message: judges what it says and whether the lead opts out, and drafts an
//! answer.
//!
//! One pipeline serves all channels. They differ only by their medium (docs/RULES.md SENTIMENT,
//! DRAFTS).

use super::{
    Deps, JobHandler, conversation_of,
    gate::{self, NewDraft},
    unread, without_answer,
};
use crate::{
    analyst::{
        Analyst, AnalystError, AnalystVerdict, DraftRequest, DraftText, Evaluation,
        EvaluationRequest, Local, RuledMessage,
    },
    channels::{Channel, facts_of},
    config::Client,
    domain::{
        ChannelFacts, ChannelName, Conversation, Effect, Id, Job, JobKind, JudgedBy, Medium,
        OptOutSource, Outcome, Sentiment, auto_send,
        drafting::DraftCase,
        event::Direction,
        job::{AUTO_SEND_DELAYED, LEAD_SCORING},
        outcome::{DraftFacts, Subject},
        text, verdict,
    },
    store::{Reader, SendingContext},
};
use std::{fmt, marker::PhantomData, time::Duration};

/// The reason that is kept if the analyst finds an opt-out that holds no opt-out words.
const IN_OTHER_WORDS: &str = "in other words";

/// Works through messages of channel `C`.
pub struct PostProcess<C: Channel> {
    deps: Deps,
    channel: PhantomData<fn() -> C>,
}

impl<C: Channel> PostProcess<C> {
    /// A handler that uses the reader, the analyst and the configuration of `deps`.
    pub fn new(deps: &Deps) -> Self {
        Self { deps: deps.clone(), channel: PhantomData }
    }
}

impl<C: Channel> fmt::Debug for PostProcess<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostProcess({})", C::NAME)
    }
}

impl<C: Channel> JobHandler for PostProcess<C> {
    const KIND: JobKind = C::POST_PROCESS;

    async fn handle(&self, job: &Job) -> Outcome {
        let Deps { reader, config, .. } = &self.deps;
        let analyst = self.deps.analyst_for(job);
        let conversation = match conversation_of(job, reader, true).await {
            Ok(conversation) => conversation,
            Err(outcome) => return outcome,
        };
        if conversation.message.direction == Direction::Outbound {
            return Outcome::Done(Vec::new());
        }
        let config = config.get();
        let client = config.client(&job.client_id);
        let channel = facts_of::<C>();
        let question = Question {
            message: &RuledMessage::new(&conversation, channel.medium),
            channel,
            client,
            is_enabled: config.sending.enabled,
        };
        let judgement = match question.judged(&*analyst).await {
            Ok(judgement) => judgement,
            Err(error) => return without_answer(&error),
        };
        let fate = match question.fate(&*analyst, &judgement, reader).await {
            Ok(fate) => fate,
            Err(outcome) => return outcome,
        };
        let body = &conversation.message.body;
        let read = Effect::Read { fingerprint: text::fingerprint(body) };
        let effects = decide(judgement, C::NAME, fate);
        Outcome::Done(std::iter::once(read).chain(effects).collect())
    }
}

/// What becomes of a new draft.
#[derive(Debug, Default)]
struct DraftFate {
    facts: DraftFacts,
    /// When a rule sends it; `None` if none does.
    sent_after: Option<Duration>,
}

/// A message to judge, and what is needed to draft an answer to it.
#[derive(Clone, Copy)]
struct Question<'a> {
    message: &'a RuledMessage<'a>,
    /// The channel on which it came, and on which an answer is sent.
    channel: ChannelFacts,
    /// The client, if the configuration has it.
    client: Option<&'a Client>,
    /// False if sending is switched off (`sending.enabled`).
    is_enabled: bool,
}

/// What a message says, and what follows from that.
#[derive(Debug, PartialEq)]
struct Judgement {
    tag: Sentiment,
    /// By what that is known; `None` if the message has the tag already.
    by: Option<JudgedBy>,
    /// How it is known that the lead opts out in the message, and by which words.
    opt_out: Option<(OptOutSource, String)>,
    draft: Option<DraftText>,
    /// How sure the analyst is of the tag; `None` if a rule or the provider gave it.
    confidence: Option<f32>,
}

impl<'a> Question<'a> {
    /// What is needed to draft an answer to the message, which has this tag.
    fn drafting(self, tag: Sentiment) -> DraftRequest<'a> {
        DraftRequest::new(self.message, tag, self.client)
    }

    async fn judged(self, analyst: &dyn Analyst) -> Result<Judgement, AnalystError> {
        let message = self.message;
        let conversation = message.conversation();
        let in_other_words = || (OptOutSource::Model, IN_OTHER_WORDS.to_owned());
        let mut sure = None;
        let mut may_opt_out = false;
        let (tag, by, opt_out) = match (message.opt_out_words(), hint(conversation)) {
            (Some(words), _) => {
                let opt_out = (OptOutSource::Words, words.to_owned());
                (Sentiment::Blacklist, Some(Local::judged_by()), Some(opt_out))
            }
            // The provider may not have understood what gets no answer.
            (None, Some(tag)) if tag.gets_draft() => {
                let AnalystVerdict { classified: found, by } = analyst.classify(message).await?;
                may_opt_out = found.may_opt_out || found.tag == Sentiment::Blacklist;
                match found.opts_out {
                    true => (Sentiment::Blacklist, Some(by), Some(in_other_words())),
                    false => (tag, None, None),
                }
            }
            (None, Some(_)) if message.classified().opts_out => {
                (Sentiment::Blacklist, Some(Local::judged_by()), Some(in_other_words()))
            }
            (None, Some(tag)) => (tag, None, None),
            (None, None) => {
                let AnalystVerdict { classified: found, by } = analyst.classify(message).await?;
                (sure, may_opt_out) = (Some(found.confidence), found.may_opt_out);
                (found.tag, Some(by), found.opts_out.then(in_other_words))
            }
        };
        let draft = if !may_opt_out && may_draft(conversation, tag, message.medium()) {
            analyst.draft(self.drafting(tag)).await?
        } else {
            None
        };
        Ok(Judgement { tag, by, opt_out, draft, confidence: sure })
    }

    /// Asks the gate about the draft of a judgement.
    ///
    /// # Errors
    /// The outcome of the job if the database cannot be read now.
    async fn fate(
        self,
        analyst: &dyn Analyst,
        judgement: &Judgement,
        reader: &Reader,
    ) -> Result<DraftFate, Outcome> {
        let Self { message, channel, client, is_enabled } = self;
        let tag = judgement.tag;
        let (Some(text), Some(client)) = (&judgement.draft, client) else {
            return Ok(DraftFate::default());
        };
        let drafting = self.drafting(tag);
        // 1. Read what only the gate needs, if it is needed.
        let context = match gate::is_used_by(client) {
            true => context_of(message.conversation().message.id, reader).await?,
            false => None,
        };
        let Some(context) = context else {
            let from_template = drafting.is_own_template(&text.body);
            let gate = Some(auto_send::off());
            let facts = DraftFacts { tag: Some(tag), from_template, gate };
            return Ok(DraftFate { facts, sent_after: None });
        };
        // 2. Ask the gate.
        let draft = NewDraft {
            drafting,
            tag_confidence: judgement.confidence,
            text,
            channel,
            client,
            is_enabled,
            context: &context,
        };
        let facts = draft.facts(evaluated(analyst, drafting, &text.body)).await;
        let sent_after = gate::delay(&facts, context.now);
        Ok(DraftFate { facts, sent_after })
    }
}

/// What the gate must know of the message's lead and campaign.
///
/// # Errors
/// The outcome of the job if the database cannot be read now.
async fn context_of(message_id: Id, reader: &Reader) -> Result<Option<SendingContext>, Outcome> {
    reader.sending_context(message_id).await.map_err(|error| unread(&error, "the campaign"))
}

/// What the analyst says about sending the draft without a person; `None` if it has no answer. Then
/// a person must look, which loses nothing: a draft does not wait for an evaluator.
async fn evaluated(
    analyst: &dyn Analyst,
    drafting: DraftRequest<'_>,
    draft: &str,
) -> Option<Evaluation> {
    match analyst.evaluate(EvaluationRequest::of(drafting, draft)).await {
        Ok(evaluation) => Some(evaluation),
        Err(error) => {
            tracing::warn!(%error, "a draft is not evaluated: a person must look at it");
            None
        }
    }
}

/// The provider's own verdict. It stands, except over an opt-out, and a machine's message can only
/// have a verdict that is for machines.
fn hint(conversation: &Conversation) -> Option<Sentiment> {
    verdict::final_hint(conversation.message.sentiment, conversation.message.automated)
}

/// True if an answer should be drafted: the tag asks for one, nothing forbids it, and the message
/// is the lead's newest.
fn may_draft(conversation: &Conversation, tag: Sentiment, medium: Medium) -> bool {
    let Conversation { message, lead, .. } = conversation;
    let has_text = message.has_new_text && !message.body.trim().is_empty();
    let case = DraftCase {
        tag: Some(tag),
        is_automated: message.automated,
        has_text,
        is_deleted: false,
        is_newest: lead.newest_inbound_id == Some(message.id),
        barrier: lead.no_draft_on(medium),
    };
    case.may_be_drafted()
}

/// The changes that follow from a judgement.
fn decide(judgement: Judgement, channel: ChannelName, fate: DraftFate) -> Vec<Effect> {
    let DraftFate { facts, sent_after } = fate;
    let mut effects = vec![Effect::Judge { tag: judgement.tag, by: judgement.by }];
    effects.extend(judgement.opt_out.map(|(source, reason)| Effect::OptOut {
        channel,
        source,
        reason,
    }));
    effects.extend(judgement.draft.map(|DraftText { subject, body, parts }| Effect::AddDraft {
        channel,
        subject,
        body,
        parts,
        facts: DraftFacts { tag: Some(judgement.tag), ..facts },
    }));
    effects.extend(sent_after.map(|delay| Effect::Enqueue {
        kind: AUTO_SEND_DELAYED,
        subject: Subject::NewDraft,
        delay,
    }));
    effects.push(Effect::Enqueue {
        kind: LEAD_SCORING,
        subject: Subject::OfTheJob,
        delay: Duration::ZERO,
    });
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::{
        Classified, Local,
        testing::{Away, CHAT, FixedVerdict, TEXT, conversation},
    };
    use crate::channels::sms::Sms;
    use futures_util::FutureExt;

    const ANY: ChannelName = ChannelName("any");

    fn judged(
        conversation: &Conversation,
        medium: Medium,
        analyst: &dyn Analyst,
    ) -> Result<Judgement, AnalystError> {
        let channel = ChannelFacts { medium, ..facts_of::<Sms>() };
        let message = &RuledMessage::new(conversation, medium);
        let question = Question { message, channel, client: None, is_enabled: true };
        question.judged(analyst).now_or_never().unwrap()
    }

    fn verdict(conversation: &Conversation, medium: Medium) -> Judgement {
        judged(conversation, medium, &Local).unwrap()
    }

    #[test]
    fn a_message_is_judged_drafted_and_scored_in_that_order() {
        let it = conversation("any", "Can you call me tomorrow?");
        let effects = decide(verdict(&it, TEXT), ANY, DraftFate::default());
        let [
            Effect::Judge { tag, by },
            Effect::AddDraft { channel, subject, body, parts, .. },
            scoring,
        ] = effects.as_slice()
        else {
            panic!("{effects:?}")
        };
        assert_eq!(*by, Some(Local::judged_by()));
        assert_eq!((*tag, *channel, subject), (Sentiment::CallRequested, ANY, &None));
        assert_eq!(parts, std::slice::from_ref(body));
        let expected = Effect::Enqueue {
            kind: LEAD_SCORING,
            subject: Subject::OfTheJob,
            delay: Duration::ZERO,
        };
        assert_eq!(*scoring, expected);
    }

    #[test]
    fn a_draft_that_passes_the_gate_is_sent_by_a_job_of_its_own() {
        let it = conversation("any", "Can you call me tomorrow?");
        let sent_after = Some(Duration::from_secs(200));
        let fate = DraftFate { sent_after, ..DraftFate::default() };
        let effects = decide(verdict(&it, TEXT), ANY, fate);
        let expected = Effect::Enqueue {
            kind: AUTO_SEND_DELAYED,
            subject: Subject::NewDraft,
            delay: Duration::from_secs(200),
        };
        assert_eq!(effects.get(2), Some(&expected), "{effects:?}");
    }

    #[test]
    fn an_opt_out_wins_over_everything() {
        for (text, source) in [
            ("STOP", OptOutSource::Words),
            ("Takk men jeg vil ikke ha flere meldinger", OptOutSource::Model),
        ] {
            let mut it = conversation("any", text);
            it.message.sentiment = Some(Sentiment::Interested);
            let effects = decide(verdict(&it, TEXT), ANY, DraftFate::default());
            let is_kept = matches!(
                effects.as_slice(),
                [
                    Effect::Judge { tag: Sentiment::Blacklist, by: Some(by) },
                    Effect::OptOut { source: known_by, .. },
                    Effect::Enqueue { .. }
                ] if *known_by == source && *by == Local::judged_by()
            );
            assert!(is_kept, "{text}: {effects:?}");
        }
    }

    #[test]
    fn a_providers_verdict_gets_no_draft_for_what_may_be_an_opt_out() {
        let rows = [
            ("Can you call me tomorrow?", true),
            ("No thanks", true),
            ("Please don't text or call me again", false),
            ("I've asked you guys already. Leave it", false),
        ];
        for (text, gets_draft) in rows {
            for hint in [Sentiment::Interested, Sentiment::MeetingRequested] {
                let mut it = conversation("any", text);
                it.message.sentiment = Some(hint);
                let found = verdict(&it, TEXT);
                assert_eq!(found.draft.is_some(), gets_draft, "{text}: {found:?}");
                assert!(!gets_draft || found.tag == hint, "{text}: {found:?}");
                assert_eq!(found.confidence, None, "the provider gave the tag");
            }
        }
    }

    #[test]
    fn an_analyst_may_find_an_opt_out_under_a_providers_verdict() {
        use Sentiment::{Blacklist, Interested, NotInterested};
        let rows = [
            ((Blacklist, true, true), Blacklist, false),
            ((Blacklist, false, true), Interested, false),
            ((Blacklist, false, false), Interested, false),
            ((NotInterested, false, true), Interested, false),
            ((NotInterested, false, false), Interested, true),
        ];
        for ((tag, opts_out, may_opt_out), expected, gets_draft) in rows {
            let analyst = FixedVerdict(Classified { tag, confidence: 0.9, opts_out, may_opt_out });
            let mut it = conversation("any", "Nie piszcie do mnie");
            it.message.sentiment = Some(Interested);
            let found = judged(&it, TEXT, &analyst).unwrap();
            assert_eq!((found.tag, found.draft.is_some()), (expected, gets_draft), "{found:?}");
            assert_eq!(found.opt_out.is_some(), opts_out, "{found:?}");
            let by = opts_out.then(FixedVerdict::judged_by);
            assert_eq!(found.by, by, "the message has the tag already: {found:?}");
        }
        // It is asked only if the tag gets an answer.
        for tag in Sentiment::ALL {
            let mut it = conversation("any", "Nie piszcie do mnie");
            it.message.sentiment = Some(tag);
            let is_asked = tag.gets_draft() || tag == Sentiment::Neutral;
            assert_eq!(judged(&it, TEXT, &Away).is_err(), is_asked, "{tag:?}");
        }
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
            let mut it = conversation("any", "No thanks");
            it.message.sentiment = hint;
            it.message.automated = automated;
            let found = verdict(&it, Medium::Mail);
            assert_eq!(found.tag, tag, "{hint:?} {automated}");
            let stands = hint == Some(tag);
            assert_eq!(found.by, (!stands).then(Local::judged_by), "{hint:?} {automated}");
        }
    }

    #[test]
    fn a_draft_needs_a_newest_message_of_a_person_and_no_barrier() {
        type Change = fn(&mut Conversation);
        let rows: [(Medium, Change, bool); 11] = [
            (TEXT, |_| {}, true),
            (Medium::Mail, |_| {}, true),
            (TEXT, |it| it.message.can_be_answered = false, true),
            (TEXT, |it| it.message.automated = true, false),
            (TEXT, |it| it.message.has_new_text = false, false),
            (TEXT, |it| it.message.body = " ".to_owned(), false),
            (TEXT, |it| it.lead.newest_inbound_id = Some(8), false),
            (TEXT, |it| it.lead.newest_inbound_id = None, false),
            (CHAT, |it| it.lead.opted_out = true, false),
            (Medium::Mail, |it| it.lead.bounced = true, false),
            (TEXT, |it| it.lead.sms_dnd = true, false),
        ];
        for (number, (medium, change, drafts)) in rows.into_iter().enumerate() {
            let mut it = conversation("any", "I'm interested");
            it.message.sentiment = Some(Sentiment::Interested);
            change(&mut it);
            assert_eq!(verdict(&it, medium).draft.is_some(), drafts, "row {number}");
        }
    }

    #[test]
    fn a_barrier_of_another_channel_stops_no_draft() {
        let mut it = conversation("any", "I'm interested");
        it.lead.bounced = true;
        it.lead.sms_dnd = true;
        assert!(verdict(&it, CHAT).draft.is_some());
    }

    #[test]
    fn tags_that_get_no_draft_get_none() {
        for tag in Sentiment::ALL {
            let mut it = conversation("any", "Who is this?");
            it.message.sentiment = Some(tag);
            assert_eq!(verdict(&it, TEXT).draft.is_some(), tag.gets_draft(), "{tag:?}");
        }
    }

    #[test]
    fn an_analyst_that_is_away_is_asked_again_later_and_told_nothing() {
        let it = conversation("any", "secret words");
        let error = judged(&it, TEXT, &Away).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
