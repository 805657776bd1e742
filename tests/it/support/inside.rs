//! A daemon inside the test process, with job handlers that the test brings along.

use super::{
    both::Place,
    http, http_builder,
    leftovers::{self, Allowed, Left, Leftover, PATIENCE_WITH_DAEMONS},
    process::Scratch,
    sqlite, web,
    web::Answer,
};
use postroom::{
    app::{Daemon, Role},
    config::{Config, Live, Loaded, Sources},
    domain::{Id, JobKind, job::NewJob},
    registry::Registry,
    store::Store,
    telemetry::board::{ActorView, Board},
    tuning::{ReloadBy, ReloadReport, Tuner},
};
use std::{
    fs,
    net::{IpAddr, TcpListener},
    panic,
    path::PathBuf,
    sync::{Arc, Once},
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

/// The token with which [`Inside`] asks the admin API.
pub const ADMIN_TOKEN: &str = "an-admin-token-for-tests";
/// The name of the threads on which handlers run.
const HANDLER_THREAD: &str = "work";

/// A running daemon on a thread of its own. Dropping it stops it, and fails the test if it leaves
/// something behind: see [`leftovers`]. It first gets some seconds to end the jobs that are due.
pub struct Inside {
    pub store: Store,
    pub board: Arc<Board>,
    /// The configuration that applies now.
    pub config: Live,
    /// In the form of `database.url`.
    pub database_url: String,
    http: reqwest::Client,
    may_leave: Allowed,
    url: String,
    tuner: Tuner,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Where its configuration comes from.
    sources: Sources,
    scratch: Scratch,
}

struct Started {
    url: String,
    store: Store,
    board: Arc<Board>,
    config: Live,
    tuner: Tuner,
}

/// Prints panics of handlers, which tests cause by the hundred, without a backtrace. Where
/// `RUST_BACKTRACE` is set, a backtrace of a debug binary costs tens of milliseconds of CPU: more
/// than all that a test of restarts measures.
fn panics_of_handlers_have_no_backtrace() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| match thread::current().name() {
            Some(HANDLER_THREAD) => eprintln!("a handler panicked: {panic}"),
            _ => others(panic),
        }));
    });
}

/// A file without a value, and not empty: an empty one looks like an editor at work.
const UNCHANGED: &str = "# What the test changes.\n";

/// The highest file of the configuration.
fn change_file(scratch: &Scratch) -> PathBuf {
    scratch.path().join("change.toml")
}

impl Inside {
    /// Starts a daemon with these handlers and waits until it is there.
    pub async fn start(place: &Place, config: &str, registry: Registry) -> Self {
        let env = [
            ("POSTROOM__ADMIN__TOKEN", ADMIN_TOKEN),
            ("POSTROOM__SERVER__SHUTDOWN_TIMEOUT", "1s"),
            ("POSTROOM__SERVER__WORKERS", "1"),
        ];
        Self::start_with(place, config, &env, registry).await
    }

