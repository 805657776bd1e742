//! A migrated database of its own for each test, on either kind.

use super::{
    leftovers::{self, Allowed, Leftover},
    postgres,
    process::Scratch,
    sqlite,
};
use postroom::{
    channels::{self, AnyChannel, Received},
    config::{Config, Sources},
    domain::{
        CampaignRef, ChannelName, Event, Id, Identity, IdentityKind, Interpreted, JobKind,
        LeadProfile, Signal,
        event::{Address, Direction, KeyKind, MessageKey, NewMessage},
        job::NewJob,
    },
    store::{self, Content, Inbound, Store, StoreRuntime},
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use std::{sync::Arc, thread};

/// Runs each test on SQLite and on PostgreSQL: the same name in two modules.
#[macro_export]
macro_rules! on_both_databases {
    ($(
        $(#[doc = $doc:literal])* $(#[ignore = $why:literal])?
        async fn $name:ident($db:ident: Fixture) $body:block
    )*) => {
        $(
            $(#[doc = $doc])*
            mod $name {
                #[allow(unused_imports, reason = "not every test needs all of its file")]
                use super::*;
                use $crate::support::fixture::Fixture;

                async fn run($db: Fixture) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[ignore = $why])?
                async fn sqlite() {
                    run(Fixture::sqlite().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[ignore = $why])?
                async fn postgres() {
                    if let Some(db) = Fixture::postgres().await {
                        run(db).await;
                    }
                }
            }
        )*
    };
}

/// The inbound kind that store tests use.
pub const SMS: JobKind = JobKind("SMS_INBOUND_POST_PROCESS");

/// A database with the schema of this version, and an open store over it. Dropping it fails the
/// test if that leaves something behind: see [`leftovers`].
pub struct Fixture {
    pub store: Store,
    pub config: Config,
    pub runtime: Arc<StoreRuntime>,
    /// For looking at tables.
    pub db: DatabaseConnection,
    end: End,
    _directory: Option<Scratch>,
}

/// The check at the end of a store's test. Apart from [`Fixture`], whose fields tests take out.
struct End {
    url: String,
    may_leave: Allowed,
}

impl Drop for End {
    fn drop(&mut self) {
        if !thread::panicking() {
            let (forbidden, patience) = (leftovers::OF_STORES, leftovers::PATIENCE_WITH_STORES);
            let left = leftovers::left_in(&self.url, &self.may_leave, forbidden, patience);
            leftovers::assert_nothing(&left);
        }
    }
}

impl Fixture {
    /// A fresh SQLite file.
    pub async fn sqlite() -> Self {
        let directory = Scratch::new("postroom-fixture");
        let file = directory.path().join("test.db");
        sqlite::write_migrated(&file);
        Self::open(&format!("sqlite://{}", file.display()), Some(directory)).await
    }

    /// A fresh PostgreSQL database, or `None` if there is no server.
    pub async fn postgres() -> Option<Self> {
        let server = postgres::server()?;
        let name = server.create_migrated_database("fixture");
        Some(Self::open(&server.url(&name), None).await)
    }

    async fn open(url: &str, directory: Option<Scratch>) -> Self {
        let config = config(&[("POSTROOM__DATABASE__URL", url)]);
        let runtime = Arc::new(StoreRuntime::start().unwrap());
        let database = config.database.clone();
        runtime
            .handle()
            .spawn(async move { store::migrate_up(&database).await })
            .await
            .unwrap()
            .unwrap();
        let store = open_store(&runtime, &config).await;
        let db = Box::pin(Database::connect(url)).await.unwrap();
        let end = End { url: url.to_owned(), may_leave: Allowed::default() };
        Self { store, config, runtime, db, end, _directory: directory }
    }

    /// Says that this may be left behind when it is dropped, and why that is right.
    pub fn may_leave(&self, what: Leftover, why: &'static str) {
        self.end.may_leave.add(what, why);
    }

    /// Another process on the same database, as far as the store can tell.
    pub async fn another_node(&self) -> Store {
        open_store(&self.runtime, &self.config).await
    }

    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.store.database() == "sqlite"
    }

    /// The only value of the only row, as a number.
    pub async fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let row = self.db.query_one_raw(statement).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0)
            .or_else(|_| row.try_get_by_index::<i32>(0).map(i64::from))
            .unwrap()
    }

    /// The first column of all rows, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let rows = self.db.query_all_raw(statement).await.unwrap();
        rows.iter()
            .map(|row| row.try_get_by_index::<Option<String>>(0).unwrap().unwrap_or_default())
            .collect()
    }

    /// Runs a statement.
    pub async fn execute(&self, sql: &str) {
        self.db.execute_unprepared(sql).await.unwrap();
    }
}

