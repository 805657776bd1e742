//! Throw-away PostgreSQL servers, made from the installed binaries.
//!
//! No container, no service and no password is needed: `initdb` takes a second, and the whole
//! server lives in one temporary directory. As root it runs as the user `postgres`, since it
//! refuses to run as root.

use super::{
    eventually_blocking,
    process::{Scratch, Tied, free_port, send_signal, tied_command},
    skipped::skip_or_fail,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, OnceLock},
    time::Duration,
};

/// Names a server to be used instead of making one: `postgres://user:password@host/postgres`.
const URL_VARIABLE: &str = "POSTROOM_TEST_POSTGRES_URL";
/// Why a test is skipped that needs a server.
const MISSING: &str = "there is no PostgreSQL on the PATH or in /usr/lib/postgresql";
/// If the tests run as root, PostgreSQL runs as this user.
const SYSTEM_USER: &str = "postgres";
/// Ends it at once and without a last checkpoint; nobody will want its data.
const QUIT: &str = "QUIT";
const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How often another port is tried when somebody took the one that was free.
const PORT_TRIES: u32 = 5;
/// PostgreSQL cuts names after 63 bytes, 33 of which make a name unique.
const PREFIX_MAX: usize = 30;

/// The settings of every server; `own` may override them. Tests at once need many connections.
/// Without `fsync` a commit survives the death of all processes, though not of the machine, which
/// no test brings about.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("max_connections", "200"),
    ("shared_buffers", "128MB"),
    ("fsync", "off"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "off"),
    // With hundreds of databases, a worker for one of them would start several times a second.
    ("autovacuum", "off"),
    // Postroom sets what it needs, whatever a server's default is.
    ("default_transaction_isolation", "repeatable read"),
];

/// A PostgreSQL that tests may fill as they like.
#[derive(Debug)]
pub struct Server {
    /// The folder of `initdb`, `postgres` and `psql`; for a given server, empty if there is
    /// none.
    binaries: PathBuf,
    origin: Origin,
    /// The database that migrated ones are copied from, made when the first is asked for.
    migrated: OnceLock<String>,
}

#[derive(Debug)]
enum Origin {
    /// Somebody else's, at this URL.
    Given(String),
    Made(Box<Made>),
}

#[derive(Debug)]
struct Made {
    settings: Vec<(String, String)>,
    running: Mutex<Option<Running>>,
    /// Chosen at the first start and then kept, as a restarted server is found where it was.
    port: OnceLock<u16>,
    /// After `running`, so that it is removed last.
    scratch: Scratch,
}

#[derive(Debug)]
struct Running {
    process: Tied,
}

/// Returns this test process's shared server, made at the first call.
///
/// `None` if no PostgreSQL is installed: the caller returns early, having tested nothing, and is
/// named at the end of `cargo test`; with `POSTROOM_TEST_POSTGRES_REQUIRED=1` it is a failure
/// instead.
#[track_caller]
pub fn server() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => {
            let binaries = find_binaries().unwrap_or_default();
            Some(Server::of(binaries, Origin::Given(url)))
        }
        Ok(_) | Err(_) => Server::begin(&[]),
    });
    if shared.is_none() {
        skip_or_fail(MISSING);
    }
    shared.as_ref()
}

impl Server {
    const fn of(binaries: PathBuf, origin: Origin) -> Self {
        Self { binaries, origin, migrated: OnceLock::new() }
    }

    /// Makes a server that the caller alone uses, and may stop and kill.
    ///
    /// `settings` as in `postgresql.conf`, for instance `("fsync", "on")`. Always made here, even
    /// where the environment names a server: that one is not ours to stop. `None` as in [`server`].
    #[track_caller]
    pub fn own(settings: &[(&str, &str)]) -> Option<Self> {
        let own = Self::begin(settings);
        if own.is_none() {
            skip_or_fail(MISSING);
        }
        own
    }

    /// As [`Self::own`], for a caller that reports itself that nothing was tested.
    fn begin(settings: &[(&str, &str)]) -> Option<Self> {
        let binaries = find_binaries()?;
        let settings = SETTINGS.iter().chain(settings);
        let settings = settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let made = Made::new(settings.collect());
        made.init(&binaries);
        let server = Self::of(binaries, Origin::Made(Box::new(made)));
        server.start();
        Some(server)
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        match &self.origin {
            Origin::Given(url) => {
                let mut url = url::Url::parse(url).expect(URL_VARIABLE);
                url.set_path(database);
                url.into()
            }
            Origin::Made(made) => {
                let port = made.port.get().expect("set at the first start");
                format!("postgres://postgres@127.0.0.1:{port}/{database}")
            }
        }
    }

