//! Times for people: in the zone of this machine, in UTC, or from now. JSON has them as the API
//! does.

use super::text;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::Value;
use std::fmt::Write as _;

/// How times are printed.
#[derive(clap::Args, Clone, Copy, Default)]
pub(in crate::cli) struct TimeArgs {
    /// Print times in UTC [default: in the zone of this machine]
    #[arg(long, conflicts_with = "relative", help_heading = "Output")]
    utc: bool,
    /// Print how long ago, or in how long, instead of times
    #[arg(long, help_heading = "Output")]
    relative: bool,
}

/// Prints times for people.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Times {
    zone: TimeZone,
    is_relative: bool,
}

impl TimeArgs {
    /// The printer that these options ask for.
    pub(in crate::cli) fn times(self) -> Times {
        let zone = if self.utc { TimeZone::UTC } else { TimeZone::system() };
        Times { zone, is_relative: self.relative }
    }
}

impl Times {
    /// Times in UTC.
    #[cfg(test)]
    pub(in crate::cli) const fn utc() -> Self {
        Self { zone: TimeZone::UTC, is_relative: false }
    }

    /// The value of a field as a cell. A field with the name of a time is printed as one.
    pub(in crate::cli) fn cell(&self, field: &str, value: Option<&Value>) -> String {
        let instant = value.and_then(Value::as_str).filter(|_| is_time(field));
        match instant.and_then(|it| it.parse::<Timestamp>().ok()) {
            Some(instant) => self.text(instant),
            None => text(value),
        }
    }

    /// An instant: `2026-01-18 15:03:11 CET`, or `3m ago`.
    pub(in crate::cli) fn text(&self, instant: Timestamp) -> String {
        if self.is_relative {
            return relative(instant.duration_since(now()));
        }
        instant.to_zoned_datetime(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// A text of Postroom, with the instants in it as other times are printed. They are spelled
    /// `2026-01-18T14:03:11.120Z`; or in a sentence `14:03:11 UTC (3m ago)`, with the date in front
    /// if that was not today in UTC.
    pub(in crate::cli) fn within(&self, text: &str) -> String {
        self.within_at(text, now())
    }

    fn within_at(&self, text: &str, now: Timestamp) -> String {
        let mut printed = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, found)) = next_time(rest, now) {
            printed.push_str(rest.get(..at).unwrap_or_default());
            match (&found.distance, self.is_relative) {
                (Some(distance), true) => printed.push_str(distance),
                (None, true) => printed.push_str(&relative(found.instant.duration_since(now))),
                (Some(distance), false) => {
                    write!(printed, "{} ({distance})", self.short(found.instant, now)).ok();
                }
                (None, false) => printed.push_str(&self.short(found.instant, now)),
            }
            rest = rest.get(at + found.length..).unwrap_or_default();
        }
        printed.push_str(rest);
        printed
    }

    /// An instant in a sentence: without the date if that is today's.
    fn short(&self, instant: Timestamp, now: Timestamp) -> String {
        let [instant, now] = [instant, now].map(|it| it.to_zoned_datetime(self.zone.clone()));
        let is_today = instant.date() == now.date();
        instant.strftime(if is_today { "%H:%M:%S %Z" } else { "%Y-%m-%d %H:%M:%S %Z" }).to_string()
    }

    /// The time of day of an instant, without zone: `15:03:11`.
    pub(in crate::cli) fn clock(&self, instant: Timestamp) -> String {
        instant.to_zoned_datetime(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }
}

/// An instant that a text names.
struct NamedTime {
    instant: Timestamp,
    /// The bytes of its name, those of the distance included.
    length: usize,
    /// How far it was from the time of the text: `3m ago`.
    distance: Option<String>,
}

/// The first instant that a text names, and where it begins.
fn next_time(text: &str, now: Timestamp) -> Option<(usize, NamedTime)> {
    let starts = text.char_indices().filter(|(_, char)| char.is_ascii_digit()).map(|(at, _)| at);
    // A number in a word or in a longer number is no time.
    let is_start = |at: &usize| {
        let before = text.get(..*at).and_then(|it| it.chars().next_back());
        !before.is_some_and(|char| char.is_alphanumeric() || "-:.".contains(char))
    };
    starts.filter(is_start).find_map(|at| {
        let rest = text.get(at..)?;
        Some((at, stamp(rest).or_else(|| time_of_day(rest, now))?))
    })
}

/// `2026-01-18T14:03:11.120Z` at the start of a text.
fn stamp(text: &str) -> Option<NamedTime> {
    let length = text.find('Z').filter(|it| *it <= 30)? + 1;
    let instant = text.get(..length)?.parse().ok()?;
    Some(NamedTime { instant, length, distance: None })
}

/// `14:03:11 UTC (3m ago)` or `2026-01-18 14:03:11 UTC` at the start of a text.
fn time_of_day(text: &str, now: Timestamp) -> Option<NamedTime> {
    const UTC: &str = " UTC";
    let clock_end = text.find(UTC)?;
    let (date, clock) = match clock_end {
        8 => (None, text.get(..8)?),
        19 => (Some(text.get(..10)?), text.get(11..19)?),
        _ => return None,
    };
    let clock: jiff::civil::Time = clock.parse().ok()?;
    let mut length = clock_end + UTC.len();
    let in_parentheses = text.get(length..).and_then(|it| it.strip_prefix(" ("));
    let distance = in_parentheses.and_then(|it| it.split_once(')')).map(|(inner, _)| inner);
    let distance = distance.and_then(|it| Some((it, signed(it)?)));
    if let Some((text, _)) = distance {
        length += " ()".len() + text.len();
    }
    let on = |date: jiff::civil::Date| TimeZone::UTC.to_timestamp(date.to_datetime(clock)).ok();
    let instant = match date {
        Some(date) => on(date.parse().ok()?)?,
        // Today, by a clock that may be past midnight since.
        None => {
            let meant = distance.map_or(now, |(_, it)| now.saturating_add(it).unwrap_or(now));
            let today = now.to_zoned_datetime(TimeZone::UTC).date();
            let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
            let instants = days.into_iter().flatten().filter_map(on);
            instants.min_by_key(|it| it.duration_since(meant).abs())?
        }
    };
    Some(NamedTime { instant, length, distance: distance.map(|(text, _)| text.to_owned()) })
}

/// `3m ago`, `in 2h 5m`.
fn signed(text: &str) -> Option<SignedDuration> {
    let (length, is_past) = match (text.strip_suffix(" ago"), text.strip_prefix("in ")) {
        (Some(length), _) => (length, true),
        (None, Some(length)) => (length, false),
        (None, None) => return None,
    };
    let length = SignedDuration::try_from(humantime::parse_duration(length).ok()?).ok()?;
    Some(if is_past { -length } else { length })
}

/// The clock of this machine.
#[expect(clippy::disallowed_methods, reason = "a person compares with the clock on the wall")]
pub(in crate::cli) fn now() -> Timestamp {
    Timestamp::now()
}

/// True if fields of this name hold times.
fn is_time(field: &str) -> bool {
    let name = field.rsplit('.').next().unwrap_or(field);
    matches!(name, "at" | "since" | "until") || name.ends_with("_at") || name.ends_with("_until")
}

/// A distance from now: `3m ago`, `in 2h 5m`, `now`.
fn relative(distance: SignedDuration) -> String {
    let seconds = distance.as_secs();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds.unsigned_abs())),
        _ => format!("{} ago", span(seconds.unsigned_abs())),
    }
}

