//! Completions as a shell asks for them.

use super::{ends_with, postroom};
use crate::{
    on_both_daemons,
    support::{
        eventually,
        process::Scratch,
        web::{ask, sms},
    },
};
use std::{fs, net::TcpListener, path::Path, process::Command, time::Duration};

/// What a shell offers for the last word of a line.
fn completed(directory: &Path, line: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_postroom"))
        .arg("--")
        .args(line)
        .env("POSTROOM_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (line.len() - 1).to_string())
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(directory)
        .output()
        .expect("the program starts");
    let (out, err) = ends_with(0, &output);
    assert_eq!(err, "");
    out.lines().map(str::to_owned).collect()
}

on_both_daemons! {
    async fn kinds_and_ids_are_those_of_the_daemon(place: Place) {
        let daemon = place.start("").await;
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        let complete = |line: &[&str]| {
            let config = ["postroom", "--config", "harness.toml", "--config", "test.toml"];
            completed(daemon.directory(), &[&config, line].concat())
        };
        // A daemon that takes longer than the limit at one tab answers at the next.
        let offers = async |line: &[&str], wanted: &str| {
            let is_there = async || complete(line).iter().any(|it| it == wanted).then_some(());
            eventually(Duration::from_secs(30), is_there).await;
        };
        offers(&["jobs", "list", "--kind", "SELF"], "SELF_CHECK").await;
        offers(&["leads", "show", ""], answer.field("lead_id")).await;
        offers(&["jobs", "retry", ""], &answer.job_ids()[0]).await;
        offers(&["pools", "pause", "SMS"], "SMS_INBOUND_POST_PROCESS").await;
        offers(&["jobs", "explain", ""], &answer.job_ids()[0]).await;
        offers(&["jobs", "list", "--lead", ""], answer.field("lead_id")).await;
        for (line, offered) in [
            (&["jobs", "list", "--status", "fa"][..], "failed"),
            (&["jobs", "list", "--columns", "locked"], "locked_by"),
            (&["jobs", "list", "--columns", "id,locked"], "id,locked_by"),
            (&["audit", "list", "--action", "pool.r"], "pool.reset"),
            (&["config", "explain", "server.bi"], "server.bind"),
            (&["send", "sms", "--event", "InboundM"], "InboundMessage"),
        ] {
            assert_eq!(complete(line), [offered], "{line:?}");
        }
    }
}

#[test]
fn a_daemon_that_does_not_answer_delays_no_tab() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("--url=http://{}", silent.local_addr().expect("an address"));
    let scratch = Scratch::new("cli");
    let token = scratch.path().join("token");
    fs::write(&token, "t").expect("the directory can be written");
    let token = format!("--token-file={}", token.display());
    let started = tokio::time::Instant::now();
    let line = ["postroom", "jobs", "list", &url, &token, "--kind", "SMS"];
    assert_eq!(completed(scratch.path(), &line), ["SMS_INBOUND_POST_PROCESS"]);
    // The limit is 300 ms; the rest is for a machine that is busy with other tests.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[test]
fn every_shell_has_a_script_that_asks_this_program() {
    let scratch = Scratch::new("cli");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (out, err) = ends_with(0, &postroom(scratch.path(), &["completions", shell]));
        assert_eq!(err, "");
        assert!(out.contains("POSTROOM_COMPLETE") && out.contains("postroom"), "{shell}: {out}");
    }
    ends_with(2, &postroom(scratch.path(), &["completions", "tcsh"]));
}

#[test]
fn every_command_has_a_manual_page() {
    let scratch = Scratch::new("cli");
    ends_with(0, &postroom(scratch.path(), &["man", "pages/man1"]));
    let pages = scratch.path().join("pages/man1");
    let page = |name: &str| fs::read_to_string(pages.join(name)).expect(name);
    assert!(page("postroom.1").contains("postroom\\-jobs(1)"), "{}", page("postroom.1"));
    assert!(page("postroom-jobs.1").contains("postroom\\-jobs\\-list(1)"));
    assert!(page("postroom-jobs-list.1").contains("\\-\\-columns"));
}
