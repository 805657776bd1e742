//! A new channel is one file and one line: `pager.rs`, and its registration below. With these
//! alone, its webhook, its job, its drafts, its sends, the filters by channel, its samples, its
//! metrics and its section of docs/CHANNELS.md work.

mod pager;

use self::pager::Pager;
use crate::{
    on_both_daemons,
    support::{
        eventually,
        inside::Inside,
        model_server::{ModelServer, Reply},
        web::{Answer, ask},
    },
};
use postroom::{
    channels::{AnyChannel, page::page, samples::of_account},
    config::{Config, Sources},
    registry::{self, Registry},
};
use serde_json::{Value, json};
use std::time::Duration;

const SECRET: &str = "a-secret-for-the-pagers";
const ACCOUNT: &str = "desk-7";
const CONFIG: &str = "
[[clients]]
id = \"acme\"
sender = \"Sam\"
[clients.channels.pager]
secret = \"a-secret-for-the-pagers\"
account = \"desk-7\"
[clients.channels.sms]
[pools.READ_A_PAGE]
max_attempts = 3
";

/// The one line that registers the channel.
fn with_pagers() -> Registry {
    registry::postroom().channel(Pager)
}

/// A sample that names the account of the client's configuration.
fn sample(event: &str, lead: u64) -> Value {
    let body = AnyChannel::sample(&Pager, Some(event), lead).expect("a sample");
    of_account(&Pager, body, ACCOUNT)
}

/// The sample of a message with another text, and with an id of its own.
fn saying(lead: u64, text: &str) -> Value {
    let mut body = sample("page", lead);
    body["id"] = json!(format!("{lead}: {text}"));
    body["text"] = json!(text);
    body
}

async fn post(daemon: &Inside, body: &Value) -> Answer {
    ask(daemon.webhook("pager", "acme").header("X-Pager-Secret", SECRET).json(body)).await
}

/// Posts a message that is to be accepted, and waits until its job has succeeded.
async fn worked_through(daemon: &Inside, body: &Value) -> (Answer, Value) {
    let answer = post(daemon, body).await;
    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    let path = format!("/jobs/{}", answer.job_ids()[0]);
    let job = eventually(Duration::from_secs(20), async || {
        let job = daemon.api(&path).await;
        (job.field("status") == "succeeded").then_some(job.body)
    })
    .await;
    (answer, job)
}

async fn lead(daemon: &Inside, of: &Answer) -> Value {
    daemon.api(&format!("/leads/{}", of.field("lead_id"))).await.body
}

