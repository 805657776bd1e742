//! The charts of the overview: what this node saw lately.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "charts show a few digits, and a cast of floats saturates"
)]

use crate::{
    domain::Timestamp,
    http::{
        api::Query,
        problem::Problem,
        ui::{
            parts::{
                Axis, Chart, ChartLine, LineStyle, Segment, as_count, duration, mini_bars, numbers,
                segments,
            },
            visit::Visit,
        },
    },
    telemetry::history::{HistorySpan, SeriesName},
};
use maud::{Markup, html};
use std::iter::successors;

/// How far back the charts look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Hour,
    Day,
}

impl Range {
    pub(super) fn of(query: &Query) -> Result<Self, Problem> {
        match query.text("range")? {
            None | Some("1h") => Ok(Self::Hour),
            Some("24h") => Ok(Self::Day),
            Some(_) => Err(Problem::bad_request("range", "must be 1h or 24h")),
        }
    }

    const fn millis(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    const fn span(self) -> HistorySpan {
        match self {
            Self::Hour => HistorySpan::Hour,
            Self::Day => HistorySpan::Day,
        }
    }

    const fn heading(self) -> &'static str {
        match self {
            Self::Hour => "The last hour",
            Self::Day => "The last day",
        }
    }
}

/// A line with its name, its values, and its style if what it shows is a state.
type NamedLine = (String, Vec<f64>, Option<LineStyle>);

/// The numbers behind all charts.
#[derive(Clone, Debug)]
struct Lately {
    webhooks: Vec<NamedLine>,
    waiting: Vec<NamedLine>,
    waits: Vec<NamedLine>,
    sent: Vec<NamedLine>,
}

/// The outcomes of webhooks that made something, and of those that needed nothing. All others were
/// refused.
const ACCEPTED: [&str; 2] = ["accepted", "recorded"];
const NOTHING_TO_DO: [&str; 2] = ["duplicate", "ignored"];
/// How many kinds have a line of their own.
const KINDS_MAX: usize = 3;
/// The bars of a channel.
const BARS: usize = 30;
/// Into how many parts a table divides the time of the bars.
const PARTS: usize = 6;

impl Lately {
    fn of(visit: &Visit, range: Range) -> Self {
        let history = &visit.state().history;
        let names = history.names();
        let of = |name: &SeriesName| padded(history.numbers(name, range.span()), range.span());
        let outcomes = |is: fn(&str) -> bool| {
            let of_outcome =
                names.iter().filter(|name| matches!(name, SeriesName::Webhooks(it) if is(it)));
            sum(of_outcome.map(of))
        };
        let kinds =
            |of_kind: fn(&SeriesName) -> Option<&'static str>| -> Vec<(&'static str, Vec<f64>)> {
                names.iter().filter_map(|name| Some((of_kind(name)?, of(name)))).collect()
            };
        let is_accepted: fn(&str) -> bool = |it| ACCEPTED.contains(&it);
        let needs_nothing: fn(&str) -> bool = |it| NOTHING_TO_DO.contains(&it);
        let is_refused: fn(&str) -> bool =
            |it| !ACCEPTED.contains(&it) && !NOTHING_TO_DO.contains(&it);
        let webhooks = vec![
            ("accepted".to_owned(), outcomes(is_accepted), None),
            ("needed no job".to_owned(), outcomes(needs_nothing), None),
            ("refused".to_owned(), outcomes(is_refused), Some(LineStyle::Bad)),
        ];
        let waiting =
            kinds(|name| if let SeriesName::Backlog(kind) = name { Some(kind) } else { None });
        let waits = kinds(|name| if let SeriesName::Wait(kind) = name { Some(kind) } else { None });
        let pools = visit.state().board.pools();
        let is_paused = |kind: &str| pools.iter().any(|pool| pool.kind.0 == kind && pool.paused);
        let step = range.span().step_seconds();
        let sent = names.iter().filter_map(|name| {
            let SeriesName::Sent(channel) = name else { return None };
            Some(((*channel).to_owned(), bars(&of(name), step), None))
        });
        Self {
            webhooks,
            waiting: largest(waiting, is_paused, |a, b| a + b),
            waits: largest(waits, is_paused, f64::max),
            sent: sent.collect(),
        }
    }
}

