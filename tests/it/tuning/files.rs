//! However a file is written, what it says runs soon, and once.

use super::{SOON, config, metric, reload, reloads, runs_soon, value};
use crate::support::{
    daemon::{Daemon, Options},
    eventually,
    process::Scratch,
    web::{ask, sms},
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const KEY: &str = "pools.default.size";

fn sized(size: usize) -> String {
    format!("# {}\n[pools.default]\nsize = {size}\n", "x".repeat(size))
}

fn in_place(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn renamed_over(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// As vim does: it tries whether it may make files, keeps the old one, and writes a new one.
fn as_vim(path: &Path, text: &str) {
    let (probe, backup) = (path.with_file_name("4913"), path.with_extension("toml~"));
    fs::write(&probe, "").unwrap();
    fs::remove_file(probe).unwrap();
    fs::rename(path, &backup).unwrap();
    fs::write(path, text).unwrap();
    fs::remove_file(backup).unwrap();
}

fn as_sed(path: &Path, text: &str) {
    let size = text.rsplit("size = ").next().unwrap().trim();
    let script = format!("s/size = .*/size = {size}/");
    assert!(Command::new("sed").args(["-i", &script]).arg(path).status().unwrap().success());
}

/// A file that is gone for a moment.
fn removed_first(path: &Path, text: &str) {
    fs::remove_file(path).unwrap();
    fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_write_a_file_is_applied_once() {
    type Way = fn(&Path, &str);
    let daemon = Daemon::start(Options { config: sized(3), ..Options::default() }).await;
    let path = daemon.directory().join("test.toml");
    assert_eq!(value(&daemon, KEY).await.as_deref(), Some("3"));
    let ways: [Way; 5] = [in_place, renamed_over, as_vim, as_sed, removed_first];
    for (number, way) in ways.into_iter().enumerate() {
        let size = 10 + number;
        way(&path, &sized(size));
        runs_soon(&daemon, KEY, &size.to_string()).await;
    }
    // One that is written in two steps within a second, and read in between.
    let mut every = tokio::time::interval(Duration::from_millis(400));
    every.tick().await;
    in_place(&path, "[pools.default]\nsize = ");
    every.tick().await;
    in_place(&path, &sized(20));
    runs_soon(&daemon, KEY, "20").await;
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    // However often a file was touched, it says the same.
    assert_eq!(reload(&daemon).await.outcome(), "unchanged");
    assert_eq!(reloads(&daemon, "applied").await, 6, "{}", daemon.log());
    assert_eq!(reloads(&daemon, "refused").await, 0, "{}", daemon.log());
    assert_eq!(daemon.log().matches("configuration applied").count(), 6, "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_writes_in_a_second_are_at_most_two_loads() {
    let daemon = Daemon::start(Options { config: sized(3), ..Options::default() }).await;
    let path = daemon.directory().join("test.toml");
    let mut every = tokio::time::interval(Duration::from_millis(10));
    for number in 0..100 {
        every.tick().await;
        in_place(&path, &sized(10 + number));
    }
    runs_soon(&daemon, KEY, "109").await;
    assert_eq!(reload(&daemon).await.outcome(), "unchanged");
    let applied = reloads(&daemon, "applied").await;
    assert!((1..=2).contains(&applied), "{applied}: {}", daemon.log());
    assert_eq!(reloads(&daemon, "refused").await, 0, "{}", daemon.log());
}

/// A mounted `ConfigMap`: the file is a link into a folder that is itself a link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swapped_link_is_followed() {
    let files = Scratch::new("mounted");
    let mount = |version: usize, size: usize| {
        let (name, link) = (format!("..version_{version}"), files.path().join("..data_tmp"));
        fs::create_dir(files.path().join(&name)).unwrap();
        fs::write(files.path().join(&name).join("app.toml"), sized(size)).unwrap();
        symlink(name, &link).unwrap();
        fs::rename(link, files.path().join("..data")).unwrap();
    };
    mount(1, 11);
    let path = files.path().join("app.toml");
    symlink("..data/app.toml", &path).unwrap();
    let args = vec!["--config".to_owned(), path.display().to_string()];
    let daemon = Daemon::start(Options { args, ..Options::default() }).await;
    assert_eq!(value(&daemon, KEY).await.as_deref(), Some("11"));
    for version in 2..4 {
        mount(version, 10 * version);
        fs::remove_dir_all(files.path().join(format!("..version_{}", version - 1))).unwrap();
        runs_soon(&daemon, KEY, &(10 * version).to_string()).await;
    }
    assert_eq!(reloads(&daemon, "applied").await, 2, "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_replaced_counts_soon() {
    let files = Scratch::new("secrets");
    let (of_client, of_admin) = (files.path().join("client"), files.path().join("admin"));
    fs::write(&of_client, "the-first-secret-of-acme\n").unwrap();
    fs::write(&of_admin, "the-first-token-of-the-admin\n").unwrap();
    let text = format!(
        "admin.token = {{ file = \"{}\" }}\n[[clients]]\nid = \"acme\"\n\
         [clients.channels.sms]\nsecret = {{ file = \"{}\" }}\n",
        of_admin.display(),
        of_client.display()
    );
    let daemon = Daemon::start(Options { config: text, ..Options::default() }).await;
    let post = async |secret: &str| {
        let body = sms(1, "What does it cost?");
        ask(daemon.webhook("sms", "acme").bearer_auth(secret).json(&body)).await.status
    };
    let api =
        async |token: &str| ask(daemon.get("/api/v1/overview").bearer_auth(token)).await.status;
    assert_eq!(post("the-first-secret-of-acme").await, 200);
    assert_eq!(api("the-first-token-of-the-admin").await, 200);
    renamed_over(&of_client, "the-second-secret-of-acme\n");
    renamed_over(&of_admin, "the-second-token-of-the-admin\n");
    eventually(SOON, async || (post("the-second-secret-of-acme").await == 200).then_some(())).await;
    eventually(SOON, async || (api("the-second-token-of-the-admin").await == 200).then_some(()))
        .await;
    assert_eq!(post("the-first-secret-of-acme").await, 401);
    assert_eq!(api("the-first-token-of-the-admin").await, 401);
    let answer = daemon.get("/api/v1/config").bearer_auth("the-second-token-of-the-admin");
    let answer = ask(answer).await;
    for text in [&answer.text, &daemon.log()] {
        assert!(!text.contains("-secret-of-acme") && !text.contains("-token-of-the"), "{text}");
    }
    let changed = &answer.body["last_reload"]["changed"];
    assert!(changed.as_array().unwrap().iter().all(|it| it["new"] == "changed"), "{changed}");
}

/// The file that is read without `--config` may come, with its directory. It may go only after it
/// said that its values end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_file_appears_and_vanishes() {
    let options = Options { has_local_only: true, ..Options::default() };
    let daemon = Daemon::start(options).await;
    let path: PathBuf = daemon.directory().join("config/local.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, sized(21)).unwrap();
    runs_soon(&daemon, KEY, "21").await;
    in_place(&path, &sized(22));
    runs_soon(&daemon, KEY, "22").await;
    // A comment on top changes no value, and yet its place.
    in_place(&path, &format!("# more\n# more\n{}", sized(22)));
    let is_moved = async || {
        let config = config(&daemon).await;
        let value = config["values"].as_array().unwrap().iter().find(|it| it["key"] == KEY);
        (value.unwrap()["origin"] == "config/local.toml:5").then_some(())
    };
    eventually(SOON, is_moved).await;
    fs::remove_file(&path).unwrap();
    // Gone for a second, it is no longer taken for an editor's work.
    eventually(SOON + Duration::from_secs(1), async || {
        (reloads(&daemon, "refused").await == 1).then_some(())
    })
    .await;
    assert!(daemon.log().contains("config/local.toml: is gone"), "{}", daemon.log());
    assert_eq!(value(&daemon, KEY).await.as_deref(), Some("22"));
    fs::write(&path, "# nothing\n").unwrap();
    runs_soon(&daemon, KEY, "8").await;
    assert_eq!(reloads(&daemon, "applied").await, 3, "{}", daemon.log());
    let last = config(&daemon).await["last_reload"].clone();
    assert_eq!((&last["trigger"], &last["by"]), (&"file".into(), &"file".into()), "{last}");
    assert!((metric(&daemon, "config_last_reload_successful").await - 1.0).abs() < 0.1);
    fs::remove_file(&path).unwrap();
    assert_eq!(reload(&daemon).await.outcome(), "unchanged");
}
