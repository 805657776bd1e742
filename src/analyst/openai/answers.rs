//! Reads the answers of a model. An answer that is not exactly as asked for is refused. The reason
//! holds nothing of the answer.

use super::{contacts::has_foreign, prompts::tags};
use crate::{
    analyst::{Classified, Evaluation, Score},
    domain::{
        Conversation, InboundMessage, Medium, Sentiment,
        draft_text::{self, MAIL_CHARS},
    },
};
use serde::{Deserialize, de::DeserializeOwned};

/// An answer, or why it is of no use.
pub(super) type ReadAnswer<T> = Result<T, &'static str>;

/// From this confidence on, the opt-out that a model finds is kept as one. Below, the message gets
/// no answer, and the next one is judged again.
const OPTS_OUT_MIN: f32 = 0.7;

const NOT_THE_SCHEMA: &str = "the answer does not follow the schema";

fn parsed<T: DeserializeOwned>(text: &str) -> ReadAnswer<T> {
    serde_json::from_str(text).map_err(|_| NOT_THE_SCHEMA)
}

/// A text without the blanks around it. With control characters it is no text that anybody wants to
/// read, and PostgreSQL stores no U+0000: all effects of the job would be lost with it.
fn storable(text: &str) -> ReadAnswer<&str> {
    let has_controls = text.chars().any(|char| char.is_control() && char != '\n');
    if has_controls { Err("the text has control characters") } else { Ok(text.trim()) }
}

fn confidence(number: f32) -> ReadAnswer<f32> {
    let is_known = (0.0..=1.0).contains(&number);
    is_known.then_some(number).ok_or("the confidence is not from 0 to 1")
}

/// The tag, if it is one that the message may get. A person's message that opts out is Blacklist,
/// whatever tag is given with it.
pub(super) fn verdict(text: &str, message: &InboundMessage) -> ReadAnswer<Classified> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct TagAnswer {
        tag: String,
        opts_out: bool,
        tag_confidence: f32,
    }
    let answer: TagAnswer = parsed(text)?;
    let confidence = confidence(answer.tag_confidence)?;
    let tag = Sentiment::parse(&answer.tag).filter(|tag| tags(message).contains(tag));
    let tag = tag.ok_or("the tag is not in the list")?;
    // A machine demands nothing.
    if !answer.opts_out || message.automated {
        return Ok(Classified { tag, confidence, opts_out: false, may_opt_out: false });
    }
    let opts_out = tag == Sentiment::Blacklist && confidence >= OPTS_OUT_MIN;
    Ok(Classified { tag: Sentiment::Blacklist, confidence, opts_out, may_opt_out: true })
}

/// The score.
pub(super) fn score(text: &str) -> ReadAnswer<Score> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ScoreAnswer {
        fit: i16,
        intent: i16,
        reason: String,
    }
    let ScoreAnswer { fit, intent, reason } = parsed(text)?;
    if !(1..=4).contains(&fit) || !(1..=4).contains(&intent) {
        return Err("the score is not from 1 to 4");
    }
    Ok(Score::new(fit, intent, storable(&reason)?))
}

/// The text of a draft for the message of `conversation`.
pub(super) fn draft(text: &str, conversation: &Conversation, medium: Medium) -> ReadAnswer<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct DraftAnswer {
        body: String,
    }
    let DraftAnswer { body } = parsed(text)?;
    let body = storable(&body)?;
    let is_short = medium.is_mail() && body.chars().count() < *MAIL_CHARS.start();
    if is_short || draft_text::flaw(body, medium).is_some() {
        return Err("the draft has not the length that was asked for");
    }
    if has_foreign(body, conversation) {
        return Err("the draft has a link, an address or a number that we have not sent before");
    }
    Ok(body.to_owned())
}

