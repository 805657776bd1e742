//! Daemons on either kind of database, and queries of what they stored.

use super::{
    daemon::{Daemon, Options},
    pgbouncer::PgBouncer,
    postgres,
    proxy::Proxy,
};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, Statement,
    TransactionTrait,
};

/// Runs each test on SQLite and on PostgreSQL: the same name in two modules.
#[macro_export]
macro_rules! on_both_daemons {
    ($(
        $(#[doc = $doc:literal])* $(#[ignore = $why:literal])?
        async fn $name:ident($place:ident: Place $(,)?) $body:block
    )*) => {
        $(
            $(#[doc = $doc])*
            mod $name {
                #[allow(unused_imports, reason = "not every test needs all of its file")]
                use super::*;
                use $crate::support::both::Place;

                async fn run($place: Place) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[ignore = $why])?
                async fn sqlite() {
                    run(Place::sqlite()).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[ignore = $why])?
                async fn postgres() {
                    if let Some(place) = Place::postgres() {
                        run(place).await;
                    }
                }
            }
        )*
    };
}

/// Where one test's daemons keep what they store.
#[derive(Clone, Debug)]
pub struct Place {
    /// The test's own PostgreSQL database, or `None`: SQLite in the daemon's own directory.
    database_url: Option<String>,
    /// The same database behind a pooler.
    pooled_url: Option<String>,
    /// Whether it has the schema of this version from the start.
    has_schema: bool,
}

impl Place {
    /// A SQLite file in each daemon's own directory.
    pub fn sqlite() -> Self {
        Self { database_url: None, pooled_url: None, has_schema: true }
    }

    /// A fresh PostgreSQL database, or `None` if there is no server.
    #[track_caller]
    pub fn postgres() -> Option<Self> {
        Some(Self::on(postgres::server()?))
    }

    /// A fresh database on this server, with the schema of this version.
    pub fn on(server: &postgres::Server) -> Self {
        let name = server.create_migrated_database("daemon");
        Self { database_url: Some(server.url(&name)), pooled_url: None, has_schema: true }
    }

    /// A fresh database of the same kind, without a schema.
    pub fn empty(&self) -> Self {
        match postgres::server().filter(|_| !self.is_sqlite()) {
            None => Self { has_schema: false, ..Self::sqlite() },
            Some(server) => {
                let name = server.create_database("empty");
                let database_url = Some(server.url(&name));
                Self { database_url, pooled_url: None, has_schema: false }
            }
        }
    }

    /// A fresh PostgreSQL database that daemons reach through this pooler, and tests past it.
    pub fn behind(pooler: &PgBouncer) -> Self {
        let server = postgres::server().expect("a pooler has a server behind it");
        let name = server.create_migrated_database("pooled");
        let (database_url, pooled_url) = (Some(server.url(&name)), Some(pooler.url(&name)));
        Self { database_url, pooled_url, has_schema: true }
    }

    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.database_url.is_none()
    }

    /// Whether it has the schema of this version from the start.
    pub const fn has_schema(&self) -> bool {
        self.has_schema
    }

    /// Its name in `database.url`, if it is not in each daemon's own directory.
    pub fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// Drops its database, for tests that fill many. Its daemons are gone.
    pub fn remove(&self) {
        if let (Some(url), Some(server)) = (&self.database_url, postgres::server()) {
            server.drop_database(url.rsplit('/').next().expect("a URL ends with a name"));
        }
    }

    /// How to start a daemon here with this configuration.
    pub fn options(&self, config: &str) -> Options {
        Options {
            config: config.to_owned(),
            database_url: self.database_url.clone(),
            told_url: self.pooled_url.clone(),
            has_schema: self.has_schema,
            ..Options::default()
        }
    }

    /// Starts a daemon here, on PostgreSQL, with a proxy before its server, and waits until it is
    /// ready.
    pub async fn start_behind_proxy(&self, config: &str) -> (Daemon, Proxy) {
        let url = self.database_url().expect("a database on PostgreSQL");
        let proxy = Proxy::before(url).await;
        let options = Options { told_url: Some(proxy.url(url)), ..self.options(config) };
        (Daemon::start(options).await, proxy)
    }

    /// Starts a daemon here with this configuration, and waits until it is ready.
    pub async fn start(&self, config: &str) -> Daemon {
        Daemon::start(self.options(config)).await
    }
}

/// A look into a daemon's database, past the daemon.
#[derive(Clone, Debug)]
pub struct Peek(DatabaseConnection);

/// A lock that keeps a daemon from writing, until it is released or dropped.
#[derive(Debug)]
pub struct Held(DatabaseTransaction);

impl Held {
    /// Lets the daemon write again.
    pub async fn release(self) {
        self.0.rollback().await.expect("the lock can be released");
    }
}

impl Peek {
    /// Looks into the database of this URL.
    pub async fn open(url: &str) -> Self {
        let mut options = ConnectOptions::new(url);
        options.max_connections(2).sqlx_logging(false);
        // Boxed, so that the futures of tests stay small.
        let opened = Box::pin(Database::connect(options)).await;
        Self(opened.expect("the daemon's database can be opened"))
    }

    /// Looks through a connection that is open.
    pub const fn over(connection: DatabaseConnection) -> Self {
        Self(connection)
    }

    /// Closes its connections; a peek that is only dropped closes them some time later.
    pub async fn close(self) {
        self.0.close().await.expect("it is open");
    }

