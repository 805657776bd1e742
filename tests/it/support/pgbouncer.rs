//! Throw-away servers of PgBouncer in transaction mode, in front of the tests' PostgreSQL.

use super::{
    eventually_blocking,
    postgres::{self, Server},
    process::{Scratch, Tied, free_port, tied_command},
    skipped::skip_or_fail,
};
use std::{
    env, fs,
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

/// Ends it at once.
const END: &str = "TERM";
const START_WITHIN: Duration = Duration::from_secs(30);
/// How often another port is tried when somebody took the one that was free.
const PORT_TRIES: u32 = 5;

/// How PgBouncer treats start parameters that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// The connection is refused: its default.
    Refused,
    /// They are left out: `ignore_startup_parameters`.
    LeftOut,
}

/// A running PgBouncer.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    process: Tied,
    /// How it was started, on its port.
    start: Start,
}

#[derive(Debug)]
struct Start {
    binary: PathBuf,
    target: String,
    parameters: Parameters,
    sessions: u32,
    scratch: Scratch,
}

impl PgBouncer {
    /// Starts one that shares `sessions` sessions among all its clients; `None` if it or PostgreSQL
    /// is not installed.
    #[track_caller]
    pub fn start(parameters: Parameters, sessions: u32) -> Option<Self> {
        let server = postgres::server()?;
        let Some(binary) = find_binary() else {
            skip_or_fail("there is no PgBouncer (pgbouncer) on the PATH or in /usr/sbin");
            return None;
        };
        let target = target(server);
        let scratch = Scratch::new("pgbouncer");
        let start = Start { binary, target, parameters, sessions, scratch };
        for _ in 0..PORT_TRIES {
            let port = free_port();
            if let Some(process) = start.on(port) {
                return Some(Self { port, process, start });
            }
        }
        panic!("PgBouncer does not start:\n{}", start.log());
    }

    /// Kills it with all its connections.
    pub fn kill_9(&self) {
        self.process.kill_9();
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        self.process = self.start.on(self.port).expect("its port is still free");
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.start.log()
    }
}

/// Where a server is, as PgBouncer wants to be told.
fn target(server: &Server) -> String {
    let target = url::Url::parse(&server.url("postgres")).expect("a URL");
    let mut to = format!(
        "host={} port={} user={}",
        target.host_str().expect("a host"),
        target.port().unwrap_or(5432),
        target.username()
    );
    if let Some(password) = target.password() {
        to += &format!(" password='{password}'");
    }
    to
}

impl Start {
    /// `None` when it ended before it listened, most likely because the port was taken.
    fn on(&self, port: u16) -> Option<Tied> {
        let ignored = match self.parameters {
            Parameters::Refused => "",
            Parameters::LeftOut => "extra_float_digits, options",
        };
        let (to, sessions) = (&self.target, self.sessions);
        // `any` lets everybody in, as the user that the target names.
        let config = format!(
            "[databases]\n* = {to}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = transaction\ndefault_pool_size = {sessions}\nmax_client_conn = 200\n\
         ignore_startup_parameters = {ignored}\n"
        );
        let file = self.scratch.path().join("pgbouncer.ini");
        fs::write(&file, config).expect("the scratch directory can be written");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the scratch directory can be written");
        let mut command = tied_command(&self.binary, END, postgres::system_user());
        command.arg(&file).stdout(log.try_clone().expect("a second handle on the log")).stderr(log);
        let process = Tied::spawn(command, END).expect("PgBouncer starts");
        eventually_blocking(START_WITHIN, || {
            let is_there = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            process.ended().map(|_| false).or_else(|| is_there().then_some(true))
        })
        .expect("PgBouncer listens or ends within half a minute")
        .then_some(process)
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("pgbouncer.log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

/// On the PATH, or where Debian puts it.
fn find_binary() -> Option<PathBuf> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&on_path).chain(["/usr/sbin".into()]).collect();
    folders.into_iter().map(|it| it.join("pgbouncer")).find(|it| it.is_file())
}

/// The version, for a test that prints on what it ran.
pub fn version() -> Option<String> {
    let output = Command::new(find_binary()?).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
