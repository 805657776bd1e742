//! Whether a draft may be sent without a person, by rules (docs/RULES.md EVALUATION).

use crate::analyst::{
    EvaluationRequest,
    evaluation::{Evaluation, hard_block},
};

/// How sure it is that a client's own template may be sent.
const OF_TEMPLATE: f32 = 0.95;
/// How sure it is that a person must see any other draft.
const OF_OTHERS: f32 = 0.5;
/// Question marks, those of other scripts included.
const QUESTION_MARKS: [char; 3] = ['?', '？', '؟'];

/// Safe is a client's own template for the tag, if the message asks at most one question.
pub(super) fn evaluate(request: &EvaluationRequest<'_>) -> Evaluation {
    if let Some(blocked) = hard_block(request) {
        return blocked;
    }
    let body = &request.message.conversation().message.body;
    let asks_more = body.chars().filter(|it| QUESTION_MARKS.contains(it)).count() > 1;
    if !request.is_own_template {
        Evaluation::needs_human(OF_OTHERS, "the draft is no template of the client's own")
    } else if asks_more {
        Evaluation::needs_human(OF_OTHERS, "the message asks more than one question")
    } else {
        Evaluation::safe(OF_TEMPLATE, "the client's own template for this tag")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analyst::{
            DraftRequest, RuledMessage,
            local::draft,
            testing::{TEXT, conversation},
        },
        domain::Sentiment,
    };
    use std::collections::BTreeMap;

    #[test]
    fn only_a_clients_own_template_for_a_plain_message_is_safe() {
        let own = "Hi {first_name}, it costs 10 a month.";
        let long = own.repeat(20);
        let rows = [
            (own, "What does it cost?", None, true, 0.95),
            (own, "Tell me the price", None, true, 0.95),
            (own, "What does it cost? And who are you?", None, false, 0.5),
            (own, "要多少钱？你们是谁？", None, false, 0.5),
            (own, "What does it cost?", Some("Hi there, it costs 9 a month."), false, 0.5),
            (" ", "What does it cost?", None, false, 0.5),
            (own, "STOP", None, false, 0.0),
            // It was cut, so it is not what the client wrote.
            (&long, "What does it cost?", None, false, 0.5),
        ];
        for (template, body, edited, is_safe, confidence) in rows {
            let tag = Sentiment::InformationRequested;
            let templates = BTreeMap::from([(tag.as_str().to_owned(), template.to_owned())]);
            let it = conversation("any", body);
            let drafting = DraftRequest {
                message: &RuledMessage::new(&it, TEXT),
                tag,
                templates: &templates,
                sender: None,
                style: None,
                hint: None,
            };
            let made = draft::draft(&drafting).unwrap().body;
            let text = edited.unwrap_or(&made);
            let found = evaluate(&EvaluationRequest::of(drafting, text));
            assert_eq!(
                (found.is_safe, found.confidence),
                (is_safe, confidence),
                "{body}: {found:?}"
            );
        }
    }
}
