//! Child processes and directories that go away with the test process, however that ends.

use super::eventually_blocking;
use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// What all tests together write, most of it into the databases of PostgreSQL: twice as much as
/// was seen.
const SCRATCH_BYTES: u64 = 12 << 30;

/// A running child process. Dropping it kills it.
///
/// The kernel kills it, too, when the test process dies: it was started through
/// `setpriv --pdeathsig`. That signal comes when the *thread* that started the child ends, so each
/// child has a thread of its own, which then waits for it.
#[derive(Debug)]
pub struct Tied {
    pid: u32,
    ended: Arc<OnceLock<ExitStatus>>,
}

impl Tied {
    /// Starts `command`, which must come from [`tied_command`]. `signal` as there.
    pub fn spawn(mut command: Command, signal: &'static str) -> io::Result<Self> {
        let (started, pid) = mpsc::channel();
        let ended = Arc::new(OnceLock::new());
        let end = Arc::clone(&ended);
        thread::Builder::new().name("child".to_owned()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let watcher = (!has_setpriv()).then(|| watch(child.id(), signal));
            drop(started.send(Ok(child.id())));
            let status = child.wait().expect("our own child can be waited for");
            end.set(status).expect("set here only");
            if let Some(mut watcher) = watcher {
                // Before its number can belong to someone else.
                drop(watcher.kill().and_then(|()| watcher.wait()));
            }
        })?;
        let pid = pid.recv().expect("the thread answers before it ends")?;
        Ok(Self { pid, ended })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.ended.get().copied()
    }

    /// Sends a signal, named without `SIG`. Does nothing to a process that has ended.
    pub fn signal(&self, name: &str) {
        if self.ended().is_none() {
            send_signal(name, self.pid);
        }
    }

    /// Kills it, as a crash would, and returns when it is gone.
    pub fn kill_9(&self) {
        self.signal("KILL");
        self.wait_blocking(Duration::from_secs(10));
    }

    /// Waits for the end; `None` when it still runs after `within`.
    pub fn wait_blocking(&self, within: Duration) -> Option<ExitStatus> {
        eventually_blocking(within, || self.ended())
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        self.kill_9();
    }
}

/// Prepares `program` to run as a [`Tied`] child that gets `signal` when the test process dies.
///
/// With `user`, it runs as that user, for which the test process must be root.
pub fn tied_command(program: &Path, signal: &str, user: Option<&str>) -> Command {
    if !has_setpriv() {
        assert!(user.is_none(), "changing the user needs setpriv (util-linux)");
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", signal]).arg(program);
    command
}

/// Sends a signal, named without `SIG`, through the shell's own `kill`: the program may not be
/// installed.
pub fn send_signal(name: &str, pid: u32) {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    // A refusal means that the process is gone already.
    sent.expect("`sh` runs");
}

/// True if `setpriv` can tie a child to its parent: on any Linux of the last years.
fn has_setpriv() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|it| it.success())
    })
}

/// Stands in for `--pdeathsig`: a shell that signals `pid` when our end of its input closes.
fn watch(pid: u32, signal: &str) -> Child {
    at_our_end("kill -s \"$0\" \"$1\"", &[signal, &pid.to_string()])
}

/// Starts a shell that runs `script` once this process is gone.
///
/// It waits for the end of its input. The system closes the other end of that pipe when this
/// process dies, whatever kills it. It ignores what a terminal or a test runner sends to our whole
/// group.
fn at_our_end(script: &str, arguments: &[&str]) -> Child {
    Command::new("sh")
        .arg("-c")
        .arg(format!("trap '' INT HUP TERM; cat >/dev/null; {script}"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("`sh` starts")
}

/// A fresh directory for one test or server, removed when dropped or when the test process is gone.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    broom: Child,
}

impl Scratch {
    /// Makes a directory whose name starts with `postroom-{what}-`.
    pub fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("postroom-{what}-{}-{number}", std::process::id());
        let path = scratch_folder().join(name);
        // Left by a process with the same number, before a reboot took its broom away.
        if fs::exists(&path).unwrap_or_default() {
            fs::remove_dir_all(&path).expect("an old scratch directory can be removed");
        }
        fs::create_dir(&path).expect("the temporary directory can be written");
        // Its writers end at about the same time, and may still make files: hence several tries.
        let sweep = "for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf \"$0\" && exit; sleep 0.5; done";
        let name = path.to_str().expect("the temporary directory has a readable name").to_owned();
        Self { path, broom: at_our_end(sweep, &[&name]) }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Ends its input, on which it sweeps.
        drop(self.broom.stdin.take());
        drop(self.broom.wait());
    }
}

/// Where scratch directories are: in memory if there is room for all tests, or else in the
/// system's temporary directory, or where `TMPDIR` says.
///
/// A test makes hundreds of files for its database, which on a disk costs more than what it tests.
/// No test is about a machine that fails, so none needs a disk.
fn scratch_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let in_memory = Path::new("/dev/shm");
        let is_told = std::env::var_os("TMPDIR").is_some();
        if is_told || !is_writable(in_memory) || room(in_memory) < SCRATCH_BYTES {
            return std::env::temp_dir();
        }
        in_memory.to_owned()
    })
}

fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

/// The bytes that a file system in memory can still take.
fn room(folder: &Path) -> u64 {
    let on_it = rustix::fs::statvfs(folder).map_or(0, |it| it.f_bavail * it.f_frsize);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory.lines().find_map(|line| {
        line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    on_it.min(available.unwrap_or_default() * 1024)
}

/// A small disk in memory, taken away when dropped or when the test process is gone.
#[derive(Debug)]
pub struct Tmpfs {
    broom: Child,
    /// After the broom: what is mounted goes first.
    scratch: Scratch,
}

impl Tmpfs {
    /// Mounts one of that size, as `mount` spells it; `None` if that is not allowed.
    pub fn mount(size: &str) -> Option<Self> {
        let scratch = Scratch::new("disk");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "postroom-test"])
            .arg(scratch.path())
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|it| it.success()) {
            return None;
        }
        let name = scratch.path().to_str().expect("a readable name").to_owned();
        Some(Self { broom: at_our_end("umount -l \"$0\"", &[&name]), scratch })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(self.broom.stdin.take());
        drop(self.broom.wait());
    }
}

/// A port that nobody listens on just now. Another process may take it first: be ready to try
/// again.
pub fn free_port() -> u16 {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    probe.local_addr().expect("a bound socket has an address").port()
}
