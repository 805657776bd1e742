//! The composition root: it makes a running daemon from a configuration, and stops it in order. It
//! may use every module except `cli`, which uses this one.

mod actors;
mod address_file;
mod alert_webhook;
mod backup;
mod call_keeper;
mod daemon;
mod files;
mod fleet;
mod followers;
mod private;
mod process;
mod send_log;
mod service_manager;
mod token;
mod waiting_room;

pub use crate::domain::Role;

pub(crate) use self::process::use_small_pages;

pub use self::{
    address_file::DaemonAddress,
    backup::{BackedUp, back_up},
    daemon::Daemon,
    files::{holder_of, lock_path},
    private::{Distrust, IsOpen, judge, others_can_exchange_files},
    service_manager::ServiceManager,
    token::{read_token, token_path},
};

use self::{
    address_file::keep_address, daemon::StartOptions, files::lock_database,
    waiting_room::WaitingRoom,
};
use crate::{
    config::{self, Config, Loaded},
    domain::JobKind,
    http,
    registry::{self, Registry},
    store::{self, StoreError, StoreRuntime},
    telemetry::board::Fatal,
    tuning::{ReloadBy, Tuner},
};
use std::{io, net::TcpListener, path::PathBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was told to end, and finished everything.
    Clean,
    /// A second signal ended it at once.
    Interrupted,
    /// Its supervisor went down too often.
    GivenUp,
    /// Handlers that never yield held too many threads.
    LostThreads,
    /// The node was silent for too long, and the other nodes deleted its row.
    Forgotten,
    /// Its supervisor or a thread of its actors no longer reacted.
    Stalled,
}

impl Exit {
    /// The exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Interrupted => 130,
            Self::GivenUp => 1,
            Self::LostThreads | Self::Forgotten | Self::Stalled => 70,
        }
    }
}

/// Why a daemon did not start, or a migration did not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration names a channel or a kind that does not exist.
    #[error("{0}")]
    Config(#[from] config::ConfigErrors),
    /// Logging cannot be set up.
    #[error("{0}")]
    Logging(#[from] crate::telemetry::logging::LoggingError),
    /// The collector of spans cannot be used.
    #[error("{0}")]
    Traces(#[from] crate::telemetry::traces::ExporterError),
    /// The port is in use, or the address is not one of this machine.
    #[error("cannot listen on `{bind}` (server.bind): {source}")]
    Bind {
        /// The address of `server.bind`.
        bind: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("{0}")]
    Tls(#[from] http::TlsError),
    /// Another daemon holds the database file.
    #[error("the database file `{}` is held by another daemon: stop it, or name another file in `database.url`", .0.display())]
    Locked(PathBuf),
    /// A file or a directory cannot be made or read.
    #[error("`{}`: {source}", .path.display())]
    File {
        /// The path of the file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file exists that this process cannot trust.
    #[error("`{}` {why}", .path.display())]
    Refused {
        /// The path of the file.
        path: PathBuf,
        /// Why, and what would be right.
        why: String,
    },
    /// The database cannot be used.
    #[error("the database `{url}`: {source}")]
    Database {
        /// Its URL, without the password.
        url: String,
        /// Why it cannot be used.
        source: StoreError,
    },
    /// The schema is older than this version, and automatic migration is off.
    #[error(
        "{0} migrations are pending and `database.auto_migrate` is off: run `postroom migrate up`"
    )]
    Pending(usize),
    /// A mistake in the registry.
    #[error("the kind `{0}` is registered twice")]
    KindTwice(JobKind),
    /// The system gives no threads or no signals.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// A mistake in the declaration of metrics.
    #[error("the metrics cannot be declared: {0}")]
    Metrics(String),
}

impl AppError {
    /// True if the configuration is at fault: the exit code is 2.
    pub const fn is_config(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Logging(_) | Self::Tls(_))
    }
}

/// What `postroom migrate` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrate {
    /// Applies all pending migrations.
    Up,
    /// Reverts the last migration.
    Down,
    /// Lists the migrations and changes nothing.
    Status,
    /// Drops everything and applies all migrations.
    Fresh,
}

/// Runs migrations by hand, and returns which are applied afterwards.
///
/// # Errors
/// If the database is unreachable, a daemon holds its file, or a migration fails.
pub fn migrate(config: &Config, what: Migrate) -> Result<store::Migrations, AppError> {
    process::close_to_others()?;
    let _lock = match lock_database(config) {
        // The list can be read beside a daemon.
        Err(AppError::Locked(_)) if what == Migrate::Status => None,
        locked => locked?,
    };
    let runtime = StoreRuntime::start()?;
    let database = config.database.clone();
    let work = async move {
        match what {
            Migrate::Up => store::migrate_up(&database).await?,
            Migrate::Down => store::migrate_down(&database).await?,
            Migrate::Fresh => store::migrate_fresh(&database).await?,
            Migrate::Status => {}
        }
        store::migrate_status(&database).await
    };
    let result = runtime.handle().block_on(work).map_err(|source| database_error(config, source));
    drop(runtime);
    result
}

