//! Paints a state of the view. It is a pure function of that state and the size of the terminal.

use super::{
    data::{FailureLine, PoolLine, PoolStep, TopData},
    state::TopState,
};
use crate::cli::output::{NONE, Times, span};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Clear, Paragraph, Row, Table, TableState},
};

const KEYS: &str = "j k move   p pause or resume   + - resize   0 reset   ? help   q quit";
const HELP: [&str; 8] = [
    "j k  ↓ ↑   move to another pool",
    "p          pause the pool on all nodes, or resume it (asks first)",
    "+ -        one slot more or less, on all nodes",
    "0          reset: as the configuration files say",
    "q  Esc     quit",
    "",
    "A change is an override. It is kept in the database and ends by a reset,",
    "or when that very key changes in a file. `postroom pools` can add a note.",
];
/// The most failures that take lines from the pools.
const FAILURES_MAX: usize = 5;

/// Paints the whole frame.
pub(super) fn draw(frame: &mut Frame<'_>, state: &TopState, times: &Times, is_coloured: bool) {
    let seen = state.seen();
    let paint = Paint { is_coloured };
    let failures = seen.failures.len().min(FAILURES_MAX);
    let failures_height = if failures == 0 { 0 } else { length(failures + 2) };
    let [head, verdict, rates, _, pools, failed, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Max(failures_height),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(head_line(state, times, &paint), head);
    frame.render_widget(verdict_line(state, times, &paint), verdict);
    frame.render_widget(Line::from(rates_text(seen)), rates);
    let mut selection = TableState::new().with_selected(state.selected());
    frame.render_stateful_widget(pools_table(&seen.pools, &paint), pools, &mut selection);
    if failures > 0 {
        let newest = seen.failures.iter().take(failures);
        frame.render_widget(failures_table(newest, times, &paint), failed);
    }
    frame.render_widget(Line::from(foot_text(state)), foot);
    if state.is_helping {
        help(frame);
    }
}

/// Styles, without colours where none are wanted.
struct Paint {
    is_coloured: bool,
}

impl Paint {
    fn fg(&self, color: Color) -> Style {
        if self.is_coloured { Style::new().fg(color) } else { Style::new() }
    }

    fn bold(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

fn head_line(state: &TopState, times: &Times, paint: &Paint) -> Line<'static> {
    let seen = state.seen();
    let nodes = if seen.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", seen.nodes) };
    let text = format!(
        "postroom {} · node {} of {nodes} · {} · up {} · {}",
        seen.version,
        seen.node,
        seen.database,
        span(seen.uptime_seconds),
        times.clock(seen.at),
    );
    Line::styled(text, paint.bold())
}

fn verdict_line(state: &TopState, times: &Times, paint: &Paint) -> Line<'static> {
    if let Some((since, why)) = &state.away {
        let text = format!("no answer since {}, trying again: {why}", times.clock(*since));
        return Line::styled(text, paint.fg(Color::Red));
    }
    let troubles = state.seen().troubles();
    match troubles.len() {
        0 => Line::styled("All is well.", paint.fg(Color::Green)),
        1 => Line::styled(troubles.concat(), paint.fg(Color::Yellow)),
        count => {
            let text = format!("{count} things need attention: {}", troubles.join("; "));
            Line::styled(text, paint.fg(Color::Yellow))
        }
    }
}

fn rates_text(seen: &TopData) -> String {
    format!(
        "{:.1} webhooks/s · {:.1} jobs/s · pending {} · running {} · drafts {} · quarantine {}",
        seen.webhooks_per_second,
        seen.jobs_per_second,
        seen.pending,
        seen.running,
        seen.drafts_pending,
        seen.quarantined,
    )
}

fn pools_table<'a>(pools: &'a [PoolLine], paint: &Paint) -> Table<'a> {
    let header = ["pool", "state", "size", "busy", "backlog", "oldest", "restarts", "override"];
    let row = |pool: &'a PoolLine| {
        let style = match pool.state.as_str() {
            "backing_off" => paint.fg(Color::Red),
            "paused" => paint.fg(Color::Yellow),
            _ => Style::new(),
        };
        let size = if pool.size == pool.configured_size {
            pool.size.to_string()
        } else {
            format!("{} (file {})", pool.size, pool.configured_size)
        };
        Row::new([
            pool.kind.clone(),
            pool.state.clone(),
            size,
            pool.busy.to_string(),
            pool.backlog.map_or_else(|| "?".to_owned(), |it| it.to_string()),
            pool.oldest_seconds.map_or_else(|| NONE.to_owned(), span),
            pool.restarts.to_string(),
            pool.override_note.clone().unwrap_or_else(|| NONE.to_owned()),
        ])
        .style(style)
    };
    let widest = pools.iter().map(|pool| pool.kind.chars().count()).max().unwrap_or_default();
    let widths = [
        Constraint::Length(length(widest)),
        Constraint::Length(11),
        Constraint::Length(12),
        Constraint::Length(4),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Fill(1),
    ];
    Table::new(pools.iter().map(row), widths)
        .header(Row::new(header).style(paint.bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("> ")
}

fn failures_table<'a>(
    failures: impl Iterator<Item = &'a FailureLine>,
    times: &Times,
    paint: &Paint,
) -> Table<'a> {
    let row = |failure: &'a FailureLine| {
        let at = failure.finished_at.map_or_else(|| NONE.to_owned(), |it| times.clock(it));
        Row::new([
            at,
            failure.id.clone(),
            failure.kind.clone(),
            failure.client.clone(),
            failure.error.clone(),
        ])
    };
    let widths = [
        Constraint::Length(8),
        Constraint::Length(19),
        Constraint::Length(26),
        Constraint::Length(12),
        Constraint::Fill(1),
    ];
    Table::new(failures.map(row), widths)
        .header(Row::new(["failed", "job", "kind", "client", "error"]).style(paint.bold()))
        .block(Block::new().padding(ratatui::widgets::Padding::top(1)))
}