/// Opens the store as a daemon with Postroom's own channels does.
pub async fn open_store(runtime: &StoreRuntime, config: &Config) -> Store {
    try_to_open_store(runtime, config).await.unwrap()
}

/// The same, if that may fail.
pub async fn try_to_open_store(
    runtime: &StoreRuntime,
    config: &Config,
) -> Result<Store, store::StoreError> {
    let channels = postroom::registry::postroom().channel_directory();
    let live = postroom::config::Live::new(config.clone());
    Store::open(runtime.handle(), &live, "all", channels).await
}

/// A configuration of the defaults and these variables.
pub fn config(env: &[(&str, &str)]) -> Config {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&Sources { env, ..Sources::default() }).unwrap()
}

/// A job that does nothing, for `client`.
pub fn self_check(store: &Store, client: &str) -> NewJob {
    job(store, client, postroom::domain::job::SELF_CHECK)
}

/// A job of any kind that is its own line.
pub fn job(store: &Store, client: &str, kind: JobKind) -> NewJob {
    NewJob {
        kind,
        client_id: client.to_owned(),
        lead_id: None,
        subject_id: store.enqueuer().next_id(),
        message_id: None,
        draft_id: None,
        max_attempts: 5,
        in_lead_line: false,
        channel: None,
        delay_ms: 0,
        trace: None,
    }
}

/// An SMS of `phone` to `client`, known again by `key`.
pub fn sms(client: &str, phone: &str, key: &str, text: &str) -> Inbound {
    let at = store::wall_clock();
    let message = NewMessage {
        direction: Direction::Inbound,
        keys: vec![MessageKey { kind: KeyKind::Reply, key: key.to_owned(), expires: false }],
        also_known_as: Vec::new(),
        stored_only: Vec::new(),
        provider_id: Some(key.to_owned()),
        reply_handle: Some(serde_json::json!({"contact_id": phone})),
        subject: None,
        body: text.to_owned(),
        has_new_text: true,
        raw_text: Some(text.to_owned()),
        raw_html: None,
        from: Address { address: Some(phone.to_owned()), name: None },
        to: Vec::new(),
        cc: Vec::new(),
        attachments: Vec::new(),
        automated: false,
        hint: None,
        opt_out: None,
    };
    event(
        client,
        "sms",
        vec![Identity::new(IdentityKind::PHONE, phone)],
        Signal::Message(Box::new(message)),
        at,
    )
}

/// Any event.
pub fn event(
    client: &str,
    channel: &'static str,
    identities: Vec<Identity>,
    signal: Signal,
    at: postroom::domain::Timestamp,
) -> Inbound {
    Inbound {
        client_id: Arc::from(client),
        channel: ChannelName(channel),
        request_id: "test".to_owned(),
        received_at: at,
        payload: "{}".to_owned(),
        delivery: None,
        content: Content::Event {
            event: Box::new(Event {
                event_type: "test".to_owned(),
                identities,
                lead_of_chat: None,
                profile: LeadProfile::default(),
                campaign: Some(CampaignRef {
                    provider_id: "c1".to_owned(),
                    name: Some("One".to_owned()),
                }),
                at,
                signal,
            }),
            kind: SMS,
        },
        trace: None,
    }
}

/// The id of the job that an answer names.
pub fn job_of(answer: &store::Answer) -> Id {
    match answer {
        store::Answer::Accepted { job_id, .. } => *job_id,
        other => panic!("not accepted: {other:?}"),
    }
}

/// What the daemon hands to its ingest for a body that a provider posts to the client `a`.
pub fn webhook(channel: &dyn AnyChannel, name: &'static str, body: &serde_json::Value) -> Inbound {
    let received_at = store::wall_clock();
    let event = match channels::interpret(
        channel,
        &Received { body, received_at, country: None, text_field: None },
    ) {
        Ok(Interpreted::Event(event)) => event,
        other => panic!("no event: {other:?}"),
    };
    Inbound {
        client_id: Arc::from("a"),
        channel: ChannelName(name),
        request_id: "test".to_owned(),
        received_at,
        payload: body.to_string(),
        delivery: None,
        content: Content::Event { event, kind: channel.post_process() },
        trace: None,
    }
}
