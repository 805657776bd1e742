//! Times for people: in the zone of this machine, in UTC, or from now. JSON has them as the API
//! does.

use super::text;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::Value;

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

    /// The time of day of an instant, without zone: `15:03:11`.
    pub(in crate::cli) fn clock(&self, instant: Timestamp) -> String {
        instant.to_zoned_datetime(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }
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
