//! The questions to a model: instructions from a file with a version, data from the conversation,
//! and the schema of the answer.
//!
//! A prompt's file never changes once it is released: a new text is a new file with the next
//! version, so that the rows of calls say which text was used.

use super::transcript::{about_lead, all, before, field, inert, judged, part};
use crate::{
    analyst::{DraftRequest, EvaluationRequest},
    domain::{
        Conversation, InboundMessage, Sentiment, draft_text::room, model_call::ModelCallFeature,
    },
};
use serde_json::{Value, json};

/// The most characters of a draft that is evaluated.
const DRAFT_CHARS_MAX: usize = 4_000;

/// Instructions for a model.
#[derive(Debug)]
pub(super) struct Prompt {
    /// What is asked for.
    pub(super) feature: ModelCallFeature,
    /// Its name and version.
    pub(super) version: &'static str,
    /// The text.
    pub(super) instructions: &'static str,
}

pub(super) const CLASSIFY: Prompt = Prompt {
    feature: ModelCallFeature::Classify,
    version: "classify.v1",
    instructions: include_str!("classify.v1.txt"),
};
pub(super) const SCORE: Prompt = Prompt {
    feature: ModelCallFeature::Score,
    version: "score.v1",
    instructions: include_str!("score.v1.txt"),
};
pub(super) const DRAFT: Prompt = Prompt {
    feature: ModelCallFeature::Draft,
    version: "draft.v3",
    instructions: include_str!("draft.v3.txt"),
};
pub(super) const EVALUATE: Prompt = Prompt {
    feature: ModelCallFeature::Evaluate,
    version: "evaluate.v1",
    instructions: include_str!("evaluate.v1.txt"),
};

/// A question to a model.
#[derive(Debug)]
pub(super) struct ModelQuestion {
    /// The instructions.
    pub(super) prompt: &'static Prompt,
    /// The parts of data: the conversation, and what else the instructions name.
    pub(super) data: String,
    /// The JSON schema of the answer.
    pub(super) schema: Value,
}

