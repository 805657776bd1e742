//! What a model's server can do wrong, and what becomes of it: another request, or an error. Never
//! a tag that nobody gave.

use super::{KEY, LONG, TEXT, World, asker, config, conversation, drafting};
use crate::support::{
    eventually,
    model_server::{ModelServer, Reply},
};
use futures_util::future::join_all;
use postroom::{
    analyst::{AnalystError, AnalystVerdict, Classified, EvaluationRequest, Local, RuledMessage},
    domain::{
        Medium, Sentiment,
        model_call::{ModelCallFeature, ModelCallStatus},
    },
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

const WORDS: &str = "Could you tell me what the secret plan costs?";

async fn classify(world: &World, time: Duration) -> Result<AnalystVerdict, AnalystError> {
    let it = conversation(WORDS);
    world.analysts.of(asker(time)).classify(&RuledMessage::new(&it, TEXT)).await
}

/// What an error says, without its kind.
fn said(error: &AnalystError) -> &str {
    match error {
        AnalystError::Away(why) | AnalystError::Unusable(why) => why,
        AnalystError::Paused { model, .. } => model,
    }
}

#[tokio::test]
async fn each_question_is_asked_with_its_schema_and_leaves_a_row() {
    let server = ModelServer::script(Vec::new());
    let mut world = World::new(&server, &[]);
    let analyst = world.analysts.of(asker(LONG));
    let it = conversation(WORDS);
    let message = RuledMessage::new(&it, TEXT);
    let verdict = analyst.classify(&message).await.unwrap();
    let (opts_out, may_opt_out) = (false, false);
    let expected = Classified { tag: Sentiment::Neutral, confidence: 0.75, opts_out, may_opt_out };
    assert_eq!(verdict.classified, expected);
    assert_eq!(verdict.by.as_str(), "openai m-1 v1");
    let score = analyst.score(&it, Some("bakeries")).await.unwrap().unwrap();
    assert_eq!((score.fit, score.intent, score.overall), (4, 4, 4));
    let templates = BTreeMap::new();
    let request = drafting(&message, &templates);
    let draft = analyst.draft(request).await.unwrap().unwrap();
    assert!(draft.body.starts_with("Thank you for your message."), "{draft:?}");
    assert_eq!(draft.parts.concat().len(), draft.body.len() - draft.parts.len() + 1);
    let evaluation = analyst.evaluate(EvaluationRequest::of(request, &draft.body)).await;
    let evaluation = evaluation.unwrap();
    assert_eq!((evaluation.is_safe, evaluation.confidence), (false, 0.75));
    let asked = server.asked();
    let features: Vec<&str> = asked.iter().map(|it| it.feature()).collect();
    assert_eq!(features, ["classify", "score", "draft", "evaluate"]);
    for one in &asked {
        assert_eq!(
            (one.path.as_str(), one.key.as_deref()),
            ("/one/v1/chat/completions", Some(KEY))
        );
        assert_eq!(one.body["model"], "m-1");
        assert_eq!(one.data().matches("secret plan").count(), 1, "once: {}", one.data());
        assert!(!one.instructions().contains("secret plan"));
    }
    assert!(asked[1].data().contains("looks for: bakeries"), "{}", asked[1].data());
    for line in ["signed by: Zoe", "style: short and warm", "length: at most 459 characters of "] {
        assert!(asked[2].data().contains(line), "{}", asked[2].data());
    }
    let calls = world.calls();
    let prompts: Vec<&str> = calls.iter().map(|it| it.prompt).collect();
    assert_eq!(prompts, ["classify.v1", "score.v1", "draft.v3", "evaluate.v1"]);
    for call in &calls {
        assert_eq!((call.status, &call.error, call.retry), (ModelCallStatus::Ok, &None, 0));
        assert_eq!((call.tokens_in, call.tokens_out), (Some(700), Some(20)));
        assert_eq!((call.client_id.as_str(), call.lead_id, call.job_id), ("acme", Some(3), 11));
        assert_eq!((call.kind.as_str(), call.model.as_str()), ("SMS_INBOUND_POST_PROCESS", "m-1"));
        assert!(!format!("{call:?}").contains("secret"), "{call:?}");
    }
    let text = world.metrics.render().unwrap();
    for line in [
        "postroom_model_calls_total{feature=\"draft\",status=\"ok\"} 1",
        "postroom_model_call_seconds_count{feature=\"classify\"} 1",
        "postroom_analyst_seconds_count{outcome=\"ok\",provider=\"openai\"} 4",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let busy =
        Reply::Status(429, "retry-after: 1\r\n", r#"{"error":{"code":"rate_limit_exceeded"}}"#);
    let server = ModelServer::script(vec![busy]);
    let mut world = World::new(&server, &[]);
    let started = Instant::now();
    assert_eq!(classify(&world, LONG).await.unwrap().classified.tag, Sentiment::Neutral);
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
    let calls = world.calls();
    let ends: Vec<_> = calls.iter().map(|it| (it.status, it.retry)).collect();
    assert_eq!(ends, [(ModelCallStatus::RateLimited, 0), (ModelCallStatus::Ok, 1)]);
    assert_eq!(calls[0].error.as_deref(), Some("status 429, rate_limit_exceeded"));
}

#[tokio::test]
async fn no_attempt_waits_longer_than_it_has_time() {
    let busy = Reply::Status(429, "retry-after: 60\r\n", "{}");
    let unavailable = Reply::Status(503, "retry-after: 3000\r\n", "{}");
    let quota = Reply::Status(429, "", r#"{"error":{"code":"insufficient_quota"}}"#);
    let rows = [(busy, 20, 1, 60), (unavailable, 20, 1, 600), (quota, 1, 2, 5)];
    for (reply, time, requests, pause) in rows {
        let server = ModelServer::script(vec![reply.clone(); 9]);
        let world = World::new(&server, &[]);
        let started = Instant::now();
        let error = classify(&world, Duration::from_secs(time)).await.unwrap_err();
        let text = error.to_string();
        let limit = "model `m-1` takes no more requests for now: lower `analyst.max_concurrent`";
        assert!(text.contains(limit), "{text}");
        let AnalystError::Paused { pause: found, .. } = error else { panic!("{error:?}") };
        assert_eq!(found, Duration::from_secs(pause), "{reply:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
        let count = server.asked().len();
        assert!((1..=requests).contains(&count), "{reply:?}: {count}");
        // Nobody else asks meanwhile, and that costs no attempt.
        let other = classify(&world, LONG).await.unwrap_err();
        assert!(matches!(other, AnalystError::Paused { .. }), "{other:?}");
        assert_eq!(server.asked().len(), count);
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    let cases = [
        (Reply::Status(500, "retry-after-ms: 20\r\n", "oops"), ModelCallStatus::ServerError),
        (Reply::Status(503, "retry-after-ms: 20\r\n", "{}"), ModelCallStatus::ServerError),
        (Reply::CutOff, ModelCallStatus::Unreachable),
        (Reply::CutShort, ModelCallStatus::CutShort),
        (Reply::Text("Interested, I would say".to_owned()), ModelCallStatus::Unusable),
        (
            Reply::Text(r#"{"opts_out":false,"tag":"Snoozed","tag_confidence":1}"#.to_owned()),
            ModelCallStatus::Unusable,
        ),
        (
            Reply::Text(r#"{"opts_out":false,"tag":"Interested","tag_confidence":7}"#.to_owned()),
            ModelCallStatus::Unusable,
        ),
        (
            Reply::Text(r#"{"opts_out":false,"tag":"Interested"}"#.to_owned()),
            ModelCallStatus::Unusable,
        ),
        (Reply::Text(String::new()), ModelCallStatus::Unusable),
        (Reply::Status(200, "", "{\"choices\":"), ModelCallStatus::Unusable),
    ];
    let run = |(reply, status): (Reply, ModelCallStatus)| async move {
        let server = ModelServer::script(vec![reply.clone()]);
        let mut world = World::new(&server, &[]);
        let verdict = classify(&world, LONG).await;
        assert_eq!(verdict.map(|it| it.classified.tag), Ok(Sentiment::Neutral), "{reply:?}");
        assert_eq!(world.statuses(), [status, ModelCallStatus::Ok], "{reply:?}");
    };
    join_all(cases.map(run)).await;
}

#[tokio::test]
async fn a_server_that_stays_wrong_is_an_error_and_never_a_tag() {
    let cases = [
        (Reply::Status(500, "retry-after-ms: 5\r\n", "Ana's secret"), 4, false),
        (
            Reply::Text(r#"{"opts_out":false,"tag":"Hot Lead","tag_confidence":1}"#.to_owned()),
            2,
            true,
        ),
        (Reply::CutShort, 2, true),
        (Reply::Declined, 1, true),
        (Reply::Status(400, "", r#"{"error":{"message":"secret"}}"#), 1, false),
        (Reply::Status(302, "location: http://127.0.0.1:1/\r\n", ""), 1, false),
        (Reply::Status(401, "", r#"{"error":{"code":"invalid_api_key"}}"#), 1, false),
        (Reply::Status(404, "", "{}"), 1, false),
        (Reply::Never, 2, false),
    ];
    let run = |(reply, requests, is_unusable): (Reply, usize, bool)| async move {
        let server = ModelServer::script(vec![reply.clone(); 9]);
        let world = World::new(&server, &[("timeout", "300ms")]);
        let error = classify(&world, Duration::from_millis(1_300)).await.unwrap_err();
        assert_eq!(matches!(error, AnalystError::Unusable(_)), is_unusable, "{reply:?}: {error}");
        let count = server.asked().len();
        // The most that fit into the time; a slow machine sends fewer.
        assert!((1..=requests).contains(&count), "{reply:?}: {count}: {error}");
        let (_, remedy) =
            said(&error).strip_prefix("model `m-1`: ").unwrap().split_once("; ").unwrap();
        assert!(!remedy.is_empty(), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("127.0.0.1"), "{shown}");
    };
    join_all(cases.map(run)).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let server = ModelServer::script(Vec::new());
    let mut world = World::new(&server, &[]);
    // Nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.live.set(config(&format!("http://{nobody}/v1"), &[]));
    let error = classify(&world, Duration::from_millis(400)).await.unwrap_err();
    assert_eq!(
        said(&error),
        "model `m-1`: no connection; see whether its server runs, and `analyst.base_url`"
    );
    assert_eq!(world.statuses(), [ModelCallStatus::Unreachable]);
}

#[tokio::test]
async fn after_failures_in_a_row_nothing_is_asked_for_a_while() {
    let server = ModelServer::start(|asked| {
        let is_right = asked.key.as_deref() == Some("another-key");
        if is_right { Reply::Good } else { Reply::Status(401, "", "{}") }
    });
    let world = World::new(&server, &[]);
    for _ in 0..5 {
        let error = classify(&world, LONG).await.unwrap_err();
        assert!(
            said(&error).starts_with("model `m-1`: status 401; see `analyst.api_key`"),
            "{error}"
        );
    }
    let error = classify(&world, LONG).await.unwrap_err();
    assert!(error.to_string().contains("model `m-1` has failed several times"), "{error}");
    let AnalystError::Paused { pause, .. } = error else { panic!("{error:?}") };
    assert!(pause <= Duration::from_secs(5) && pause > Duration::from_secs(3), "{pause:?}");
    assert_eq!(server.asked().len(), 5);
    // A right key counts at once.
    world.live.set(config(&server.url("one"), &[("api_key", "another-key")]));
    assert!(classify(&world, LONG).await.is_ok());
}

#[tokio::test]
async fn the_rules_answer_in_its_place_if_that_is_chosen() {
    let server = ModelServer::script(vec![Reply::Status(400, "", "{}"); 9]);
    let mut world = World::new(&server, &[("fallback", "local")]);
    let verdict = classify(&world, LONG).await.unwrap();
    assert_eq!(verdict.classified.tag, Sentiment::InformationRequested, "as the rules see it");
    assert_eq!(verdict.by, Local::judged_by());
    assert_eq!(world.statuses(), [ModelCallStatus::Refused], "and the failure is noted");
}

#[tokio::test]
async fn the_rules_answer_too_while_the_model_is_not_asked() {
    let server = ModelServer::script(vec![Reply::Status(403, "", "{}"); 99]);
    let world = World::new(&server, &[("fallback", "local")]);
    for _ in 0..8 {
        let verdict = classify(&world, LONG).await.unwrap();
        assert_eq!(verdict.classified.tag, Sentiment::InformationRequested);
    }
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_requests_are_sent_at_a_time_than_may_be() {
    let server = ModelServer::start(|_| Reply::Late(Duration::from_millis(100)));
    let world = World::new(&server, &[("max_concurrent", "2")]);
    let all = join_all((0..8).map(|_| classify(&world, LONG))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(server.most(), 2);
    world.live.set(config(&server.url("one"), &[("max_concurrent", "4")]));
    join_all((0..8).map(|_| classify(&world, LONG))).await;
    assert_eq!(server.most(), 4);
    world.live.set(config(&server.url("one"), &[("max_concurrent", "1")]));
    join_all((0..3).map(|_| classify(&world, LONG))).await;
    assert_eq!(server.most(), 1);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_ends_and_leaves_its_row() {
    let server = ModelServer::script(vec![Reply::Never]);
    let mut world = World::new(&server, &[]);
    let cut_off = tokio::time::timeout(Duration::from_millis(300), classify(&world, LONG)).await;
    assert!(cut_off.is_err());
    let calls = world.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].status, calls[0].feature),
        (ModelCallStatus::Dropped, ModelCallFeature::Classify)
    );
    assert!(calls[0].latency_ms >= 200, "{calls:?}");
    assert!(classify(&world, LONG).await.is_ok(), "and its place is free");
}

#[tokio::test]
async fn a_mail_gets_its_subject_and_its_length() {
    let body = "Thank you for asking. ".repeat(15);
    let text = serde_json::json!({"body": body.trim()}).to_string();
    let short = serde_json::json!({"body": "Too short."}).to_string();
    let server = ModelServer::script(vec![Reply::Text(short), Reply::Text(text)]);
    let mut world = World::new(&server, &[]);
    let mut it = conversation(WORDS);
    it.message.subject = Some("Re: Prices".to_owned());
    let templates = BTreeMap::new();
    let message = RuledMessage::new(&it, Medium::Mail);
    let request = drafting(&message, &templates);
    let draft = world.analysts.of(asker(LONG)).draft(request).await.unwrap().unwrap();
    assert_eq!((draft.subject.as_deref(), draft.body.as_str()), (Some("Re: Prices"), body.trim()));
    assert_eq!(world.statuses(), [ModelCallStatus::Unusable, ModelCallStatus::Ok]);
}

#[tokio::test]
async fn a_clients_own_template_wins_over_the_model() {
    let server = ModelServer::script(Vec::new());
    let world = World::new(&server, &[]);
    let it = conversation(WORDS);
    let tag = Sentiment::InformationRequested.as_str().to_owned();
    let templates = BTreeMap::from([(tag, "Hi {first_name}, it costs 10.".to_owned())]);
    let analyst = world.analysts.of(asker(LONG));
    let message = RuledMessage::new(&it, TEXT);
    let draft = analyst.draft(drafting(&message, &templates)).await.unwrap().unwrap();
    assert_eq!(draft.body, "Hi Ana, it costs 10.");
    assert!(server.asked().is_empty());
    // The place for a request that is never sent is not taken either.
    eventually(LONG, async || classify(&world, LONG).await.ok()).await;
}