    /// Looks into a daemon's database.
    pub async fn of(daemon: &Daemon) -> Self {
        Self::open(&daemon.database_url()).await
    }

    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.0.get_database_backend() == sea_orm::DatabaseBackend::Sqlite
    }

    /// The only value of the only row, as a number.
    pub async fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let row = self.0.query_one_raw(statement).await.unwrap_or_else(|it| panic!("{sql}: {it}"));
        let row = row.unwrap_or_else(|| panic!("{sql}: no row"));
        row.try_get_by_index::<i64>(0)
            .or_else(|_| row.try_get_by_index::<i32>(0).map(i64::from))
            .unwrap_or_else(|it| panic!("{sql}: {it}"))
    }

    /// The first column of all rows, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let rows = self.0.query_all_raw(statement).await.unwrap_or_else(|it| panic!("{sql}: {it}"));
        let text = |row: &sea_orm::QueryResult| row.try_get_by_index::<Option<String>>(0);
        rows.iter().map(|it| text(it).expect("text").unwrap_or_default()).collect()
    }

    /// Whether there is a table of that name.
    pub async fn has_table(&self, name: &str) -> bool {
        let tables = if self.is_sqlite() { "sqlite_master" } else { "pg_tables" };
        let column = if self.is_sqlite() { "name" } else { "tablename" };
        self.number(&format!("select count(*) from {tables} where {column} = '{name}'")).await > 0
    }

    /// Runs a statement.
    pub async fn execute(&self, sql: &str) {
        self.0.execute_unprepared(sql).await.unwrap_or_else(|it| panic!("{sql}: {it}"));
    }

    /// Puts a job into line, for a daemon that finds it at its next tick.
    pub async fn put_job(&self, id: i64, kind: &str, client: &str, max_attempts: u32) {
        let now = match self.0.get_database_backend() {
            sea_orm::DatabaseBackend::Postgres => "now()",
            _ => "cast(unixepoch('subsec') * 1000 as integer)",
        };
        self.execute(&format!(
            "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
             values ({id}, '{kind}', '{client}', {id}, {max_attempts}, {now}, {now})"
        ))
        .await;
        self.execute(&format!(
            "insert into job_ready (line, job_id, kind, client_id, turn) values (-{id}, {id}, '{kind}', '{client}', {id})"
        ))
        .await;
    }

    /// Puts jobs of a client into line at once, `first + 1` to `first + count`, behind what was
    /// claimed.
    pub async fn put_jobs(&self, first: i64, count: i64, kind: &str, client: &str) {
        let (now, numbers) = match self.0.get_database_backend() {
            sea_orm::DatabaseBackend::Postgres => {
                ("now()", format!("(select n::bigint from generate_series(1, {count}) as n) as it"))
            }
            _ => (
                "cast(unixepoch('subsec') * 1000 as integer)",
                format!(
                    "(with recursive up(n) as (select 1 union all select n + 1 from up where n < {count}) \
                     select n from up) as it"
                ),
            ),
        };
        self.execute(&format!(
            "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
             select {first} + n, '{kind}', '{client}', {first} + n, 5, {now}, {now} from {numbers}"
        ))
        .await;
        self.execute(&format!(
            "insert into job_ready (line, job_id, kind, client_id, turn) \
             select -({first} + n), {first} + n, '{kind}', '{client}', n \
             + (select coalesce(max(turn), 0) from job_clock where kind = '{kind}') from {numbers}"
        ))
        .await;
    }

    /// Puts held webhooks of a client into quarantine, `first` and the ids behind it: one for each
    /// of these events, reasons and payloads.
    pub async fn put_held(&self, first: i64, client: &str, held: &[(Option<&str>, &str, String)]) {
        let now = match self.0.get_database_backend() {
            sea_orm::DatabaseBackend::Postgres => "now()",
            _ => "cast(unixepoch('subsec') * 1000 as integer)",
        };
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let rows: Vec<String> = (first..)
            .zip(held)
            .map(|(id, (event, reason, payload))| {
                let event = event.map_or("null".to_owned(), quoted);
                let (reason, size, payload) = (quoted(reason), payload.len(), quoted(payload));
                format!(
                    "({id}, '{client}', 'sms', '{client}{id}', {event}, {reason}, 'held', 1, {payload}, {now}, {now}, {size})"
                )
            })
            .collect();
        for rows in rows.chunks(200) {
            self.execute(&format!(
                "insert into quarantine (id, client_id, channel, body_hash, event_type, reason, status, count, payload, \
                   received_at, last_received_at, size) values {}",
                rows.join(", ")
            ))
            .await;
        }
    }

    /// How many jobs have not ended.
    pub async fn unfinished(&self) -> i64 {
        self.number(
            "select (select count(*) from job_ready) + (select count(*) from job_blocked) \
             + (select count(*) from job_later)",
        )
        .await
    }

    /// Keeps everybody else from storing messages.
    pub async fn hold(&self) -> Held {
        self.hold_table("messages").await
    }

    /// Keeps everybody else from claiming jobs.
    pub async fn hold_claims(&self) -> Held {
        self.hold_table("job_clock").await
    }

    /// Keeps everybody else from writing to the audit log.
    pub async fn hold_audit(&self) -> Held {
        self.hold_table("audit").await
    }

    /// Keeps everybody else from committing the ends of runs.
    pub async fn hold_outcomes(&self) -> Held {
        self.hold_table("job_attempts").await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a plain transaction becomes a writing one by its first statement"
    )]
    async fn hold_table(&self, table: &str) -> Held {
        let transaction = self.0.begin().await.expect("a transaction can be begun");
        let lock = match self.0.get_database_backend() {
            sea_orm::DatabaseBackend::Postgres => format!("lock table {table} in exclusive mode"),
            // Changes nothing, and takes the one lock that writers need.
            _ => format!("delete from {table} where false"),
        };
        transaction.execute_unprepared(&lock).await.expect("the lock is free");
        Held(transaction)
    }
}