/// The numbers of a whole span: what is older than the daemon is not known.
fn padded(numbers: Vec<f64>, span: HistorySpan) -> Vec<f64> {
    let missing = span.length().saturating_sub(numbers.len());
    [vec![f64::NAN; missing], numbers].concat()
}

/// What the lines add up to. Not known is what none knows.
fn sum(lines: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    lines.reduce(|all, line| joined(all, &line, |a, b| a + b)).unwrap_or_default()
}

fn joined(mut all: Vec<f64>, line: &[f64], join: fn(f64, f64) -> f64) -> Vec<f64> {
    for (sum, value) in all.iter_mut().zip(line) {
        *sum = match (sum.is_nan(), value.is_nan()) {
            (true, _) => *value,
            (false, true) => *sum,
            (false, false) => join(*sum, *value),
        };
    }
    all
}

/// The kinds with the highest values, and one line for all others. A kind without any value is left
/// out.
fn largest(
    kinds: Vec<(&'static str, Vec<f64>)>,
    is_paused: impl Fn(&str) -> bool,
    join: fn(f64, f64) -> f64,
) -> Vec<NamedLine> {
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let mut kinds: Vec<(&'static str, Vec<f64>)> = kinds;
    kinds.sort_by(|a, b| most(&b.1).total_cmp(&most(&a.1)).then(a.0.cmp(b.0)));
    let quiet = kinds.iter().position(|it| most(&it.1) <= 0.0).unwrap_or(kinds.len());
    let others = kinds.split_off(quiet.min(KINDS_MAX));
    let mut lines: Vec<NamedLine> = kinds
        .into_iter()
        .map(|(kind, values)| (kind.to_owned(), values, is_paused(kind).then_some(LineStyle::Warn)))
        .collect();
    let count = others.len();
    let rest = others.into_iter().map(|it| it.1).reduce(|all, line| joined(all, &line, join));
    if let Some(values) = rest {
        let name = match (lines.len(), count) {
            (0, _) => "all kinds".to_owned(),
            (_, 1) => "one other kind".to_owned(),
            _ => format!("{count} other kinds"),
        };
        lines.push((name, values, None));
    }
    lines
}

/// How many happened in each of a few bars, from rates a second.
pub(in crate::http::ui) fn bars(rates: &[f64], step_seconds: u64) -> Vec<f64> {
    let known = |part: &[f64]| part.iter().filter(|it| it.is_finite()).sum::<f64>();
    let seconds = step_seconds as f64;
    rates.chunks(rates.len().div_ceil(BARS).max(1)).map(|part| known(part) * seconds).collect()
}

/// How many attempts failed on this node within a day, as far as it knows; `None` if it works no
/// jobs.
pub(super) fn failed_in_a_day(visit: &Visit) -> Option<i64> {
    let history = &visit.state().history;
    let names = history.names();
    let failed = names.iter().filter(|name| matches!(name, SeriesName::Failed(_)));
    let step = HistorySpan::Day.step_seconds();
    let of_kind = |name: &SeriesName| {
        let numbers = history.numbers(name, HistorySpan::Day);
        // The minutes that have ended, and those of the one that runs.
        let ended: f64 = bars(&numbers, step).iter().sum();
        if numbers.is_empty() { history.count_within(name, 60 * 60) as f64 } else { ended }
    };
    let all: f64 = failed.map(of_kind).sum();
    visit.state().role.works().then_some(all.round() as i64)
}

/// The charts, and their numbers as a table.
pub(super) fn section(visit: &Visit, range: Range) -> Markup {
    let lately = Lately::of(visit, range);
    let axis = Axis { from: visit.now.plus_millis(-range.millis()), to: visit.now };
    let charts = [
        chart("Webhooks by outcome", "webhooks", axis, &lately.webhooks, as_rate, true),
        chart("Waiting, by kind", "waiting", axis, &lately.waiting, as_count, false),
        chart("Wait for a slot, p95", "waits", axis, &lately.waits, as_seconds, false),
    ];
    let ranges = [("1 h", "1h", Range::Hour), ("24 h", "24h", Range::Day)];
    let ranges = ranges.map(|(word, value, of)| Segment {
        word,
        is_on: of == range,
        href: visit.with("range", Some(value)),
    });
    html! {
        section.sec aria-labelledby="lately" {
            div.head {
                h2 #lately { (range.heading()) }
                span.sm.mut {
                    "as this node saw it" @if visit.client.is_some() { ", of all clients" }
                }
                div.end { (segments("How far back", &ranges)) }
            }
            div data-part="charts" {
                div.charts {
                    @for chart in &charts { (chart) }
                    (rows("Sent, by channel", &lately.sent, axis))
                }
                (numbers(&charts, visit.now))
                (counted("Sent, by channel", "sent, as table", &lately.sent, axis))
            }
        }
    }
}

fn chart<'a>(
    title: &'a str,
    key: &'a str,
    axis: Axis,
    named: &'a [NamedLine],
    spell: fn(f64) -> String,
    is_stacked: bool,
) -> Chart<'a> {
    let mut greys = LineStyle::GREY.into_iter();
    let lines = named.iter().map(|(name, values, style)| ChartLine {
        name,
        values,
        style: style.or_else(|| greys.next()).unwrap_or(LineStyle::Fourth),
    });
    Chart { title, key, axis, lines: lines.collect(), spell, is_stacked }
}

