//! Changes of many objects in a terminal: the person is asked first.

use super::top::InTerminal;
use crate::support::daemon::{Daemon, Options};

const CONFIGS: [&str; 4] = ["--config", "harness.toml", "--config", "test.toml"];

/// Runs a command in a terminal and types an answer to its question. Returns the exit code.
async fn answered(
    daemon: &Daemon,
    args: &[&str],
    question: &str,
    answer: &str,
    told: &str,
) -> Option<i32> {
    let mut asked = InTerminal::start(daemon.directory(), &[args, &CONFIGS].concat());
    asked.shows(question).await;
    asked.press(&format!("{answer}\r"));
    asked.shows(told).await;
    asked.ended().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_many_is_made_once_its_count_is_typed() {
    let config = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n".to_owned();
    let daemon = Daemon::start(Options { config, ..Options::default() }).await;
    let sent = super::postroom(
        daemon.directory(),
        &[&["send", "sms", "--count", "101"], &CONFIGS[..]].concat(),
    );
    super::ends_with(0, &sent);
    let cancel = ["jobs", "cancel", "--client", "demo"];
    let question = "Type `101` to go on:";
    let refused = "not confirmed: nothing was changed";
    assert_eq!(answered(&daemon, &cancel, question, "yes", refused).await, Some(1));
    assert_eq!(answered(&daemon, &cancel, question, "101", "done 101 of 101").await, Some(0));
}
