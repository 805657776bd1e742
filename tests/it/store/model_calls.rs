//! The calls of models are listed by who asked, for what and how it ended. They are kept for a
//! month.

use crate::{on_both_databases, support::fixture::Fixture};
use postroom::{
    domain::{
        Id, ModelCall,
        model_call::{ModelCallFeature, ModelCallStatus},
    },
    store::{ModelCallFilter, Pruning, given_out_at},
};
use std::time::Duration;

fn call(number: usize) -> ModelCall {
    ModelCall {
        kind: ["SMS_INBOUND_POST_PROCESS", "LEAD_SCORING_POST_PROCESS"][number % 2].to_owned(),
        feature: ModelCallFeature::ALL[number % 4],
        prompt: "classify.v1",
        model: "gpt-5-mini".to_owned(),
        status: [ModelCallStatus::Ok, ModelCallStatus::Timeout, ModelCallStatus::RateLimited]
            [number % 3],
        error: (!number.is_multiple_of(3)).then(|| "status 429".to_owned()),
        tokens_in: Some(700),
        tokens_out: None,
        latency_ms: 900,
        retry: 1,
        client_id: ["a", "b"][number % 2].to_owned(),
        lead_id: (number != 0).then_some(Id::try_from(number % 5).unwrap()),
        job_id: Id::try_from(number % 10).unwrap(),
    }
}

/// All ids that match, through pages of 7.
async fn list(db: &Fixture, filter: ModelCallFilter) -> Vec<Id> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = db.store.desk().model_calls(filter.clone(), 7, cursor).await.unwrap();
        assert!(page.items.len() <= 7);
        ids.extend(page.items.iter().map(|it| it.id));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|it| (*it).to_owned()).collect()
}

on_both_databases! {
    async fn calls_are_found_by_each_filter_and_by_several(db: Fixture) {
        let calls: Vec<ModelCall> = (0..60).map(call).collect();
        db.store.model_calls().record(&calls).await.unwrap();
        let all = list(&db, ModelCallFilter::default()).await;
        assert_eq!(all.len(), 60);
        assert!(all.is_sorted_by(|one, next| one > next), "the newest first");
        let none = ModelCallFilter::default;
        let kind = "LEAD_SCORING_POST_PROCESS";
        for (filter, expected) in [
            (ModelCallFilter { client: texts(&["a"]), ..none() }, 30),
            (ModelCallFilter { client: texts(&["a", "b", "a"]), ..none() }, 60),
            (ModelCallFilter { lead: vec![0], ..none() }, 11),
            (ModelCallFilter { lead: vec![1, 2, 1], ..none() }, 24),
            (ModelCallFilter { job: vec![3], ..none() }, 6),
            (ModelCallFilter { kind: texts(&[kind]), ..none() }, 30),
            (ModelCallFilter { feature: texts(&["draft"]), ..none() }, 15),
            (ModelCallFilter { status: texts(&["timeout"]), ..none() }, 20),
            (ModelCallFilter { status: texts(&["timeout"]), client: texts(&["b"]), ..none() }, 10),
            (ModelCallFilter { job: vec![3], status: texts(&["ok"]), ..none() }, 2),
            (ModelCallFilter { status: texts(&["denied"]), ..none() }, 0),
            (ModelCallFilter { since: Some(given_out_at(all[59])), ..none() }, 60),
            (ModelCallFilter { until: Some(given_out_at(all[59])), ..none() }, 0),
        ] {
            assert_eq!(list(&db, filter.clone()).await.len(), expected, "{filter:?}");
        }
        let row = db.store.desk().model_calls(none(), 1, None).await.unwrap().items.remove(0);
        let newest = call(59);
        assert_eq!((row.kind, row.feature.as_str()), (newest.kind, newest.feature.as_str()));
        assert_eq!((row.status.as_str(), row.error), (newest.status.as_str(), newest.error));
        assert_eq!((row.tokens_in, row.tokens_out, row.latency_ms, row.retry), (Some(700), None, 900, 1));
        assert_eq!((row.lead_id, row.job_id, row.node), (newest.lead_id, newest.job_id, db.store.node()));
    }

    async fn calls_are_kept_for_a_month_and_go_in_portions(db: Fixture) {
        let day: i64 = 86_400_000;
        db.store.model_calls().record(&[call(1)]).await.unwrap();
        let newest = list(&db, ModelCallFilter::default()).await[0];
        let put = async |id: Id| {
            let now = if db.is_sqlite() { "0" } else { "now()" };
            db.execute(&format!(
                "insert into model_calls (id, kind, feature, prompt, model, status, latency_ms, retry, client_id, job_id, node, created_at) \
                 values ({id}, 'K', 'draft', 'draft.v1', 'm', 'ok', 1, 0, 'a', 1, 1, {now})"
            ))
            .await;
        };
        for days in [29, 31, 400] {
            put(newest - ((days * day) << 22)).await;
        }
        for number in 1..=600 {
            put(newest - ((40 * day) << 22) - number).await;
        }
        let (mut round, keep) = (Pruning::begin(), db.config.retention.clone());
        let pruned = db.store.chores().prune(&mut round, &keep, Duration::ZERO).await;
        assert_eq!((pruned.rows, pruned.failures.len()), (500, 0));
        while !round.is_over() {
            let pruned = db.store.chores().prune(&mut round, &keep, Duration::ZERO).await;
            assert!(pruned.failures.is_empty(), "{:?}", pruned.failures);
        }
        let left = list(&db, ModelCallFilter::default()).await;
        assert_eq!(left, [newest, newest - ((29 * day) << 22)]);
    }
}
