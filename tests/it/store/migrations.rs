//! The schema: it goes up, down and up again, two daemons may start on one empty database, and the
//! entities know its columns.

use super::{
    inbox::judges,
    life::claim,
    tools::{drain, enqueue, instant, phones, put, settle_all},
};
use crate::{
    on_both_databases,
    support::{
        fixture::{config, event, try_to_open_store},
        pgbouncer::{Parameters, PgBouncer},
        postgres,
        process::Scratch,
    },
};
use postroom::{
    config::Config,
    domain::{ChannelName, Effect, Identity, IdentityKind, Sentiment, Signal, job::SELF_CHECK},
    store::{self, Content, Store, StoreError, StoreRuntime, Transition},
};
use sea_orm::EntityTrait;
use std::{sync::Arc, time::Duration};

/// What is in the schema, a line a thing.
async fn schema(db: &crate::support::fixture::Fixture) -> Vec<String> {
    if db.is_sqlite() {
        return db.texts("select type || ' ' || name || ' ' || coalesce(sql, '') from sqlite_master order by 1").await;
    }
    let mut all = db
        .texts(
            "select table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '') \
             from information_schema.columns where table_schema = 'public' order by 1",
        )
        .await;
    all.extend(
        db.texts("select indexdef::text from pg_indexes where schemaname = 'public' order by 1")
            .await,
    );
    all.extend(
        db.texts(
            "select relname::text || ' ' || coalesce(array_to_string(reloptions, ' '), '') from pg_class \
             where relnamespace = 'public'::regnamespace order by 1",
        )
        .await,
    );
    all
}

/// Runs on the store's own runtime, as a daemon does.
async fn on<T: Send + 'static>(
    runtime: &StoreRuntime,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> T {
    runtime.handle().spawn(work).await.unwrap().unwrap()
}

async fn pending(runtime: &StoreRuntime, config: &Config) -> (usize, usize) {
    let database = config.database.clone();
    let status = on(runtime, async move { store::migrate_status(&database).await }).await;
    (status.steps.len(), status.pending())
}

/// How many daemons migrate and open one empty database at once.
async fn start_together(url: &str, count: usize) {
    let config = config(&[("POSTROOM__DATABASE__URL", url)]);
    let runtime = Arc::new(StoreRuntime::start().unwrap());
    let (all, left) = pending(&runtime, &config).await;
    assert_eq!(left, all, "nothing is applied");
    let starts = (0..count).map(|_| {
        let (config, runtime) = (config.clone(), runtime.clone());
        runtime.handle().spawn(async move {
            store::migrate_up(&config.database).await?;
            try_to_open_store(&runtime, &config).await
        })
    });
    let mut stores = Vec::new();
    for start in futures_util::future::join_all(starts).await {
        stores.push(start.unwrap().unwrap());
    }
    let mut nodes: Vec<_> = stores.iter().map(Store::node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), count, "each has an id of its own");
    assert_eq!(pending(&runtime, &config).await, (all, 0));
    for it in &stores {
        enqueue(it, "a", SELF_CHECK, 3).await;
    }
    assert_eq!(drain(&stores[0], 100).await, 3 * count);
}

