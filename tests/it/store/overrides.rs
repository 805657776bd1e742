//! Overrides of pools: each change is whole, audited and noticed, and none undoes a newer one.

use crate::{on_both_databases, support::fixture::Fixture};
use postroom::{
    domain::{
        DropCause, DroppedKey, OverriddenKey, OverrideChange, OverrideKey, OverrideOrigin,
        PoolInFiles, PoolOverride, UserRole,
    },
    store::{AuditEntry, AuditFilter, AuditRow, Heartbeat, StoredOverrides, Via},
};

const KIND: &str = "SELF_CHECK";
const FILES: PoolInFiles = PoolInFiles { size: 8, paused: false };

fn by(actor: &str, action: &'static str) -> AuditEntry {
    AuditEntry {
        role: Some(UserRole::Operator),
        target: Some(KIND.to_owned()),
        request_id: Some("r-1".to_owned()),
        ..AuditEntry::new(actor, Via::Command, action)
    }
}

fn sized(size: usize) -> OverrideChange {
    OverrideChange { size: Some(size), by: "dana".to_owned(), ..OverrideChange::default() }
}

fn paused(paused: bool) -> OverrideChange {
    OverrideChange {
        paused: Some(paused),
        note: Some("a provider is down".to_owned()),
        expires_in_ms: Some(3_600_000),
        by: "kim".to_owned(),
        ..OverrideChange::default()
    }
}

async fn set(db: &Fixture, change: OverrideChange) -> StoredOverrides {
    let entry = by(&change.by, "pool.override");
    db.store.overrides().set(KIND, change, FILES, entry).await.unwrap()
}

/// The whole audit log, oldest first.
async fn log(db: &Fixture) -> Vec<AuditRow> {
    let mut rows = db.store.desk().audit(AuditFilter::default(), 100, None).await.unwrap().items;
    rows.reverse();
    rows
}

fn dropped(key: OverrideKey, value: &str) -> Vec<DroppedKey> {
    let (value, in_file) = (value.to_owned(), "12".to_owned());
    vec![DroppedKey { key, value, in_file, cause: DropCause::FileChanged }]
}

