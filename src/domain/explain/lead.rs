//! Why the messages of a lead are not answered: for each, the step at which it stands.

use super::{
    Explanation, JobReason, as_text, draft, key_of,
    lead_facts::{ExplainedDraft, LeadFacts, MessageFacts},
    words::{many, quoted, when},
};
use crate::domain::{Id, Timestamp};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// Why a message of a lead is not answered, or why nothing of it is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadReason {
    /// The lead was merged into another one, which has its messages.
    Merged,
    /// It has not written since the newest message to it.
    NothingUnanswered,
    /// The message's job has not ended, or has ended without success.
    Job,
    /// The message is not judged, and it has no job.
    NoJob,
    /// It was deleted at its provider.
    Deleted,
    /// Its tag gets no draft.
    TagWithoutDraft,
    /// A machine wrote it.
    Automated,
    /// It has no new text.
    NoText,
    /// The lead opted out.
    OptedOut,
    /// Mail to the lead bounced.
    Bounced,
    /// The lead wants no text messages.
    DoNotDisturb,
    /// The lead has written again, and the newest message is the one that is answered.
    Superseded,
    /// Nothing forbids a draft, and there is none.
    NoDraft,
    /// A draft waits for a person.
    WaitsForPerson,
    /// The draft is sent at a time that lies ahead, unless somebody objects.
    Scheduled,
    /// The draft would be sent, and sending is switched off.
    SwitchedOff,
    /// The draft would be sent, and the account at the provider is paused.
    AccountPaused,
    /// The draft was approved, and could not be sent.
    DeliveryFailed,
    /// Nobody knows whether the draft was sent.
    Uncertain,
    /// A person rejected the draft.
    Rejected,
    /// The draft is approved, and not sent yet.
    Approved,
    /// The draft is being sent.
    Sending,
    /// The draft was sent.
    Sent,
}

impl LeadReason {
    /// All reasons.
    pub const ALL: [Self; 23] = [
        Self::Merged,
        Self::NothingUnanswered,
        Self::Job,
        Self::NoJob,
        Self::Deleted,
        Self::TagWithoutDraft,
        Self::Automated,
        Self::NoText,
        Self::OptedOut,
        Self::Bounced,
        Self::DoNotDisturb,
        Self::Superseded,
        Self::NoDraft,
        Self::WaitsForPerson,
        Self::Scheduled,
        Self::SwitchedOff,
        Self::AccountPaused,
        Self::DeliveryFailed,
        Self::Uncertain,
        Self::Rejected,
        Self::Approved,
        Self::Sending,
        Self::Sent,
    ];

    /// The explanation of the job at which a message with this reason stands.
    fn job_of(self, message: &MessageFacts) -> Option<&Explanation> {
        let is_at_send_job = matches!(
            self,
            Self::Scheduled
                | Self::SwitchedOff
                | Self::AccountPaused
                | Self::DeliveryFailed
                | Self::Uncertain
                | Self::Approved
                | Self::Sending
        );
        match self == Self::Job {
            true => message.job.as_ref(),
            false => message.send_job.as_ref().filter(|_| is_at_send_job),
        }
    }

    /// The word for programs. It never changes its meaning.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::NothingUnanswered => "nothing_unanswered",
            Self::Job => "job",
            Self::NoJob => "no_job",
            Self::Deleted => "deleted",
            Self::TagWithoutDraft => "tag_without_draft",
            Self::Automated => "automated",
            Self::NoText => "no_text",
            Self::OptedOut => "opted_out",
            Self::Bounced => "bounced",
            Self::DoNotDisturb => "do_not_disturb",
            Self::Superseded => "superseded",
            Self::NoDraft => "no_draft",
            Self::WaitsForPerson => "waits_for_person",
            Self::Scheduled => "scheduled",
            Self::SwitchedOff => "switched_off",
            Self::AccountPaused => "account_paused",
            Self::DeliveryFailed => "delivery_failed",
            Self::Uncertain => "uncertain",
            Self::Rejected => "rejected",
            Self::Approved => "approved",
            Self::Sending => "sending",
            Self::Sent => "sent",
        }
    }
}