    /// As [`Inside::start`], with this environment in the place of the usual one. The configuration
    /// must set [`ADMIN_TOKEN`], or [`Inside::api`] is refused.
    pub async fn start_with(
        place: &Place,
        config: &str,
        env: &[(&str, &str)],
        registry: Registry,
    ) -> Self {
        panics_of_handlers_have_no_backtrace();
        let scratch = Scratch::new("inside");
        let in_file = scratch.path().join("postroom.db");
        if place.is_sqlite() && place.has_schema() {
            sqlite::write_migrated(&in_file);
        }
        let in_file = format!("sqlite://{}", in_file.display());
        let database_url = place.database_url().unwrap_or(&in_file).to_owned();
        let file = scratch.path().join("test.toml");
        fs::write(&file, config).expect("the scratch directory can be written");
        let change = change_file(&scratch);
        fs::write(&change, UNCHANGED).expect("the scratch directory can be written");
        let of_database = [("POSTROOM__DATABASE__URL", database_url.as_str())];
        let env = of_database.iter().chain(env);
        let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { files: vec![file, change], env, ..Sources::default() };
        let loaded = Loaded::load(&sources).expect("a configuration");
        let (started, starting) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            actix_rt::System::new().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
                let daemon = Daemon::start(loaded, registry, Role::All, listener).await;
                let daemon = daemon.expect("the daemon starts");
                let (store, board) = (daemon.store().clone(), daemon.board().clone());
                let (url, config) = (daemon.url().to_owned(), daemon.config().clone());
                let tuner = daemon.tuner().clone();
                started.send(Started { url, store, board, config, tuner }).ok();
                // Whether the test says so or is gone.
                stopped.await.ok();
                daemon.stop().await;
            });
        };
        let thread = thread::Builder::new().name("daemon".to_owned()).spawn(run).expect("a thread");
        let Started { url, store, board, config, tuner } =
            starting.await.expect("the daemon starts");
        let (stop, thread) = (Some(stop), Some(thread));
        Self {
            store,
            board,
            config,
            database_url,
            http: http(),
            may_leave: Allowed::default(),
            url,
            tuner,
            stop,
            thread,
            sources,
            scratch,
        }
    }

    /// The configuration that this text makes in the place of its file.
    pub fn loaded(&self, text: &str) -> Config {
        // Another file than its own, which the daemon would reload by itself.
        let file = self.scratch.path().join("beside.toml");
        fs::write(&file, text).expect("the scratch directory can be written");
        let sources = Sources { files: vec![file], ..self.sources.clone() };
        Config::load(&sources).expect("a configuration")
    }

    /// Makes the configuration of this text the one that applies, at once.
    pub fn set_config(&self, text: &str) {
        self.config.set(self.loaded(text));
    }

    /// Changes the configuration of the running daemon: `change` becomes its highest file, over the
    /// one that it was started with. Tells what the reload did.
    pub async fn reload(&self, change: &str) -> Arc<ReloadReport> {
        let (file, new) = (change_file(&self.scratch), self.scratch.path().join("new"));
        fs::write(&new, format!("{UNCHANGED}{change}")).expect("the directory can be written");
        fs::rename(new, file).expect("the scratch directory can be written");
        self.tuner.reload(ReloadBy::signal()).await.expect("the daemon is not stopping")
    }

    /// Says that this may be left behind when it is dropped, and why that is right.
    pub fn may_leave(&self, what: Leftover, why: &'static str) {
        self.may_leave.add(what, why);
    }

    /// Replaces its configuration while it runs, whole, as an editor does.
    pub fn configure(&self, config: &str) {
        let new = self.scratch.path().join("test.toml.new");
        fs::write(&new, config).expect("the scratch directory can be written");
        fs::rename(new, self.scratch.path().join("test.toml")).expect("it can be renamed");
    }

    /// Actors that went down.
    fn restarted(&self) -> Vec<Left> {
        let mut actors = self.board.actors();
        actors.retain(|it| it.restarts > 0);
        let text = |it: ActorView| format!("{} was restarted {} times", it.name, it.restarts);
        actors.into_iter().map(|it| (Leftover::Panic, text(it))).collect()
    }

    /// Prepares a request to the admin API.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(ADMIN_TOKEN)
    }

    /// Prepares a request to the admin API with another token.
    pub fn request_by(
        &self,
        token: &str,
        method: reqwest::Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(token)
    }

    /// Asks the admin API.
    pub async fn api(&self, path: &str) -> Answer {
        web::ask(self.request(reqwest::Method::GET, path)).await
    }

    /// Asks outside of the admin API, for instance `/readyz`.
    pub async fn get(&self, path: &str) -> Answer {
        web::ask(self.http.get(format!("{}{path}", self.url))).await
    }

    /// Prepares a request outside of the admin API, for instance of `/metrics`.
    pub fn prepare(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(ADMIN_TOKEN)
    }

    /// Asks the admin API from this address of this machine.
    pub async fn api_from(&self, address: IpAddr, path: &str) -> Answer {
        let http = http_builder().local_address(address).build();
        let url = format!("{}/api/v1{path}", self.url);
        web::ask(http.expect("a client").get(url).bearer_auth(ADMIN_TOKEN)).await
    }

    /// Prepares a provider's `GET`, by which it tries a webhook.
    pub fn probe(&self, channel: &str, client: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}/webhooks/{channel}/{client}", self.url))
    }

    /// Prepares a provider's `POST`.
    pub fn webhook(&self, channel: &str, client: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/webhooks/{channel}/{client}", self.url))
    }

    /// Enqueues a job for `client`, which is due at once.
    pub async fn enqueue(&self, kind: JobKind, client: &str, max_attempts: u32) -> Id {
        let enqueuer = self.store.enqueuer();
        let job = NewJob {
            kind,
            client_id: client.to_owned(),
            lead_id: None,
            subject_id: enqueuer.next_id(),
            message_id: None,
            draft_id: None,
            max_attempts,
            in_lead_line: false,
            channel: None,
            delay_ms: 0,
            trace: None,
        };
        let ids = enqueuer.enqueue(vec![job]).await.expect("the database is there");
        ids.into_iter().flatten().next().expect("a new job")
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut left = Vec::new();
        if !thread::panicking() {
            let forbidden = [Leftover::Unfinished];
            left = leftovers::left_in(
                &self.database_url,
                &self.may_leave,
                &forbidden,
                PATIENCE_WITH_DAEMONS,
            );
            if !self.may_leave.has(Leftover::Panic) {
                left.extend(self.restarted());
            }
        }
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if thread::panicking() {
            return;
        }
        assert!(!matches!(ended, Some(Err(_))), "the daemon panicked");
        let forbidden = leftovers::OF_ENDED;
        left.extend(leftovers::left_in(
            &self.database_url,
            &self.may_leave,
            forbidden,
            PATIENCE_WITH_DAEMONS,
        ));
        leftovers::assert_nothing(&left);
    }
}
