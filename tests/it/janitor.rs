//! The janitor's chores are independent: one that fails does not make another forget its state.

use crate::support::{
    eventually,
    fixture::{Fixture, config},
};
use actix::Actor;
use postroom::{
    announcer::Announcer,
    config::Live,
    domain::job::SELF_CHECK,
    recorder::InFlight,
    store::{Heartbeat, UnstartedRuns},
    supervisor::{Janitor, JanitorSetup},
    telemetry::{
        board::Board,
        metrics::{MetricLabels, Metrics},
    },
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// One chore fails in every round: the canary that is out is remembered, and no round sends
/// another.
#[test]
fn a_chore_that_fails_again_and_again_sends_no_canaries() {
    actix_rt::System::new().block_on(async {
        let db = Fixture::sqlite().await;
        db.execute("alter table message_keys rename to message_keys_away").await;
        let settings = config(&[
            ("POSTROOM__DATABASE__URL", db.config.database.url.expose()),
            ("POSTROOM__SUPERVISOR__HEARTBEAT", "100ms"),
        ]);
        let beats = Heartbeat::start(&db.store.nodes(), &settings, true, || {}).unwrap();
        let (board, _downs) = Board::new();
        let janitor = Janitor::new(JanitorSetup {
            membership: beats.membership(),
            node: db.store.node(),
            queue: db.store.queue(),
            in_flight: InFlight::default(),
            unstarted: UnstartedRuns::default(),
            enqueuer: db.store.enqueuer(),
            ledger: db.store.ledger(),
            announcer: Announcer::default(),
            chores: db.store.chores(),
            config: Live::new(settings),
            kinds: Arc::new([SELF_CHECK]),
            board: board.clone(),
            metrics: Metrics::new(MetricLabels::default()).unwrap(),
        })
        .start();
        let mut looks = HashSet::new();
        eventually(Duration::from_secs(20), async || {
            looks.extend(board.actors().iter().map(|it| it.since));
            (looks.len() >= 30).then_some(())
        })
        .await;
        assert!(janitor.connected(), "it lives");
        assert_eq!(db.number("select count(*) from jobs").await, 1, "one canary is out");
    });
}
