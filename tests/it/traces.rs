//! Traces, as a collector gets them.

use crate::{
    on_both_daemons,
    support::{
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        model_server::{ModelServer, Reply},
        receiver::Receiver,
        web::{ask, mail, sms},
    },
    ui,
    webhooks::signed,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Any,
    trace::v1::{Span, span::SpanKind},
};
use postroom::fake_provider::FakeProvider;
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::HashSet, time::Duration};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);
/// What no span may tell.
const TEXT: &str = "Could you call me tomorrow at 3?";

/// All spans that have come so far. Each group must name the version of its conventions.
fn spans(collector: &Receiver) -> Vec<Span> {
    let mut spans = Vec::new();
    for (path, body) in collector.posted() {
        assert_eq!(path, "/v1/traces");
        let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        for resource in request.resource_spans {
            for scope in resource.scope_spans {
                assert!(scope.schema_url.starts_with("https://opentelemetry.io/schemas/"));
                spans.extend(scope.spans);
            }
        }
    }
    spans
}

/// The value of an attribute, as text.
fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == key);
    match found.and_then(|it| it.value.clone()).and_then(|it| it.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        other => panic!("{}: `{key}` is {other:?}", span.name),
    }
}

fn links_to(span: &Span, other: &Span) -> bool {
    span.links.iter().any(|it| it.span_id == other.span_id && it.trace_id == other.trace_id)
}

/// The spans of this name.
fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|it| it.name == name).collect()
}

fn is_below(span: &Span, parent: &Span) -> bool {
    span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id
}

async fn call(daemon: &Daemon, method: Method, path: &str, body: Value) -> Value {
    ask(daemon.api(method, path).json(&body)).await.body
}

async fn get(daemon: &Daemon, path: &str) -> Value {
    ask(daemon.api(Method::GET, path)).await.body
}

fn config(collector: &str, model: &str, provider: &str, sample: f32) -> String {
    format!(
        "[telemetry]\notlp_endpoint = \"{collector}\"\nsample = {sample}\n\
         trace_url = \"https://traces.example.com/of/{{trace_id}}?a=1\"\n\
         [analyst]\nprovider = \"openai\"\nbase_url = \"{model}\"\nmodel = \"m-1\"\napi_key = \"k\"\n\
         [sending]\nundo = \"0s\"\n\
         [[clients]]\nid = \"demo\"\n[clients.channels.sms]\nallow_unauthenticated = true\n\
         send = {{ api_key = \"k-1\", base_url = \"{provider}\", allow_private = true }}\n"
    )
}

/// A model that finds each lead interested.
fn interested() -> ModelServer {
    ModelServer::start(|asked| match asked.feature() {
        "classify" => Reply::Text(
            json!({"opts_out": false, "tag": "Interested", "tag_confidence": 0.9}).to_string(),
        ),
        _ => Reply::Good,
    })
}

/// A provider that takes each send, until it is dropped.
struct Provider {
    url: String,
    _serving: JoinSet<()>,
}

impl Provider {
    async fn start() -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let (address, serving) = FakeProvider::default().listen(any).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            serving.await.ok();
        });
        Self { url: format!("http://{address}"), _serving: tasks }
    }
}

/// A webhook is accepted, and its job ends well.
async fn is_taken_and_done(daemon: &Daemon, lead: u64) {
    let posted = ask(daemon.webhook("sms", "demo").json(&sms(lead, TEXT))).await;
    assert_eq!(posted.outcome(), "accepted");
    let path = format!("/jobs/{}", posted.job_ids()[0]);
    eventually(PATIENCE, async || {
        (get(daemon, &path).await["status"] == "succeeded").then_some(())
    })
    .await;
}

/// Waits until spans are counted that were not sent.
async fn are_dropped(daemon: &Daemon) {
    eventually(PATIENCE, async || {
        let metrics = ask(daemon.get("/metrics")).await.text;
        let name = "postroom_trace_spans_dropped_total ";
        let count: u64 = metrics.lines().find_map(|it| it.strip_prefix(name))?.parse().ok()?;
        (count > 0).then_some(())
    })
    .await;
}

