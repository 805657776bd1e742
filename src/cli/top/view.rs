//! Paints a state of the view. It is a pure function of that state and the size of the terminal.

use super::{
    data::{FailureLine, PoolLine, PoolStep, TopData},
    state::TopState,
};
use crate::cli::output::{NONE, Times, cut, span};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Clear, Paragraph, Row, Table, TableState},
};
use unicode_width::UnicodeWidthStr;

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

/// The most lines of the verdict in a terminal.
const VERDICT_LINES_MAX: usize = 3;
/// The lines beside the verdict, the rates, the pools and the failures: the head, the message, the
/// header of the pools and the keys.
const OTHER_LINES: usize = 4;

/// How the view is painted.
#[derive(Clone, Copy)]
pub(super) struct Painting<'a> {
    pub(super) times: &'a Times,
    pub(super) is_coloured: bool,
    /// True in a terminal that takes keys: then what does not fit is cut.
    pub(super) is_live: bool,
}

/// The columns and lines of a frame that shows everything.
pub(super) fn size(
    state: &TopState,
    painting: Painting<'_>,
    width: Option<usize>,
) -> (usize, usize) {
    let seen = state.seen();
    let pools = pool_cells(&seen.pools);
    let width = width.unwrap_or_else(|| {
        let failures = failure_cells(&seen.failures, painting.times);
        let texts = [head_text(seen, painting.times), verdict(state, painting).0, rates_text(seen)];
        let tables = [MARK.width() + table_width(&widths(&pools)), table_width(&widths(&failures))];
        let texts = texts.iter().map(|text| text.width());
        texts.chain(tables).max().unwrap_or_default()
    });
    let verdict = verdict_lines(state, painting, width).len();
    let failures = seen.failures.len().min(FAILURES_MAX);
    let rates = rates_lines(seen, width).len();
    (width, verdict + rates + seen.pools.len() + failures + 2 + OTHER_LINES)
}

/// Paints the whole frame.
pub(super) fn draw(frame: &mut Frame<'_>, state: &TopState, painting: Painting<'_>) {
    let seen = state.seen();
    let paint = Paint { is_coloured: painting.is_coloured };
    let width = usize::from(frame.area().width);
    let told = verdict_lines(state, painting, width);
    let rated: Vec<Line<'_>> = rates_lines(seen, width).into_iter().map(Line::from).collect();
    let failures = seen.failures.len().min(FAILURES_MAX);
    let failures_height = if failures == 0 { 0 } else { length(failures + 2) };
    let [head, verdict, rates, message, pools, failed, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(length(told.len())),
        Constraint::Length(length(rated.len())),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Max(failures_height),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(line(head_text(seen, painting.times), width, paint.bold()), head);
    frame.render_widget(Paragraph::new(told), verdict);
    frame.render_widget(Paragraph::new(rated), rates);
    let said = state.message.clone().unwrap_or_default();
    frame.render_widget(line(said, width, paint.bold()), message);
    let selected = state.selected().filter(|_| painting.is_live);
    let mut selection = TableState::new().with_selected(selected);
    frame.render_stateful_widget(pools_table(&seen.pools, width, &paint), pools, &mut selection);
    if failures > 0 {
        let newest = seen.failures.get(..failures).unwrap_or_default();
        frame.render_widget(failures_table(newest, width, painting.times, &paint), failed);
    }
    if painting.is_live {
        frame.render_widget(line(foot_text(state), width, Style::new()), foot);
    }
    if state.is_helping {
        help(frame);
    }
}

/// A text on one line, cut to a width.
fn line(text: String, width: usize, style: Style) -> Line<'static> {
    Line::styled(cut(&text, width), style)
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

fn head_text(seen: &TopData, times: &Times) -> String {
    let others = match seen.nodes {
        0 | 1 => "the only one".to_owned(),
        nodes => format!("one of {nodes}"),
    };
    format!(
        "postroom {} · node {}, {others} · {} · up {} · {}",
        seen.version,
        seen.node,
        seen.database,
        span(seen.uptime_seconds),
        times.clock(seen.at),
    )
}

/// How the daemon is, with the colour of that.
fn verdict(state: &TopState, painting: Painting<'_>) -> (String, Color) {
    let seen = state.seen();
    if let Some(why) = &state.away {
        let last = painting.times.clock(seen.at);
        return (format!("no answer since {last}, trying again: {why}"), Color::Red);
    }
    let troubles: Vec<String> =
        seen.troubles().iter().map(|it| painting.times.within(it)).collect();
    match troubles.len() {
        0 => ("All is well.".to_owned(), Color::Green),
        1 => (troubles.concat(), Color::Yellow),
        count => {
            let text = format!("{count} things need attention: {}", troubles.join("; "));
            (text, Color::Yellow)
        }
    }
}

/// The verdict in lines of this width. In a terminal that takes keys, what does not fit on the last
/// one is cut.
fn verdict_lines(state: &TopState, painting: Painting<'_>, width: usize) -> Vec<Line<'static>> {
    let (text, color) = verdict(state, painting);
    let style = Paint { is_coloured: painting.is_coloured }.fg(color);
    let most = if painting.is_live { VERDICT_LINES_MAX } else { usize::MAX };
    let styled = |text: String| Line::styled(text, style);
    wrapped(&text, width, most).into_iter().map(styled).collect()
}

/// A text in at most `most` lines of at most `width` columns, broken at blanks. The last one is cut
/// if there is more.
fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let used = lines.last().map_or(0, |line| line.width());
        let is_fit = used == 0 || used + 1 + word.width() <= width;
        let is_end = !is_fit && lines.len() == most;
        if !is_fit && !is_end {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if is_end {
            break;
        }
    }
    lines.iter().map(|line| cut(line, width)).collect()
}

fn rates_text(seen: &TopData) -> String {
    format!(
        "last minute: {:.1} webhooks/s · {:.1} jobs/s · now: pending {} · running {} · drafts {} · quarantine {}",
        seen.webhooks_per_second,
        seen.jobs_per_second,
        seen.pending,
        seen.running,
        seen.drafts_pending,
        seen.quarantined,
    )
}

fn rates_lines(seen: &TopData, width: usize) -> Vec<String> {
    wrapped(&rates_text(seen), width, 2)
}

/// The columns of the pools, in their order.
const POOL_COLUMNS: [&str; 8] =
    ["pool", "state", "size", "busy", "backlog", "oldest", "restarts", "override"];
/// The columns that a narrow terminal leaves out, the first one first, by their places.
const LEFT_OUT: [usize; 6] = [6, 5, 3, 4, 7, 2];
/// An override is not made narrower than this for the sake of other columns.
const OVERRIDE_MIN: usize = 20;
/// In front of the selected pool.
const MARK: &str = "> ";

fn pool_cells(pools: &[PoolLine]) -> Vec<Vec<String>> {
    let row = |pool: &PoolLine| {
        let size = if pool.size == pool.configured_size {
            pool.size.to_string()
        } else {
            format!("{} (file {})", pool.size, pool.configured_size)
        };
        vec![
            pool.kind.clone(),
            pool.state.clone(),
            size,
            pool.busy.to_string(),
            pool.backlog.map_or_else(|| "?".to_owned(), |it| it.to_string()),
            pool.oldest_seconds.map_or_else(|| NONE.to_owned(), span),
            pool.restarts.to_string(),
            pool.override_note.clone().unwrap_or_else(|| NONE.to_owned()),
        ]
    };
    let header = POOL_COLUMNS.map(str::to_owned).to_vec();
    std::iter::once(header).chain(pools.iter().map(row)).collect()
}

/// How wide the columns of these rows are.
fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.width()).max().unwrap_or_default()
    };
    (0..columns).map(width).collect()
}

