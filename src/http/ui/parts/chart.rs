//! Charts, as SVG of attributes only. The numbers behind a chart are also in a table.
//!
//! A value that is no number (`NaN`) was not measured, and leaves a gap.

use super::{number::spelled, when::clock};
use crate::domain::Timestamp;
use maud::{Markup, Render, html};
use std::fmt::Write as _;

/// The drawing's own units: across and down.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 72.0;
/// The most points of a line. More are drawn as fewer.
const POINTS_MAX: usize = 120;
/// The rows of the table behind charts, besides the first.
const TABLE_STEPS: u8 = 6;

/// How a line looks. Lines are grey unless what they show is a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::ui) enum LineStyle {
    First,
    Second,
    Third,
    Fourth,
    Warn,
    Bad,
}

impl LineStyle {
    /// The styles of lines that show no state, in their order.
    pub(in crate::http::ui) const GREY: [Self; 4] =
        [Self::First, Self::Second, Self::Third, Self::Fourth];

    const fn class(self) -> &'static str {
        match self {
            Self::First => "c1",
            Self::Second => "c2",
            Self::Third => "c3",
            Self::Fourth => "c4",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// A line of a chart, or a layer of its bars.
#[derive(Clone, Debug)]
pub(in crate::http::ui) struct ChartLine<'a> {
    pub(in crate::http::ui) name: &'a str,
    /// In the order of time, in equal steps from the start of the axis to its end.
    pub(in crate::http::ui) values: &'a [f64],
    pub(in crate::http::ui) style: LineStyle,
}

/// The time that a chart shows.
#[derive(Clone, Copy, Debug)]
pub(in crate::http::ui) struct Axis {
    pub(in crate::http::ui) from: Timestamp,
    pub(in crate::http::ui) to: Timestamp,
}

/// A chart of lines, or of bars upon each other.
#[derive(Clone, Debug)]
pub(in crate::http::ui) struct Chart<'a> {
    pub(in crate::http::ui) title: &'a str,
    /// An id of the page's own: letters.
    pub(in crate::http::ui) key: &'a str,
    pub(in crate::http::ui) axis: Axis,
    pub(in crate::http::ui) lines: Vec<ChartLine<'a>>,
    /// Spells a value: `6.2 s`.
    pub(in crate::http::ui) spell: fn(f64) -> String,
    /// True for bars upon each other, false for lines.
    pub(in crate::http::ui) is_stacked: bool,
}

impl Chart<'_> {
    /// One sentence with the highest and the last value of each line, for readers of the screen.
    fn described(&self) -> String {
        let line = |line: &ChartLine<'_>| {
            let most = line.values.iter().copied().fold(f64::NAN, f64::max);
            let last = last_of(line.values)?;
            Some(format!(
                "{}: {} now, {} at the most.",
                line.name,
                (self.spell)(last),
                (self.spell)(most)
            ))
        };
        let lines: Vec<String> = self.lines.iter().filter_map(line).collect();
        if lines.is_empty() { "Nothing was measured yet.".to_owned() } else { lines.join(" ") }
    }

    fn top(&self) -> f64 {
        let drawn: Vec<Vec<f64>> = self.lines.iter().map(|it| self.drawn(it.values)).collect();
        let most = if self.is_stacked {
            let count = drawn.iter().map(Vec::len).max().unwrap_or(0);
            let sum = |at: usize| {
                drawn.iter().filter_map(|it| it.get(at)).filter(|it| it.is_finite()).sum::<f64>()
            };
            (0..count).map(sum).fold(0.0, f64::max)
        } else {
            drawn.iter().flatten().copied().fold(0.0, f64::max)
        };
        round_up(most)
    }

    /// The values as they are drawn: the mean of neighbours for bars, their highest for lines.
    fn drawn(&self, values: &[f64]) -> Vec<f64> {
        let step = values.len().div_ceil(POINTS_MAX).max(1);
        let one = |part: &[f64]| {
            let known: Vec<f64> = part.iter().copied().filter(|it| it.is_finite()).collect();
            if known.is_empty() {
                f64::NAN
            } else if self.is_stacked {
                known.iter().sum::<f64>() / count(known.len())
            } else {
                known.into_iter().fold(0.0, f64::max)
            }
        };
        values.chunks(step).map(one).collect()
    }

    fn drawing(&self, top: f64) -> Markup {
        let mut below: Vec<f64> = Vec::new();
        let mut paths = Vec::new();
        for line in &self.lines {
            let values = self.drawn(line.values);
            let path = if self.is_stacked {
                stacked_path(&values, &mut below, top)
            } else {
                line_path(&values, top)
            };
            paths.push((line, path));
        }
        let kind = if self.is_stacked { "br" } else { "ln" };
        html! {
            svg y="18" width="100%" height="72" viewBox="0 0 240 72" preserveAspectRatio="none" {
                // The first line lies over the others.
                @for (line, path) in paths.iter().rev() {
                    path.(kind).(line.style.class()) d=(path) {}
                }
            }
        }
    }

    fn key(&self) -> Markup {
        html! {
            ul.key {
                @for line in &self.lines {
                    li.(line.style.class()) {
                        svg aria-hidden="true" viewBox="0 0 14 8" {
                            @if self.is_stacked { path.br d="M3 8v-7M7 8v-5M11 8v-7" {} }
                            @else { path.ln d="M0 4h14" {} }
                        }
                        span title=(line.name) { (line.name) }
                        b { @if let Some(last) = last_of(line.values) { ((self.spell)(last)) } @else { "–" } }
                    }
                }
            }
        }
    }
}