/// The explanation of a lead: that of its newest unanswered message, and each message by itself.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct LeadExplanation {
    /// The reason in short, with a word of [`LeadReason`].
    #[serde(flatten)]
    pub explanation: Explanation,
    /// The inbound messages that are not answered, oldest first.
    pub messages: Vec<MessageExplanation>,
}

/// Where a message stands on its way to an answer.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct MessageExplanation {
    /// The message.
    #[serde(serialize_with = "as_text")]
    #[schemars(with = "String")]
    pub message_id: Id,
    /// A word of [`LeadReason`].
    pub reason: &'static str,
    /// One or two sentences that say what is the case.
    pub sentence: String,
    /// Advice for a person.
    pub what_to_do: String,
    /// The steps from the webhook to the answer, in their order.
    pub chain: Vec<ChainLink>,
    /// The explanation of its job, if it has one and stands at it: of its inbound job, or of the
    /// job that sends its draft.
    pub job: Option<Explanation>,
}

/// One step of the way to an answer.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ChainLink {
    /// A word of `STEPS`.
    pub link: &'static str,
    /// Whether the message is past it.
    pub state: LinkState,
    /// When it passed it.
    pub at: Option<Timestamp>,
    /// What happened there, or what keeps it there.
    pub sentence: String,
}

/// Whether a message is past a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum LinkState {
    /// It is past it.
    Done,
    /// It has come there, and no further.
    Here,
    /// It has not come there.
    Ahead,
}

impl Serialize for LinkState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Done => "done",
            Self::Here => "here",
            Self::Ahead => "ahead",
        })
    }
}

/// The steps from a webhook to the answer.
pub(super) const STEPS: [&str; 7] =
    ["received", "stored", "judged", "draft", "gate", "due", "sent"];

/// Where a message stands: the number of the step in [`STEPS`], and why. `None` for the step: past
/// the last one.
pub(super) struct Stop {
    pub(super) step: Option<usize>,
    pub(super) reason: LeadReason,
    pub(super) sentence: String,
    pub(super) what_to_do: String,
}

impl Stop {
    pub(super) fn at(
        step: &str,
        reason: LeadReason,
        sentence: String,
        what_to_do: impl Into<String>,
    ) -> Self {
        let step = STEPS.iter().position(|name| *name == step);
        Self { step, reason, sentence, what_to_do: what_to_do.into() }
    }
}

