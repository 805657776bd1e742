//! Secrets stay where they were put: no log, list of processes, metric or answer has one.

use super::terminal::{command, printed};
use crate::{
    on_both_daemons,
    support::{
        daemon::Daemon,
        process::Scratch,
        web::{ask, sms},
    },
};
use reqwest::RequestBuilder;
use std::{fs, io::Write as _, os::unix::fs::PermissionsExt, process::Stdio};

const TOKEN: &str = "planted-5ecret-of-the-admin-api";
const SECRET: &str = "planted-5ecret-of-the-channel";
const OLD_SECRET: &str = "planted-5ecret-of-last-year";
const API_KEY: &str = "planted-5ecret-of-the-analyst";
const WRONG: &str = "planted-5ecret-of-a-guess";
/// The part that all secrets have, and its bytes as they are in signing keys.
const PLANTED: [&str; 3] = ["planted-5ecret", "cGxhbnRlZC01ZWNyZXQ", "706c616e7465642d35656372"];

fn config() -> String {
    format!(
        "telemetry.log = \"trace,sqlx=trace,sea_orm=trace,actix_server=trace,actix_http=trace\"\n\
         [admin]\ntoken = \"{TOKEN}\"\n\
         [[clients]]\nid = \"a\"\n\
         [clients.channels.sms]\nsecret = [\"{SECRET}\", \"{OLD_SECRET}\"]\n\
         [clients.channels.instantly]\n\
         signature = {{ scheme = \"standard_webhooks\", secrets = [\"whsec_cGxhbnRlZC01ZWNyZXQtb2YtYS1zaWduYXR1cmU=\"] }}\n\
         [clients.channels.smartlead]\nsecret = \"{SECRET}\"\n"
    )
}

#[track_caller]
fn has_none(what: &str, text: &str) {
    for planted in PLANTED {
        let at = text.find(planted);
        let context = at.map(|at| text[..at].lines().last().unwrap_or_default());
        assert!(at.is_none(), "{what} has `{planted}` after: {context:?}");
    }
}

/// Every place where a secret may stand.
fn with(request: RequestBuilder, place: &str, secret: &str) -> RequestBuilder {
    match place {
        "bearer" => request.bearer_auth(secret),
        "query" => request.query(&[("secret", secret)]),
        header => request.header(header, secret),
    }
}

fn arguments_of(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Posts with right and wrong secrets in all places, and in bodies.
async fn post_with_all(daemon: &Daemon) {
    let (mut lead, mut taken) = (0, 0);
    for place in ["bearer", "x-webhook-secret", "query"] {
        for secret in [SECRET, OLD_SECRET, WRONG] {
            lead += 1;
            let post = daemon.webhook("sms", "a").json(&sms(lead, "Hello"));
            let answer = ask(with(post, place, secret)).await;
            has_none("an answer", &answer.text);
            taken += i32::from(answer.outcome() == "accepted");
            for (channel, client) in [("instantly", "a"), ("sms", "nobody"), ("fax", "a")] {
                let post = daemon.webhook(channel, client).json(&sms(lead, "Hello"));
                has_none("an answer", &ask(with(post, place, secret)).await.text);
            }
        }
    }
    assert_eq!(taken, 6);
    let mut body = sms(50, "Hello");
    body["secret_key"] = SECRET.into();
    body["nested"] =
        serde_json::json!({"again": [SECRET, format!("https://x.example/?secret={SECRET}")]});
    for (channel, text) in
        [("smartlead", body.to_string()), ("sms", body.to_string()), ("sms", format!("{{{SECRET}"))]
    {
        let post = daemon.webhook(channel, "a").header("x-webhook-secret", SECRET).body(text);
        let answer = ask(post.header("content-type", "application/json")).await;
        has_none("an answer", &answer.text);
    }
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_secret_is_in_no_log_list_of_processes_metric_or_answer(place: Place) {
        let mut options = place.options(&config());
        options.env = vec![("POSTROOM__ANALYST__API_KEY".to_owned(), API_KEY.to_owned())];
        let daemon = Daemon::start(options).await;
        post_with_all(&daemon).await;
        let api = |path: &str| daemon.http.get(daemon.url(&format!("/api/v1{path}")));
        for wrong in [WRONG, ""] {
            let refused = ask(api("/jobs").bearer_auth(wrong)).await;
            assert_eq!(refused.status, 401);
            has_none("a refusal", &refused.text);
        }
        for list in ["/overview", "/pools", "/actors", "/jobs", "/leads", "/messages", "/drafts", "/quarantine"] {
            let answer = ask(api(list).bearer_auth(TOKEN)).await;
            assert_eq!(answer.status, 200, "{list}");
            has_none(list, &answer.text);
            if ["/jobs", "/leads", "/messages", "/drafts", "/quarantine"].contains(&list) {
                for item in answer.items() {
                    let path = format!("{list}/{}", item["id"].as_str().unwrap());
                    has_none(&path, &ask(api(&path).bearer_auth(TOKEN)).await.text);
                }
            }
        }
        for path in ["/metrics", "/healthz", "/readyz"] {
            has_none(path, &ask(daemon.get(path)).await.text);
        }
        commands(&daemon);
        has_none("the daemon's arguments", &arguments_of(daemon.pid()));
        let log = daemon.log();
        assert!(log.contains("TRACE"), "it is told all there is");
        has_none("the log", &log);
    }
}

/// The commands take the token in ways that nobody sees, and print none.
fn commands(daemon: &Daemon) {
    let directory = daemon.directory();
    let configs = ["--config", "harness.toml", "--config", "test.toml"];
    for args in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "check"],
        &["send", "sms", "--client", "a", "--json"],
        &["jobs", "list"],
        &["quarantine", "list", "--json"],
    ] {
        let output = command(directory, &[args, &configs].concat())
            .env("POSTROOM__ANALYST__API_KEY", API_KEY)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        has_none(&args.join(" "), &printed(&output));
    }
    let url = daemon.url("");
    let list = ["pools", "list", "--url", &url];
    let file = directory.join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for (more, variable) in [
        (&["--token-file", "token"][..], None),
        (&[], Some(TOKEN)),
        // What is said counts more than what stands around.
        (&["--token-file", "token"], Some(WRONG)),
    ] {
        let mut command = command(directory, &[&list, more].concat());
        command.envs(variable.map(|it| ("POSTROOM_TOKEN", it)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{more:?} {variable:?}: {output:?}");
    }
    let mut command = command(directory, &[&list, &["--token", "-"][..]].concat());
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // It waits for its token.
    has_none("a command's arguments", &arguments_of(running.id()));
    writeln!(running.stdin.take().unwrap(), "{TOKEN}").unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success() && printed(&output).contains("SELF_CHECK"), "{output:?}");
}

