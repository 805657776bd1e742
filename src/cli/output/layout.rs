//! Tables: columns as wide as their content, cut to the terminal if they go to one.

use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Blanks between two columns.
const GAP: usize = 2;
/// A column of long text is not made narrower than this for the sake of the others.
const LONG_MIN: usize = 16;

/// A table without rules, a line for each row.
#[derive(Debug)]
pub(in crate::cli) struct TextTable {
    header: Vec<String>,
    shows_header: bool,
    rows: Vec<Vec<String>>,
    /// For each column whether its text may be long, so that it is shortened before others are cut.
    is_long: Vec<bool>,
    /// The widths that the columns have at least.
    widths_min: Vec<usize>,
}

impl TextTable {
    /// A table of these rows. The last column may be long.
    pub(in crate::cli) fn new(
        header: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Self {
        let columns = header.len();
        Self {
            header: header.iter().map(|name| (*name).to_owned()).collect(),
            shows_header: true,
            rows: rows.into_iter().collect(),
            is_long: (1..=columns).map(|number| number == columns).collect(),
            widths_min: Vec::new(),
        }
    }

    /// Says which columns may be long.
    pub(in crate::cli) fn with_long(mut self, is_long: Vec<bool>) -> Self {
        self.is_long = is_long;
        self
    }

    /// Leaves out the header, and makes the columns at least this wide: the table goes on below
    /// another one.
    pub(in crate::cli) fn below(mut self, widths: &[usize]) -> Self {
        self.shows_header = false;
        self.widths_min = widths.to_vec();
        self
    }

    /// The widths of the columns that hold all of their content.
    pub(in crate::cli) fn widths(&self) -> Vec<usize> {
        let columns = self.is_long.len();
        let width = |column: usize| {
            let header = self.shows_header.then_some(&self.header);
            let cells = header.into_iter().chain(&self.rows).filter_map(|row| row.get(column));
            let content = cells.map(|cell| cell.width()).max().unwrap_or_default();
            content.max(self.widths_min.get(column).copied().unwrap_or_default())
        };
        (0..columns).map(width).collect()
    }

    /// The table as text without a line end. `width` is that of the terminal, in columns.
    pub(in crate::cli) fn text(&self, width: Option<usize>, is_coloured: bool) -> String {
        let mut widths = self.widths();
        if let Some(width) = width {
            shorten_long(&mut widths, &self.is_long, width);
        }
        let limit = width.unwrap_or(usize::MAX);
        let name_of = |column: usize| self.header.get(column).map_or("", String::as_str);
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        if self.shows_header {
            let cells = self.header.iter().map(|name| (name.as_str(), Style::new().bold()));
            lines.push(row_text(cells, &widths, limit, is_coloured));
        }
        for row in &self.rows {
            let cells = row
                .iter()
                .enumerate()
                .map(|(column, text)| (text.as_str(), style_of(name_of(column), text)));
            lines.push(row_text(cells, &widths, limit, is_coloured));
        }
        lines.join("\n")
    }
}

/// Makes the columns of long text narrower, the widest first, until the table fits or they are at
/// their least.
fn shorten_long(widths: &mut [usize], is_long: &[bool], width: usize) {
    let gaps = widths.len().saturating_sub(1).saturating_mul(GAP);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
    while excess > 0 {
        let long = widths.iter_mut().zip(is_long).filter(|(_, is_long)| **is_long);
        let Some(widest) = long.map(|(width, _)| width).max().filter(|it| **it > LONG_MIN) else {
            return;
        };
        *widest -= 1;
        excess -= 1;
    }
}

/// A line of at most `limit` columns. Cells that do not fit end with an ellipsis.
fn row_text<'a>(
    cells: impl Iterator<Item = (&'a str, Style)>,
    widths: &[usize],
    limit: usize,
    is_coloured: bool,
) -> String {
    let mut line = String::new();
    let mut used = 0;
    // Blanks before the next cell. They are not written at the end of a line.
    let mut gap = 0;
    for ((text, style), width) in cells.zip(widths) {
        let room = limit.saturating_sub(used + gap);
        if room == 0 {
            break;
        }
        let cell = cut(text, (*width).min(room));
        line.push_str(&" ".repeat(gap));
        if is_coloured && style != Style::new() {
            // Writing to a `String` does not fail.
            write!(line, "{style}{cell}{style:#}").ok();
        } else {
            line.push_str(&cell);
        }
        used += gap + cell.width();
        gap = width.saturating_sub(cell.width()) + GAP;
    }
    line.truncate(line.trim_end().len());
    line
}

/// `text` in at most `width` columns, with an ellipsis for the rest.
pub(in crate::cli) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for char in text.chars() {
        used += char.width().unwrap_or_default();
        // The last column is for the ellipsis.
        if used >= width {
            break;
        }
        cut.push(char);
    }
    cut.truncate(cut.trim_end().len());
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// Colours the states that need attention.
fn style_of(column: &str, text: &str) -> Style {
    let color = match (column, text) {
        ("status" | "state", "failed" | "backing_off" | "dead" | "uncertain") => AnsiColor::Red,
        ("status" | "state", "cancelled" | "paused" | "held") | ("outcome", "quarantined") => {
            AnsiColor::Yellow
        }
        _ => return Style::new(),
    };
    Style::new().fg_color(Some(color.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> TextTable {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        TextTable::new(
            &["id", "status", "last_error"],
            [
                row(["1", "failed", "no route to the host of the provider"]),
                row(["22", "pending", "-"]),
            ],
        )
    }

    #[test]
    fn without_a_width_nothing_is_cut() {
        let whole = "id  status   last_error\n\
                     1   failed   no route to the host of the provider\n\
                     22  pending  -";
        assert_eq!(jobs().text(None, false), whole);
        assert_eq!(jobs().text(Some(200), false), whole);
    }

    #[test]
    fn long_text_is_shortened_first_and_no_line_is_wider_than_the_terminal() {
        assert_eq!(
            jobs().text(Some(35), false),
            "id  status   last_error\n1   failed   no route to the host…\n22  pending  -"
        );
        for width in 1..60 {
            for line in jobs().text(Some(width), false).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("äö üß", 4), "äö…");
        assert_eq!(cut("ab", 0), "");
    }

    #[test]
    fn a_page_stands_below_the_page_before_it() {
        let first = jobs();
        let next = TextTable::new(
            &["id", "status", "last_error"],
            [vec!["3".to_owned(), "running".to_owned(), "-".to_owned()]],
        );
        assert_eq!(next.below(&first.widths()).text(None, false), "3   running  -");
    }

    #[test]
    fn only_what_needs_attention_is_coloured() {
        let text = jobs().text(None, true);
        assert!(text.contains("\u{1b}[31mfailed\u{1b}[0m   no route"), "{text:?}");
        assert!(text.contains("22  pending  -"), "{text:?}");
    }
}