/// How many webhooks this node has answered within a day, by outcome. Nothing is shown where the
/// page is limited to some clients: it is counted over all.
pub(in crate::http::ui) fn webhooks_of_a_day(visit: &Visit) -> Markup {
    let step = Range::Day.span().step_seconds();
    let of_a_day = |lately: Lately| {
        let bars_of = |(name, rates, style): NamedLine| (name, bars(&rates, step), style);
        lately.webhooks.into_iter().map(bars_of).collect()
    };
    of_all_clients(visit, "Webhooks of a day on this node, by outcome", of_a_day)
}

/// How many answers this node has sent within a day, by channel. See [`webhooks_of_a_day`].
pub(in crate::http::ui) fn sent_in_a_day(visit: &Visit) -> Markup {
    of_all_clients(visit, "Sent in a day by this node, by channel", |lately| lately.sent)
}

fn of_all_clients(
    visit: &Visit,
    title: &str,
    named: impl FnOnce(Lately) -> Vec<NamedLine>,
) -> Markup {
    if !visit.clients().is_empty() {
        return html! {};
    }
    let axis = Axis { from: visit.now.plus_millis(-Range::Day.millis()), to: visit.now };
    let named = named(Lately::of(visit, Range::Day));
    html! {
        div.ut data-part="day" {
            div.charts { (rows(title, &named, axis)) }
            (counted(title, "as table", &named, axis))
        }
    }
}