on_both_daemons! {
    /// From the probe to the draft: a message is accepted, is a duplicate the second time, is
    /// worked through, and is answered within the limits of the channel's medium.
    async fn a_message_becomes_a_job_and_a_draft(place: Place) {
        let daemon = Inside::start(&place, CONFIG, with_pagers()).await;
        let probe = ask(daemon.probe("pager", "acme")).await;
        assert_eq!(probe.body["events"], json!(["page", "quiet", "battery"]));

        let stranger = ask(daemon.webhook("pager", "acme").json(&sample("page", 7))).await;
        assert_eq!(stranger.status, 401);
        let of_another = AnyChannel::sample(&Pager, None, 7).expect("a sample");
        assert_eq!(post(&daemon, &of_another).await.field("reason"), "other_account");

        let text = "Can you call me tomorrow after 3?";
        let (answer, job) = worked_through(&daemon, &saying(7, text)).await;
        assert_eq!((&job["kind"], &job["max_attempts"]), (&json!("READ_A_PAGE"), &json!(3)));
        assert_eq!(post(&daemon, &saying(7, text)).await.outcome(), "duplicate");

        let lead = lead(&daemon, &answer).await;
        assert_eq!(lead["sentiment"], "Call Requested");
        assert_eq!(lead["identities"], json!([{"kind": "pager_number", "value": "100007"}]));
        let [draft] = lead["drafts"].as_array().expect("drafts").as_slice() else {
            panic!("not one draft: {lead}")
        };
        assert_eq!((&draft["channel"], &draft["subject"]), (&json!("pager"), &Value::Null));
        let parts: Vec<&str> = draft["parts"].as_array().expect("parts").iter()
            .map(|part| part.as_str().expect("a text"))
            .collect();
        assert_eq!(parts.len(), 2, "{parts:?}");
        assert!(parts.iter().all(|part| part.chars().count() <= 40), "{parts:?}");
        assert!(parts[0].starts_with("Hi Joel, happy to call."), "{parts:?}");
    }

    /// An answer goes out by rule, through the channel's own call, to the server that the client
    /// names, and what comes back is read by the channel.
    async fn an_answer_goes_out_as_the_channel_says(place: Place) {
        let provider = ModelServer::start(|_| Reply::Status(200, "", r#"{"page_id": "p-1"}"#));
        let send = format!(
            "send = {{ api_key = \"k-7\", base_url = \"{}\", allow_private = true }}",
            provider.url("pages")
        );
        let config = CONFIG
            .replace("sender =", "auto_reply = \"auto\"\nauto_send = { delay_min = \"0s\", delay_max = \"0s\" }\nsender =")
            .replace("account =", &format!("{send}\naccount ="));
        let daemon = Inside::start(&place, &config, with_pagers()).await;
        worked_through(&daemon, &saying(7, "Hey, yes I am interested. What does it cost?")).await;
        let delivery = eventually(Duration::from_secs(20), async || {
            let answer = daemon.api("/deliveries?channel=pager").await;
            answer.items().first().filter(|it| it["status"] == "sent").cloned()
        })
        .await;
        assert_eq!(delivery["provider_id"], "p-1", "{delivery}");
        let asked = provider.asked();
        let [call] = asked.as_slice() else { panic!("not one call: {asked:?}") };
        assert_eq!((call.path.as_str(), call.key.as_deref()), ("/pages/v1/pages", Some("k-7")));
        assert_eq!(call.body["pager"], "100007");
        let text = call.body["text"].as_str().expect("a text");
        assert!(text.starts_with("Hi Joel, thanks for asking."), "{text}");
    }

    /// The rules that depend on a channel's medium: carriers' opt-out keywords, and the
    /// do-not-disturb flag.
    async fn the_rules_of_its_medium_hold(place: Place) {
        let daemon = Inside::start(&place, CONFIG, with_pagers()).await;
        let (wanted, _) = worked_through(&daemon, &saying(1, "Can you call me?")).await;
        assert_eq!(lead(&daemon, &wanted).await["drafts"][0]["status"], "pending");

        let (out, _) = worked_through(&daemon, &saying(1, "Cancel")).await;
        let lead_out = lead(&daemon, &out).await;
        assert_eq!(lead_out["opted_out"]["channel"], "pager");
        let open = lead_out["drafts"].as_array().expect("drafts").iter()
            .filter(|draft| draft["status"] == "pending");
        assert_eq!(open.count(), 0, "{lead_out}");

        worked_through(&daemon, &saying(2, "Hello")).await;
        let quiet = post(&daemon, &sample("quiet", 2)).await;
        assert_eq!((quiet.outcome(), quiet.field("reason")), ("recorded", "do_not_disturb"));
        let (asked, _) = worked_through(&daemon, &saying(2, "Can you call me?")).await;
        let lead_quiet = lead(&daemon, &asked).await;
        assert_eq!((&lead_quiet["sms_dnd"], &lead_quiet["drafts"]), (&json!(true), &json!([])));
    }

    /// Lists can be filtered by the channel, a body that it does not understand is quarantined, and
    /// metrics carry the channel's and the kind's names.
    async fn lists_and_metrics_know_it(place: Place) {
        let daemon = Inside::start(&place, CONFIG, with_pagers()).await;
        worked_through(&daemon, &sample("page", 3)).await;
        assert_eq!(post(&daemon, &sample("battery", 3)).await.field("reason"), "battery");
        let mut strange = sample("page", 4);
        strange["event"] = json!("smoke");
        assert_eq!(post(&daemon, &strange).await.field("reason"), "unknown_event");
        strange["event"] = json!("page");
        strange["id"] = Value::Null;
        assert_eq!(post(&daemon, &strange).await.field("reason"), "missing_field id");

        for (path, found) in [
            ("/messages?channel=pager", 1),
            ("/messages?channel=sms", 0),
            ("/quarantine?channel=pager", 2),
            ("/quarantine?channel=sms", 0),
        ] {
            assert_eq!(daemon.api(path).await.items().len(), found, "{path}");
        }
        let refused = daemon.api("/messages?channel=fax").await;
        refused.is_problem(400, "bad-request");
        assert!(refused.field("detail").contains("pager"), "{refused:?}");
        let pools = daemon.api("/pools").await;
        assert!(pools.items().iter().any(|pool| pool["kind"] == "READ_A_PAGE"), "{pools:?}");
        let actors = daemon.api("/actors").await;
        assert!(actors.items().iter().any(|actor| actor["name"] == "ingest/pager"), "{actors:?}");

        let lines = [
            "postroom_webhooks_total{channel=\"pager\",outcome=\"accepted\"} 1",
            "postroom_webhooks_total{channel=\"pager\",outcome=\"ignored\"} 1",
            "postroom_quarantined_total{channel=\"pager\"} 2",
            "postroom_jobs_total{kind=\"READ_A_PAGE\",outcome=\"succeeded\"} 1",
            "postroom_pool_size{kind=\"READ_A_PAGE\"} 8",
        ];
        let metrics = ask(daemon.prepare("/metrics")).await;
        for line in lines {
            assert!(metrics.text.lines().any(|it| it == line), "`{line}`: {}", metrics.text);
        }
    }
}

/// A configuration is checked against the registry that is given, and not against Postroom's own.
#[test]
fn only_a_registry_that_has_it_takes_its_configuration() {
    let env = [("POSTROOM__POOLS__READ_A_PAGE__SIZE", "2")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let config = Config::load(&Sources { env, ..Sources::default() }).expect("a configuration");
    with_pagers().check(&config).expect("the pagers' kind is registered");
    let refused = registry::postroom().check(&config).expect_err("nobody has registered it");
    assert!(refused.to_string().contains("READ_A_PAGE"), "{refused}");
    // What sending needs is what the channel says.
    let clients = "[{ id = \"acme\", channels = { pager = { send = { api_key = \"k\" } } } }]";
    let env = vec![("POSTROOM__CLIENTS".to_owned(), clients.to_owned())];
    let config = Config::load(&Sources { env, ..Sources::default() }).expect("a configuration");
    let refused = with_pagers().check(&config).expect_err("each customer has a server");
    assert!(refused.to_string().contains("such as `https://pages.example.com`"), "{refused}");
}

#[test]
fn the_page_and_the_directory_have_it() {
    let registry = with_pagers();
    let page = page(&registry.channels);
    assert!(
        page.ends_with(
            "\n# pager\n\n| event | outcome | |\n|---|---|---|\n| page | accepted |  |\n\
             | quiet | recorded do_not_disturb | an unknown lead is ignored |\n\
             | battery | ignored battery |  |\n| any other | | quarantined `unknown_event` |\n\n\
             Inbound messages are worked through by `READ_A_PAGE`. The provider's own place for the secret: \
             `X-Pager-Secret`. An answer is a text message of at most 2 parts of at most 40 characters. \
             Answers are sent to the customer's own server.\n"
        ),
        "{page}"
    );
    let directory = registry.channel_directory();
    assert_eq!(directory.medium(Pager.name()), Some(Pager.medium()));
    assert_eq!(directory.identity("pager_number"), Some(pager::PAGER_NUMBER));
    assert!(directory.is_post_process("READ_A_PAGE"));
}