/// The width of a table with these columns.
fn table_width(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + widths.len().saturating_sub(1)
}

/// The columns of the pools that a width has room for, with their widths.
fn pool_columns(mut widths: Vec<usize>, room: usize) -> Vec<(usize, usize)> {
    let last = POOL_COLUMNS.len() - 1;
    let full = widths.get(last).copied().unwrap_or_default();
    if let Some(width) = widths.get_mut(last) {
        *width = full.min(OVERRIDE_MIN);
    }
    let mut kept: Vec<(usize, usize)> = widths.into_iter().enumerate().collect();
    let used = |kept: &[(usize, usize)]| {
        table_width(&kept.iter().map(|(_, width)| *width).collect::<Vec<_>>())
    };
    for left_out in LEFT_OUT {
        if used(&kept) > room {
            kept.retain(|(column, _)| *column != left_out);
        }
    }
    let free = room.saturating_sub(used(&kept));
    if let Some((_, width)) = kept.iter_mut().find(|(column, _)| *column == last) {
        *width = full.min(*width + free);
    }
    kept
}

fn pools_table<'a>(pools: &[PoolLine], width: usize, paint: &Paint) -> Table<'a> {
    let cells = pool_cells(pools);
    let columns = pool_columns(widths(&cells), width.saturating_sub(MARK.width()));
    let row = |cells: &Vec<String>| {
        let shown = columns
            .iter()
            .map(|(column, width)| cut(cells.get(*column).map_or("", String::as_str), *width));
        Row::new(shown.collect::<Vec<_>>())
    };
    let mut rows = cells.iter().map(row);
    let header = rows.next().unwrap_or_default();
    let rows = rows.zip(pools).map(|(row, pool)| {
        row.style(match pool.state.as_str() {
            "backing_off" => paint.fg(Color::Red),
            "paused" => paint.fg(Color::Yellow),
            _ => Style::new(),
        })
    });
    let widths = columns.iter().map(|(_, width)| Constraint::Length(length(*width)));
    Table::new(rows.collect::<Vec<_>>(), widths)
        .header(header.style(paint.bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol(MARK)
}

fn failure_cells(failures: &[FailureLine], times: &Times) -> Vec<Vec<String>> {
    let row = |failure: &FailureLine| {
        let at = failure.finished_at.map_or_else(|| NONE.to_owned(), |it| times.clock(it));
        let FailureLine { id, kind, client, error, .. } = failure.clone();
        vec![at, id, kind, client, error]
    };
    let header = ["failed", "job", "kind", "client", "error"].map(str::to_owned).to_vec();
    std::iter::once(header).chain(failures.iter().map(row)).collect()
}

fn failures_table<'a>(
    failures: &[FailureLine],
    width: usize,
    times: &Times,
    paint: &Paint,
) -> Table<'a> {
    let cells = failure_cells(failures, times);
    let mut widths = widths(&cells);
    // The error gets what is left.
    let error = widths.pop().unwrap_or_default();
    let room = width.saturating_sub(table_width(&widths) + 1);
    widths.push(error.min(room));
    let row = |cells: &Vec<String>| {
        let shown = cells.iter().zip(&widths).map(|(cell, width)| cut(cell, *width));
        Row::new(shown.collect::<Vec<_>>())
    };
    let mut rows = cells.iter().map(row);
    let header = rows.next().unwrap_or_default();
    let constraints = widths.iter().map(|width| Constraint::Length(length(*width)));
    Table::new(rows.collect::<Vec<_>>(), constraints)
        .header(header.style(paint.bold()))
        .block(Block::new().padding(ratatui::widgets::Padding::top(1)))
}

