//! `postroom top`: a live view of a daemon in the terminal.
//!
//! `data` asks the daemon, `state` says what each key and each answer changes, `view` paints a
//! state. Both of the latter are pure: they see no daemon and no terminal.

mod data;
mod state;
mod view;

use self::{
    data::{PoolStep, TopData},
    state::TopState,
    view::Painting,
};
use super::{
    admin::{Admin, AdminRefusal, Remote},
    failure::Failure,
    files::Files,
    http::block_on,
    lists::parse_interval,
    output::{self, Times},
};
use crossterm::event::{Event, EventStream};
use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture};
use ratatui::{DefaultTerminal, Terminal, backend::TestBackend};
use std::{convert::Infallible, future, io, io::IsTerminal, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(super) struct TopArgs {
    /// Print one frame as plain text, and end
    #[arg(long)]
    once: bool,
    /// How often the daemon is asked
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    #[command(flatten)]
    remote: Remote,
}

/// Shows the daemon until a key ends it. `files` are those given before the command.
pub(super) fn run(args: TopArgs, files: Files) -> Result<(), Failure> {
    let TopArgs { once, interval, remote } = args;
    let (is_json, times) = (remote.json, remote.times());
    if is_json {
        let message = "`postroom top` has no JSON: `pools list --json` and `jobs stats --json` have what it shows";
        return Err(Failure::Wrong(message.to_owned()));
    }
    if !once && (!io::stdout().is_terminal() || !io::stdin().is_terminal() || output::is_dumb()) {
        let message = "`postroom top` needs a terminal: add --once for one frame as plain text";
        return Err(Failure::Wrong(message.to_owned()));
    }
    let admin = remote.connect(files)?;
    block_on(async {
        // A daemon that does not answer the first time is a failure, not a view.
        let state = TopState::new(TopData::ask(&admin).await?);
        if once {
            return output::print(&plain(&state, &times)?);
        }
        let mut terminal = Restored::new()?;
        live(&mut terminal.0, &admin, state, &times, interval).await
    })?
}

/// A frame as plain text, as large as what it shows; in a terminal no wider than that.
fn plain(state: &TopState, times: &Times) -> Result<String, Failure> {
    let painting = Painting { times, is_coloured: false, is_live: false };
    let (width, height) = view::size(state, painting, output::columns_of_terminal());
    let (width, height) = (side(width), side(height));
    let mut terminal = Terminal::new(TestBackend::new(width, height)).map_err(infallible)?;
    terminal.draw(|frame| view::draw(frame, state, painting)).map_err(infallible)?;
    let cells = terminal.backend().buffer().content();
    let lines = cells.chunks(width.into()).map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    Ok(lines.collect::<Vec<_>>().join("\n").trim_end().to_owned())
}

fn side(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX).max(1)
}

fn infallible(error: Infallible) -> Failure {
    match error {}
}

/// A terminal in the state that the view needs. Dropping it, and a panic, restore it.
struct Restored(DefaultTerminal);

impl Restored {
    fn new() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(unusable)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn unusable(error: io::Error) -> Failure {
    Failure::Failed(format!("the terminal cannot be used: {error}"))
}

/// Paints the state after each key and each answer, until a key or a signal ends it.
async fn live(
    terminal: &mut DefaultTerminal,
    admin: &Admin,
    mut state: TopState,
    times: &Times,
    interval: Duration,
) -> Result<(), Failure> {
    let mut events = EventStream::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(unusable)?;
    let mut asked = ask_after(admin, interval);
    let mut stepping: LocalBoxFuture<'_, Result<String, AdminRefusal>> = idle();
    // Otherwise `NO_COLOR` would win over `--color always` here.
    crossterm::style::force_color_output(output::is_coloured());
    let painting = Painting { times, is_coloured: output::is_coloured(), is_live: true };
    loop {
        terminal.draw(|frame| view::draw(frame, &state, painting)).map_err(unusable)?;
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) => state.on_key(key),
                Some(Ok(_)) => {}
                // The terminal is gone.
                Some(Err(_)) | None => return Ok(()),
            },
            answer = &mut asked => {
                state.on_answer(answer);
                asked = ask_after(admin, interval);
            }
            done = &mut stepping => {
                state.on_done(done);
                stepping = idle();
                asked = ask_after(admin, Duration::ZERO);
            }
            _ = terminate.recv() => return Ok(()),
        }
        if state.is_ended() {
            return Ok(());
        }
        if let Some(step) = state.next_step() {
            stepping = async move { step.take(admin).await }.boxed_local();
        }
    }
}

/// Asks the daemon after a while.
fn ask_after(admin: &Admin, pause: Duration) -> LocalBoxFuture<'_, Result<TopData, AdminRefusal>> {
    let asking = async move {
        tokio::time::sleep(pause).await;
        TopData::ask(admin).await
    };
    asking.boxed_local()
}

/// Never ends: no change is on its way.
fn idle<'a, T: 'a>() -> LocalBoxFuture<'a, T> {
    future::pending().boxed_local()
}

impl PoolStep {
    /// Asks the daemon for the change. Returns what is true then.
    async fn take(self, admin: &Admin) -> Result<String, AdminRefusal> {
        let kind = self.kind().to_owned();
        match &self {
            Self::Pause { is_paused, .. } => {
                let body = serde_json::json!({"paused": is_paused});
                admin.patch(&["pools", &kind], &[], &body).await?;
                Ok(format!("{kind} is {}", if *is_paused { "paused" } else { "resumed" }))
            }
            Self::Resize { size, .. } => {
                let body = serde_json::json!({"size": size});
                admin.patch(&["pools", &kind], &[], &body).await?;
                Ok(format!("{kind} has size {size}"))
            }
            Self::Reset { .. } => {
                admin.delete(&["pools", &kind, "override"], &[]).await?;
                Ok(format!("{kind} is as the configuration says"))
            }
        }
    }
}