#[test]
fn a_token_that_cannot_be_used_is_told_by_its_source_and_not_shown() {
    let scratch = Scratch::new("token");
    let list = ["jobs", "list", "--url", "http://127.0.0.1:1"];
    fs::write(scratch.path().join("lines"), format!("{TOKEN}\n{TOKEN}\n")).unwrap();
    fs::write(scratch.path().join("large"), TOKEN.repeat(1_000)).unwrap();
    fs::write(scratch.path().join("empty"), "\n").unwrap();
    for (more, variable, code, part) in [
        (&["--token-file", "lines"][..], None, 2, "lines"),
        (&["--token-file", "large"], None, 1, "large"),
        (&["--token-file", "empty"], None, 2, "empty"),
        (&["--token-file", "not-there"], None, 1, "not-there"),
        (&["--token-file", "/dev/zero"], None, 1, "/dev/zero"),
        (&["--token", "-"], None, 2, "standard input"),
        (&[], Some(""), 2, "POSTROOM_TOKEN"),
        (&["--token-file", "lines", "--token", TOKEN], None, 2, "--token"),
    ] {
        let mut command = command(scratch.path(), &[&list, more].concat());
        command.envs(variable.map(|it| ("POSTROOM_TOKEN", it))).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {text}");
        assert!(text.contains(part), "{more:?}: {text}");
        has_none("an error", &text);
    }
}

#[test]
fn the_help_says_who_sees_a_token_that_is_written_out() {
    let scratch = Scratch::new("help");
    let output = command(scratch.path(), &["jobs", "list", "--help"]).output().unwrap();
    let help = printed(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["every user of this machine", "POSTROOM_TOKEN", "--token-file", "standard input"] {
        assert!(help.contains(part), "`{part}` is not in: {help}");
    }
}

#[test]
fn a_token_that_leaves_the_machine_in_clear_text_is_warned_of() {
    let scratch = Scratch::new("clear");
    // A name that is nobody's: nothing is sent.
    for (url, is_warned) in [
        ("http://postroom.invalid", true),
        ("https://postroom.invalid", false),
        ("http://127.0.0.1:1", false),
    ] {
        let output = command(scratch.path(), &["jobs", "list", "--url", url])
            .env("POSTROOM_TOKEN", TOKEN)
            .output()
            .unwrap();
        let text = printed(&output);
        assert_eq!(text.contains("clear text"), is_warned, "{url}: {text}");
        has_none("a warning", &text);
    }
}
