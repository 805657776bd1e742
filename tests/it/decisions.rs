//! What a person decides, as requests and as commands against a running daemon.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        web::{Answer, ask, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    process::{Command, Output},
    time::Duration,
};

/// What is approved waits for minutes, so that no provider is called.
const CONFIG: &str = "[sending]\nundo = \"10m\"\n\
    [[clients]]\nid = \"demo\"\n[clients.channels.sms]\nallow_unauthenticated = true\nsend = { api_key = \"k-1\" }\n\
    [[clients]]\nid = \"mute\"\n[clients.channels.sms]\nallow_unauthenticated = true\n";
const LONG: &str = "Yes, tomorrow at three suits me well.";

async fn call(daemon: &Daemon, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = daemon.api(method, path).header("x-postroom-actor", "dana");
    ask(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

async fn post(daemon: &Daemon, path: &str, body: Option<Value>) -> Answer {
    call(daemon, Method::POST, path, body).await
}

/// Posts a message that asks for a call, and returns the ids of its lead, of itself and of its
/// draft.
async fn drafted(daemon: &Daemon, lead: u64) -> [String; 3] {
    drafted_of(daemon, "demo", lead).await
}

async fn drafted_of(daemon: &Daemon, client: &str, lead: u64) -> [String; 3] {
    let told = sms(lead, "Could you call me tomorrow at 3?");
    let posted = ask(daemon.webhook("sms", client).json(&told)).await;
    let lead = posted.field("lead_id").to_owned();
    let path = format!("/drafts?lead={lead}");
    let draft = eventually(Duration::from_secs(60), async || {
        let drafts = call(daemon, Method::GET, &path, None).await;
        Some(drafts.items().first()?["id"].as_str()?.to_owned())
    })
    .await;
    [lead, posted.field("message_id").to_owned(), draft]
}

/// A delivery of which nobody knows the end, for a draft that was approved.
async fn put_uncertain(peek: &Peek, id: u32, draft: &str) {
    let job = format!("select id from jobs where kind = 'DELIVER_REPLY' and subject_id = {draft}");
    peek.execute(&format!(
        "insert into deliveries (id, client_id, lead_id, draft_id, channel, status, text_key, attempts, created_at, job_id, marked_run, error) \
         select {id}, client_id, lead_id, id, channel, 'uncertain', 'k', 1, created_at, ({job}), 1, 'cut off' from drafts where id = {draft}"
    ))
    .await;
    peek.execute(&format!("update drafts set status = 'sending' where id = {draft}")).await;
}

/// Runs a command against the daemon.
fn command(daemon: &Daemon, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_uppercase().starts_with("POSTROOM__") {
            command.env_remove(name);
        }
    }
    let files = ["--config", "harness.toml", "--config", "test.toml"];
    command.env("NO_PROXY", "127.0.0.1").current_dir(daemon.directory());
    command.args(args).args(files).output().unwrap()
}

/// Runs a command that must succeed, and returns what it prints.
#[track_caller]
fn printed(daemon: &Daemon, args: &[&str]) -> String {
    let output = command(daemon, args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn json_of(daemon: &Daemon, args: &[&str]) -> Value {
    let text = printed(daemon, &[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|it| panic!("{args:?}: {it}\n{text}"))
}

on_both_daemons! {
    async fn decisions_about_a_draft_are_answered_and_noted(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "rows are put by hand");
        let [_, message, draft] = drafted(&daemon, 1).await;
        let path = format!("/drafts/{draft}");
        let edit = async |body| call(&daemon, Method::PATCH, &path, Some(body)).await;

        // Its text.
        for wrong in [json!({}), json!({"text": "x"}), json!({"subject": "Hi"}), json!({"body": "  "}), json!({"body": 7})] {
            edit(wrong).await.is_problem(400, "bad-request");
        }
        call(&daemon, Method::PATCH, "/drafts/1", Some(json!({"body": LONG}))).await.is_problem(404, "not-found");
        let edited = edit(json!({"body": LONG})).await;
        assert_eq!((edited.status, edited.field("body"), &edited.body["edited"]), (200, LONG, &true.into()), "{edited:?}");

        // Whether it is sent. Nothing can be sent for a client without settings.
        let [_, _, mute] = drafted_of(&daemon, "mute", 2).await;
        let refused = post(&daemon, &format!("/drafts/{mute}/approve"), None).await;
        refused.is_problem(409, "conflict");
        assert!(refused.text.contains("`channels.sms.send`"), "{refused:?}");
        for action in ["approve", "undo", "reject", "regenerate"] {
            post(&daemon, &format!("/drafts/1/{action}"), None).await.is_problem(404, "not-found");
        }
        for _ in 0..2 {
            let approved = post(&daemon, &format!("{path}/approve"), None).await;
            assert_eq!((approved.status, approved.field("status"), approved.field("decided_by")), (200, "approved", "dana"), "{approved:?}");
            assert!(approved.body["send_at"].is_string(), "{approved:?}");
        }
        edit(json!({"body": "no"})).await.is_problem(409, "conflict");
        post(&daemon, &format!("{path}/regenerate"), None).await.is_problem(409, "conflict");
        let undone = post(&daemon, &format!("{path}/undo"), None).await;
        assert_eq!((undone.status, undone.field("status")), (200, "pending"), "{undone:?}");
        let note = json!({"note": "x".repeat(501)});
        post(&daemon, &format!("{path}/reject"), Some(note)).await.is_problem(400, "bad-request");
        let rejected = post(&daemon, &format!("{path}/reject"), Some(json!({"note": "too pushy"}))).await;
        assert_eq!((rejected.status, rejected.field("status"), rejected.field("note")), (200, "rejected", "too pushy"), "{rejected:?}");
        for action in ["approve", "undo", "reject"] {
            post(&daemon, &format!("{path}/{action}"), None).await.is_problem(409, "conflict");
        }
        let again = post(&daemon, &format!("{path}/regenerate"), None).await;
        assert_eq!((again.status, again.field("status")), (200, "pending"), "{again:?}");
        assert_ne!(again.field("body"), LONG);

        // What is known of its send.
        post(&daemon, &format!("{path}/approve"), None).await;
        put_uncertain(&Peek::of(&daemon).await, 81, &draft).await;
        post(&daemon, &format!("{path}/undo"), None).await.is_problem(409, "conflict");
        let listed = call(&daemon, Method::GET, "/deliveries?status=uncertain", None).await;
        assert_eq!(listed.items()[0]["id"], "81", "{listed:?}");
        call(&daemon, Method::GET, "/deliveries/80", None).await.is_problem(404, "not-found");
        let jobs = call(&daemon, Method::GET, "/jobs?kind=DELIVER_REPLY", None).await;
        assert_eq!((&jobs.items()[0]["draft_id"], &jobs.items()[0]["delivery_id"]), (&draft.as_str().into(), &"81".into()), "{jobs:?}");
        for wrong in [json!({}), json!({"sent": "yes"}), json!({"sent": true, "when": 1})] {
            post(&daemon, "/deliveries/81/resolve", Some(wrong)).await.is_problem(400, "bad-request");
        }
        post(&daemon, "/deliveries/80/resolve", Some(json!({"sent": true}))).await.is_problem(404, "not-found");
        let resolved = post(&daemon, "/deliveries/81/resolve", Some(json!({"sent": true, "note": "seen there"}))).await;
        assert_eq!((resolved.status, resolved.field("status")), (200, "sent"), "{resolved:?}");
        post(&daemon, "/deliveries/81/resolve", Some(json!({"sent": false}))).await.is_problem(409, "conflict");
        let shown = call(&daemon, Method::GET, "/deliveries/81", None).await;
        let sent = call(&daemon, Method::GET, &format!("/messages/{}", shown.field("message_id")), None).await;
        assert_eq!((sent.field("direction"), sent.field("body")), ("outbound", again.field("body")), "{sent:?}");

        // The tag of the message.
        let retag = async |body| call(&daemon, Method::PATCH, &format!("/messages/{message}"), Some(body)).await;
        for wrong in [
            json!({}),
            json!({"sentiment": "Intrested"}),
            json!({"sentiment": "Blacklist"}),
            json!({"sentiment": "Blacklist", "opt_out": "yes"}),
            json!({"sentiment": "Interested", "opt_out": true}),
        ] {
            retag(wrong).await.is_problem(400, "bad-request");
        }
        call(&daemon, Method::PATCH, "/messages/1", Some(json!({"sentiment": "Neutral"}))).await.is_problem(404, "not-found");
        let tagged = retag(json!({"sentiment": "Blacklist", "opt_out": true, "note": "on the phone"})).await;
        assert_eq!((tagged.status, tagged.field("sentiment")), (200, "Blacklist"), "{tagged:?}");
        assert_eq!(tagged.field("judged_by"), "person", "{tagged:?}");
        let lead = call(&daemon, Method::GET, &format!("/leads/{}", tagged.field("lead_id")), None).await;
        assert_eq!((lead.field("status"), &lead.body["opted_out"]["reason"]), ("blacklisted", &"on the phone".into()), "{lead:?}");

        // All of it is kept: once for each change.
        let examples = call(&daemon, Method::GET, "/examples", None).await;
        let kinds: Vec<&str> = examples.items().iter().filter_map(|it| it["kind"].as_str()).collect();
        assert_eq!(kinds, ["tag", "rejected", "edited"], "{examples:?}");
        let audit = call(&daemon, Method::GET, "/audit?limit=50", None).await;
        let rows: Vec<&Value> = audit.items().iter().filter(|it| it["actor"] == "dana").collect();
        let mut actions: Vec<&str> = rows.iter().filter_map(|it| it["action"].as_str()).collect();
        actions.reverse();
        assert_eq!(actions, [
            "draft.edit", "draft.approve", "draft.undo", "draft.reject", "draft.regenerate", "draft.approve", "delivery.resolve", "message.retag",
        ], "{audit:?}");
        assert!(rows.iter().all(|it| it["role"] == "operator"), "{audit:?}");
    }

    #[ignore = "long: `just long`"]
    async fn commands_decide_as_requests_do(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "rows are put by hand");
        let ids = drafted(&daemon, 1).await;
        let [lead, message, draft] = ids.each_ref().map(String::as_str);
        let status = |args: &[&str]| json_of(&daemon, args)["status"].as_str().unwrap_or_default().to_owned();
        let shown = || status(&["drafts", "show", draft]);

        // What changes something prints what it has changed.
        let edited = json_of(&daemon, &["drafts", "edit", draft, "--body", LONG]);
        assert_eq!(edited["items"][0]["body"], LONG, "{edited}");
        assert_eq!(json_of(&daemon, &["drafts", "show", draft])["body"], LONG);
        printed(&daemon, &["drafts", "approve", draft]);
        for (args, expected) in [
            (&["drafts", "approve", draft][..], "approved"),
            (&["drafts", "undo", draft], "pending"),
            (&["drafts", "snooze", draft, "--until", "4h"], "pending"),
            (&["drafts", "reject", draft, "--note", "too pushy"], "rejected"),
            (&["drafts", "regenerate", draft], "pending"),
            (&["drafts", "approve", draft], "approved"),
        ] {
            let changed = json_of(&daemon, args);
            assert_eq!((&changed["items"][0]["id"], &changed["items"][0]["status"]), (&draft.into(), &expected.into()), "{args:?}");
            assert_eq!(shown(), expected, "{args:?}");
        }
        // What the API refuses ends the command without success.
        assert_eq!(command(&daemon, &["drafts", "edit", draft, "--body", "no"]).status.code(), Some(1));

        let peek = Peek::of(&daemon).await;
        put_uncertain(&peek, 81, draft).await;
        assert_eq!(json_of(&daemon, &["deliveries", "list"])["items"][0]["id"], "81");
        assert_eq!(status(&["deliveries", "show", "81"]), "uncertain");
        let resolved = json_of(&daemon, &["deliveries", "resolve", "81", "--not-sent", "--note", "not there"]);
        assert_eq!(resolved["items"][0]["status"], "failed", "{resolved}");
        assert_eq!((status(&["deliveries", "show", "81"]), shown()), ("failed".to_owned(), "approved".to_owned()));

        // The command says whether the tag is an opt-out: without its flag it is none.
        printed(&daemon, &["messages", "retag", message, "Blacklist"]);
        assert_eq!(json_of(&daemon, &["leads", "show", lead])["opted_out"], Value::Null);
        json_of(&daemon, &["messages", "retag", message, "Blacklist", "--opt-out", "--note", "on the phone"]);
        assert_eq!(json_of(&daemon, &["leads", "show", lead])["opted_out"]["reason"], "on the phone");
        let lines = printed(&daemon, &["examples", "export"]);
        let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!((&line["tag"], &line["opt_out"]), (&"Blacklist".into(), &true.into()), "{lines}");

        printed(&daemon, &["leads", "lift-opt-out", lead, "--note", "asked us to write again"]);
        // One who opted out twice is lifted when both are named, or all.
        for note in ["by letter", "by fax"] {
            printed(&daemon, &["leads", "opt-out", lead, "--note", note]);
        }
        json_of(&daemon, &["leads", "lift-opt-out", lead, "--all", "--note", "a mistake"]);
        json_of(&daemon, &["leads", "opt-out", lead, "--note", "by phone"]);
        assert_eq!(json_of(&daemon, &["leads", "show", lead])["opted_out"]["reason"], "by phone");
        assert_eq!(json_of(&daemon, &["calls", "list"])["items"], json!([]));
        let export = json_of(&daemon, &["leads", "export", lead]);
        assert_eq!((&export["calls"], &export["deliveries"][0]["id"]), (&json!([]), &"81".into()));
        json_of(&daemon, &["leads", "erase", lead, "--note", "request 12", "--yes"]);
        assert_eq!(command(&daemon, &["leads", "show", lead]).status.code(), Some(1));
    }
}