/// Waits for a draft of the lead, and returns its id.
async fn draft_of(daemon: &Daemon, lead: &str) -> String {
    let path = format!("/drafts?lead={lead}");
    eventually(PATIENCE, async || {
        Some(get(daemon, &path).await["items"][0]["id"].as_str()?.to_owned())
    })
    .await
}

/// The id of its trace, as logs and pages spell it.
fn trace_id(span: &Span) -> String {
    span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that the log has a line with these words and the id of the span's trace.
#[track_caller]
fn is_logged(daemon: &Daemon, words: &str, span: &Span) {
    let (log, told) = (daemon.log(), format!("trace_id=\"{}\"", trace_id(span)));
    let is_there = log.lines().any(|line| line.contains(words) && line.contains(&told));
    assert!(is_there, "no line {words:?} with {told}\n{log}");
}

/// Checks what the span of a send has in common with that of its job.
#[track_caller]
fn says_what_its_job_says(send: &Span, job: &Span) {
    assert_eq!(attribute(send, "messaging.destination.name"), "sms");
    for shared in [
        "messaging.system",
        "messaging.client.id",
        "messaging.message.conversation_id",
        "request_id",
        "postroom.client",
    ] {
        assert_eq!(attribute(send, shared), attribute(job, shared), "{shared}");
    }
}

/// Waits for a draft of the lead, and approves it.
async fn approve(daemon: &Daemon, lead: &str) {
    let draft = draft_of(daemon, lead).await;
    let answer = call(daemon, Method::POST, &format!("/drafts/{draft}/approve"), json!({})).await;
    assert_eq!(answer["status"], "approved", "{answer}");
}

on_both_daemons! {
    async fn a_webhook_is_followed_to_its_send(place: Place) {
        let (collector, model, provider) = (Receiver::start(), interested(), Provider::start().await);
        let url = model.url("traces");
        let daemon = place.start(&config(&collector.url(), &url, &provider.url, 1.0)).await;
        let sender = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let webhook = daemon.webhook("sms", "demo").header("traceparent", sender);
        let posted = ask(webhook.json(&sms(1, TEXT))).await;
        approve(&daemon, posted.field("lead_id")).await;
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            (!named(&spans, "send sms").is_empty()
                && !named(&spans, "approve draft").is_empty()
                && !named(&spans, "process DELIVER_REPLY").is_empty()
                && named(&spans, "record commit").len() > 1)
                .then_some(spans)
        })
        .await;
        let one = |name: &str| named(&spans, name)[0];

        // The webhook, and the commit of its group.
        let webhook = one("POST /webhooks/{channel}/{client}");
        assert_eq!(webhook.kind, i32::from(SpanKind::Server));
        assert_eq!(attribute(webhook, "http.route"), "/webhooks/{channel}/{client}");
        assert_eq!(attribute(webhook, "postroom.client"), "demo");
        assert_eq!(webhook.events[0].name, "committed");
        assert!(links_to(webhook, one("ingest commit")));
        let given = webhook.links.iter().find(|it| it.span_id[..2] == [0x00, 0xf0]);
        assert!(given.is_some(), "the sender's span is linked: {:?}", webhook.links);
        assert!(webhook.parent_span_id.is_empty(), "and is no parent");

        // The job that was due at once is a part of the same trace, and its questions of it.
        let process = one("process SMS_INBOUND_POST_PROCESS");
        assert_eq!(process.kind, i32::from(SpanKind::Consumer));
        assert!(is_below(process, webhook) && links_to(process, webhook));
        assert_eq!(attribute(process, "messaging.message.id"), posted.job_ids()[0]);
        assert_eq!(attribute(process, "messaging.message.conversation_id"), posted.field("lead_id"));
        assert_eq!(attribute(process, "postroom.attempt"), "1");
        let chat = named(&spans, "chat m-1");
        let chat = chat.iter().find(|it| is_below(it, process)).expect("a question");
        assert_eq!(chat.kind, i32::from(SpanKind::Client));
        let commits = named(&spans, "record commit");
        assert!(commits.iter().any(|commit| links_to(process, commit)));

        // A person stood between: a trace of its own, linked back.
        let deliver = one("process DELIVER_REPLY");
        let approval = one("approve draft");
        assert!(links_to(deliver, approval) && links_to(approval, webhook));
        let traces = [webhook, approval, deliver].map(|it| it.trace_id.clone());
        assert_eq!(HashSet::from(traces).len(), 3);
        assert_eq!(attribute(deliver, "postroom.hop"), "approved");
        let send = one("send sms");
        assert!(is_below(send, deliver));
        assert_eq!(send.kind, i32::from(SpanKind::Producer));
        says_what_its_job_says(send, deliver);
        assert_eq!(attribute(send, "request_id"), attribute(webhook, "request_id"));
        is_logged(&daemon, "a person decided on a draft", approval);
        is_logged(&daemon, "an answer was handed to its provider", deliver);
        let http = one("POST");
        assert!(is_below(http, send));
        assert_eq!(attribute(http, "http.response.status_code"), "200");

        // The job and the lead's page tell the trace. No span tells a text, a name or an address.
        let job = get(&daemon, &format!("/jobs/{}", posted.job_ids()[0])).await;
        let trace_id = trace_id(webhook);
        assert_eq!(job["trace_id"], trace_id, "{job}");
        let pages =
            [format!("/jobs/{}", posted.job_ids()[0]), format!("/leads/{}", posted.field("lead_id"))];
        for page in pages {
            let page = ui::page(&daemon, &page).await;
            page.has(&format!("href=\"https://traces.example.com/of/{trace_id}?a=1\""));
        }
        let all = format!("{spans:?}");
        for told in [TEXT, "call me", "k-1", "127.0.0.1", "+1"] {
            assert!(!all.contains(told), "{told}");
        }
    }

    async fn an_answer_that_is_due_at_once_is_a_part_of_its_trace(place: Place) {
        let (collector, model, provider) = (Receiver::start(), interested(), Provider::start().await);
        let config = config(&collector.url(), &model.url("traces"), &provider.url, 1.0);
        let automatic = "auto_reply = \"auto\"\n\
             auto_send = { delay_min = \"0s\", delay_max = \"0s\", schedule = \"always\" }\n";
        let config = config.replace("id = \"demo\"\n", &format!("id = \"demo\"\n{automatic}"));
        let daemon = place.start(&config).await;
        ask(daemon.webhook("sms", "demo").json(&sms(1, TEXT))).await;
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            let awaited = ["POST /webhooks/{channel}/{client}", "process DELIVER_REPLY"];
            awaited.iter().all(|name| !named(&spans, name).is_empty()).then_some(spans)
        })
        .await;
        let webhook = named(&spans, "POST /webhooks/{channel}/{client}")[0];
        let process = named(&spans, "process SMS_INBOUND_POST_PROCESS")[0];
        let rule = named(&spans, "process AUTO_SEND_DELAYED")[0];
        let deliver = named(&spans, "process DELIVER_REPLY")[0];
        for (made, by) in [(process, webhook), (rule, process), (deliver, rule)] {
            assert!(is_below(made, by) && links_to(made, by), "{} by {}", made.name, by.name);
        }
        assert!(named(&spans, "chat m-1").iter().all(|it| it.trace_id == webhook.trace_id));
        assert!(is_below(named(&spans, "send sms")[0], deliver));
    }

    async fn what_a_person_replays_is_a_trace_of_its_own_linked_back(place: Place) {
        let (collector, model) = (Receiver::start(), interested());
        let config = config(&collector.url(), &model.url("traces"), "http://127.0.0.1:9", 0.0);
        let daemon = place.start(&format!("{config}{}", signed::CONFIG)).await;
        daemon.may_leave(Leftover::Unfinished, "it ends once one of the jobs is recorded");
        assert_eq!(signed::post_signed(&daemon, "d1", &mail(1)).await.outcome(), "accepted");
        let id = signed::held(&signed::post_signed(&daemon, "d1", &mail(2)).await);
        let path = format!("/quarantine/{id}/replay");
        let replayed = ask(daemon.api(Method::POST, &path)).await;
        assert_eq!(replayed.outcome(), "accepted", "{replayed:?}");
        let job_ids = replayed.job_ids();
        let is_of_it = |it: &Span| {
            it.name.starts_with("process ")
                && job_ids.contains(&attribute(it, "messaging.message.id"))
        };
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            (spans.iter().any(is_of_it) && !named(&spans, "replay").is_empty()).then_some(spans)
        })
        .await;
        let [replay] = named(&spans, "replay")[..] else { panic!("{spans:?}") };
        for process in spans.iter().filter(|it| is_of_it(it)) {
            assert!(links_to(process, replay) && process.trace_id != replay.trace_id);
            assert_eq!(attribute(process, "postroom.hop"), "replayed");
        }
        is_logged(&daemon, "replayed by hand", replay);
        // Of what no person asked for, nothing is recorded.
        assert!(named(&spans, "POST /webhooks/{channel}/{client}").is_empty());
    }

    async fn what_the_log_says_of_a_webhook_names_its_trace(place: Place) {
        let (collector, model) = (Receiver::start(), interested());
        let config = config(&collector.url(), &model.url("traces"), "http://127.0.0.1:9", 1.0);
        let daemon = place.start(&config).await;
        let odd = json!({"message": "neither a text nor a lead"});
        let posted = ask(daemon.webhook("sms", "demo").json(&odd)).await;
        assert_eq!(posted.outcome(), "quarantined", "{posted:?}");
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            (!named(&spans, "POST /webhooks/{channel}/{client}").is_empty()).then_some(spans)
        })
        .await;
        let webhook = named(&spans, "POST /webhooks/{channel}/{client}")[0];
        assert_eq!(attribute(webhook, "postroom.outcome"), "quarantined");
        is_logged(&daemon, "quarantined", webhook);
    }

    async fn a_new_text_that_a_person_asks_for_is_recorded_with_its_question(place: Place) {
        let (collector, model) = (Receiver::start(), interested());
        let config = config(&collector.url(), &model.url("traces"), "http://127.0.0.1:9", 0.0);
        let daemon = place.start(&config).await;
        let posted = ask(daemon.webhook("sms", "demo").json(&sms(1, TEXT))).await;
        let draft = draft_of(&daemon, posted.field("lead_id")).await;
        let path = format!("/drafts/{draft}/regenerate");
        let told = call(&daemon, Method::POST, &path, json!({"hint": "shorter"})).await;
        assert_eq!(told["status"], "pending", "{told}");
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            let awaited = ["regenerate draft", "chat m-1"];
            awaited.iter().all(|name| !named(&spans, name).is_empty()).then_some(spans)
        })
        .await;
        let regenerated = named(&spans, "regenerate draft")[0];
        assert_eq!(
            attribute(regenerated, "messaging.message.conversation_id"),
            posted.field("lead_id")
        );
        let [chat] = named(&spans, "chat m-1")[..] else { panic!("{spans:?}") };
        assert!(is_below(chat, regenerated));
        assert_eq!(attribute(chat, "postroom.question"), "draft");
        is_logged(&daemon, "a person decided on a draft", regenerated);
        assert!(!format!("{spans:?}").contains("shorter"));
    }

    async fn a_job_that_a_person_has_run_is_recorded_although_it_is_its_first_attempt(place: Place) {
        let (collector, model) = (Receiver::start(), interested());
        let config = config(&collector.url(), &model.url("traces"), "http://127.0.0.1:9", 0.0);
        let pool = "[pools.SMS_INBOUND_POST_PROCESS]\nmax_attempts = 1\n";
        let mut daemon = place.start(&format!("{config}{pool}paused = true\n")).await;
        let posted = ask(daemon.webhook("sms", "demo").json(&sms(1, TEXT))).await;
        let path = format!("/jobs/{}", posted.job_ids()[0]);
        let cancelled = call(&daemon, Method::POST, &format!("{path}/cancel"), json!({})).await;
        assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
        assert!(cancelled["trace_id"].is_null(), "{cancelled}");
        let retried = call(&daemon, Method::POST, &format!("{path}/retry"), json!({})).await;
        assert_eq!(retried["status"], "pending", "{retried}");
        daemon.configure(&format!("{config}{pool}"));
        let process = "process SMS_INBOUND_POST_PROCESS";
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            let awaited = ["retry job", process];
            awaited.iter().all(|name| !named(&spans, name).is_empty()).then_some(spans)
        })
        .await;
        let (retry, process) = (named(&spans, "retry job")[0], named(&spans, process)[0]);
        assert_eq!(retried["trace_id"], trace_id(retry), "{retried}");
        assert_eq!(attribute(retry, "messaging.message.id"), posted.job_ids()[0]);
        assert_eq!(attribute(process, "postroom.attempt"), "1");
        assert_eq!(attribute(process, "postroom.hop"), "retry");
        assert!(links_to(process, retry) && process.trace_id != retry.trace_id);
        is_logged(&daemon, "job retried by hand", retry);
    }

    async fn what_waits_for_a_clock_is_a_trace_of_its_own_linked_back(place: Place) {
        let (collector, model, provider) = (Receiver::start(), interested(), Provider::start().await);
        let config = config(&collector.url(), &model.url("traces"), &provider.url, 1.0);
        let automatic = "auto_reply = \"auto\"\n\
             auto_send = { delay_min = \"1s\", delay_max = \"1s\", schedule = \"always\" }\n";
        let config = config.replace("id = \"demo\"\n", &format!("id = \"demo\"\n{automatic}"));
        let daemon = place.start(&config).await;
        ask(daemon.webhook("sms", "demo").json(&sms(1, TEXT))).await;
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            let awaited = ["process SMS_INBOUND_POST_PROCESS", "process DELIVER_REPLY"];
            awaited.iter().all(|name| !named(&spans, name).is_empty()).then_some(spans)
        })
        .await;
        let process = named(&spans, "process SMS_INBOUND_POST_PROCESS")[0];
        let rule = named(&spans, "process AUTO_SEND_DELAYED")[0];
        let deliver = named(&spans, "process DELIVER_REPLY")[0];
        assert!(links_to(rule, process) && rule.parent_span_id.is_empty());
        assert_ne!(rule.trace_id, process.trace_id);
        assert_eq!(attribute(rule, "postroom.hop"), "delayed");
        // From there on nothing waits.
        assert!(is_below(deliver, rule) && links_to(deliver, rule));
    }

    async fn a_retry_of_a_recorded_webhook_is_linked_back_to_it(place: Place) {
        let collector = Receiver::start();
        let model = ModelServer::script(vec![Reply::Status(401, "", "{}")]);
        let config = config(&collector.url(), &model.url("traces"), "http://127.0.0.1:9", 1.0);
        let pools = "[pools.default]\nbackoff = { base = \"10ms\", cap = \"20ms\" }\n";
        let daemon = place.start(&format!("{config}{pools}")).await;
        ask(daemon.webhook("sms", "demo").json(&sms(1, TEXT))).await;
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            (named(&spans, "process SMS_INBOUND_POST_PROCESS").len() >= 2
                && !named(&spans, "POST /webhooks/{channel}/{client}").is_empty())
            .then_some(spans)
        })
        .await;
        let webhook = named(&spans, "POST /webhooks/{channel}/{client}")[0];
        let attempts = named(&spans, "process SMS_INBOUND_POST_PROCESS");
        let of = |number: &str| {
            let found = attempts.iter().find(|it| attribute(it, "postroom.attempt") == number);
            *found.unwrap_or_else(|| panic!("no attempt {number}: {attempts:?}"))
        };
        let (first, second) = (of("1"), of("2"));
        assert!(is_below(first, webhook) && links_to(first, webhook));
        assert_eq!(attribute(first, "error.type"), "error");
        assert!(links_to(second, webhook) && second.parent_span_id.is_empty());
        assert_ne!(second.trace_id, webhook.trace_id);
        assert_eq!(attribute(second, "postroom.hop"), "retry");

        // The job and its page tell the trace of each attempt.
        let path = format!("/jobs/{}", attribute(second, "messaging.message.id"));
        let job = get(&daemon, &path).await;
        assert_eq!(job["status"], "succeeded", "{job}");
        assert_eq!(job["errors"][0]["trace_id"], trace_id(first), "{job}");
        assert_eq!(job["run_trace_id"], trace_id(second), "{job}");
        let page = ui::page(&daemon, &path).await;
        for span in [first, second] {
            let id = trace_id(span);
            page.has(&format!("href=\"https://traces.example.com/of/{id}?a=1\""));
        }
        page.lacks("not recorded");
    }

    async fn what_is_not_sampled_is_not_sent_and_a_retry_always_is(place: Place) {
        let collector = Receiver::start();
        let failing = ModelServer::start(|_| Reply::Status(401, "", "{}"));
        let config = config(&collector.url(), &failing.url("traces"), "http://127.0.0.1:9", 0.0);
        let pools = "[pools.default]\nmax_attempts = 2\nbackoff = { base = \"10ms\", cap = \"20ms\" }\n";
        let mut daemon = place.start(&format!("{config}{pools}")).await;
        ask(daemon.webhook("sms", "demo").json(&sms(1, TEXT))).await;
        let spans = eventually(PATIENCE, async || {
            let spans = spans(&collector);
            (!named(&spans, "process SMS_INBOUND_POST_PROCESS").is_empty()).then_some(spans)
        })
        .await;
        assert!(named(&spans, "POST /webhooks/{channel}/{client}").is_empty());
        let retry = named(&spans, "process SMS_INBOUND_POST_PROCESS")[0];
        assert_eq!(attribute(retry, "postroom.attempt"), "2");
        assert_eq!(attribute(retry, "postroom.hop"), "retry");
        assert_eq!(attribute(retry, "error.type"), "error");
        // The job says of which attempt the trace is.
        let path = format!("/jobs/{}", attribute(retry, "messaging.message.id"));
        let job = get(&daemon, &path).await;
        assert!(job["trace_id"].is_null() && job["errors"][0]["trace_id"].is_null(), "{job}");
        assert_eq!(job["errors"][1]["trace_id"], trace_id(retry), "{job}");
        let page = ui::page(&daemon, &path).await;
        page.has("not recorded").has(&format!("/of/{}?a=1\"", trace_id(retry)));
        // The share follows the files.
        daemon.configure(&format!("{}{pools}", config.replace("sample = 0", "sample = 1")));
        eventually(PATIENCE, async || {
            ask(daemon.webhook("sms", "demo").json(&sms(2, TEXT))).await;
            let spans = self::spans(&collector);
            (!named(&spans, "POST /webhooks/{channel}/{client}").is_empty()).then_some(())
        })
        .await;
    }

    async fn a_collector_that_refuses_holds_nothing_up_and_its_spans_are_counted(place: Place) {
        let (collector, model) = (Receiver::start(), interested());
        collector.answers(400);
        let config = config(&collector.url(), &model.url("traces"), "http://127.0.0.1:9", 1.0);
        let daemon = place.start(&config).await;
        is_taken_and_done(&daemon, 1).await;
        are_dropped(&daemon).await;
        assert!(daemon.log().contains("spans did not reach the collector"));
    }

    #[ignore = "long: `just long`"]
    async fn a_collector_that_never_answers_holds_nothing_up(place: Place) {
        let (collector, model) = (Receiver::start(), interested());
        collector.holds();
        let config = config(&collector.url(), &model.url("traces"), "http://127.0.0.1:9", 1.0);
        let daemon = place.start(&config).await;
        is_taken_and_done(&daemon, 1).await;
        // Now a request waits for its answer. Others are taken and done meanwhile.
        eventually(PATIENCE, async || (!collector.posted().is_empty()).then_some(())).await;
        for lead in 2..5 {
            is_taken_and_done(&daemon, lead).await;
        }
        are_dropped(&daemon).await;
        // Nor does it hold up the end.
        daemon.terminate();
        assert!(daemon.wait(PATIENCE).await.success());
    }
}
