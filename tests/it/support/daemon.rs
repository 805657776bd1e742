//! The real daemon as a child process, to be asked, stopped and killed as an operator would.

use super::{
    http,
    leftovers::{self, Allowed, Leftover},
    process::{Scratch, Tied, free_port, tied_command},
    seen_within, sqlite,
};
use crate::own_daemon;
use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    thread,
    time::Duration,
};

/// The admin token of every daemon that the tests start.
const ADMIN_TOKEN: &str = "an-admin-token-for-tests";
/// How often another port is tried when somebody took the one that was free.
const PORT_TRIES: u32 = 5;
/// The path of another build of the daemon to run, such as a release for measurements.
const BINARY: &str = "POSTROOM_TEST_BINARY";
/// How much of its log a failed test prints.
const LOG_TAIL_LINES: usize = 60;

/// How to start a [`Daemon`]. `Options::default()` is one on a fresh SQLite database, ready to
/// work.
#[derive(Clone, Debug)]
pub struct Options {
    /// The test's own configuration, as TOML. It is laid over the harness's, which says where to
    /// listen, where the database is and what the admin token is, and may override any of that.
    pub config: String,
    /// The database's URL; `None` for SQLite in the daemon's own directory.
    pub database_url: Option<String>,
    /// The URL in the daemon's configuration, if a pooler or a proxy stands between.
    pub told_url: Option<String>,
    /// Whether its SQLite file is there from the start, with the schema of this version.
    pub has_schema: bool,
    /// Arguments after `serve --config …`, for instance `["--role", "worker"]`.
    pub args: Vec<String>,
    /// Environment variables, on top of the test's own without its `POSTROOM__…`.
    pub env: Vec<(String, String)>,
    /// Run this test program in the place of `postroom`, as [`crate::own_daemon`]: the same daemon
    /// with the job kinds that are there for tests. `args` do not count then.
    pub has_own_kinds: bool,
    /// Start it without `--config`, so that it reads `config/local.toml` if there is one: variables
    /// say what the harness's file says. `config` does not count then.
    pub has_local_only: bool,
    /// How many files it may open, as its soft and its hard limit; `None` leaves the test's own.
    pub open_files: Option<u32>,
    /// What to wait for.
    pub until: Until,
    /// How long to wait for it.
    pub within: Duration,
}

/// When a start counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At once: for a daemon that is expected to end.
    Started,
    /// `GET /healthz` answers 200.
    Alive,
    /// `GET /readyz` answers 200.
    Ready,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: String::new(),
            database_url: None,
            told_url: None,
            has_schema: false,
            args: Vec::new(),
            env: Vec::new(),
            has_own_kinds: false,
            has_local_only: false,
            open_files: None,
            until: Until::Ready,
            within: Duration::from_secs(30),
        }
    }
}

/// A daemon that runs, or ran. Dropping it kills it and removes its directory.
///
/// When the test has failed by then, the end of the daemon's log is printed. Else the test fails if
/// it leaves something behind: see [`leftovers`]. A daemon that runs, and works jobs, first gets
/// some seconds to end those that are due.
#[derive(Debug)]
pub struct Daemon {
    /// For requests beyond those that the methods prepare.
    pub http: reqwest::Client,
    options: Options,
    may_leave: Allowed,
    port: u16,
    process: Tied,
    /// After `process`, so that it is removed last.
    scratch: Scratch,
}

impl Daemon {
    /// Starts a daemon and waits as `options` say. Panics with its log when it does not come up.
    pub async fn start(options: Options) -> Self {
        let (http, scratch) = (http(), Scratch::new("daemon"));
        if options.has_schema && options.database_url.is_none() {
            sqlite::write_migrated(&database_file(scratch.path()));
        }
        let mut tries = 0;
        let (port, process) = loop {
            tries += 1;
            let port = free_port();
            write_configs(scratch.path(), &options, port);
            let process = spawn(scratch.path(), &options, port);
            match wait_until_up(&http, &process, port, &options).await {
                Ok(()) => break (port, process),
                Err(_) if tries < PORT_TRIES && is_taken(port, scratch.path()) => {}
                Err(why) => panic!("the daemon {why}:\n{}", read_log(scratch.path())),
            }
        };
        let may_leave = Allowed::default();
        Self { http, options, may_leave, port, process, scratch }
    }

    /// Says that this may be left behind when it is dropped, and why that is right.
    pub fn may_leave(&self, what: Leftover, why: &'static str) {
        self.may_leave.add(what, why);
    }