on_both_databases! {
    async fn up_down_and_up_again_leaves_the_same_schema(db: Fixture) {
        let before = schema(&db).await;
        assert!(before.len() > 20, "{before:?}");
        let (all, left) = pending(&db.runtime, &db.config).await;
        assert_eq!(left, 0);
        for step in 1..=all {
            let database = db.config.database.clone();
            on(&db.runtime, async move { store::migrate_down(&database).await }).await;
            assert_eq!(pending(&db.runtime, &db.config).await, (all, step));
        }
        assert_ne!(schema(&db).await, before);
        let database = db.config.database.clone();
        on(&db.runtime, async move { store::migrate_up(&database).await }).await;
        assert_eq!(pending(&db.runtime, &db.config).await, (all, 0));
        assert_eq!(schema(&db).await, before);
        let database = db.config.database.clone();
        on(&db.runtime, async move { store::migrate_up(&database).await }).await;
        assert_eq!(schema(&db).await, before, "a second time changes nothing");
        let database = db.config.database.clone();
        on(&db.runtime, async move { store::migrate_fresh(&database).await }).await;
        assert_eq!(schema(&db).await, before);
    }

    /// Run by hand on an empty database, the statements that `migrate up --dry-run --sql` shows
    /// make the schema that `migrate up` makes.
    async fn the_statements_that_are_shown_are_those_that_run(db: Fixture) {
        let before = schema(&db).await;
        let url = db.config.database.url.clone();
        let (all, _) = pending(&db.runtime, &db.config).await;
        let status = async || {
            let database = db.config.database.clone();
            on(&db.runtime, async move { store::migrate_status(&database).await }).await
        };
        assert!(status().await.pending_statements(&url).is_empty());
        for _ in 0..all {
            let database = db.config.database.clone();
            on(&db.runtime, async move { store::migrate_down(&database).await }).await;
        }
        let shown = status().await.pending_statements(&url);
        assert_eq!(status().await.pending(), all, "they were shown and not run");
        assert_eq!(shown.len(), all);
        for (name, sql) in shown {
            for statement in sql.split(';').filter(|it| !it.trim().is_empty()) {
                db.execute(statement).await;
            }
            let note = "insert into seaql_migrations (version, applied_at) values";
            db.execute(&format!("{note} ('{name}', 0)")).await;
        }
        assert_eq!(status().await.pending(), 0);
        assert_eq!(schema(&db).await, before);
    }

    async fn every_table_is_in_the_list_of_tables(db: Fixture) {
        let tables = if db.is_sqlite() {
            "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
        } else {
            "select tablename::text from pg_tables where schemaname = 'public'"
        };
        let mut there = db.texts(tables).await;
        there.retain(|it| it != "seaql_migrations");
        there.sort_unstable();
        assert_eq!(there, migration::TABLES, "who starts on another program's database goes by the list");
    }

    async fn a_schema_of_a_newer_version_is_refused_in_words_and_left_alone(db: Fixture) {
        let before = schema(&db).await;
        for name in ["m20990101_000001_later", "m20990102_000001_latest"] {
            db.execute(&format!("insert into seaql_migrations (version, applied_at) values ('{name}', 1)")).await;
        }
        let database = db.config.database.clone();
        let told = db.runtime.handle().spawn(async move {
            [
                store::migrate_up(&database).await.unwrap_err(),
                store::migrate_down(&database).await.unwrap_err(),
                store::migrate_fresh(&database).await.unwrap_err(),
                store::migrate_status(&database).await.unwrap_err(),
            ]
        });
        for error in told.await.unwrap() {
            // The migrator knows them in no order.
            let text = error.to_string();
            assert!(
                text.starts_with("its schema is that of a newer Postroom, which has applied m2099")
                    && text.contains("m20990101_000001_later")
                    && text.contains("m20990102_000001_latest")
                    && text.ends_with(": start that version or a later one"),
                "{text}"
            );
        }
        assert_eq!(schema(&db).await, before);
    }

    async fn every_column_of_every_entity_can_be_read(db: Fixture) {
        // A row in every table.
        put(&db.store, "a", &phones(2), 1).await;
        let quarantined = store::Inbound {
            content: Content::Quarantine { event_type: None, reason: "unknown_event".to_owned(), body_hash: "h".to_owned() },
            ..event("a", "sms", vec![Identity::new(IdentityKind::PHONE, "+15550000")], Signal::DoNotDisturb { active: true }, store::wall_clock())
        };
        db.store.inbox().put(Arc::new([quarantined])).await.unwrap();
        let effects = vec![
            judges(Sentiment::Interested),
            Effect::AddDraft { channel: ChannelName("sms"), subject: None, body: "Hi".to_owned(), parts: Vec::new(), facts: postroom::domain::outcome::DraftFacts::default() },
            Effect::Score { fit: 1, intent: 2, overall: 1, reason: "r".to_owned() },
        ];
        let claims = claim(&db.store, 1).await;
        settle_all(&db.store, &claims, &Transition::Succeed(effects)).await;
        enqueue(&db.store, "a", SELF_CHECK, 2).await;
        let claims = claim(&db.store, 1).await;
        settle_all(&db.store, &claims, &Transition::Snooze { after: Duration::from_secs(60) }).await;
        for n in 2..4 {
            put(&db.store, "a", &phones(2), n).await;
        }
        let now = instant(&db, 0);
        db.execute(&format!(
            "insert into deliveries (id, client_id, lead_id, channel, status, text_key, created_at) \
             values (1, 'a', 1, 'sms', 'sending', 'k', {now})"
        ))
        .await;
        let entry = store::AuditEntry::new("dana", store::Via::Command, "pool.override");
        db.store.audit().record(vec![entry]).await.unwrap();
        let no = if db.is_sqlite() { "0" } else { "false" };
        db.execute(&format!(
            "insert into operations (id, action, filter, status, total, done, skipped, is_stopping, changed_by, node, created_at, updated_at) \
             values (1, 'retry', '{{}}', 'done', 1, 1, 0, {no}, 'dana', 1, {now}, {now})"
        ))
        .await;
        db.execute(&format!("insert into pool_overrides (kind, name, value, base, changed_by, changed_at) values ('SELF_CHECK', 'size', '3', '8', 'dana', {now})"))
            .await;
        db.execute(&format!("insert into send_accounts (client_id, channel, state, paused_until, reason, since) values ('acme', 'sms', 'rate_limited', {now}, '429', {now})"))
            .await;
        db.execute(&format!(
            "insert into model_calls (id, kind, feature, prompt, model, status, latency_ms, retry, client_id, job_id, node, created_at) \
             values (1, 'SELF_CHECK', 'draft', 'draft.v1', 'm', 'ok', 1, 0, 'a', 1, 1, {now})"
        ))
        .await;
        let new = store::NewSession {
            hash: "h".to_owned(),
            token_mark: "m".to_owned(),
            user: "dana".to_owned(),
            actor: "dana".to_owned(),
            browser: "Firefox".to_owned(),
            lasts: Duration::from_secs(60),
        };
        let entry = store::AuditEntry::new("dana", store::Via::Page, "session.begin");
        db.store.user_sessions().begin(new, entry).await.unwrap();
        macro_rules! all {
            ($($table:ident),*) => { $(
                let row = entity::$table::Entity::find().one(&db.db).await.unwrap();
                assert!(row.is_some(), "{} is empty", stringify!($table));
            )* };
        }
        all!(
            audit, campaigns, deliveries, drafts, job_attempts, job_blocked, job_later, job_ready, jobs, lead_identities, leads, messages, model_calls,
            nodes, operations, pool_overrides, quarantine, send_accounts, sessions
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_daemons_start_at_once_on_one_empty_postgres() {
    let Some(server) = postgres::server() else { return };
    Box::pin(start_together(&server.url(&server.create_database("together")), 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_daemons_start_at_once_behind_a_pooler() {
    let Some(pooler) = PgBouncer::start(Parameters::Refused, 2) else { return };
    let server = postgres::server().expect("the pooler has one");
    let url = pooler.url(&server.create_database("together"));
    Box::pin(start_together(&url, 4)).await;
    // Down and up again over the sessions in which statements were given names before.
    let config = config(&[("POSTROOM__DATABASE__URL", &url)]);
    let runtime = StoreRuntime::start().unwrap();
    let (all, _) = pending(&runtime, &config).await;
    for _ in 0..2 {
        let database = config.database.clone();
        on(&runtime, async move { store::migrate_down(&database).await }).await;
        assert_eq!(pending(&runtime, &config).await, (all, 1));
        let database = config.database.clone();
        on(&runtime, async move { store::migrate_up(&database).await }).await;
        let database = config.database.clone();
        on(&runtime, async move { store::migrate_fresh(&database).await }).await;
        assert_eq!(pending(&runtime, &config).await, (all, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_starts_on_no_file_at_all() {
    let directory = Scratch::new("postroom-empty");
    Box::pin(start_together(&format!("sqlite://{}", directory.path().join("new.db").display()), 1))
        .await;
}