    /// As [`Self::create_database`], with its tables on a disk of their own; the write-ahead log
    /// stays where it is.
    pub fn create_database_on(&self, disk: &Path, prefix: &str) -> String {
        give_to_server(disk);
        let name = self.create_database(prefix);
        let location = disk.display();
        self.execute("postgres", &format!("create tablespace {name} location '{location}'"));
        self.execute("postgres", &format!("alter database {name} set tablespace {name}"));
        name
    }

    /// Creates an empty database and returns its name: `prefix` and what makes it unique.
    pub fn create_database(&self, prefix: &str) -> String {
        self.create_database_from(prefix, "template1")
    }

    fn create_database_from(&self, prefix: &str, template: &str) -> String {
        let prefix: String = prefix
            .chars()
            .map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '_' })
            .take(PREFIX_MAX)
            .collect();
        // A given server may hold databases of other test processes, and of earlier ones.
        let name = format!("{prefix}_{}", uuid::Uuid::new_v4().simple());
        self.execute("postgres", &format!("create database \"{name}\" template \"{template}\""));
        name
    }

    /// Creates a database with the schema of this version and returns its name, as
    /// [`Self::create_database`] does.
    ///
    /// It is a copy of one that was migrated once: a third of the work of migrating each.
    pub fn create_migrated_database(&self, prefix: &str) -> String {
        let template = self.migrated.get_or_init(|| {
            let name = self.create_database("migrated");
            let mut postroom = Command::new(env!("CARGO_BIN_EXE_postroom"));
            postroom.args(["migrate", "up"]).env("POSTROOM__DATABASE__URL", self.url(&name));
            done("postroom migrate up", postroom.output());
            name
        });
        self.create_database_from(prefix, template)
    }

    /// Drops a database, even if there are connections to it. A missing database is no error.
    pub fn drop_database(&self, name: &str) {
        self.execute("postgres", &format!("drop database if exists \"{name}\" with (force)"));
    }

    /// Runs SQL in a database, past Postroom's own code, and returns the rows: `|` between the
    /// columns.
    pub fn execute(&self, database: &str, sql: &str) -> String {
        let psql = self.binaries.join("psql");
        let output = Command::new(if psql.exists() { &psql } else { Path::new("psql") })
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(self.url(database))
            .output();
        done("psql", output).trim_end().to_owned()
    }

    /// Runs one of PostgreSQL's own tools, or a shell command that names them, and returns what it
    /// prints.
    pub fn run_tools(&self, command: &str) -> String {
        let path = env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.binaries.display());
        let output = Command::new("sh").args(["-c", command]).env("PATH", path).output();
        done(command, output)
    }

    /// Starts it again where it was, after [`stop`](Self::stop) or [`kill_9`](Self::kill_9).
    pub fn start(&self) {
        let made = self.made();
        let mut running = made.running.lock().expect("no start panicked before");
        assert!(running.is_none(), "PostgreSQL runs already");
        *running = Some(made.start(&self.binaries));
    }

    /// Copies a server that is stopped, with all that it has stored. The copy is to be started.
    pub fn copy(&self) -> Self {
        let made = self.made();
        assert!(made.running.lock().expect("no start panicked before").is_none(), "it is stopped");
        let copy = Made::new(made.settings.clone());
        done("cp", Command::new("cp").arg("-a").arg(made.data()).arg(copy.data()).output());
        Self::of(self.binaries.clone(), Origin::Made(Box::new(copy)))
    }

    /// Starts it again as a standby, which takes no writes until `pg_promote()` is called.
    pub fn start_as_standby(&self) {
        let signal = self.made().data().join("standby.signal");
        fs::write(&signal, "").expect("the server's folder can be written");
        give_to_server(&signal);
        self.start();
    }

    /// Stops it as an administrator would: connections are cut, what is committed is kept.
    pub fn stop(&self) {
        let running = self.take_running();
        running.process.signal("INT");
        running.process.wait_blocking(STOP_WITHIN).expect("PostgreSQL stops");
    }

    /// Kills all its processes at once, as when its machine fails. What was committed must come
    /// back.
    pub fn kill_9(&self) {
        let running = self.take_running();
        // Stopped first, so that it starts no further process while we look for those it has.
        running.process.signal("STOP");
        for pid in children(running.process.pid()) {
            send_signal("KILL", pid);
        }
        running.process.kill_9();
    }

    /// Freezes the server and its connections: they stay open and answer nothing.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Undoes [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.made().log()
    }

    fn signal_all(&self, name: &str) {
        let running = self.made().running.lock().expect("no start panicked before");
        let process = &running.as_ref().expect("PostgreSQL runs").process;
        process.signal(name);
        for pid in children(process.pid()) {
            send_signal(name, pid);
        }
    }

    fn take_running(&self) -> Running {
        let mut running = self.made().running.lock().expect("no start panicked before");
        running.take().expect("PostgreSQL runs")
    }

    fn made(&self) -> &Made {
        match &self.origin {
            Origin::Made(made) => made,
            Origin::Given(_) => {
                panic!("a server named by {URL_VARIABLE} is not ours: use Server::own")
            }
        }
    }
}

