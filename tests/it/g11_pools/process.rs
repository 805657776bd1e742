//! A real process is resized under load, in each way that an operator has, and stops in order.

use crate::{
    harness::{CONFIG, Dice, Load, check, clients_config, seed},
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        web::{Answer, ask},
    },
};
use reqwest::Method;
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);
const KINDS: [&str; 2] = ["SMS_INBOUND_POST_PROCESS", "EMAIL_INBOUND_POST_PROCESS"];
const CHANGES: u64 = 40;
/// Webhooks that are answered between two changes.
const BETWEEN: u64 = 5;
const SIZE_MAX: u64 = 16;

/// The file with these sizes of the pools.
fn file(sizes: [u64; 2]) -> String {
    let [first, second] = sizes;
    format!(
        "{CONFIG}[pools.{}]\nsize = {first}\n[pools.{}]\nsize = {second}\n{}",
        KINDS[0],
        KINDS[1],
        clients_config()
    )
}

async fn patch(daemon: &Daemon, kind: &str, size: u64) -> Answer {
    let request = daemon.api(Method::PATCH, &format!("/pools/{kind}"));
    ask(request.json(&json!({"size": size}))).await
}

/// Waits until the pool of a kind has this size.
async fn has_size(daemon: &Daemon, kind: &str, size: u64) {
    eventually(PATIENCE, async || {
        let pools = ask(daemon.api(Method::GET, "/pools")).await;
        let pool = pools.items().iter().find(|pool| pool["kind"] == kind)?;
        (pool["size"] == size && pool["leaving"] == 0).then_some(())
    })
    .await;
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_process_that_is_resized_in_each_way_under_load_stops_in_order_and_loses_nothing(place: Place) {
        let mut dice = Dice::new(seed());
        let mut sizes = [4, 4];
        let mut daemon = place.start(&file(sizes)).await;
        let load = Arc::new(Load::new(&[daemon.port()], 25, 0));
        load.nodes[0].is_orderly.store(true, Ordering::SeqCst);
        let mut posting = JoinSet::new();
        for _ in 0..4 {
            let (load, seed) = (load.clone(), dice.below(u64::MAX));
            posting.spawn(async move { load.post(seed).await });
        }
        for step in 0..CHANGES {
            let kind = usize::from(dice.percent(50));
            // Never the size of before, so that it changes in any case.
            let size = 1 + (sizes[kind] + dice.below(SIZE_MAX - 1)) % SIZE_MAX;
            sizes[kind] = size;
            match step % 3 {
                0 => {
                    // A change of the file that is read later would end it.
                    let read = ask(daemon.api(Method::POST, "/config/reload")).await;
                    assert_eq!(read.status, 200, "{read:?}");
                    let answer = patch(&daemon, KINDS[kind], size).await;
                    assert_eq!((answer.status, &answer.body["size"]), (200, &size.into()), "{answer:?}");
                }
                // The daemon sees the file by itself.
                1 => daemon.configure(&file(sizes)),
                _ => {
                    daemon.configure(&file(sizes));
                    daemon.signal("HUP");
                }
            }
            let until = load.answered() + BETWEEN;
            eventually(PATIENCE, async || (load.answered() >= until).then_some(())).await;
        }
        let last = sizes[0] % SIZE_MAX + 1;
        assert_eq!(patch(&daemon, KINDS[0], last).await.status, 200);
        has_size(&daemon, KINDS[0], last).await;

        // It is told to stop in the middle of its work.
        load.nodes[0].is_up.store(false, Ordering::SeqCst);
        daemon.terminate();
        assert_eq!(daemon.wait(PATIENCE).await.code(), Some(0), "{}", daemon.log());
        daemon.start_again().await;
        load.nodes[0].is_up.store(true, Ordering::SeqCst);
        has_size(&daemon, KINDS[0], last).await;
        load.stop();
        while let Some(ended) = posting.join_next().await {
            ended.expect("nobody was told anything wrong");
        }
        let db = Peek::of(&daemon).await;
        eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
        daemon.terminate();
        assert_eq!(daemon.wait(PATIENCE).await.code(), Some(0), "{}", daemon.log());
        let (checked, wrong) = check(&db, &load.told()).await;
        assert_eq!(wrong, Vec::<String>::new(), "{checked:?}");
    }
}