/// An object with these properties, all of them needed, and no others. Servers let a model write
/// them in this order, which is that of their names: so a confidence is named such that it follows
/// what it is about.
fn object(properties: Value) -> Value {
    let required: Vec<&String> =
        properties.as_object().into_iter().flat_map(|it| it.keys()).collect();
    let required = json!(required);
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The tags that a message may get: a machine's only those of machines.
pub(super) fn tags(message: &InboundMessage) -> Vec<Sentiment> {
    let is_machine = message.automated;
    Sentiment::ALL.into_iter().filter(|tag| !is_machine || tag.may_be_a_machines()).collect()
}

/// The question for the tag of the conversation's message.
pub(super) fn classify(conversation: &Conversation) -> ModelQuestion {
    let tags = tags(&conversation.message);
    let names: Vec<&str> = tags.into_iter().map(Sentiment::as_str).collect();
    ModelQuestion {
        prompt: &CLASSIFY,
        data: [about_lead(&conversation.lead), before(conversation), judged(&conversation.message)]
            .concat(),
        schema: object(json!({
            "opts_out": {"type": "boolean"},
            "tag": {"type": "string", "enum": names},
            "tag_confidence": {"type": "number"},
        })),
    }
}

/// The question for the score of the conversation's lead.
pub(super) fn score(conversation: &Conversation, ideal_customer: Option<&str>) -> ModelQuestion {
    let customer: Vec<String> = field("looks for", ideal_customer).into_iter().collect();
    let number = || json!({"type": "integer", "enum": [1, 2, 3, 4]});
    ModelQuestion {
        prompt: &SCORE,
        data: [part("customer", &customer), about_lead(&conversation.lead), all(conversation)]
            .concat(),
        schema: object(json!({
            "fit": number(),
            "intent": number(),
            "reason": {"type": "string"},
        })),
    }
}

/// The question for an answer to the conversation's message.
pub(super) fn draft(request: &DraftRequest<'_>) -> ModelQuestion {
    let DraftRequest { message, tag, templates: _, sender, style, hint } = request;
    let (conversation, medium) = (message.conversation(), message.medium());
    let mut task = vec![
        format!("the message: {}", tag.as_str()),
        format!("sent as: {}", medium.as_str()),
        format!("length: {}", room(medium)),
    ];
    task.extend(field("signed by", *sender));
    task.extend(field("style", *style));
    task.extend(field("the team asks for", *hint));
    ModelQuestion {
        prompt: &DRAFT,
        data: [
            part("task", &task),
            about_lead(&conversation.lead),
            before(conversation),
            judged(&conversation.message),
        ]
        .concat(),
        schema: object(json!({"body": {"type": "string"}})),
    }
}

/// The question whether a draft may be sent without a person.
pub(super) fn evaluate(request: &EvaluationRequest<'_>) -> ModelQuestion {
    let EvaluationRequest { message, tag, draft, is_own_template, client } = request;
    let (conversation, medium) = (message.conversation(), message.medium());
    let origin = if *is_own_template { "the team's own text for such messages" } else { "other" };
    let task = [
        format!("the message: {}", tag.as_str()),
        format!("sent as: {}", medium.as_str()),
        format!("the draft: {origin}"),
    ];
    let signed = field("signs as", client.sender);
    let says = client.templates.values().filter_map(|text| field("writes to others", Some(text)));
    let team: Vec<String> = signed.into_iter().chain(says).collect();
    ModelQuestion {
        prompt: &EVALUATE,
        data: [
            part("task", &task),
            part("team", &team),
            about_lead(&conversation.lead),
            before(conversation),
            judged(&conversation.message),
            part("draft", &[inert(draft, DRAFT_CHARS_MAX)]),
        ]
        .concat(),
        schema: object(json!({
            "reason": {"type": "string"},
            "verdict": {"type": "string", "enum": ["safe", "needs_human"]},
            "verdict_confidence": {"type": "number"},
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::testing::conversation;
    use sha2::{Digest, Sha256};

    /// A text that has changed needs a new file with the next version; then its hash goes here.
    #[test]
    fn the_text_of_a_version_never_changes() {
        let pinned = [
            (&CLASSIFY, "89d68b8f3b570c68"),
            (&SCORE, "ad647dc40b5af79c"),
            (&DRAFT, "1c1a3016f9192b86"),
            (&EVALUATE, "2381f17acaa4ecf5"),
        ];
        for (prompt, hash) in pinned {
            let found: String = Sha256::digest(prompt.instructions)
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(found, hash, "{}", prompt.version);
            assert!(prompt.version.starts_with(prompt.feature.as_str()), "{}", prompt.version);
        }
    }

    #[test]
    fn the_instructions_for_tags_name_each_tag_in_the_order_of_precedence() {
        let places: Vec<usize> = Sentiment::ALL
            .iter()
            .map(|tag| CLASSIFY.instructions.find(&format!("\n- {}: ", tag.as_str())).unwrap())
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn schemas_are_strict() {
        let it = conversation("any", "hello");
        for question in [classify(&it), score(&it, None)] {
            let schema = &question.schema;
            assert_eq!(schema["additionalProperties"], false);
            let required = schema["required"].as_array().unwrap().len();
            assert_eq!(required, schema["properties"].as_object().unwrap().len());
        }
        assert_eq!(classify(&it).schema["properties"]["tag"]["enum"].as_array().unwrap().len(), 11);
    }

    #[test]
    fn a_machines_message_can_only_get_a_machines_tag() {
        let mut it = conversation("any", "hello");
        it.message.automated = true;
        let names = classify(&it).schema["properties"]["tag"]["enum"].clone();
        assert_eq!(names, json!(["Blacklist", "Automated Reply", "Out of Office"]));
    }
}
