//! The files of a daemon are for its own user alone: how it makes them, and which ones of others it
//! refuses.

use crate::support::{
    eventually, http,
    process::{Scratch, Tied, tied_command},
    skipped::skip,
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Far more than a start takes.
const SOON: Duration = Duration::from_secs(30);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A daemon with the defaults for files, in a directory of its own.
struct Place {
    scratch: Scratch,
}

struct Running {
    process: Tied,
    log: PathBuf,
    /// Where in its log this start begins.
    from: usize,
}

impl Place {
    fn new() -> Self {
        Self { scratch: Scratch::new("files") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Makes `data/` as an earlier start has left it.
    fn with_data() -> Self {
        let place = Self::new();
        fs::create_dir(place.path("data")).unwrap();
        fs::set_permissions(place.path("data"), fs::Permissions::from_mode(0o700)).unwrap();
        place
    }

    /// Starts a daemon that makes files for everybody unless it sees to that itself.
    fn spawn(&self, name: &str, config: &str) -> Running {
        self.spawn_as(None, name, config)
    }

    fn spawn_as(&self, user: Option<&str>, name: &str, config: &str) -> Running {
        let file = self.path(&format!("{name}.toml"));
        fs::write(&file, format!("server.bind = \"127.0.0.1:0\"\n{config}")).unwrap();
        let log = self.path(&format!("{name}.log"));
        let from = fs::read_to_string(&log).map_or(0, |it| it.len());
        let output = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = tied_command(Path::new("sh"), "KILL", user);
        command
            .args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_postroom"), "serve"])
            .arg("--config")
            .arg(&file)
            .current_dir(self.scratch.path())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        Running { process: Tied::spawn(command, "KILL").unwrap(), log, from }
    }

    /// Starts a daemon and waits until it is ready.
    async fn start(&self) -> Running {
        let running = self.spawn("config", "");
        running.is_ready().await;
        running
    }

    /// Starts a daemon that must be refused, and returns its message.
    fn refused(&self, config: &str) -> String {
        self.spawn("config", config).is_refused()
    }

    fn mode(&self, name: &str) -> u32 {
        mode(&self.path(name))
    }
}

impl Running {
    /// Waits until it is ready, and says where it listens.
    async fn is_ready(&self) -> String {
        eventually(SOON, async || {
            assert!(self.process.ended().is_none(), "{}", self.log());
            let log = self.log();
            let (_, ready) = log.get(self.from..)?.split_once("ready url=\"")?;
            Some(ready.split_once('"')?.0.to_owned())
        })
        .await
    }

    fn is_refused(&self) -> String {
        let status = self.process.wait_blocking(SOON).expect("it ends");
        assert_eq!(status.code(), Some(1), "{}", self.log());
        self.log()
    }

    async fn takes(&self, token: &str) -> bool {
        let url = format!("{}/api/v1/pools", self.is_ready().await);
        http().get(url).bearer_auth(token).send().await.unwrap().status().is_success()
    }

    fn stop(self) {
        self.process.signal("TERM");
        self.process.wait_blocking(SOON).expect("it ends");
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    let found = fs::symlink_metadata(path).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    found.permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The id of a user who is not us; `None`, and the test is skipped, where files cannot be given
/// away.
#[track_caller]
fn somebody_else() -> Option<u32> {
    let id = Command::new("id").args(["-u", "nobody"]).output().ok();
    let id = id.and_then(|it| String::from_utf8(it.stdout).ok()?.trim().parse().ok());
    let scratch = Scratch::new("owner");
    let is_root = fs::metadata(scratch.path()).unwrap().uid() == 0;
    match id {
        Some(id) if is_root => Some(id),
        _ => {
            skip("only root gives files to another user");
            None
        }
    }
}

#[track_caller]
fn tells(log: &str, parts: &[&str]) {
    for part in parts {
        assert!(log.contains(part), "`{part}` is not in: {log}");
    }
}

const FILES: [&str; 5] = [
    "data/postroom.db",
    "data/postroom.db-wal",
    "data/postroom.db-shm",
    "data/postroom.db.lock",
    "data/admin.token",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_makes_files_for_its_own_user_alone() {
    let place = Place::new();
    let running = place.start().await;
    assert_eq!(place.mode("data"), 0o700);
    for file in FILES {
        assert_eq!(place.mode(file), 0o600, "{file}");
    }
    let of_process =
        |name: &str| fs::read_to_string(format!("/proc/{}/{name}", running.process.pid())).unwrap();
    let status = of_process("status");
    assert!(status.lines().any(|it| it == "Umask:\t0077"), "{status}");
    let limits = of_process("limits");
    let core = limits.lines().find(|it| it.starts_with("Max core file size")).unwrap();
    let core: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_by_hand_make_the_same_files() {
    let place = Place::new();
    let script = "umask 000; exec \"$0\" migrate up";
    let migrated = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_postroom")])
        .current_dir(place.scratch.path())
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    assert_eq!(place.mode("data"), 0o700);
    for file in ["data/postroom.db", "data/postroom.db.lock"] {
        assert_eq!(place.mode(file), 0o600, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_an_older_version_are_closed_with_a_line_in_the_log() {
    let place = Place::new();
    let running = place.start().await;
    // Its log and its shared memory stay.
    running.process.kill_9();
    for file in FILES {
        set_mode(&place.path(file), 0o644);
    }
    set_mode(&place.path("data"), 0o755);
    let running = place.start().await;
    assert_eq!(place.mode("data"), 0o700);
    for file in FILES {
        assert_eq!(place.mode(file), 0o600, "{file}");
        assert!(
            running.log().lines().any(|it| it.contains(&format!("path={file} "))
                || it.ends_with(&format!("path={file}"))
                || it.contains(file)),
            "{file}: {}",
            running.log()
        );
    }
    tells(&running.log(), &["was=\"0644\"", "was=\"0755\"", "Whoever may have read it"]);
    let lines = running.log().lines().count();
    running.stop();
    let again = place.start().await;
    let new: Vec<String> = again.log().lines().skip(lines).map(str::to_owned).collect();
    assert!(new.iter().all(|it| !it.contains("0600") && !it.contains("open to other")), "{new:?}");
}

/// A directory that is not the daemon's by its name stays as its administrator made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_own_data_directory_is_closed() {
    let place = Place::new();
    let shared = place.path("shared");
    fs::create_dir(&shared).unwrap();
    for (mode, is_told) in [(0o755, false), (0o750, false), (0o777, true), (0o1777, false)] {
        set_mode(&shared, mode);
        let name = format!("m{mode:o}");
        let config = format!("database.url = \"sqlite://shared/{name}.db\"\n");
        let running = place.spawn(&name, &config);
        running.is_ready().await;
        assert_eq!(self::mode(&shared), mode);
        assert_eq!(place.mode(&format!("shared/{name}.db")), 0o600);
        let log = running.log();
        assert_eq!(log.contains("can exchange files"), is_told, "{mode:o}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_token_file_that_was_open_gets_its_token_with_mode_0600() {
    let place = Place::with_data();
    let file = place.path("data/admin.token");
    fs::write(&file, "").unwrap();
    set_mode(&file, 0o644);
    let running = place.start().await;
    let token = fs::read_to_string(&file).unwrap();
    assert_eq!((mode(&file), token.trim().len()), (0o600, 64));
    assert!(running.takes(token.trim()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_token_file_that_is_open_is_closed_and_told() {
    let place = Place::with_data();
    let file = place.path("data/admin.token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    set_mode(&file, 0o644);
    let running = place.start().await;
    assert_eq!(mode(&file), 0o600);
    assert!(running.takes(TOKEN).await);
    tells(&running.log(), &["WARN", "data/admin.token", "delete"]);
    assert!(!running.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_that_is_a_link_is_refused_and_not_followed() {
    let place = Place::with_data();
    let (file, target) = (place.path("data/admin.token"), place.path("elsewhere"));
    symlink(&target, &file).unwrap();
    let log = place.refused("");
    tells(&log, &["data/admin.token", "symbolic link", "`admin.token`"]);
    assert!(!target.exists(), "made elsewhere");
    fs::write(&target, TOKEN).unwrap();
    set_mode(&target, 0o600);
    tells(&place.refused(""), &["data/admin.token", "symbolic link"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_that_holds_no_token_is_refused() {
    let place = Place::with_data();
    let file = place.path("data/admin.token");
    for text in ["short", "0123456789abcdef\n0123456789abcdef", &"x".repeat(5_000)] {
        fs::write(&file, text).unwrap();
        set_mode(&file, 0o600);
        tells(&place.refused(""), &["data/admin.token"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "left alone");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    tells(&place.refused(""), &["data/admin.token", "no file"]);
    fs::remove_dir(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    tells(&place.refused(""), &["data/admin.token", "no file"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_of_another_user_is_refused() {
    let Some(other) = somebody_else() else { return };
    let place = Place::with_data();
    let file = place.path("data/admin.token");
    for (text, mode) in [(TOKEN, 0o666), (TOKEN, 0o600), ("", 0o644)] {
        fs::write(&file, text).unwrap();
        set_mode(&file, mode);
        chown(&file, Some(other), None).unwrap();
        let log = place.refused("");
        tells(&log, &["data/admin.token", "another user", &other.to_string(), "`admin.token`"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "left alone");
    }
    // The whole directory is his.
    chown(place.path("data"), Some(other), None).unwrap();
    tells(&place.refused(""), &["data/admin.token", "another user"]);
}

/// With databases of their own, so that no lock keeps one of them off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_starts_at_once_use_one_token() {
    let place = Place::new();
    let all: Vec<Running> = (0..4)
        .map(|n| {
            let url = format!("database.url = \"sqlite://data/{n}.db\"\n");
            place.spawn(&format!("daemon-{n}"), &url)
        })
        .collect();
    for running in &all {
        running.is_ready().await;
    }
    let token = fs::read_to_string(place.path("data/admin.token")).unwrap();
    for running in &all {
        assert!(running.takes(token.trim()).await, "{}", running.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_files_of_another_user_are_refused() {
    let Some(other) = somebody_else() else { return };
    let place = Place::new();
    place.start().await.stop();
    for name in ["postroom.db", "postroom.db.lock", "postroom.db-wal", "postroom.db-shm"] {
        let file = place.path(&format!("data/{name}"));
        let is_new = !file.exists();
        if is_new {
            fs::write(&file, "").unwrap();
        }
        chown(&file, Some(other), None).unwrap();
        for mode in [0o600, 0o666] {
            set_mode(&file, mode);
            let log = place.refused("");
            tells(&log, &[&format!("data/{name}"), "another user", "chown"]);
            assert_eq!(self::mode(&file), mode, "left alone");
        }
        match is_new {
            true => fs::remove_file(&file).unwrap(),
            false => chown(&file, Some(0), None).unwrap(),
        }
    }
    place.start().await.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_cannot_hold_the_lock() {
    let Some(other) = somebody_else() else { return };
    let place = Place::new();
    set_mode(place.scratch.path(), 0o755);
    place.start().await.stop();
    // Even where somebody has opened the directory.
    set_mode(&place.path("data"), 0o755);
    let script = "exec 9<>data/postroom.db.lock && flock -n 9";
    let id = other.to_string();
    let held = Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--clear-groups", "sh", "-c", script])
        .current_dir(place.scratch.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&held.stderr).into_owned();
    assert!(!held.status.success() && told.contains("ermission denied"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_not_followed_where_files_are_made() {
    let place = Place::with_data();
    let target = place.path("elsewhere");
    for name in ["postroom.db", "postroom.db.lock", "postroom.db-wal"] {
        let link = place.path(&format!("data/{name}"));
        symlink(&target, &link).unwrap();
        tells(&place.refused(""), &[&format!("data/{name}"), "symbolic link"]);
        assert!(!target.exists(), "{name}");
        fs::remove_file(&link).unwrap();
    }
    // Of an administrator who keeps the database on another disk.
    place.start().await.stop();
    fs::rename(place.path("data/postroom.db"), &target).unwrap();
    symlink(&target, place.path("data/postroom.db")).unwrap();
    set_mode(&target, 0o644);
    let running = place.start().await;
    assert_eq!(mode(&target), 0o600);
    running.stop();
    if let Some(other) = somebody_else() {
        lchown(place.path("data/postroom.db"), Some(other), None).unwrap();
        tells(&place.refused(""), &["data/postroom.db", "another user"]);
    }
}

/// Root has made the directory for the group of the daemon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_root_has_made_for_the_daemon_is_used() {
    let Some(user) = somebody_else() else { return };
    let program = env!("CARGO_BIN_EXE_postroom");
    let reached = Command::new("setpriv")
        .args(["--reuid", &user.to_string(), "--clear-groups", program, "--version"])
        .output();
    if !reached.is_ok_and(|it| it.status.success()) {
        return skip("the program cannot be run by another user here");
    }
    let place = Place::new();
    set_mode(place.scratch.path(), 0o755);
    let data = place.path("data");
    fs::create_dir(&data).unwrap();
    set_mode(&data, 0o770);
    // The group that it runs with.
    chown(&data, Some(0), Some(user)).unwrap();
    let numbers = user.to_string();
    let running = place.spawn_as(Some(&numbers), "config", "");
    running.is_ready().await;
    assert_eq!(mode(&data), 0o770, "left alone");
    for file in FILES {
        assert_eq!(place.mode(file), 0o600, "{file}");
        assert_eq!(fs::metadata(place.path(file)).unwrap().uid(), user, "{file}");
    }
}

/// What the page for operators says of the unit.
#[test]
fn the_unit_for_systemd_closes_the_daemon_off() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = fs::read_to_string(root.join("ops/postroom.service")).unwrap();
    let keys: Vec<&str> = unit.lines().map(str::trim).collect();
    for key in [
        "User=postroom",
        "StateDirectory=postroom",
        "StateDirectoryMode=0700",
        "UMask=0077",
        "LimitCORE=0",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "MemoryDenyWriteExecute=yes",
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=30s",
    ] {
        assert!(keys.contains(&key), "`{key}` is missing");
    }
    let value = |name: &str| {
        let line = keys.iter().find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("`{name}` is missing"))
    };
    let descriptors: u32 = value("LimitNOFILE").parse().unwrap();
    assert!(descriptors >= 50_000, "fewer than connections are taken");
    // The unit runs commands that this version has.
    for command in ["ExecStart", "ExecReload"] {
        let arguments = value(command).split_whitespace().skip(1).chain(["--help"]);
        let known = Command::new(env!("CARGO_BIN_EXE_postroom")).args(arguments).output().unwrap();
        assert!(known.status.success(), "{command}: {known:?}");
    }
}