/// The numbers behind rows of bars as a table: how many there were in each part of the time.
fn counted(title: &str, summary: &str, named: &[NamedLine], axis: Axis) -> Markup {
    let step = axis.to.millis_since(axis.from) / i64::try_from(PARTS).unwrap_or(i64::MAX);
    let starts = successors(Some(axis.from), |at| Some(at.plus_millis(step)));
    html! {
        details.fold {
            summary { (summary) }
            div.scroll tabindex="0" role="region" aria-label={ (title) ", as a table" } {
                table.t.plain {
                    caption.vh { (title) ", as a table" }
                    thead { tr {
                        th scope="col" { "from" }
                        @for at in starts.take(PARTS) { th.n scope="col" { (time_of_day(at)) } }
                    } }
                    tbody {
                        @for (name, values, _) in named {
                            tr {
                                th scope="row" { (name) }
                                @for count in in_parts(values) { td.n { (as_count(count)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the values add up to in each part of their time.
fn in_parts(values: &[f64]) -> [f64; PARTS] {
    let mut sums = [0.0; PARTS];
    for (at, value) in values.iter().enumerate().filter(|it| it.1.is_finite()) {
        if let Some(sum) = sums.get_mut(at * PARTS / values.len()) {
            *sum += value;
        }
    }
    sums
}

fn time_of_day(at: Timestamp) -> Markup {
    let text = at.to_string();
    html! { time datetime=(text) data-clock="hm" { (text.get(11..16).unwrap_or("")) } }
}

/// Lines as rows of bars, because many colours would mean nothing.
fn rows(title: &str, named: &[NamedLine], axis: Axis) -> Markup {
    let top = named.iter().flat_map(|it| &it.1).copied().fold(0.0, f64::max);
    html! {
        figure {
            figcaption { (title) }
            ul.multi {
                @for (name, values, _) in named {
                    li {
                        span.one { (name) }
                        (mini_bars(values, top))
                        b { (as_count(values.iter().filter(|it| it.is_finite()).sum())) }
                    }
                }
                li.ends { span { span { (time_of_day(axis.from)) } span { (time_of_day(axis.to)) } } }
            }
            @if !named.iter().any(|it| it.1.iter().any(|it| *it > 0.0)) { p.sm.mut { "None in this time." } }
        }
    }
}

fn as_rate(per_second: f64) -> String {
    format!("{per_second:.1}/s")
}

fn as_seconds(seconds: f64) -> String {
    duration((seconds * 1_000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_kinds_have_lines_of_their_own() {
        let kinds = vec![
            ("A", vec![1.0, f64::NAN]),
            ("B", vec![9.0, 2.0]),
            ("C", vec![0.0, 0.0]),
            ("D", vec![5.0, 5.0]),
            ("E", vec![1.0, 3.0]),
        ];
        let lines = largest(kinds, |kind| kind == "D", |a, b| a + b);
        let names: Vec<&str> = lines.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(names, ["B", "D", "E", "2 other kinds"]);
        assert_eq!(lines[1].2, Some(LineStyle::Warn));
        assert_eq!(lines[3].1, [1.0, 0.0]);
        let quiet = largest(vec![("A", vec![0.0]), ("B", vec![f64::NAN])], |_| false, f64::max);
        assert_eq!(quiet.len(), 1);
        assert_eq!((quiet[0].0.as_str(), &quiet[0].1[..]), ("all kinds", &[0.0][..]));
        assert!(largest(Vec::new(), |_| false, f64::max).is_empty());
    }

    #[test]
    fn a_table_has_the_sums_of_all_bars() {
        let mut values = vec![1.0; BARS];
        values[0] = f64::NAN;
        assert_eq!(in_parts(&values), [4.0, 5.0, 5.0, 5.0, 5.0, 5.0]);
        assert_eq!((in_parts(&[]), in_parts(&[7.0])), ([0.0; 6], [7.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        let axis = Axis { from: Timestamp::from_millis(0), to: Timestamp::from_millis(86_400_000) };
        let html = counted("Sent", "as table", &[("<b>".to_owned(), values, None)], axis);
        let html = html.into_string();
        assert!(html.contains(">04:00<") && html.contains("&lt;b&gt;"), "{html}");
        assert_eq!(html.matches("<td class=\"n\">5</td>").count(), 5, "{html}");
    }

    #[test]
    fn a_young_daemon_leaves_the_start_of_a_chart_empty() {
        let numbers = padded(vec![1.0, 2.0], HistorySpan::Hour);
        assert_eq!((numbers.len(), numbers[359]), (360, 2.0));
        assert!(numbers[357].is_nan());
        assert_eq!(bars(&numbers, 10).len(), BARS);
        assert!((bars(&numbers, 10).iter().sum::<f64>() - 30.0).abs() < 1e-9);
    }
}
