//! What holds for all commands: colours, exit codes, and which daemon is asked.

use super::{
    ends_with,
    lists::{all_done, command},
    postroom,
};
use crate::{
    on_both_daemons,
    support::{
        daemon::{Daemon, Options},
        process::{Scratch, free_port},
    },
};
use std::process::{Command, Output};

/// Runs the program in a daemon's directory with these variables.
fn with_env(daemon: &Daemon, args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postroom"))
        .args(args)
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .envs(env.iter().copied())
        .current_dir(daemon.directory())
        .output()
        .expect("the program starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_are_for_terminals_unless_they_are_forced() {
    let daemon = Daemon::start(Options::default()).await;
    let list = ["pools", "list", "--config", "harness.toml"];
    let never = [&list[..], &["--color", "never"]].concat();
    let always = [&list[..], &["--color", "always"]].concat();
    for (args, env, is_coloured) in [
        (&list[..], &[][..], false),
        (&list, &[("CLICOLOR_FORCE", "1")], true),
        (&list, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&always, &[], true),
        (&never, &[("CLICOLOR_FORCE", "1")], false),
    ] {
        let (out, _) = ends_with(0, &with_env(&daemon, args, env));
        assert_eq!(out.contains('\u{1b}'), is_coloured, "{args:?} {env:?}: {out:?}");
        let json = [args, &["--json"]].concat();
        let (out, _) = ends_with(0, &with_env(&daemon, &json, env));
        assert!(!out.contains('\u{1b}'), "JSON has no colours: {out:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_may_name_the_daemon_and_its_token() {
    let daemon = Daemon::start(Options::default()).await;
    let url = daemon.url("");
    let token = "an-admin-token-for-tests";
    let args = ["pools", "list"];
    let named = [("POSTROOM_URL", url.as_str()), ("POSTROOM_TOKEN", token)];
    ends_with(0, &with_env(&daemon, &args, &named));
    let (_, err) = ends_with(
        1,
        &with_env(&daemon, &args, &[("POSTROOM_URL", &url), ("POSTROOM_TOKEN", "wrong")]),
    );
    assert!(err.contains("refused the token from POSTROOM_TOKEN"), "{err}");
    // An option counts more than the environment.
    let other = format!("http://127.0.0.1:{}", free_port());
    let args = ["pools", "list", "--url", &other];
    let (out, err) = ends_with(1, &with_env(&daemon, &args, &named));
    assert!(out.is_empty() && err.contains(&other), "{err}");
    // The usage shows no option as required that the environment has set.
    let (_, err) = ends_with(2, &with_env(&daemon, &["pools", "list", "--nonsense"], &named));
    assert!(err.contains("Usage: postroom pools list [OPTIONS]"), "{err}");
    ends_with(0, &with_env(&daemon, &["send", "sms", "--client", "demo"], &named));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_is_found_and_reached_while_its_files_are_wrong_or_not_applied() {
    let mut daemon = Daemon::start(Options::default()).await;
    // Wrong files: what can be read of them is used.
    std::fs::write(daemon.directory().join("wrong.toml"), "[pools.default]\nsize = = 4\n").unwrap();
    let wrong = ["pools", "list", "--config", "harness.toml", "--config", "wrong.toml"];
    let (out, err) = ends_with(0, &with_env(&daemon, &wrong, &[]));
    assert!(out.contains("SELF_CHECK"), "{out}");
    assert!(err.starts_with("warning: wrong.toml:2: not valid TOML"), "{err}");
    let (_, err) =
        ends_with(2, &with_env(&daemon, &["pools", "list", "--config", "wrong.toml"], &[]));
    assert!(err.contains("wrong.toml:2") && err.contains("--url or POSTROOM_URL"), "{err}");
    // An address that waits for a restart, and a token that is not applied yet.
    let own = ["--config", "harness.toml", "--config", "test.toml"];
    let reload = [&own[..], &["reload", "--wait", "10s"]].concat();
    let bind = format!("127.0.0.1:{}", free_port());
    daemon.configure(&format!(
        "[server]\nbind = \"{bind}\"\n[admin]\ntoken = \"another-admin-token-for-tests\"\n"
    ));
    let (out, err) = ends_with(0, &with_env(&daemon, &reload, &[]));
    assert!(out.contains("server.bind"), "{out}");
    assert!(err.starts_with(&format!("warning: `server.bind` is {bind}")), "{err}");
    ends_with(0, &with_env(&daemon, &[&own[..], &["pools", "list"]].concat(), &[]));
}

#[test]
fn what_is_wrong_goes_to_stderr_with_its_exit_code() {
    let scratch = Scratch::new("cli");
    let url = format!("http://127.0.0.1:{}", free_port());
    for (code, args) in [
        (1, &["jobs", "list", "--url", &url, "--token", "t"][..]),
        (1, &["jobs", "list", "--watch", "--url", &url, "--token", "t"]),
        (1, &["top", "--once", "--url", &url, "--token", "t"]),
        (2, &["top", "--url", &url, "--token", "t"]),
        (2, &["jobs", "list", "--columns", "nonsense"]),
        (2, &["jobs", "list", "--config", "no-such.toml"]),
        (2, &["migrate", "fresh"]),
    ] {
        let (out, err) = ends_with(code, &postroom(scratch.path(), args));
        assert!(out.is_empty() && !err.is_empty(), "{args:?}: {out}{err}");
    }
}

on_both_daemons! {
    async fn one_frame_of_top_is_plain_text(place: Place) {
        let daemon = place.start("").await;
        ends_with(0, &command(&daemon, &["send", "sms", "--count", "3"]));
        all_done(&daemon).await;
        let (out, err) = ends_with(0, &command(&daemon, &["top", "--once"]));
        assert_eq!(err, "");
        assert!(!out.contains('\u{1b}'), "{out}");
        for part in ["node", "webhooks/s", "pending 0", "SMS_INBOUND_POST_PROCESS"] {
            assert!(out.contains(part), "`{part}` is not in:\n{out}");
        }
        assert!(!out.contains("q quit"), "no key is taken:\n{out}");
    }
}
