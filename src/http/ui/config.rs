//! `/config`: what runs, where each value comes from, what waits for a restart, and why a file was
//! refused. It answers without the database.

use super::{
    PageResult,
    command::copy_command,
    config_loads::{LoadsBound, loads, may_see_key},
    frame::{PageContent, PagePlace},
    parts::{
        ButtonLook, Column, PageTable, Segment, Sign, StateMark, TableRow, Tone, button, clock,
        copy_button, empty, field, hidden_input, live, new_rows, note, older, outside, post_form,
        segments, two,
    },
    visit::Visit,
};
use crate::{
    http::{
        api::{ConfigJson, ConfigMoment, Query, ReportJson, ValueJson},
        problem::Problem,
    },
    tuning::{LoadHistory, ReloadOutcome},
};
use actix_web::HttpRequest;
use maud::{Markup, html};

/// How many values are on a page.
const VALUES_MAX: usize = 50;
/// The origin of a value that nobody has set.
const BY_DEFAULT: &str = "the default";

/// Which values are shown; or the loads, in the place of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConfigShow {
    Changed,
    Pending,
    Override,
    All,
    Loads,
}

impl ConfigShow {
    /// The views of values.
    const VALUES: [Self; 4] = [Self::Changed, Self::Pending, Self::Override, Self::All];
    /// All views.
    const ALL: [Self; 5] = [Self::Changed, Self::Pending, Self::Override, Self::All, Self::Loads];

    const fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Pending => "pending",
            Self::Override => "override",
            Self::All => "all",
            Self::Loads => "loads",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Changed => "Changed",
            Self::Pending => "Waiting for a restart",
            Self::Override => "Overridden",
            Self::All => "All",
            Self::Loads => "Loads",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }

    fn shows(self, value: &ValueJson<'_>) -> bool {
        match self {
            Self::Changed => {
                value.origin != BY_DEFAULT || value.pending.is_some() || value.r#override.is_some()
            }
            Self::Pending => value.pending.is_some(),
            Self::Override => value.r#override.is_some(),
            Self::All => true,
            Self::Loads => false,
        }
    }
}

/// `GET /config`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let query = visit.query(&["show", "q", "cursor"])?;
    let expected = || "changed, pending, override, all or loads".to_owned();
    let chosen = query.parsed("show", ConfigShow::of, expected)?;
    let chosen = chosen.first().copied().unwrap_or(ConfigShow::Changed);
    let moment = ConfigMoment::of(visit.state());
    let view = moment.view();
    let shown = match chosen {
        ConfigShow::Loads => all_loads(&visit, query.cursor()?),
        ConfigShow::Changed | ConfigShow::Pending | ConfigShow::Override | ConfigShow::All => {
            values(&visit, &query, chosen, &view)?
        }
    };
    let body = html! {
        (head(&visit, &view))
        (done(&visit))
        div data-part="notes" {
            (watch(&visit, &view))
            @if let Some(report) = &view.last_reload { (report_notes(&visit, &view, report)) }
            (standing_notes(&view))
        }
        (shown)
    };
    Ok(visit.answer(&PageContent::new(PagePlace::Config, "Config", body).topics("config")))
}

/// The values of this view, and below them the newest loads.
fn values(
    visit: &Visit,
    query: &Query,
    chosen: ConfigShow,
    view: &ConfigJson<'_>,
) -> Result<Markup, Problem> {
    let (sought, cursor) = (query.text("q")?, query.text("cursor")?);
    // 1. Which values: of clients that the viewer may see, on this page.
    let is_sought = |value: &&ValueJson<'_>| {
        sought.is_none_or(|text| value.key.contains(text) || value.value.contains(text))
    };
    let may_see = |value: &&ValueJson<'_>| may_see_key(visit, &value.key);
    let all: Vec<&ValueJson<'_>> = view
        .values
        .iter()
        .filter(|it| chosen.shows(it))
        .filter(may_see)
        .filter(is_sought)
        .collect();
    let start =
        cursor.and_then(|key| all.iter().position(|it| it.key == key)).map_or(0, |it| it + 1);
    let shown: Vec<&ValueJson<'_>> = all.iter().skip(start).take(VALUES_MAX).copied().collect();
    let has_more = start + shown.len() < all.len();
    let next = shown.last().filter(|_| has_more).map(|it| visit.with("cursor", Some(&it.key)));
    // 2. The newest loads.
    let status = visit.state().tuner.status();
    let (loads, _) = loads(visit, &status.loads, None, LoadsBound::PART);
    let all_loads = visit.with("show", Some(ConfigShow::Loads.word()));
    // 3. The page.
    let views = ConfigShow::VALUES.map(|it| Segment {
        word: it.label(),
        is_on: it == chosen,
        href: visit.with("show", Some(it.word())),
    });
    Ok(html! {
        div.row.sec {
            (segments("Which values", &views))
            (new_rows(&visit.here()))
            span.end.row {
                (copy_button("Copy as TOML", &as_toml(&shown)))
                (copy_command(visit, "postroom config show", &[]))
            }
        }
        form.filter role="search" aria-label="Filter" {
            (hidden_input("show", chosen.word()))
            (field("A part of a key or a value", "q", sought.unwrap_or_default(), "", None))
            (button(ButtonLook::Usual, html! { (Sign::Search) "Find" }))
        }
        div.mt { (table(visit, &shown)) }
        (older_values(next.as_deref(), all.len()))
        section.sec aria-labelledby="loads" {
            h2 #loads { "Loads" }
            p.sm.mut { (since(visit, &status.loads)) " " a href=(all_loads) { "All of them" } }
            div.mt { (loads) }
        }
    })
}