fn foot_text(state: &TopState) -> String {
    match (&state.question, &state.message) {
        (Some(PoolStep::Pause { kind, is_paused }), _) => {
            let verb = if *is_paused { "Pause" } else { "Resume" };
            format!("{verb} {kind} on all nodes? y to do it, any other key to leave it")
        }
        (_, Some(message)) => message.clone(),
        _ => KEYS.to_owned(),
    }
}

/// The keys, over the rest.
fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (76.min(area.width), length(HELP.len() + 2).min(area.height));
    let area = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, area);
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::from(*line)).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("Keys")), area);
}

fn length(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{data::tests::seen, state::tests::press},
        *,
    };
    use crate::cli::admin::AdminRefusal;
    use ratatui::{Terminal, backend::TestBackend};

    /// The lines of a frame of this size.
    fn frame(state: &TopState, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, state, &Times::utc(), false)).expect("a frame");
        let cells = terminal.backend().buffer().content();
        let lines = cells.chunks(width.into()).map(|line| {
            let line: String = line.iter().map(|cell| cell.symbol()).collect();
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_frame_shows_pools_rates_failures_and_a_verdict() {
        let shown = frame(&TopState::new(seen()), 120, 16);
        let expected = "\
postroom 0.1.0 · node 77 of 1 node · sqlite · up 2h 5m · 14:05:00
4 things need attention: config: local.toml:7: no\\u001b[2J; DELIVER_REPLY is paused by dana (provider down); a job of DE
12.3 webhooks/s · 40.0 jobs/s · pending 36 · running 9 · drafts 1 · quarantine 2
  pool          state       size         busy backlog oldest  restarts override
> ANALYSE       running     8            3    12      -       1        -
  DELIVER_REPLY paused      16 (file 8)  3    12      1h      1        by dana (provider down)
  SELF_CHECK    running     8            3    12      -       1        -
failed   job                 kind                       client       error
14:03:11 4711                ANALYSE                    acme         no route
j k move   p pause or resume   + - resize   0 reset   ? help   q quit";
        let written: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(written.join("\n"), expected);
    }

    #[test]
    fn every_size_of_a_terminal_can_be_painted() {
        let mut state = TopState::new(seen());
        press(&mut state, "j?");
        for (width, height) in [(80, 24), (40, 10), (20, 5), (1, 1), (300, 100)] {
            assert_eq!(frame(&state, width, height).lines().count(), usize::from(height));
        }
        let small = frame(&TopState::new(seen()), 80, 24);
        assert!(small.contains("> ANALYSE") && small.contains("4711"), "{small}");
    }

    #[test]
    fn the_selected_pool_is_in_sight() {
        let mut many = seen();
        let pool = many.pools.first().expect("a pool").clone();
        many.pools = (0..40)
            .map(|number| PoolLine { kind: format!("KIND_{number}"), ..pool.clone() })
            .collect();
        let mut state = TopState::new(many);
        press(&mut state, &"j".repeat(30));
        let shown = frame(&state, 80, 24);
        assert!(shown.contains("> KIND_30"), "{shown}");
    }

    #[test]
    fn questions_and_outages_are_shown() {
        let mut state = TopState::new(seen());
        press(&mut state, "p");
        let shown = frame(&state, 80, 24);
        assert!(shown.contains("Pause ANALYSE on all nodes? y"), "{shown}");
        let since = "2026-01-18T14:06:00Z".parse().expect("an instant");
        state.on_answer(Err(AdminRefusal::Away("no daemon".to_owned())), since);
        let shown = frame(&state, 80, 24);
        assert!(shown.contains("no answer since 14:06:00, trying again: no daemon"), "{shown}");
        let calm = frame(&TopState::new(TopData::default()), 80, 24);
        assert!(calm.contains("All is well."), "{calm}");
    }
}