/// Why the messages of a lead are not answered.
pub fn explain_lead(facts: &LeadFacts) -> LeadExplanation {
    let (id, now) = (facts.id, facts.now);
    if let Some(into) = facts.merged_into {
        let sentence = format!("Lead {id} is one person with lead {into}, which has its messages.");
        let todo = format!("`postroom leads explain {into}`.");
        let explanation = Explanation::of(LeadReason::Merged.as_str(), sentence, todo);
        return LeadExplanation {
            explanation: explanation.link("lead", into),
            messages: Vec::new(),
        };
    }
    let messages: Vec<MessageExplanation> =
        facts.messages.iter().map(|message| explain_message(facts, message)).collect();
    let Some(newest) = messages.last() else {
        let sentence = match (facts.last_inbound_at, facts.last_outbound_at) {
            (None, _) => format!("Lead {id} has written no message that is stored here."),
            (Some(_), Some(at)) => format!(
                "Lead {id} waits for no answer: the newest message of the thread went out at {}.",
                when(at, now)
            ),
            (Some(at), None) => format!(
                "Lead {id} has no message to be answered; its last came at {}.",
                when(at, now)
            ),
        };
        let todo = "If a message is missing: the provider may not have posted it, or it is in quarantine: `postroom quarantine list`.";
        let explanation =
            Explanation::of(LeadReason::NothingUnanswered.as_str(), sentence, todo.to_owned())
                .maybe("last_inbound_at", facts.last_inbound_at)
                .maybe("last_outbound_at", facts.last_outbound_at);
        return LeadExplanation { explanation, messages };
    };
    let count = match (messages.len(), facts.has_more) {
        (1, false) => "1 message of the lead is".to_owned(),
        (count, false) => format!("{} of the lead are", many(count, "message")),
        (count, true) => format!("More than {} of the lead are", many(count, "message")),
    };
    let of_newest = match messages.len() {
        1 => String::new(),
        _ => "The newest: ".to_owned(),
    };
    let sentence = format!("{count} not answered. {of_newest}{}", newest.sentence);
    let sent_at = facts.messages.last().map(|message| message.sent_at);
    let mut explanation = Explanation::of(newest.reason, sentence, newest.what_to_do.clone())
        .since(sent_at)
        .fact("unanswered", messages.len())
        .fact("message", key_of(newest.message_id))
        .maybe("tag", facts.messages.last().and_then(|it| it.tag).map(|tag| tag.as_str()))
        .maybe("last_outbound_at", facts.last_outbound_at)
        .link("lead", id);
    if let Some((word, key)) = &facts.auto_reply {
        explanation = explanation.fact("auto_reply", *word).key(key);
    }
    if let Some(job) = &newest.job {
        explanation.links.extend(job.links.iter().filter(|link| link.r#type != "lead").cloned());
    }
    LeadExplanation { explanation, messages }
}

fn explain_message(facts: &LeadFacts, message: &MessageFacts) -> MessageExplanation {
    let stop = stop(facts, message);
    let chain = STEPS.iter().enumerate().map(|(number, link)| {
        let here = stop.step.unwrap_or(STEPS.len());
        let (state, (at, sentence)) = match number.cmp(&here) {
            std::cmp::Ordering::Less => (LinkState::Done, passed(facts, message, link)),
            std::cmp::Ordering::Equal => (LinkState::Here, (None, stop.sentence.clone())),
            std::cmp::Ordering::Greater => (LinkState::Ahead, (None, "Not reached.".to_owned())),
        };
        ChainLink { link, state, at, sentence }
    });
    MessageExplanation {
        message_id: message.id,
        reason: stop.reason.as_str(),
        chain: chain.collect(),
        sentence: stop.sentence,
        what_to_do: stop.what_to_do,
        job: stop.reason.job_of(message).cloned(),
    }
}

/// When a message passed a step, and what happened there.
fn passed(facts: &LeadFacts, message: &MessageFacts, link: &str) -> (Option<Timestamp>, String) {
    let now = facts.now;
    let draft = message.draft.as_ref();
    match link {
        "received" => (
            Some(message.sent_at),
            format!("Written at {}, by the provider's clock.", when(message.sent_at, now)),
        ),
        "stored" => {
            (Some(message.created_at), format!("Stored at {}.", when(message.created_at, now)))
        }
        "judged" => {
            let tag = message.tag.map_or("without a tag", |tag| tag.as_str());
            (message.handled_at, format!("Judged: {tag}."))
        }
        "draft" => (
            draft.map(|it| it.created_at),
            draft.map_or_else(String::new, |it| {
                format!("Draft {} was written at {}.", it.id, when(it.created_at, now))
            }),
        ),
        "gate" => (
            draft.and_then(|it| it.decided_at),
            draft.map_or_else(String::new, |it| decided(it, now)),
        ),
        _ => (draft.and_then(|it| it.decided_at), "Done.".to_owned()),
    }
}

/// Who decided on a draft, and when.
pub(super) fn decided(draft: &ExplainedDraft, now: Timestamp) -> String {
    let by =
        draft.decided_by.as_deref().map_or_else(String::new, |by| format!(" by {}", quoted(by)));
    let at = draft.decided_at.map_or_else(String::new, |at| format!(" at {}", when(at, now)));
    format!("Draft {} was {}{by}{at}.", draft.id, quoted(&draft.status))
}

/// The step at which a message stands.
fn stop(facts: &LeadFacts, message: &MessageFacts) -> Stop {
    let id = message.id;
    if message.is_deleted {
        let step = if message.handled_at.is_some() { "draft" } else { "judged" };
        let sentence = format!("Message {id} was deleted at its provider, so it is not answered.");
        return Stop::at(step, LeadReason::Deleted, sentence, "Nothing.");
    }
    if message.handled_at.is_none() {
        return match &message.job {
            Some(job) if job.reason != JobReason::Ended.as_str() || message.tag.is_none() => {
                Stop::at("judged", LeadReason::Job, job.sentence.clone(), job.what_to_do.clone())
            }
            Some(_) | None if message.tag.is_some() => no_draft(facts, message),
            Some(_) | None => {
                let sentence =
                    format!("Message {id} is not judged, and no job for it is stored any more.");
                let todo = "It came without a job, or its job ended longer ago than `retention` keeps jobs. Answer it by hand.";
                Stop::at("judged", LeadReason::NoJob, sentence, todo)
            }
        };
    }
    match &message.draft {
        Some(draft) => draft::stop(facts, message, draft),
        None => no_draft(facts, message),
    }
}

pub(super) fn superseded(message: &MessageFacts) -> Stop {
    let sentence = format!(
        "The lead has written again after message {}: the newest message is the one that is answered.",
        message.id
    );
    Stop::at("draft", LeadReason::Superseded, sentence, "See the newest message.")
}

/// What keeps messages from the lead on the channel of the message.
pub(super) fn barrier_on(facts: &LeadFacts, message: &MessageFacts) -> Option<&'static str> {
    message.medium.and_then(|medium| facts.barriers.on(medium))
}

/// The lead is not to be written to, for this reason as stored; `None` if that is another reason.
pub(super) fn barred(facts: &LeadFacts, why: &str, step: &str) -> Option<Stop> {
    let lead = facts.id;
    let (reason, sentence, todo) = match why {
        "opted_out" | "opt_out" => (
            LeadReason::OptedOut,
            format!("Lead {lead} has opted out: it gets no message on any channel."),
            "Nothing: the lead must not be written to.",
        ),
        "bounced" | "bounce" => (
            LeadReason::Bounced,
            format!(
                "Mail to lead {lead} came back: it gets no mail until it writes from that address."
            ),
            "Reach the lead on another channel.",
        ),
        "sms_dnd" | "do_not_disturb" => (
            LeadReason::DoNotDisturb,
            format!("Lead {lead} wants no text messages: its do-not-disturb flag is on."),
            "Reach the lead on another channel.",
        ),
        _ => return None,
    };
    Some(Stop::at(step, reason, sentence, todo))
}

/// Why a judged message has no draft.
fn no_draft(facts: &LeadFacts, message: &MessageFacts) -> Stop {
    let id = message.id;
    let at_draft = |reason, sentence: String, todo: &str| Stop::at("draft", reason, sentence, todo);
    if let Some(tag) = message.tag.filter(|tag| !tag.gets_draft()) {
        let sentence =
            format!("Message {id} was judged {}, and this tag gets no draft.", tag.as_str());
        return at_draft(
            LeadReason::TagWithoutDraft,
            sentence,
            "Nothing. If the tag is wrong, answer the lead by hand.",
        );
    }
    if message.is_automated {
        let sentence = format!("Message {id} was written by a machine, so it gets no draft.");
        return at_draft(LeadReason::Automated, sentence, "Nothing.");
    }
    if !message.has_text {
        let sentence = format!("Message {id} has no new text, so it gets no draft.");
        return at_draft(
            LeadReason::NoText,
            sentence,
            "Read the message, and answer by hand if it asks for that.",
        );
    }
    if let Some(stop) = barrier_on(facts, message).and_then(|it| barred(facts, it, "draft")) {
        return stop;
    }
    if !message.is_newest {
        return superseded(message);
    }
    let sentence = format!("Message {id} has no draft, and nothing that is stored forbids one.");
    let todo = "The analyst wrote none, as it does if the lead perhaps opts out, or the message was \
        changed after it was judged. Answer the lead by hand.";
    at_draft(LeadReason::NoDraft, sentence, todo)
}
