//! An override that is set on one node is in force on all within a heartbeat, even if their files
//! differ.

use crate::{
    overrides::{SMS, change, log_of, pool, reset, until},
    support::{
        both::Place,
        eventually,
        web::{ask, mail, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);
const CONFIG: &str = "[supervisor]\ntick = \"200ms\"\nheartbeat = \"200ms\"\nlease = \"5s\"\n";
/// Many heartbeats on a machine that is busy with other tests; a tenth of what an interval of its
/// own would take.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn a_pause_on_one_node_stops_the_claims_of_the_other() {
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (place.start(CONFIG).await, place.start(CONFIG).await);
    let asked = Instant::now();
    change(&one, SMS, &json!({"paused": true, "note": "down"})).await;
    let paused = until(&other, SMS, |pool| pool["state"] == "paused").await;
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    assert_eq!(
        (&paused["override"]["by"], &paused["override"]["note"]),
        (&json!("dana"), &json!("down"))
    );
    // Each node has ended a job of another kind, and none has taken this one.
    let waits = ask(other.webhook("sms", "demo").json(&sms(1, "Hello"))).await.job_ids()[0].clone();
    for lead in 100..140 {
        let ends = ask(other.webhook("instantly", "demo").json(&mail(lead))).await;
        assert_eq!(ends.status, 200, "{ends:?}");
    }
    eventually(PATIENCE, async || {
        let pending = ask(one.api(Method::GET, "/jobs?status=pending,running")).await;
        (pending.items().len() == 1).then_some(())
    })
    .await;
    let job = ask(one.api(Method::GET, &format!("/jobs/{waits}"))).await;
    assert_eq!((job.field("status"), &job.body["attempts"]), ("pending", &json!(0)), "{job:?}");
    // Both say so.
    eventually(PATIENCE, async || {
        let nodes = ask(one.api(Method::GET, "/nodes")).await;
        let told = nodes.items().iter().filter(|node| {
            let pools = node["status"]["pools"].as_array();
            pools.is_some_and(|it| it.iter().any(|pool| pool["override"] == "paused = true"))
        });
        (told.count() == 2).then_some(())
    })
    .await;
    // A change for one node is asked of that node.
    let id = ask(other.api(Method::GET, "/overview")).await.field("node").to_owned();
    let refused = change(&one, &format!("{SMS}?node={id}"), &json!({"paused": false})).await;
    refused.is_problem(409, "conflict");
    assert!(refused.field("detail").contains(&id), "{refused:?}");
    let here = change(&other, &format!("{SMS}?node={id}"), &json!({"size": 2})).await;
    assert_eq!((&here.body["size"], &here.body["state"]), (&json!(2), &json!("paused")));
    assert_eq!(pool(&one, SMS).await["size"], 8);
    // What the file says is another value than that for all nodes.
    let tried = change(&other, &format!("{SMS}?node={id}"), &json!({"paused": false})).await;
    assert_eq!((&tried.body["size"], &tried.body["state"]), (&json!(2), &json!("running")));
    assert_eq!(pool(&one, SMS).await["state"], "paused");
    // Ended on the other, with what was for that node only.
    let ended = reset(&other, &format!("{SMS}/override")).await;
    assert_eq!((&ended.body["size"], &ended.body["override"]), (&json!(8), &Value::Null));
    until(&one, SMS, |pool| pool["state"] == "running" && pool["override"].is_null()).await;
    eventually(PATIENCE, async || {
        let job = ask(one.api(Method::GET, &format!("/jobs/{waits}"))).await;
        (job.field("status") == "succeeded").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_other_files_take_an_override_and_are_shown() {
    let Some(place) = Place::postgres() else { return };
    let one = place.start(CONFIG).await;
    let with = |size: u32| format!("{CONFIG}[pools.{SMS}]\nsize = {size}\n");
    let mut other = place.start(&with(4)).await;
    eventually(PATIENCE, async || {
        let nodes = ask(one.api(Method::GET, "/nodes")).await;
        (nodes.body["config_differs"] == true).then_some(())
    })
    .await;
    change(&one, SMS, &json!({"size": 16})).await;
    let taken = until(&other, SMS, |pool| pool["size"] == 16).await;
    assert_eq!(
        (&taken["configured_size"], &taken["override"]["base_size"]),
        (&json!(4), &json!(8))
    );
    // Its file said so before: that it starts again is no change of the file.
    other.terminate();
    other.wait(PATIENCE).await;
    other.start_again().await;
    assert_eq!(pool(&other, SMS).await["size"], 16);
    // An edit of another key changes nothing; one of this key ends it for all, once.
    other.configure(&format!("{}timeout = \"50s\"\n", with(4)));
    until(&other, SMS, |pool| pool["timeout_ms"] == 50_000 && pool["size"] == 16).await;
    other.configure(&with(5));
    until(&other, SMS, |pool| pool["size"] == 5 && pool["override"] == Value::Null).await;
    until(&one, SMS, |pool| pool["size"] == 8 && pool["override"] == Value::Null).await;
    let rows = log_of(&one, SMS).await;
    let actions: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(actions, ["pool.override", "pool.override_dropped"]);
}