    /// Starts it again, on the same port, configuration and database, after it has ended.
    pub async fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "the daemon runs already");
        self.process = spawn(self.scratch.path(), &self.options, self.port);
        if let Err(why) = wait_until_up(&self.http, &self.process, self.port, &self.options).await {
            panic!("the daemon {why}:\n{}", self.log());
        }
    }

    /// The URL of a path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        url(self.port, path)
    }

    /// The bearer token for `/api/v1`.
    pub fn admin_token(&self) -> &'static str {
        ADMIN_TOKEN
    }

    /// Prepares a request without any credentials.
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(self.url(path))
    }

    /// Prepares a request to the admin API; `path` is what follows `/api/v1`.
    pub fn api(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(&format!("/api/v1{path}"))).bearer_auth(ADMIN_TOKEN)
    }

    /// Prepares a provider's `POST`, without a secret and without a body.
    pub fn webhook(&self, channel: &str, client: &str) -> reqwest::RequestBuilder {
        self.http.post(self.url(&format!("/webhooks/{channel}/{client}")))
    }

    /// Where its configuration, its log and, on SQLite, its database are.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The database, in the form of `database.url`, past any pooler.
    pub fn database_url(&self) -> String {
        database_url(self.scratch.path(), &self.options)
    }

    /// Replaces the test's part of the configuration while the daemon runs, whole, as an editor
    /// does.
    pub fn configure(&mut self, config: &str) {
        config.clone_into(&mut self.options.config);
        write_test_config(self.scratch.path(), config);
    }

    /// Sets the environment variables of its next start, on top of the test's own.
    pub fn set_env(&mut self, env: Vec<(String, String)>) {
        self.options.env = env;
    }

    /// Sets the arguments of its next start, after `serve --config …`.
    pub fn set_args(&mut self, args: &[&str]) {
        self.options.args = args.iter().map(|it| (*it).to_owned()).collect();
    }

    /// Sets when its next start counts as done.
    pub fn set_until(&mut self, until: Until) {
        self.options.until = until;
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How it ended, if it does within that time.
    pub async fn ended_within(&self, within: Duration) -> Option<ExitStatus> {
        seen_within(within, async || self.process.ended()).await
    }

    /// Sends a signal, named without `SIG`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Asks it to stop: SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Kills it, as a crash would, and returns when it is gone.
    pub fn kill_9(&self) {
        self.process.kill_9();
    }

    /// True while it has not ended.
    pub fn is_running(&self) -> bool {
        self.process.ended().is_none()
    }

    /// The most memory that it has had so far, in MiB.
    pub fn peak_mib(&self) -> u64 {
        self.memory_mib("VmHWM:")
    }

    /// The memory that it has now, in MiB.
    pub fn resident_mib(&self) -> u64 {
        self.memory_mib("VmRSS:")
    }

    fn memory_mib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid()));
        let status = status.expect("a running process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("so many kB") / 1_024
    }

    /// Waits for its end. Panics when it still runs after `within`.
    pub async fn wait(&self, within: Duration) -> ExitStatus {
        match seen_within(within, async || self.process.ended()).await {
            Some(status) => status,
            None => panic!("the daemon still runs after {within:?}"),
        }
    }

    /// Everything that it has printed so far, over all its starts.
    pub fn log(&self) -> String {
        read_log(self.scratch.path())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let skipped = log.lines().count().saturating_sub(LOG_TAIL_LINES);
            let tail: Vec<&str> = log.lines().skip(skipped).collect();
            eprintln!("--- the end of the daemon's log ---\n{}\n---", tail.join("\n"));
            return;
        }
        let works_jobs = self.is_running() && !self.options.args.iter().any(|it| it == "ingest");
        let forbidden = if works_jobs { leftovers::OF_DAEMONS } else { leftovers::OF_ENDED };
        let patience = leftovers::PATIENCE_WITH_DAEMONS;
        let mut left =
            leftovers::left_in(&self.database_url(), &self.may_leave, forbidden, patience);
        left.extend(leftovers::left_in_log(&self.log(), &self.may_leave));
        leftovers::assert_nothing(&left);
    }
}

fn url(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}")
}

fn database_url(directory: &Path, options: &Options) -> String {
    options
        .database_url
        .clone()
        .unwrap_or_else(|| format!("sqlite://{}", database_file(directory).display()))
}

fn database_file(directory: &Path) -> PathBuf {
    directory.join("postroom.db")
}

fn harness_config(directory: &Path) -> PathBuf {
    directory.join("harness.toml")
}

fn test_config(directory: &Path) -> PathBuf {
    directory.join("test.toml")
}

