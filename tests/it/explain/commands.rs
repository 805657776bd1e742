//! The commands print what the API answers.

use crate::{
    on_both_daemons,
    support::{
        daemon::Daemon,
        leftovers::Leftover,
        web::{Answer, ask, sms},
    },
};
use reqwest::Method;
use serde_json::Value;
use std::process::{Command, Output};

/// Runs a command against this daemon.
fn postroom(daemon: &Daemon, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command
        .args(args)
        .args(["--url", &daemon.url(""), "--token", daemon.admin_token()])
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(daemon.directory());
    command.output().unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), err.as_ref()), (Some(0), ""));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn api(daemon: &Daemon, path: &str) -> Answer {
    ask(daemon.api(Method::GET, path)).await
}

on_both_daemons! {
    async fn what_the_api_explains_a_command_says_in_the_same_words(place: Place) {
        let mut options = place.options("");
        options.args = vec!["--role".to_owned(), "ingest".to_owned()];
        let daemon = Daemon::start(options).await;
        daemon.may_leave(Leftover::Unfinished, "no node works jobs");
        let mut posted = Vec::new();
        for text in ["Hello", "Hello again"] {
            posted.push(ask(daemon.webhook("sms", "demo").json(&sms(1, text))).await);
        }
        let (job, next) = (&posted[0].job_ids()[0], &posted[1].job_ids()[0]);
        let lead = posted[0].field("lead_id");

        let answer = api(&daemon, &format!("/jobs/{job}/explain")).await.body;
        assert_eq!(answer["reason"], "no_worker", "{answer}");
        let sentence = format!("Job {job} waits, because no node that works jobs is up. 1 node is up, with the role ingest.");
        assert_eq!(answer["sentence"], sentence);
        let text = printed(&postroom(&daemon, &["jobs", "explain", job]));
        assert!(text.starts_with(&format!("{sentence}\n\nfact")), "{text}");
        assert!(text.ends_with("What to do: Start one: `postroom serve`, or `postroom serve --role worker`.\n"), "{text}");
        for fact in answer["facts"].as_array().unwrap() {
            assert!(text.contains(fact["name"].as_str().unwrap()), "{fact} is not in: {text}");
        }
        let json: Value = serde_json::from_str(&printed(&postroom(&daemon, &["jobs", "explain", job, "--json"]))).unwrap();
        assert_eq!(json, answer);

        // Several, of which one does not exist.
        let output = postroom(&daemon, &["jobs", "explain", job, "12345", next]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{out}{err}");
        assert!(out.contains(&format!("Job {job} waits")) && out.contains(&format!("\nJob {next} waits")), "{out}");
        assert!(err.contains("there is no job 12345"), "{err}");

        let answer = api(&daemon, &format!("/leads/{lead}/explain")).await.body;
        let text = printed(&postroom(&daemon, &["leads", "explain", lead]));
        assert!(text.starts_with(&format!("{}\n\nfact", answer["sentence"].as_str().unwrap())), "{text}");
        for message in answer["messages"].as_array().unwrap() {
            let id = message["message_id"].as_str().unwrap();
            assert!(text.contains(&format!("\n\nmessage {id}\nstep      state\nreceived  done   Written at ")), "{text}");
        }
        // An id of another list is recognised.
        let output = postroom(&daemon, &["jobs", "explain", lead]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(err.contains(&format!("{lead} is a lead")), "{err}");
    }
}