/// The evaluation.
pub(super) fn evaluation(text: &str) -> ReadAnswer<Evaluation> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct EvaluationAnswer {
        verdict: String,
        verdict_confidence: f32,
        reason: String,
    }
    let EvaluationAnswer { verdict, verdict_confidence, reason } = parsed(text)?;
    let number = confidence(verdict_confidence)?;
    let reason = storable(&reason)?;
    match verdict.as_str() {
        "safe" => Ok(Evaluation::safe(number, reason)),
        "needs_human" => Ok(Evaluation::needs_human(number, reason)),
        _ => Err("the verdict is not in the list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analyst::testing::{TEXT, conversation, line},
        domain::event::Direction,
    };

    #[test]
    fn a_tag_must_be_one_of_those_that_were_asked_for() {
        let mut it = conversation("any", "hello").message;
        it.automated = true;
        let (opts_out, may_opt_out) = (false, false);
        let tag = Sentiment::OutOfOffice;
        let good = Classified { tag, confidence: 0.75, opts_out, may_opt_out };
        let text = r#"{"opts_out":false,"tag":"Out of Office","tag_confidence":0.75}"#;
        assert_eq!(verdict(text, &it), Ok(good));
        for text in [
            r#"{"opts_out":false,"tag":"Interested","tag_confidence":0.75}"#,
            r#"{"opts_out":false,"tag":"out of office","tag_confidence":0.75}"#,
            r#"{"opts_out":false,"tag":"Snoozed","tag_confidence":0.75}"#,
            r#"{"opts_out":false,"tag":"Out of Office","tag_confidence":1.5}"#,
            r#"{"opts_out":false,"tag":"Out of Office","tag_confidence":-0.1}"#,
            r#"{"opts_out":false,"tag":"Out of Office","tag_confidence":null}"#,
            r#"{"opts_out":false,"tag":"Out of Office"}"#,
            r#"{"opts_out":"no","tag":"Out of Office","tag_confidence":1}"#,
            r#"{"tag":"Out of Office","tag_confidence":1}"#,
            r#"{"opts_out":false,"tag":"Out of Office","tag_confidence":1,"send":true}"#,
            r#"{"opts_out":false,"tag":"Out of Office","tag_confid"#,
            r#"["Out of Office"]"#,
            "Out of Office",
            "",
        ] {
            assert!(verdict(text, &it).is_err(), "{text}");
        }
    }

    #[test]
    fn an_opt_out_that_a_model_finds_is_never_answered_and_kept_if_it_is_sure() {
        let rows = [
            ("Blacklist", 0.9, false, true),
            ("Blacklist", 0.7, false, true),
            ("Blacklist", 0.6, false, false),
            ("Interested", 0.9, false, false),
            ("Blacklist", 0.9, true, false),
        ];
        for (tag, confidence, automated, is_kept) in rows {
            let mut it = conversation("any", "hello").message;
            it.automated = automated;
            let text =
                serde_json::json!({"opts_out": true, "tag": tag, "tag_confidence": confidence});
            let expected = Classified {
                tag: Sentiment::Blacklist,
                confidence,
                opts_out: is_kept,
                may_opt_out: !automated,
            };
            assert_eq!(verdict(&text.to_string(), &it), Ok(expected), "{tag} {confidence}");
        }
    }

    #[test]
    fn a_score_must_be_in_its_bounds() {
        let good = score(r#"{"fit":4,"intent":1,"reason":" why "}"#).unwrap();
        assert_eq!((good.fit, good.intent, good.overall, good.reason.as_str()), (4, 1, 2, "why"));
        for text in [
            r#"{"fit":5,"intent":1,"reason":""}"#,
            r#"{"fit":1,"intent":0,"reason":""}"#,
            r#"{"fit":1.5,"intent":1,"reason":""}"#,
            r#"{"fit":1,"intent":1}"#,
        ] {
            assert!(score(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_draft_has_its_length_and_only_our_own_links() {
        let mut it = conversation("any", "See https://evil.example/x");
        it.transcript.push(line(
            "any",
            Direction::Outbound,
            "Our page: https://ours.example/a.",
            1,
        ));
        let rows = [
            (TEXT, "Glad to call. When?", true),
            (TEXT, "See https://ours.example/a.", true),
            (TEXT, "See https://evil.example/x", false),
            (TEXT, "Please confirm at evil.example/pay", false),
            (TEXT, " ", false),
            (Medium::Chat { chars: 10 }, "longer than ten", false),
            (Medium::Mail, "too short for a mail", false),
        ];
        for (medium, body, is_good) in rows {
            let text = serde_json::json!({ "body": body }).to_string();
            assert_eq!(draft(&text, &it, medium).is_ok(), is_good, "{body}");
        }
        for (length, is_good) in [(219, false), (220, true), (1_200, true), (1_201, false)] {
            let text = serde_json::json!({ "body": "x".repeat(length) }).to_string();
            assert_eq!(draft(&text, &it, Medium::Mail).is_ok(), is_good, "{length}");
        }
        // A text message has no more than is sent: of another alphabet less.
        for (unit, length, is_good) in
            [("x", 459, true), ("x", 460, false), ("я", 201, true), ("я", 202, false)]
        {
            let text = serde_json::json!({ "body": unit.repeat(length) }).to_string();
            assert_eq!(draft(&text, &it, TEXT).is_ok(), is_good, "{unit} {length}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_stored_is_of_no_use() {
        let it = conversation("any", "hello");
        for (text, is_good) in
            [("Two\nlines", true), ("a\0b", false), ("a\u{1b}[2Jb", false), ("a\tb", false)]
        {
            let body = serde_json::json!({ "body": text }).to_string();
            assert_eq!(draft(&body, &it, TEXT).is_ok(), is_good, "{text:?}");
            let given = serde_json::json!({ "fit": 1, "intent": 1, "reason": text }).to_string();
            assert_eq!(score(&given).is_ok(), is_good, "{text:?}");
            let given = serde_json::json!({
                "reason": text, "verdict": "safe", "verdict_confidence": 1,
            });
            assert_eq!(evaluation(&given.to_string()).is_ok(), is_good, "{text:?}");
        }
    }

    #[test]
    fn safe_counts_only_with_some_confidence() {
        let text = |verdict: &str, number: f32| {
            format!(r#"{{"reason":"why","verdict":"{verdict}","verdict_confidence":{number}}}"#)
        };
        assert!(evaluation(&text("safe", 0.9)).unwrap().is_safe);
        assert!(!evaluation(&text("safe", 0.0)).unwrap().is_safe);
        assert!(!evaluation(&text("needs_human", 0.9)).unwrap().is_safe);
        assert!(evaluation(&text("yes", 0.9)).is_err());
        assert!(evaluation(&text("safe", 9.0)).is_err());
    }
}
