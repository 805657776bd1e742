//! `postroom top` in a terminal.

use super::ends_with;
use crate::{
    on_both_daemons,
    support::{
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        process::{Scratch, send_signal},
        web::ask,
    },
};
use pty_process::{
    Size,
    blocking::{Command, Pty, open},
};
use reqwest::Method;
use std::{
    io::{Read, Write},
    num::NonZero,
    path::Path,
    process::Child,
    sync::{Arc, Mutex},
    time::Duration,
};

fn side(length: u16) -> NonZero<u16> {
    NonZero::new(length).expect("not 0")
}

const SOON: Duration = Duration::from_secs(20);

/// A program in a terminal, and what that shows.
pub(super) struct InTerminal {
    pty: Arc<Pty>,
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl InTerminal {
    /// Starts the program in a terminal of 80 × 24.
    pub(super) fn start(directory: &Path, args: &[&str]) -> Self {
        Self::start_with(directory, args, &[])
    }

    /// The same, with these variables.
    fn start_with(directory: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let (pty, pts) = open().expect("a terminal");
        pty.resize(Size::new(24, 80)).expect("a size");
        let command = Command::new(env!("CARGO_BIN_EXE_postroom"))
            .args(args)
            .env("NO_PROXY", "127.0.0.1")
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .envs(env.iter().copied())
            .current_dir(directory);
        let child = command.spawn(pts).expect("the program starts");
        let (pty, screen) =
            (Arc::new(pty), Arc::new(Mutex::new(vt100::Parser::new(side(24), side(80), 0))));
        let (output, shown) = (Arc::clone(&pty), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error says that the program has ended.
            while let Ok(length @ 1..) = (&*output).read(&mut bytes) {
                shown.lock().expect("not poisoned").process(&bytes[..length]);
            }
        });
        Self { pty, child, screen }
    }

    fn shown(&self) -> String {
        self.screen.lock().expect("not poisoned").screen().contents()
    }

    /// The colours of the characters that are not of the terminal's own colour.
    fn colours(&self) -> Vec<vt100::Color> {
        let screen = self.screen.lock().expect("not poisoned");
        let (rows, columns) = screen.screen().size();
        let places =
            (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let cells = places.filter_map(|(row, column)| screen.screen().cell(row, column));
        let colours = cells.filter(|cell| cell.has_contents()).map(|cell| cell.fgcolor());
        colours.filter(|it| *it != vt100::Color::Default).collect()
    }

    /// Waits until the terminal shows this.
    pub(super) async fn shows(&self, text: &str) {
        self.is(|shown| shown.contains(text), text).await;
    }

    async fn is(&self, check: impl Fn(&str) -> bool, what: &str) {
        let seen = tokio::time::timeout(
            SOON,
            eventually(SOON * 2, async || check(&self.shown()).then_some(())),
        );
        if seen.await.is_err() {
            panic!("not seen: {what}\n{}", self.shown());
        }
    }

    pub(super) fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("the program reads");
    }

    fn resize(&self, rows: u16, columns: u16) {
        self.screen.lock().expect("not poisoned").screen_mut().set_size(side(rows), side(columns));
        self.pty.resize(Size::new(rows, columns)).expect("a size");
    }

    /// Waits for the end. Returns the exit code.
    pub(super) async fn ended(&mut self) -> Option<i32> {
        eventually(SOON, async || self.child.try_wait().expect("a child")).await.code()
    }