fn foot_text(state: &TopState) -> String {
    match &state.question {
        Some(PoolStep::Pause { kind, is_paused }) => {
            let verb = if *is_paused { "Pause" } else { "Resume" };
            format!("{verb} {kind} on all nodes? y to do it, any other key to leave it")
        }
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

    fn painting(times: &Times) -> Painting<'_> {
        Painting { times, is_coloured: false, is_live: true }
    }

    /// The lines of a frame of this size.
    fn frame(state: &TopState, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, state, painting(&Times::utc()))).expect("a frame");
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
postroom 0.1.0 · node 77, the only one · sqlite · up 2h 5m · 14:05:00
4 things need attention: config: local.toml:7: no\\u001b[2J; DELIVER_REPLY is paused by dana (provider down); a job of
DELIVER_REPLY is late by 1h; 2 webhooks are in quarantine
last minute: 12.3 webhooks/s · 40.0 jobs/s · now: pending 36 · running 9 · drafts 1 · quarantine 2
  pool          state   size        busy backlog oldest restarts override
> ANALYSE       running 8           3    12      -      1        -
  DELIVER_REPLY paused  16 (file 8) 3    12      1h     1        size = 16 by erin; paused = true by dana: provider down
  SELF_CHECK    running 8           3    12      -      1        -
failed   job  kind    client error
14:03:11 4711 ANALYSE acme   no route
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
    fn a_narrow_terminal_shows_whole_names_who_paused_and_what_is_cut() {
        let mut narrow = seen();
        let kind = "LINKEDIN_INBOUND_POST_PROCESS".to_owned();
        let pool = narrow.pools.get_mut(1).expect("a pool");
        (pool.kind, pool.override_note) =
            (kind.clone(), Some("by dana (the provider is down again)".to_owned()));
        let shown = frame(&TopState::new(narrow), 80, 24);
        assert!(shown.contains(&format!("{kind} paused")), "{shown}");
        assert!(shown.contains("by dana (the provid…"), "{shown}");
        assert!(!shown.contains("restarts"), "{shown}");
        assert_eq!(wrapped("ab cd ef", 5, 1), ["ab c…"]);
        assert_eq!(wrapped("ab cd ef", 5, 2), ["ab cd", "ef"]);
        assert_eq!(wrapped("abcdef gh", 4, 9), ["abc…", "gh"]);
    }

    #[test]
    fn a_frame_that_goes_nowhere_is_whole_and_has_no_keys() {
        let (state, times) = (TopState::new(seen()), Times::utc());
        let painting = Painting { is_live: false, ..painting(&times) };
        let (width, height) = size(&state, painting, None);
        let (width, height) = (length(width), length(height));
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, &state, painting)).expect("a frame");
        let shown = terminal.backend().to_string();
        for part in ["is late by 1h; 2 webhooks are in quarantine", "(provider down)", "no route"] {
            assert!(shown.contains(part), "{shown}");
        }
        for part in ["q quit", "> ", "…"] {
            assert!(!shown.contains(part), "{shown}");
        }
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
        state.message = Some("done".to_owned());
        let shown = frame(&state, 80, 24);
        assert!(shown.contains("\ndone\n"), "{shown}");
        assert!(shown.contains("Pause ANALYSE on all nodes? y"), "{shown}");
        state.on_answer(Err(AdminRefusal::Away("no daemon".to_owned())));
        let shown = frame(&state, 80, 24);
        assert!(shown.contains("no answer since 14:05:00, trying again: no daemon"), "{shown}");
        let calm = frame(&TopState::new(TopData::default()), 80, 24);
        assert!(calm.contains("All is well."), "{calm}");
    }
}
