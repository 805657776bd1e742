//! `postroom analyst evaluate` measures the configured analyst as it does `local`.

use super::KEY;
use crate::support::model_server::{ModelServer, Reply};
use serde_json::{Value, json};
use std::{
    fs,
    process::{Command, Output},
};

const REPLIES: &str = r#"{"text": "STOP", "tag": "Blacklist", "lang": "en", "channel": "sms", "opt_out": true}
{"text": "Ciekawe, prosze dalej", "tag": "Interested", "lang": "pl", "channel": "sms", "opt_out": false}
{"text": "Hm, nie wiem", "tag": "Neutral", "lang": "pl", "channel": "email", "opt_out": false}
"#;

fn evaluate(server: &ModelServer) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("replies.jsonl"), REPLIES).unwrap();
    Command::new(env!("CARGO_BIN_EXE_postroom"))
        .current_dir(directory.path())
        .args(["analyst", "evaluate", "replies.jsonl", "--configured", "--json"])
        .env("POSTROOM__ANALYST__PROVIDER", "openai")
        .env("POSTROOM__ANALYST__BASE_URL", server.url("one"))
        .env("POSTROOM__ANALYST__API_KEY", KEY)
        .output()
        .unwrap()
}

#[test]
fn any_analyst_is_measured() {
    let answer = r#"{"opts_out":false,"tag":"Interested","tag_confidence":0.9}"#;
    let server = ModelServer::start(move |_| Reply::Text(answer.to_owned()));
    let output = evaluate(&server);
    assert!(output.status.success(), "{output:?}");
    let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(measured["all"], json!({"replies": 3, "right": 2}));
    assert_eq!(measured["opt_outs"], json!({"all": 1, "found": 1, "wrong": 0}), "the rules win");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_model_without_an_answer_is_no_measure() {
    let server = ModelServer::start(|_| Reply::Status(401, "", "{}"));
    let output = evaluate(&server);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("status 401; see `analyst.api_key`"), "{said}");
    assert!(!said.contains(KEY), "{said}");
}