/// The loads since the start of this node, in the place of the values.
fn all_loads(visit: &Visit, before: Option<i64>) -> Markup {
    let status = visit.state().tuner.status();
    let (loads, next) = loads(visit, &status.loads, before, LoadsBound::PAGE);
    let next = next.map(|it| visit.with("cursor", Some(&it.to_string())));
    html! {
        section.sec aria-labelledby="loads" {
            div.row {
                h2 #loads { "Loads" }
                (new_rows(&visit.here()))
                span.end { (copy_command(visit, "postroom config history", &[])) }
            }
            p.sm.mut { (since(visit, &status.loads)) " " a href=(visit.to("/config")) { "Values" } }
            div.mt { (loads) }
            (older(next.as_deref(), "newest first"))
        }
    }
}

/// From when on loads are known, and which.
fn since(visit: &Visit, history: &LoadHistory) -> Markup {
    html! {
        "Since the start of this node, " (clock(history.since(), visit.now))
        ". A load that says the same as the one before is not listed."
    }
}

/// The values of this page as they are written in a file. A client's keys have another form there.
fn as_toml(values: &[&ValueJson<'_>]) -> String {
    let lines = values.iter().filter(|it| !it.key.starts_with("clients."));
    lines.map(|it| format!("{} = {}\n", it.key, it.value)).collect()
}

fn older_values(next: Option<&str>, count: usize) -> Markup {
    html! {
        @if next.is_some() { (older(next, html! { (count) " values" })) }
        @else { p.sm.mut.mt { (count) " values" } }
    }
}

fn head(visit: &Visit, view: &ConfigJson<'_>) -> Markup {
    let by = match &view.last_reload {
        Some(report) if report.outcome == ReloadOutcome::Applied => Some(report.by),
        Some(report) => report.last_applied.as_ref().map(|it| it.by),
        None => None,
    };
    html! {
        div.head data-part="head" {
            h1 { "Config" }
            span.sm.mut {
                "loaded " (clock(view.loaded_at, visit.now))
                @if let Some(by) = by { " by " (outside(by)) } @else { " at the start" }
                ", hash "
                span.mono { (view.hash) }
            }
            @if visit.viewer.may_operate() {
                span.end { (post_form("/config/reload", html! { button.btn.tight { (Sign::Retry) "Check and reload" } })) }
            }
        }
        p.sm.mut { "The files are the truth: nothing is edited here. "
            a href=(visit.to_with("/audit", &[("action", "config.reload,config.refused")])) { "What was changed, and by whom" } }
    }
}

fn done(visit: &Visit) -> Markup {
    let (tone, what, more) = match visit.done() {
        Some("applied") => (Tone::Good, "Reloaded.", "What the files say applies now."),
        Some("unchanged") => (Tone::Good, "Nothing has changed.", "The files say what runs."),
        Some("refused") => (Tone::Bad, "Refused.", "What ran before goes on."),
        _ => return html! {},
    };
    note(tone, what, more, None)
}

/// Hidden elements that have the page fetched again once the configuration has changed.
fn watch(visit: &Visit, view: &ConfigJson<'_>) -> Markup {
    let reloaded_at = view.last_reload.as_ref().map(|it| it.at.to_string()).unwrap_or_default();
    html! {
        (live("config", "reloaded_at").whole(reloaded_at))
        (live("config", "applying").whole(view.applying.len()))
        (live("config", "overrides").whole(visit.state().overridden_pools()))
    }
}

/// What the last reload did, as far as it matters now.
fn report_notes(visit: &Visit, view: &ConfigJson<'_>, report: &ReportJson<'_>) -> Markup {
    let refused = report.outcome == ReloadOutcome::Refused;
    html! {
        @if refused {
            div role="alert" {
                div.note.bad {
                    (Sign::Fail)
                    div {
                        h2 { "The files of " (clock(report.at, visit.now)) " were refused. What was loaded " (clock(view.loaded_at, visit.now)) " runs on." }
                        ol.errs.ut {
                            @for error in &report.errors {
                                li {
                                    code {
                                        @match (error.file, error.line) {
                                            (Some(file), Some(line)) => { (outside(file)) ":" (line) }
                                            (Some(file), None) => { (outside(file)) }
                                            _ => { (outside(error.origin.unwrap_or("–"))) }
                                        }
                                    }
                                    span { @if let Some(key) = error.key { code { (outside(key)) } ": " } (outside(error.message)) }
                                }
                            }
                        }
                        p.sm.mut.ut { "Save the file again: it is read within a second. Or try it first: " code { "postroom config check" } }
                    }
                }
            }
        }
        @for overruled in &report.overruled {
            (note(
                Tone::Warn,
                html! { code { (outside(overruled.key)) } " has no effect in " (outside(overruled.origin)) "." },
                html! { "The variable " code { (outside(overruled.by)) } " wins over the file." },
                None,
            ))
        }
    }
}

fn standing_notes(view: &ConfigJson<'_>) -> Markup {
    let keys = if view.pending.len() == 1 { "key waits" } else { "keys wait" };
    html! {
        @if !view.pending.is_empty() {
            (note(
                Tone::Warn,
                html! { (view.pending.len()) " " (keys) " for a restart:" },
                html! {
                    @for (at, change) in view.pending.iter().enumerate() {
                        @if at > 0 { ", " }
                        code { (outside(change.key)) } " "
                        (outside(change.old.unwrap_or("–"))) " → " (outside(change.new.unwrap_or("–")))
                    }
                    "."
                },
                None,
            ))
        }
        @if !view.applying.is_empty() {
            (note(Tone::Busy, "Still being applied in the database:", html! { (view.applying.join(", ")) "." }, None))
        }
        @if view.ignores_overrides {
            (note(Tone::Warn, "This node ignores overrides.", "It was started with --ignore-overrides.", None))
        }
    }
}

fn table(visit: &Visit, values: &[&ValueJson<'_>]) -> Markup {
    if values.is_empty() {
        return empty("No value matches.", "All values are under “All”.");
    }
    let columns = [
        Column::new("key").cut(),
        Column::new("value").beside(),
        Column::new("origin"),
        Column::new("applies"),
        Column::new("waits"),
    ];
    let rows = values.iter().map(|value| row(visit, value).keyed(&value.key));
    let table =
        PageTable::new("Values of the configuration", columns).caption_hidden().wide().rows(rows);
    html! { (table) }
}

fn row(visit: &Visit, value: &ValueJson<'_>) -> TableRow {
    let shown = match &value.r#override {
        Some(set) => html! { code { b { (outside(set)) } " " s { (outside(&value.value)) } } },
        None => html! { code { (outside(&value.value)) } },
    };
    let origin = if value.r#override.is_some() {
        let mark = StateMark::new(Tone::Warn, Sign::Config, "overridden").badge();
        html! { a href=(visit.to("/pools")) { (mark) } }
    } else {
        html! { span.mono.z[value.origin == BY_DEFAULT] { (outside(&value.origin)) } }
    };
    let waits = match &value.pending {
        Some(next) => two(
            html! { code { (outside(next.value.as_deref().unwrap_or("removed"))) } },
            outside(next.origin),
        ),
        None => html! { span.z { "–" } },
    };
    TableRow::new([
        html! { code { (outside(&value.key)) } },
        shown,
        origin,
        html! { span.sm { (value.applies.words()) } },
        waits,
    ])
}

