//! Tables of hours: `business_hours`, and `auto_send.schedule` if it is a table.

use super::{
    masking::quoted,
    reader::{SectionReader, Typed, from_text},
    schema::{SchemaKey, Shape, nearest, unknown_key},
};
use crate::domain::{
    holidays::Holidays,
    schedule::{ClosedDates, OpeningHours},
};
use jiff::civil::{Date, Time, Weekday};

/// The keys of such a table. None is needed.
const KEYS: &[SchemaKey] = &[
    ("days", Shape::Value),
    ("start", Shape::Value),
    ("end", Shape::Value),
    ("timezone", Shape::Value),
    ("closed", Shape::Value),
    ("holidays", Shape::Value),
    ("holidays_except", Shape::Value),
];
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
/// The most single dates in a list.
const DATES_MAX: usize = 200;
/// The most ranges of dates in a list.
const RANGES_MAX: usize = 50;
/// The most days of a range, its first and last included.
const RANGE_DAYS_MAX: i32 = 366;

/// A time of day. `24:00` is the midnight at which a day ends.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ClockTime {
    time: Time,
    is_end_of_day: bool,
}

from_text!(ClockTime, "a time such as `\"09:00\"`", |text| {
    if text == "24:00" {
        return Some(Self { time: Time::midnight(), is_end_of_day: true });
    }
    let is_whole = text.len() == "09:00".len();
    let time = Time::strptime("%H:%M", text).ok().filter(|_| is_whole)?;
    Some(Self { time, is_end_of_day: false })
});

/// The hours in this table. What it leaves out is as in [`OpeningHours::default`].
pub(super) fn hours(section: &SectionReader<'_>) -> OpeningHours {
    for name in section.table.keys().filter(|name| KEYS.iter().all(|(known, _)| known != name)) {
        section.error(name, unknown_key(&section.key(name), KEYS));
    }
    let default = OpeningHours::default();
    let (start, end) = window(section);
    OpeningHours {
        days: days(section).unwrap_or(default.days),
        start: start.map_or(default.start, |start| start.time),
        end: end.map_or(default.end, |end| end.time),
        zone: written(section, "timezone").then(|| section.read("timezone")).flatten(),
        closed: closed(section),
        holidays: holidays(section),
        holidays_except: holidays_except(section),
    }
}

/// True if the table has the key.
fn written(section: &SectionReader<'_>, key: &str) -> bool {
    section.table.contains_key(key)
}

fn list(section: &SectionReader<'_>, key: &str) -> Option<Vec<String>> {
    written(section, key).then(|| section.read(key)).flatten()
}

fn window(section: &SectionReader<'_>) -> (Option<ClockTime>, Option<ClockTime>) {
    let read = |key| written(section, key).then(|| section.read::<ClockTime>(key)).flatten();
    let (start, end) = (read("start"), read("end"));
    let default = OpeningHours::default();
    let start_time = start.map_or(default.start, |it| it.time);
    let end_time = end.map_or(default.end, |it| it.time);
    let (start_key, end_key) = (section.key("start"), section.key("end"));
    if start.is_some_and(|it| it.is_end_of_day) {
        section
            .error("start", format!("`{start_key}` is `\"24:00\"`: a day starts at `\"00:00\"`"));
    } else if start_time == end_time && !end.is_some_and(|it| it.is_end_of_day) {
        let at = section.written("end", "start");
        section.error(
            at,
            format!(
                "`{start_key}` and `{end_key}` are the same time: for the whole day, write `\"00:00\"` and `\"24:00\"`"
            ),
        );
    }
    (start, end)
}

fn days(section: &SectionReader<'_>) -> Option<Vec<Weekday>> {
    let names = list(section, "days")?;
    let key = section.key("days");
    let known = || DAYS.iter().map(|(name, _)| *name);
    if names.is_empty() {
        section.error("days", format!("`{key}` is empty: there must be a day"));
    }
    let mut days = Vec::new();
    for name in names {
        match DAYS.iter().find(|(known, _)| *known == name) {
            Some((_, day)) => days.push(*day),
            None => {
                let known: Vec<&str> = known().collect();
                let hint = known.join("`, `");
                section.error(
                    "days",
                    format!("`{key}`: {} is no day: known are `{hint}`", quoted(&name)),
                );
            }
        }
    }
    Some(days)
}