    fn is_alternate(&self) -> bool {
        self.screen.lock().expect("not poisoned").screen().alternate_screen()
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn top(daemon: &Daemon) -> InTerminal {
    let args = ["top", "--interval", "200ms", "--config", "harness.toml", "--config", "test.toml"];
    InTerminal::start(daemon.directory(), &args)
}

on_both_daemons! {
    async fn the_view_lives_through_an_outage_and_a_resize_and_gives_the_terminal_back(place: Place) {
        let mut daemon = place.start("").await;
        let mut top = top(&daemon);
        top.shows("webhooks/s").await;
        assert!(top.is_alternate());
        top.press("?");
        top.shows("as the configuration files say").await;
        top.press(" jp");
        top.shows("on all nodes? y to do it").await;
        top.press("n");
        top.shows("nothing was changed").await;
        daemon.kill_9();
        top.shows("no answer since").await;
        top.resize(10, 60);
        top.is(|shown| shown.contains("no answer since") && shown.lines().count() <= 10, "10 lines").await;
        daemon.start_again().await;
        top.is(|shown| shown.contains("webhooks/s") && !shown.contains("no answer"), "answers").await;
        top.press("q");
        assert_eq!(top.ended().await, Some(0));
        eventually(SOON, async || (!top.is_alternate()).then_some(())).await;
    }

    async fn keys_change_a_pool_through_the_api(place: Place) {
        let daemon = place.start("[pools.SELF_CHECK]\nsize = 3\n").await;
        let mut top = top(&daemon);
        top.shows("SELF_CHECK").await;
        while !top.shown().lines().any(|line| line.starts_with("> SELF_CHECK")) {
            let before = top.shown();
            top.press("j");
            top.is(|shown| shown != before, "the selection moves").await;
        }
        top.press("++");
        top.shows("SELF_CHECK has size 5").await;
        top.shows("5 (file 3)").await;
        let pool = async || {
            let pools = ask(daemon.api(Method::GET, "/pools")).await;
            pools.items().iter().find(|pool| pool["kind"] == "SELF_CHECK").cloned()
        };
        let changed = pool().await.expect("the pool");
        assert_eq!((&changed["size"], &changed["configured_size"]), (&5.into(), &3.into()), "{changed}");
        top.press("py");
        top.shows("SELF_CHECK is paused").await;
        assert_eq!(pool().await.expect("the pool")["state"], "paused");
        top.press("0");
        top.shows("SELF_CHECK is as the configuration says").await;
        let reset = pool().await.expect("the pool");
        assert_eq!((&reset["size"], &reset["state"]), (&3.into(), &"running".into()), "{reset}");
        top.press("q");
        assert_eq!(top.ended().await, Some(0));
    }

    async fn a_signal_ends_the_view_and_gives_the_terminal_back(place: Place) {
        let daemon = place.start("").await;
        for how in ["TERM", "ctrl-c"] {
            let mut top = top(&daemon);
            top.shows("webhooks/s").await;
            if how == "TERM" {
                send_signal("TERM", top.child.id());
            } else {
                top.press("\u{3}");
            }
            assert_eq!(top.ended().await, Some(0), "{how}");
            eventually(SOON, async || (!top.is_alternate()).then_some(())).await;
        }
    }

    async fn a_terminal_shows_colours_unless_they_are_not_wanted(place: Place) {
        let daemon = place.start("[pools.SELF_CHECK]\npaused = true\n").await;
        daemon.may_leave(Leftover::Unfinished, "the canary's pool is paused");
        let configs = ["--config", "harness.toml", "--config", "test.toml"];
        for command in [&["top", "--interval", "200ms"][..], &["pools", "list"]] {
            for (more, env, is_coloured) in [
                (&[][..], &[][..], true),
                (&[], &[("NO_COLOR", "1")], false),
                (&["--color", "never"], &[], false),
                (&["--color", "always"], &[("NO_COLOR", "1")], true),
            ] {
                let args = [command, more, &configs].concat();
                let mut terminal = InTerminal::start_with(daemon.directory(), &args, env);
                terminal.shows("SELF_CHECK").await;
                terminal.shows("paused").await;
                let colours = terminal.colours();
                let expected = if is_coloured { Some(&vt100::Color::Idx(3)) } else { None };
                assert_eq!(colours.first(), expected, "{args:?} {env:?}: {}", terminal.shown());
                if command[0] == "top" {
                    terminal.press("q");
                }
                assert_eq!(terminal.ended().await, Some(0));
            }
        }
    }

    async fn a_watched_list_is_painted_again_and_cut_to_the_terminal(place: Place) {
        let daemon = place.start("").await;
        let args = ["pools", "list", "--watch=200ms", "--config", "harness.toml", "--config", "test.toml"];
        let mut watch = InTerminal::start(daemon.directory(), &args);
        watch.shows("every 200ms, Ctrl-C ends").await;
        watch.shows("SELF_CHECK").await;
        let shown = watch.shown();
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert_eq!(shown.matches("Ctrl-C ends").count(), 1, "{shown}");
        watch.press("\u{3}");
        assert_eq!(watch.ended().await, Some(0));
    }
}

#[test]
fn a_view_needs_a_terminal() {
    let scratch = Scratch::new("cli");
    let args = ["top", "--url", "http://127.0.0.1:1", "--token", "t"];
    let (_, err) = ends_with(2, &super::postroom(scratch.path(), &args));
    assert!(err.contains("--once"), "{err}");
}