/// `POST /config/reload`.
pub(super) async fn reload(visit: Visit, request: HttpRequest) -> PageResult {
    visit.must_operate()?;
    let report = visit.api().reload(&request).await?;
    Ok(visit.see(&visit.to_with("/config", &[("done", report.outcome.as_str())])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Applies, http::api::NextValueJson};

    fn value(origin: &str, is_pending: bool, set: Option<&str>) -> ValueJson<'static> {
        let next = NextValueJson { value: None, origin: "file:7" };
        ValueJson {
            key: "server.workers".to_owned(),
            value: "<script>".to_owned(),
            origin: origin.to_owned(),
            applies: Applies::Restart,
            pending: is_pending.then_some(next),
            r#override: set.map(str::to_owned),
        }
    }

    #[test]
    fn a_view_shows_what_its_name_says() {
        for (value, shown) in [
            (value(BY_DEFAULT, false, None), [false, false, false, true, false]),
            (value("local.toml:3", false, None), [true, false, false, true, false]),
            (value(BY_DEFAULT, true, None), [true, true, false, true, false]),
            (value(BY_DEFAULT, false, Some("16")), [true, false, true, true, false]),
        ] {
            assert_eq!(ConfigShow::ALL.map(|it| it.shows(&value)), shown);
        }
        for it in ConfigShow::ALL {
            assert_eq!(ConfigShow::of(it.word()), Some(it));
        }
    }
}