/// Seconds in their two greatest units: `2d 3h`, `5m 12s`, `8s`.
pub(in crate::cli) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 || !parts.is_empty() {
            parts.push((count, unit));
        }
    }
    let shown = parts.iter().take(2).filter(|(count, _)| *count > 0);
    let text = shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_of_the_zone_that_is_asked_for() {
        let at = json!("2026-01-18T14:03:11.120Z");
        let times = |zone| Times { zone, is_relative: false }.cell("run_at", Some(&at));
        assert_eq!(times(TimeZone::UTC), "2026-01-18 14:03:11 UTC");
        let berlin = TimeZone::get("Europe/Berlin").expect("bundled");
        assert_eq!(times(berlin), "2026-01-18 15:03:11 CET");
    }

    #[test]
    fn only_fields_of_times_are_times() {
        let at = json!("2026-01-18T14:03:11.120Z");
        for (field, is) in [
            ("run_at", true),
            ("opted_out.at", true),
            ("snoozed_until", true),
            ("since", true),
            ("body", false),
            ("attachments", false),
        ] {
            let cell = Times::utc().cell(field, Some(&at));
            assert_eq!(cell.ends_with("UTC"), is, "{field}: {cell}");
        }
        assert_eq!(Times::utc().cell("run_at", Some(&json!("soon"))), "soon");
        assert_eq!(Times::utc().cell("run_at", None), "-");
    }

    #[test]
    fn times_in_a_sentence_are_of_the_same_zone() {
        let zone = TimeZone::get("Europe/Berlin").expect("bundled");
        let now: Timestamp = "2026-01-18T23:30:00Z".parse().expect("an instant");
        let print = |text: &str, is_relative| {
            Times { zone: zone.clone(), is_relative }.within_at(text, now)
        };
        for (text, printed, is_relative) in [
            (
                "It waits since 23:29:00 UTC (1m ago).",
                "It waits since 00:29:00 CET (1m ago).",
                "It waits since 1m ago.",
            ),
            // In this zone it was yesterday.
            (
                "at 22:30:00 UTC (1h ago): \"down\"",
                "at 2026-01-18 23:30:00 CET (1h ago): \"down\"",
                "at 1h ago: \"down\"",
            ),
            (
                "due at 2026-01-19 00:30:00 UTC (in 1h), attempt 2",
                "due at 01:30:00 CET (in 1h), attempt 2",
                "due at in 1h, attempt 2",
            ),
            // The text was made before midnight.
            ("00:10:00 UTC (23h 20m ago)", "2026-01-18 01:10:00 CET (23h 20m ago)", "23h 20m ago"),
            (
                "paused = true, until 2026-01-18T23:40:00.371Z, by 7",
                "paused = true, until 00:40:00 CET, by 7",
                "paused = true, until in 10m, by 7",
            ),
            ("job 123 ran 14:03 h, Z", "job 123 ran 14:03 h, Z", "job 123 ran 14:03 h, Z"),
            ("ü 1é2026-01-18", "ü 1é2026-01-18", "ü 1é2026-01-18"),
        ] {
            assert_eq!(print(text, false), printed);
            assert_eq!(print(text, true), is_relative);
        }
    }

    #[test]
    fn a_distance_has_its_two_greatest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (8, "8s"),
            (60, "1m"),
            (312, "5m 12s"),
            (3_600, "1h"),
            (3_605, "1h"),
            (97_200, "1d 3h"),
            (8_640_000, "100d"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(relative(SignedDuration::from_secs(-180)), "3m ago");
        assert_eq!(relative(SignedDuration::from_secs(7_500)), "in 2h 5m");
        assert_eq!(relative(SignedDuration::from_millis(-300)), "now");
    }
}