fn closed(section: &SectionReader<'_>) -> Vec<ClosedDates> {
    let Some(texts) = list(section, "closed") else { return Vec::new() };
    let key = section.key("closed");
    let (mut closed, mut ranges) = (Vec::new(), 0);
    for text in &texts {
        match closed_dates(text) {
            Ok(dates) => closed.push(dates),
            Err(reason) => section.error("closed", format!("`{key}`: {} {reason}", quoted(text))),
        }
        ranges += usize::from(text.contains(".."));
    }
    let dates = texts.len() - ranges;
    if dates > DATES_MAX || ranges > RANGES_MAX {
        section.error(
            "closed",
            format!(
                "`{key}` has {dates} dates and {ranges} ranges: at most {DATES_MAX} dates and {RANGES_MAX} ranges"
            ),
        );
    }
    closed
}

/// A date, or the first and the last of a range.
fn closed_dates(text: &str) -> Result<ClosedDates, String> {
    let date = |text: &str| {
        date(text).ok_or("is no date: expected `\"2026-12-24\"` or `\"2026-12-24..2027-01-02\"`")
    };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (date(first)?, date(last)?);
    if last < first {
        return Err("ends before it starts".to_owned());
    }
    let days = first.until(last).map_or(i32::MAX, |span| span.get_days().saturating_add(1));
    if days > RANGE_DAYS_MAX {
        return Err(format!("has {days} days: at most {RANGE_DAYS_MAX}"));
    }
    Ok(ClosedDates { first, last })
}

fn date(text: &str) -> Option<Date> {
    Date::strptime("%Y-%m-%d", text).ok()
}

fn holidays(section: &SectionReader<'_>) -> Vec<Holidays> {
    let key = section.key("holidays");
    let known = |code: String| {
        let holidays = Holidays::of(&code);
        if holidays.is_none() {
            let near = nearest(
                &code,
                Holidays::countries().filter(|known| known.eq_ignore_ascii_case(&code)),
            );
            let hint = near.map_or_else(
                || "expected codes of countries, such as `\"US\"`".to_owned(),
                |near| format!("the nearest known code is `{near}`"),
            );
            let message = format!("`{key}`: no holidays are known of {}: {hint}", quoted(&code));
            section.error("holidays", message);
        }
        holidays
    };
    list(section, "holidays").into_iter().flatten().filter_map(known).collect()
}

fn holidays_except(section: &SectionReader<'_>) -> Vec<Date> {
    let Some(texts) = list(section, "holidays_except") else { return Vec::new() };
    let key = section.key("holidays_except");
    let mut dates = Vec::new();
    for text in &texts {
        match date(text) {
            Some(date) => dates.push(date),
            None => section.error(
                "holidays_except",
                format!("`{key}`: {} is no date: expected `\"2026-12-24\"`", quoted(text)),
            ),
        }
    }
    if texts.len() > DATES_MAX {
        section.error(
            "holidays_except",
            format!("`{key}` has {} dates: at most {DATES_MAX}", texts.len()),
        );
    }
    dates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_dates_are_a_date_or_a_range() {
        let range = |first: &str, last: &str| {
            Ok(ClosedDates { first: date(first).unwrap(), last: date(last).unwrap() })
        };
        let no_date = "is no date: expected `\"2026-12-24\"` or `\"2026-12-24..2027-01-02\"`";
        for (text, expected) in [
            ("2026-12-24", range("2026-12-24", "2026-12-24")),
            ("2026-12-24..2027-01-02", range("2026-12-24", "2027-01-02")),
            ("2026-01-01..2027-01-01", range("2026-01-01", "2027-01-01")),
            ("2026-01-01..2027-01-02", Err("has 367 days: at most 366".to_owned())),
            ("2026-12-24..2026-12-23", Err("ends before it starts".to_owned())),
            ("2026-02-29", Err(no_date.to_owned())),
            ("24.12.2026", Err(no_date.to_owned())),
            ("2026-12-24..", Err(no_date.to_owned())),
            ("", Err(no_date.to_owned())),
        ] {
            assert_eq!(closed_dates(text), expected, "{text}");
        }
    }
}