impl Render for Chart<'_> {
    fn render(&self) -> Markup {
        let (title_id, about_id) = (format!("{}t", self.key), format!("{}d", self.key));
        let labels = format!("{title_id} {about_id}");
        let has_values = self.lines.iter().any(|it| last_of(it.values).is_some());
        let top = self.top();
        html! {
            figure {
                figcaption { (self.title) }
                svg.plot height="108" role="img" aria-labelledby=(labels) data-top=(top) {
                    title id=(title_id) { (self.title) }
                    desc id=(about_id) { (self.described()) }
                    line x1="0" x2="100%" y1="18.5" y2="18.5" {}
                    line x1="0" x2="100%" y1="90.5" y2="90.5" {}
                    @if has_values {
                        text y="12" { ((self.spell)(top)) }
                        (self.drawing(top))
                    } @else {
                        text x="50%" y="58" text-anchor="middle" { "nothing yet" }
                    }
                    (time_text(self.axis.from, "0", "start"))
                    (time_text(self.axis.to, "100%", "end"))
                }
                (self.key())
            }
        }
    }
}

/// The numbers behind several charts over the same time, as a table.
pub(in crate::http::ui) fn numbers(charts: &[Chart<'_>], now: Timestamp) -> Markup {
    let Some(axis) = charts.first().map(|it| it.axis) else { return html! {} };
    let lines = || charts.iter().flat_map(|chart| chart.lines.iter().map(move |it| (chart, it)));
    let span = axis.to.millis_since(axis.from) / i64::from(TABLE_STEPS);
    let value = |chart: &Chart<'_>, line: &ChartLine<'_>, step: u8| {
        let last = line.values.len().checked_sub(1)?;
        let value = line.values.get(last * usize::from(step) / usize::from(TABLE_STEPS))?;
        value.is_finite().then(|| (chart.spell)(*value))
    };
    html! {
        details.fold {
            summary { "as table" }
            div.scroll tabindex="0" role="region" aria-label="The charts as a table" {
                table.t.plain {
                    caption.vh { "The charts as a table" }
                    thead { tr {
                        th scope="col" { "time" }
                        @for (chart, line) in lines() {
                            th.n scope="col" { span.sub { (chart.title) } (line.name) }
                        }
                    } }
                    tbody {
                        @for step in 0..=TABLE_STEPS {
                            tr {
                                th scope="row" { (clock(axis.from.plus_millis(span * i64::from(step)), now)) }
                                @for (chart, line) in lines() {
                                    td.n { (value(chart, line, step).as_deref().unwrap_or("–")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn time_text(at: Timestamp, x: &str, anchor: &str) -> Markup {
    let text = at.to_string();
    let time = text.split_once('T').map_or("", |it| it.1);
    html! {
        text x=(x) y="105" text-anchor=(anchor) data-at=(text) { (time.get(..5).unwrap_or(time)) }
    }
}

/// A number of small bars side by side, for a row or a cell.
pub(in crate::http::ui) fn mini_bars(values: &[f64], top: f64) -> Markup {
    let width = count(values.len().max(1)) * 4.0;
    let mut path = String::new();
    for (at, value) in values.iter().enumerate() {
        let height = (value / top.max(f64::MIN_POSITIVE) * 16.0).clamp(0.0, 16.0);
        if height > 0.0 {
            // Writing to a `String` does not fail.
            write!(path, "M{} 16v-{:.1}", at * 4 + 2, height.max(1.0)).ok();
        }
    }
    html! {
        svg.mini aria-hidden="true" viewBox={ "0 0 " (width) " 16" } preserveAspectRatio="none" {
            path.br d=(path) {}
        }
    }
}

/// A bar that fills this share of its cell.
pub(in crate::http::ui) fn bar(share: f64) -> Markup {
    let width = share.clamp(0.0, 1.0) * 100.0;
    html! {
        svg.bar aria-hidden="true" viewBox="0 0 100 6" preserveAspectRatio="none" {
            rect width=(format!("{width:.1}")) height="6" {}
        }
    }
}

/// The next of 1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten, at least 1.
fn round_up(most: f64) -> f64 {
    const STEPS: [f64; 10] = [1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    if !most.is_finite() || most <= 1.0 {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let step = STEPS.into_iter().find(|step| step * power >= most).unwrap_or(10.0);
    step * power
}

fn line_path(values: &[f64], top: f64) -> String {
    let mut path = String::new();
    let step = WIDTH / count(values.len().saturating_sub(1).max(1));
    let mut is_open = false;
    for (at, value) in values.iter().enumerate() {
        if !value.is_finite() {
            is_open = false;
            continue;
        }
        let (x, y) = (count(at) * step, HEIGHT - value / top * HEIGHT);
        // Writing to a `String` does not fail.
        write!(path, "{}{} {}", if is_open { "L" } else { "M" }, short(x), short(y)).ok();
        let is_alone = !is_open && !values.get(at + 1).is_some_and(|it| it.is_finite());
        if is_alone {
            // A point between two gaps would not be seen.
            path.push_str("h.5");
        }
        is_open = true;
    }
    path
}

fn stacked_path(values: &[f64], below: &mut Vec<f64>, top: f64) -> String {
    let mut path = String::new();
    below.resize(below.len().max(values.len()), 0.0);
    let step = WIDTH / count(values.len().max(1));
    for ((at, value), below) in values.iter().enumerate().zip(below) {
        if !value.is_finite() || *value <= 0.0 {
            continue;
        }
        let x = (count(at) + 0.5) * step;
        let (y, height) = (HEIGHT - *below / top * HEIGHT, value / top * HEIGHT);
        // Writing to a `String` does not fail.
        write!(path, "M{} {}v-{}", short(x), short(y), short(height)).ok();
        *below += value;
    }
    path
}

/// A coordinate with one digit at most.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn last_of(values: &[f64]) -> Option<f64> {
    values.iter().rev().copied().find(|it| it.is_finite())
}

#[expect(clippy::cast_precision_loss, reason = "counts of points are small")]
fn count(count: usize) -> f64 {
    count as f64
}

/// Spells a count.
pub(in crate::http::ui) fn as_count(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
    let count = value.round() as i64;
    spelled(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart<'a>(lines: Vec<ChartLine<'a>>, is_stacked: bool) -> Chart<'a> {
        let to = Timestamp::from_millis(1_768_744_991_120);
        let axis = Axis { from: to.plus_millis(-3_600_000), to };
        Chart { title: "Waiting", key: "w", axis, lines, spell: as_count, is_stacked }
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (most, top) in
            [(0.0, 1.0), (0.4, 1.0), (1.1, 1.2), (9.0, 10.0), (214.0, 300.0), (1_000.0, 1_000.0)]
        {
            assert!((round_up(most) - top).abs() < 1e-9, "{most}: {}", round_up(most));
        }
        assert!((round_up(f64::NAN) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_gap_is_not_drawn_over() {
        assert_eq!(line_path(&[0.0, 1.0, f64::NAN, 2.0], 2.0), "M0 72L80 36M240 0h.5");
        let mut below = Vec::new();
        assert_eq!(stacked_path(&[1.0, f64::NAN, 0.0], &mut below, 2.0), "M40 72v-36");
        assert_eq!(stacked_path(&[1.0, 2.0, 0.0], &mut below, 2.0), "M40 36v-36M120 72v-72");
    }

    #[test]
    fn a_chart_has_its_numbers_as_text_and_no_more_points_than_it_needs() {
        let values: Vec<f64> = (0..3_600_u16).map(f64::from).collect();
        let line = ChartLine { name: "<b>", values: &values, style: LineStyle::First };
        for is_stacked in [false, true] {
            let html = chart(vec![line.clone()], is_stacked).render().into_string();
            assert!(html.contains("&lt;b&gt;: 3,599 now, 3,599 at the most."), "{html}");
            assert!(html.len() < 3_000, "{} bytes", html.len());
        }
        let chart = chart(vec![line], false);
        let table = numbers(&[chart], Timestamp::from_millis(0)).into_string();
        assert_eq!(table.matches("<th scope=\"row\">").count(), 7);
        assert!(table.contains(">1,799<") && table.contains(">3,599<"), "{table}");
    }

    #[test]
    fn nothing_measured_is_nothing_yet() {
        let line = ChartLine { name: "a", values: &[f64::NAN], style: LineStyle::First };
        for lines in [vec![line], Vec::new()] {
            let html = chart(lines, false).render().into_string();
            assert!(html.contains("nothing yet") && html.contains("Nothing was measured yet."));
        }
    }
}