impl Made {
    /// One without data, in a folder of its own.
    fn new(settings: Vec<(String, String)>) -> Self {
        let scratch = Scratch::new("postgres");
        give_to_server(scratch.path());
        Self { settings, running: Mutex::new(None), port: OnceLock::new(), scratch }
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("server.log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn init(&self, binaries: &Path) {
        let mut initdb = tied_command(&binaries.join("initdb"), QUIT, system_user());
        initdb
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(self.data());
        done("initdb", initdb.output());
    }

    fn start(&self, binaries: &Path) -> Running {
        for _ in 0..PORT_TRIES {
            let port = self.port.get().copied().unwrap_or_else(free_port);
            if let Some(running) = self.start_on(port, binaries) {
                self.port.get_or_init(|| port);
                return running;
            }
        }
        panic!("PostgreSQL does not start:\n{}", self.log());
    }

    /// `None` when it ended before it was ready, most likely because the port was taken.
    fn start_on(&self, port: u16, binaries: &Path) -> Option<Running> {
        let log = fs::File::options().create(true).append(true).open(self.log_file());
        let log = log.expect("the scratch directory can be written");
        let mut postgres = tied_command(&binaries.join("postgres"), QUIT, system_user());
        postgres
            .arg("-D")
            .arg(self.data())
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.scratch.path().display()))
            .args(["-c", &format!("port={port}")])
            .args(
                self.settings
                    .iter()
                    .flat_map(|(key, value)| ["-c".to_owned(), format!("{key}={value}")]),
            )
            .stdout(log.try_clone().expect("a second handle on the log"))
            .stderr(log);
        let process = Tied::spawn(postgres, QUIT).expect("PostgreSQL starts");
        eventually_blocking(START_WITHIN, || {
            process.ended().map(|_| false).or_else(|| self.is_ready(process.pid()).then_some(true))
        })
        .expect("PostgreSQL is ready or ends within a minute")
        .then_some(Running { process })
    }

    /// Reads the server's own note: its first line is the process, its eighth the state.
    fn is_ready(&self, pid: u32) -> bool {
        let note = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = note.lines();
        lines.next() == Some(pid.to_string().as_str())
            && lines.nth(6).is_some_and(|state| matches!(state.trim(), "ready" | "standby"))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut().ok().and_then(Option::take) {
            running.process.signal(QUIT);
            running.process.wait_blocking(STOP_WITHIN);
        }
    }
}

/// Lets the user that servers run as write to a file or a folder.
fn give_to_server(path: &Path) {
    if let Some(user) = system_user() {
        done("chown", Command::new("chown").arg(format!("{user}:")).arg(path).output());
    }
}

/// The user to run the server as; `None` for the one that runs the tests.
pub fn system_user() -> Option<&'static str> {
    static IS_ROOT: OnceLock<bool> = OnceLock::new();
    let is_root =
        IS_ROOT.get_or_init(|| done("id", Command::new("id").arg("-u").output()).trim() == "0");
    is_root.then_some(SYSTEM_USER)
}

/// The folder with `initdb` and `postgres`: the one on the PATH, or else the newest where Debian
/// puts them.
fn find_binaries() -> Option<PathBuf> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&on_path).filter_map(|folder| {
        // Where only some of them are linked into the PATH, the others lie beside the link's end.
        fs::canonicalize(folder.join("initdb")).ok()?.parent().map(Path::to_owned)
    });
    let mut packaged: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    packaged.sort();
    let packaged = packaged.into_iter().rev().map(|(_, folder)| folder);
    on_path.chain(packaged).find(|it| it.join("initdb").is_file() && it.join("postgres").is_file())
}

/// The processes that `parent` has started and that still run.
fn children(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // `pid (name) state parent …`, and a name may hold anything.
            let (_, rest) = stat.rsplit_once(')')?;
            (rest.split_whitespace().nth(1)? == parent).then_some(pid)
        })
        .collect()
}

/// The output of a program; panics with its error output if it failed.
#[track_caller]
fn done(program: &str, output: std::io::Result<Output>) -> String {
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}\n{complaint}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