/// What the harness sets, by section and key.
fn harness_values(
    directory: &Path,
    options: &Options,
    port: u16,
) -> [(&'static str, &'static str, String); 3] {
    let database = options.told_url.clone().unwrap_or_else(|| database_url(directory, options));
    [
        ("server", "bind", format!("127.0.0.1:{port}")),
        ("database", "url", database),
        ("admin", "token", ADMIN_TOKEN.to_owned()),
    ]
}

fn write_configs(directory: &Path, options: &Options, port: u16) {
    let line = |(section, key, value)| format!("[{section}]\n{key} = \"{value}\"\n");
    let harness = harness_values(directory, options, port).map(line).concat();
    write_private(&harness_config(directory), &harness);
    write_test_config(directory, &options.config);
}

/// Writes the test's configuration. A daemon that watches the file never sees half of it.
fn write_test_config(directory: &Path, config: &str) {
    let new = directory.join("test.toml.new");
    write_private(&new, config);
    fs::rename(new, test_config(directory)).expect("the scratch directory can be written");
}

/// Writes a file that its owner alone may read, as one with secrets in it should be.
fn write_private(path: &Path, text: &str) {
    let file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut it| it.write_all(text.as_bytes()))
        .expect("the scratch directory can be written");
}

fn spawn(directory: &Path, options: &Options, port: u16) -> Tied {
    let log = fs::File::options().create(true).append(true).open(log_file(directory));
    let log = log.expect("the scratch directory can be written");
    let own = env::current_exe().expect("a test program knows itself");
    let other = env::var_os(BINARY).map(PathBuf::from);
    let built = Path::new(env!("CARGO_BIN_EXE_postroom"));
    let program = if options.has_own_kinds { &own } else { other.as_deref().unwrap_or(built) };
    let mut command = match options.open_files {
        None => tied_command(program, "KILL", None),
        Some(limit) => {
            let mut command = tied_command(Path::new("prlimit"), "KILL", None);
            command.arg(format!("--nofile={limit}:{limit}")).arg(program);
            command
        }
    };
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy().to_ascii_uppercase();
        if name.starts_with("POSTROOM__") || name == "RUST_LOG" {
            command.env_remove(&key);
        }
    }
    let configs = [harness_config(directory), test_config(directory)];
    if options.has_own_kinds {
        let configs = env::join_paths(configs).expect("paths without a colon");
        command.args(own_daemon::ARGS).env(own_daemon::CONFIGS, configs);
    } else {
        command.arg("serve");
        if options.has_local_only {
            let values = harness_values(directory, options, port);
            command.envs(values.map(|(section, key, value)| {
                (format!("POSTROOM__{section}__{key}").to_ascii_uppercase(), value)
            }));
        } else {
            command
                .args(configs.iter().flat_map(|config| ["--config".as_ref(), config.as_os_str()]));
        }
        command.args(&options.args);
    }
    command
        // The tests' providers are on loopback, whatever proxy the machine has.
        .env("NO_PROXY", "127.0.0.1,localhost")
        .envs(options.env.iter().map(|(key, value)| (key, value)))
        .current_dir(directory)
        .stdout(log.try_clone().expect("a second handle on the log"))
        .stderr(log);
    Tied::spawn(command, "KILL").expect("the daemon's binary starts")
}

/// Waits as the options say. The error says how the start failed.
async fn wait_until_up(
    http: &reqwest::Client,
    process: &Tied,
    port: u16,
    options: &Options,
) -> Result<(), String> {
    let path = match options.until {
        Until::Started => return Ok(()),
        Until::Alive => "/healthz",
        Until::Ready => "/readyz",
    };
    let url = url(port, path);
    let seen = seen_within(options.within, async || {
        if let Some(status) = process.ended() {
            return Some(Err(format!("ended at once ({status})")));
        }
        let answer = http.get(&url).send().await.ok()?;
        answer.status().is_success().then_some(Ok(()))
    });
    seen.await.unwrap_or_else(|| Err(format!("does not answer {path} within {:?}", options.within)))
}

/// True when it ended because another process took the port that was free a moment ago.
fn is_taken(port: u16, directory: &Path) -> bool {
    let log = read_log(directory).to_ascii_lowercase();
    let port = port.to_string();
    log.lines().any(|line| {
        line.contains("address already in use")
            || line.contains("in use") && line.contains(port.as_str())
    })
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("daemon.log")
}

fn read_log(directory: &Path) -> String {
    let log = fs::read(log_file(directory)).unwrap_or_default();
    String::from_utf8_lossy(&log).into_owned()
}
