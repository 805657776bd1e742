//! Configurations as the program takes them: which it refuses, which it warns of, and what it shows
//! of them.

use crate::support::{
    daemon::{Daemon, Options, Until},
    process::{Scratch, Tied, tied_command},
    web::{ask, sms},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Far longer than a command takes that waits for nobody.
const PROMPT: Duration = Duration::from_secs(30);
const MARK: &str = "hunter2";

/// What a command printed and how it ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program in this directory. Fails where it does not end, as one that waits for a pipe.
#[track_caller]
fn postroom(directory: &Path, args: &[&str]) -> Ended {
    let (out, err) = (directory.join("stdout"), directory.join("stderr"));
    let mut command = tied_command(Path::new(env!("CARGO_BIN_EXE_postroom")), "KILL", None);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_uppercase().starts_with("POSTROOM__") {
            command.env_remove(name);
        }
    }
    command.args(args).current_dir(directory);
    command.stdin(Stdio::null()).stdout(fs::File::create(&out).unwrap());
    command.stderr(fs::File::create(&err).unwrap());
    let running = Tied::spawn(command, "KILL").unwrap();
    let status = running.wait_blocking(PROMPT);
    let status = status.unwrap_or_else(|| panic!("{args:?} still runs after {PROMPT:?}"));
    let read = |path| fs::read_to_string(path).unwrap();
    Ended { code: status.code(), out: read(out), err: read(err) }
}