fn database_error(config: &Config, source: StoreError) -> AppError {
    AppError::Database { url: config.database.url.to_string(), source }
}

/// Runs the daemon until it is told to stop. `ignores_overrides`: overrides of pools that are kept
/// for all nodes do not apply on this one.
///
/// # Errors
/// If it cannot start. While the database is unreachable it waits.
pub fn serve(loaded: Loaded, role: Role, ignores_overrides: bool) -> Result<Exit, AppError> {
    process::close_to_others()?;
    crate::telemetry::logging::init(&loaded.config.telemetry)?;
    use_small_pages();
    for warning in loaded.config.warnings() {
        tracing::warn!("{warning}");
    }
    let _address = keep_address(&loaded);
    run(loaded, registry::postroom(), StartOptions { role, ignores_overrides })
}

/// Runs a daemon with the channels and kinds of `registry`, so that tests can bring their own.
///
/// # Errors
/// As [`serve`]. Also if the configuration names a channel or a kind that `registry` does not have.
pub fn serve_with(loaded: Loaded, registry: Registry, role: Role) -> Result<Exit, AppError> {
    run(loaded, registry, StartOptions { role, ignores_overrides: false })
}

fn run(loaded: Loaded, registry: Registry, options: StartOptions) -> Result<Exit, AppError> {
    if let Some(kind) = registry.twice() {
        return Err(AppError::KindTwice(kind));
    }
    registry.check(&loaded.config)?;
    let (manager, teller) = ServiceManager::start()?;
    let system = actix_rt::System::new();
    system.block_on(async move {
        let mut signals = Signals::listen()?;
        // Kept from the start on, so that SIGHUP never ends the process. One that comes before the
        // daemon is there reloads then.
        let hangup = signal(SignalKind::hangup())?;
        let listener = listen(&loaded.config)?;
        let mut waiting_room = WaitingRoom::told_to(manager.clone());
        let again = listener.try_clone()?;
        let starting = Daemon::start_behind(&mut waiting_room, loaded, registry, options, listener);
        let daemon = match signals.unless_told(starting).await {
            Some(Ok(daemon)) => daemon,
            Some(Err(why)) => {
                waiting_room.close(again).await?;
                return Err(why);
            }
            None => {
                manager.stops();
                waiting_room.close(again).await?;
                teller.end().await;
                return Ok(Exit::Clean);
            }
        };
        drop(again);
        let reloading = actix_rt::spawn(reload_on(hangup, daemon.tuner().clone()));
        daemon.is_told_to(&manager);
        let exit = match signals.unless_told(daemon.given_up()).await {
            None => Exit::Clean,
            Some(Fatal::Supervisor | Fatal::Tuner) => Exit::GivenUp,
            Some(Fatal::LostThreads) => Exit::LostThreads,
            Some(Fatal::Forgotten) => Exit::Forgotten,
            Some(Fatal::Stalled) => Exit::Stalled,
        };
        reloading.abort();
        tracing::info!(?exit, "stopping: finishing what has begun");
        manager.stops();
        let exit = signals.unless_told(daemon.stop()).await.map_or(Exit::Interrupted, |()| exit);
        teller.end().await;
        Ok(exit)
    })
}

/// The signals that stop a daemon: SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The result of `work`, or `None` if a signal comes first.
    async fn unless_told<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            result = work => Some(result),
            () = self.recv() => None,
        }
    }
}

/// Reloads the configuration at each SIGHUP.
async fn reload_on(mut hangup: Signal, tuner: Tuner) {
    while hangup.recv().await.is_some() {
        // The tuner logs what it did.
        tuner.reload(ReloadBy::signal()).await;
    }
}

fn listen(config: &Config) -> Result<TcpListener, AppError> {
    let bind = config.server.bind;
    let failed = |source| AppError::Bind { bind: bind.to_string(), source };
    http::listen(bind).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_with_other_lists_starts_with_no_kind_that_is_not_in_them() {
        let env = vec![("POSTROOM__POOLS__READ_A_FAX__SIZE".to_owned(), "2".to_owned())];
        let loaded = Loaded::load(&config::Sources { env, ..config::Sources::default() }).unwrap();
        let started = serve_with(loaded, registry::postroom(), Role::All);
        assert!(started.is_err_and(|it| it.is_config()));
    }
}