on_both_databases! {
    async fn a_change_keeps_the_other_key_and_is_in_the_audit_log(db: Fixture) {
        assert_eq!(db.store.overrides().read().await.unwrap().overrides, []);
        let first = set(&db, sized(16)).await;
        let second = set(&db, paused(true)).await;
        assert!(second.version > first.version);
        let read = db.store.overrides().read().await.unwrap();
        assert_eq!((&read.overrides, read.version), (&second.overrides, second.version));
        let found = read.of(KIND).unwrap();
        let at = found.latest().unwrap().at;
        let resized = OverrideOrigin {
            by: "dana".to_owned(),
            note: None,
            at: first.of(KIND).unwrap().latest().unwrap().at,
            expires_at: None,
            node: None,
        };
        let stopped = OverrideOrigin {
            by: "kim".to_owned(),
            note: Some("a provider is down".to_owned()),
            at,
            expires_at: Some(at.plus_millis(3_600_000)),
            node: None,
        };
        let expected = PoolOverride {
            kind: KIND.to_owned(),
            size: Some(OverriddenKey { value: 16, base: 8, set: resized }),
            paused: Some(OverriddenKey { value: true, base: false, set: stopped }),
        };
        assert_eq!(found, &expected);
        assert!(read.now.millis_since(at) < 60_000, "by the database's clock");
        // Resumed and reset.
        set(&db, paused(false)).await;
        let reset = db.store.overrides().reset(KIND, by("dana", "pool.reset")).await.unwrap();
        assert_eq!(reset.overrides, []);
        let values: Vec<_> = log(&db)
            .await
            .into_iter()
            .map(|row| {
                assert_eq!(row.role.as_deref(), Some("operator"));
                let bare = |text: Option<String>| text.map(|it| it.split(" until").next().unwrap().to_owned());
                (row.actor, row.action, bare(row.old_value), bare(row.new_value))
            })
            .collect();
        let row = |actor: &str, action: &str, old: Option<&str>, new: Option<&str>| {
            (actor.to_owned(), action.to_owned(), old.map(str::to_owned), new.map(str::to_owned))
        };
        let expected = [
            row("dana", "pool.override", None, Some("size = 16")),
            row("kim", "pool.override", Some("size = 16"), Some("size = 16, paused = true")),
            row("kim", "pool.override", Some("size = 16, paused = true"), Some("size = 16")),
            row("dana", "pool.reset", Some("size = 16"), None),
        ];
        assert_eq!(values, expected);
    }

    async fn what_changes_nothing_raises_no_version_and_is_not_in_the_log(db: Fixture) {
        let before = db.store.overrides().read().await.unwrap().version;
        let reset = db.store.overrides().reset(KIND, by("dana", "pool.reset")).await.unwrap();
        let same = set(&db, sized(8)).await;
        assert_eq!((reset.version, same.overrides), (before, vec![]));
        let after = db.store.overrides().read().await.unwrap().version;
        assert_eq!((after, log(&db).await), (before, vec![]));
    }

    async fn a_renewed_override_is_not_dropped_and_an_old_one_is_dropped_once(db: Fixture) {
        let old = set(&db, sized(16)).await.of(KIND).unwrap().clone();
        let renewed = set(&db, sized(20)).await.of(KIND).unwrap().clone();
        let entries = || vec![by("file", "pool.override_dropped")];
        let drop = |judged: &PoolOverride, value: &str| {
            let keys = dropped(OverrideKey::Size, value);
            let (judged, overrides) = (judged.clone(), db.store.overrides());
            async move { overrides.drop_keys(judged, keys, entries()).await.unwrap() }
        };
        let (found, has_dropped) = drop(&old, "16").await;
        assert_eq!((found.of(KIND), has_dropped), (Some(&renewed), false));
        let (found, has_dropped) = drop(&renewed, "20").await;
        assert_eq!((found.of(KIND), has_dropped), (None, true));
        let (_, has_dropped) = drop(&renewed, "20").await;
        assert!(!has_dropped, "another node was first");
        assert_eq!(log(&db).await.len(), 3);
        // The other key stays.
        set(&db, sized(16)).await;
        let both = set(&db, paused(true)).await.of(KIND).unwrap().clone();
        let (found, _) = drop(&both, "16").await;
        let left = found.of(KIND).unwrap();
        assert_eq!((&left.size, &left.paused), (&None, &both.paused));
    }

    async fn changes_at_the_same_time_come_one_after_the_other(db: Fixture) {
        let changes = (0..20).map(|number| {
            let change = if number % 2 == 0 { sized(10 + number) } else { paused(true) };
            set(&db, change)
        });
        let after = futures_util::future::join_all(changes).await;
        let mut versions: Vec<i64> = after.iter().map(|it| it.version).collect();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), 20);
        let found = db.store.overrides().read().await.unwrap();
        let found = found.of(KIND).unwrap();
        assert!(found.size.is_some() && found.pause().is_some(), "{found:?}");
        assert_eq!(log(&db).await.len(), 20);
    }

    async fn what_a_node_says_of_itself_is_read_with_it(db: Fixture) {
        let status = r#"{"version":"1"}"#;
        assert_eq!(db.store.nodes().list().await.unwrap()[0].status, None);
        db.store.nodes().say(status.to_owned()).await.unwrap();
        assert_eq!(db.store.desk().nodes().await.unwrap()[0].status.as_deref(), Some(status));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_nodes_notice_a_change_with_their_next_heartbeat() {
    let Some(db) = Fixture::postgres().await else { return };
    let other = db.another_node().await;
    let beats = Heartbeat::start(&other.nodes(), &db.config, false, || {}).unwrap();
    let mut version = beats.membership().overrides();
    for size in [16, 20] {
        let changed = set(&db, sized(size)).await.version;
        let told = version.wait_for(|version| *version == changed);
        let told = tokio::time::timeout(db.config.supervisor.heartbeat * 10, told).await;
        assert!(told.is_ok_and(|it| it.is_ok()), "size {size}");
    }
}
