//! This test program as a daemon: a process of its own, with job kinds that no product should have.
//!
//! Some proofs need a process that dies. Its job kinds are here and not in `src`, so that no
//! shipped binary contains them: the test program starts itself once more, and runs the test below,
//! which is no test.

use postroom::{
    app::{Role, serve_with},
    config::{Loaded, Sources},
    domain::{Job, JobKind, Outcome},
    handlers::JobHandler,
    registry::{Registry, postroom},
    telemetry::logging,
};
use std::{env, process, thread, time::Duration};

/// The arguments that make the test program a daemon.
pub const ARGS: [&str; 4] = ["own_daemon::no_test", "--exact", "--ignored", "--nocapture"];
/// The variable that names its configuration files.
pub const CONFIGS: &str = "TEST_DAEMON_CONFIGS";
/// The variable that gives it Postroom's own channels and kinds, too.
pub const WITH_CHANNELS: &str = "TEST_DAEMON_WITH_CHANNELS";

/// The variable that makes it a newer version, which knows one kind more.
pub const KNOWS_MORE: &str = "TEST_DAEMON_KNOWS_MORE";

/// Ends the whole process.
struct Poison;

impl JobHandler for Poison {
    const KIND: JobKind = JobKind("POISON");

    async fn handle(&self, job: &Job) -> Outcome {
        if job.client_id == "lingers" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        process::abort()
    }
}

/// Takes 1.2 seconds.
struct Beside;

impl JobHandler for Beside {
    const KIND: JobKind = JobKind("BESIDE");

    async fn handle(&self, _: &Job) -> Outcome {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        Outcome::Done(Vec::new())
    }
}

/// Its first attempt waits for longer than any test and does not keep its thread. Its second
/// attempt succeeds at once.
struct Lingers;

impl JobHandler for Lingers {
    const KIND: JobKind = JobKind("LINGERS");

    async fn handle(&self, job: &Job) -> Outcome {
        if job.attempt == 1 {
            std::future::pending::<()>().await;
        }
        Outcome::Done(Vec::new())
    }
}

/// Keeps its thread busy for five seconds.
struct Burns;

impl JobHandler for Burns {
    const KIND: JobKind = JobKind("BURNS");

    async fn handle(&self, _: &Job) -> Outcome {
        let started = tokio::time::Instant::now();
        while started.elapsed() < Duration::from_secs(5) {
            std::hint::spin_loop();
        }
        Outcome::Done(Vec::new())
    }
}

/// Does what [`Lingers`] does, as a kind that only the newer version knows.
struct Novel(Lingers);

impl JobHandler for Novel {
    const KIND: JobKind = JobKind("NOVEL");

    async fn handle(&self, job: &Job) -> Outcome {
        self.0.handle(job).await
    }
}

/// Fails once, or always for the client `doomed`.
struct Flaky;

impl JobHandler for Flaky {
    const KIND: JobKind = JobKind("FLAKY");

    async fn handle(&self, job: &Job) -> Outcome {
        match job.attempt {
            1 => Outcome::Retry("not yet".to_owned()),
            _ if job.client_id == "doomed" => Outcome::Retry("never".to_owned()),
            _ => Outcome::Done(Vec::new()),
        }
    }
}

/// Keeps its thread for good.
struct Blocks;

impl JobHandler for Blocks {
    const KIND: JobKind = JobKind("BLOCKS");

    async fn handle(&self, _: &Job) -> Outcome {
        loop {
            thread::park();
        }
    }
}

#[test]
#[ignore = "a daemon that other tests start, and no test"]
fn no_test() {
    // A person who runs all ignored tests wants no daemon.
    let Some(files) = env::var_os(CONFIGS) else { return };
    let sources = Sources { files: env::split_paths(&files).collect(), ..Sources::default() };
    let loaded = Loaded::load(&sources).expect("a configuration");
    logging::init(&loaded.config.telemetry).expect("a log");
    let own = if env::var_os(WITH_CHANNELS).is_some() { postroom() } else { Registry::default() };
    let mut registry = own
        .kind(|_| Poison)
        .kind(|_| Beside)
        .kind(|_| Blocks)
        .kind(|_| Lingers)
        .kind(|_| Burns)
        .kind(|_| Flaky);
    if env::var_os(KNOWS_MORE).is_some() {
        registry = registry.kind(|_| Novel(Lingers));
    }
    match serve_with(loaded, registry, Role::All) {
        Ok(exit) => process::exit(exit.code().into()),
        Err(error) => panic!("{error}"),
    }
}