/// Writes a configuration that only its owner may read.
fn write(directory: &Path, text: &str) {
    let path = directory.join("config.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

const CHECK: [&str; 4] = ["config", "check", "--config", "config.toml"];
const SERVE: [&str; 3] = ["serve", "--config", "config.toml"];

#[test]
fn a_pipe_or_a_device_in_the_place_of_a_file_is_refused_at_once() {
    let scratch = Scratch::new("configs");
    let directory = scratch.path();
    assert!(Command::new("mkfifo").arg(directory.join("pipe")).status().unwrap().success());
    for file in ["pipe", "/dev/zero", "/dev/stdin", "."] {
        let client =
            "server.bind = \"127.0.0.1:0\"\n[[clients]]\nid = \"a\"\nchannels.sms.secret = ";
        write(directory, &format!("{client}{{ file = \"{file}\" }}\n"));
        for command in [&CHECK[..], &SERVE] {
            let ended = postroom(directory, command);
            assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
            let parts = [
                "config.toml:4",
                "clients.channels.sms.secret",
                file,
                "only regular files are read",
            ];
            for part in parts {
                assert!(ended.err.contains(part), "`{part}` is not in: {}", ended.err);
            }
        }
        for command in ["check", "show"] {
            let ended = postroom(directory, &["config", command, "--config", file]);
            assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
            assert!(ended.err.contains("only regular files are read"), "{}", ended.err);
        }
    }
}

#[test]
fn what_is_shown_of_a_configuration_holds_no_secret() {
    let scratch = Scratch::new("configs");
    let directory = scratch.path();
    let secret = "hunter2-hunter2-hunter2-";
    write(
        directory,
        &format!(
            "database.url = \"postgres://app:hunter2@db/x?sslmode=verify-full\"\nadmin.token = \"{secret}admin\"\n\
             analyst = {{ api_key = \"hunter2\", base_url = \"https://hunter2:hunter2@h/v1\" }}\n\
             telemetry.otlp_endpoint = \"http://u:hunter2@h:4317/?key=hunter2\"\n\
             [[clients]]\nid = \"a\"\nname = \"ftp://u:hunter2@h\"\n\
             [clients.channels.sms]\nsecret = [\"{secret}\"]\naccount = \"418\"\n\
             signature = {{ scheme = \"standard_webhooks\", secrets = [\"{secret}\"] }}\n\
             [clients.channels.sms.send]\nfrom_number = \"+13125550187\"\nbase_url = \"https://send.example\"\n\
             api_key = \"hunter2\"\n"
        ),
    );
    for more in [&[][..], &["--json"]] {
        let ended =
            postroom(directory, &[&["config", "show", "--config", "config.toml"], more].concat());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
        assert!(!ended.out.contains(MARK), "{}", ended.out);
        for part in
            ["+13125550187", "https://send.example", "https://***@h/v1", "ftp://***@h", "418"]
        {
            assert!(ended.out.contains(part), "`{part}` is not in: {}", ended.out);
        }
    }
    let ended = postroom(directory, &CHECK);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

#[test]
fn what_is_refused_of_the_settings_for_sending_is_not_quoted() {
    let scratch = Scratch::new("configs");
    let directory = scratch.path();
    let keys = [
        "base_url = \"https://u:hunter2@send.example\"",
        "bearer = \"hunter2\"",
        "credentials = { pin = \"hunter2\" }",
        "headers = { Authorization = \"Basic hunter2\" }",
        "url = \"https://h/hunter2\"",
    ];
    let send = keys.join("\n");
    write(directory, &format!("[[clients]]\nid = \"a\"\n[clients.channels.sms.send]\n{send}\n"));
    let ended = postroom(directory, &CHECK);
    assert_eq!(ended.code, Some(2), "{}", ended.out);
    assert!(!ended.out.contains(MARK) && !ended.err.contains(MARK), "{}{}", ended.out, ended.err);
    for part in ["no `api_key`", "a user or a password", "`clients.channels.sms.send.bearer`"] {
        assert!(ended.err.contains(part), "`{part}` is not in: {}", ended.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unsafe_is_warned_of_when_it_is_checked_and_at_the_start() {
    let config = "[[clients]]\nid = \"a\"\nchannels.sms.secret = \"hunter2-hunter2-\"\n\
                  [[clients]]\nid = \"b\"\nchannels.sms.secret = \"hunter2-hunter2-\"\n";
    let mut daemon =
        Daemon::start(Options { config: config.to_owned(), ..Options::default() }).await;
    let file = daemon.directory().join("test.toml");
    let shared = "`clients.a.channels.sms.secret`, `clients.b.channels.sms.secret`";
    let log = daemon.log();
    assert!(log.contains(shared) && !log.contains("chmod") && !log.contains(MARK), "{log}");
    daemon.terminate();
    daemon.wait(PROMPT).await;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    daemon.start_again().await;
    let chmod = format!("chmod 600 {}", file.display());
    let log = daemon.log();
    assert!(log.contains(&chmod) && !log.contains(MARK), "{log}");
    let path = file.to_str().unwrap();
    let ended = postroom(daemon.directory(), &["config", "check", "--config", path]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.starts_with("ok: ") && !ended.out.contains("warning"), "{}", ended.out);
    for part in [shared, &chmod] {
        assert_eq!(ended.err.matches(part).count(), 1, "{part}: {}", ended.err);
    }
    assert!(ended.err.lines().all(|it| it.starts_with("warning: ")), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_signature_opens_nothing_and_this_machine_needs_no_secret() {
    let half = "[[clients]]\nid = \"a\"\n[clients.channels.sms.signature]\n# scheme = \"ghl\"\n";
    for bind in ["127.0.0.1:0", "[::ffff:127.0.0.1]:0", "0.0.0.0:0"] {
        let config = format!("[server]\nbind = \"{bind}\"\n{half}");
        let options = Options { config, until: Until::Started, ..Options::default() };
        let daemon = Daemon::start(options).await;
        assert_eq!(daemon.wait(PROMPT).await.code(), Some(2), "{}", daemon.log());
        assert!(
            daemon.log().contains("`clients.a.channels.sms.signature` has no `scheme`"),
            "{}",
            daemon.log()
        );
    }
    let daemon = Daemon::start(Options::default()).await;
    let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "What does it cost?"))).await;
    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
}
