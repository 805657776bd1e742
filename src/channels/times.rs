//! Times as providers spell them (docs/RULES.md TIMES).

use super::fields;
use crate::domain::Timestamp;
use jiff::{civil, fmt::rfc2822, tz::TimeZone};
use serde_json::Value;

const DAY_MS: i64 = 86_400_000;
/// A number above this counts milliseconds; a smaller one counts seconds.
const FIRST_MILLIS: f64 = 1e12;

/// The time at the first of `paths` at which one can be read, or else `received_at`. A time later
/// than a day after receipt counts as receipt.
pub fn first(body: &Value, paths: &[&str], received_at: Timestamp) -> Timestamp {
    let told = paths.iter().find_map(|path| read(fields::get(body, path)?));
    clamped(told.unwrap_or(received_at), received_at)
}

/// `at`, or `received_at` if `at` is more than a day later.
pub fn clamped(at: Timestamp, received_at: Timestamp) -> Timestamp {
    if at.millis_since(received_at) > DAY_MS { received_at } else { at }
}

/// A time: a number of seconds or (above 10^12) milliseconds, also as text; or a date and a time of
/// ISO 8601 or RFC 2822, in UTC if no zone is given.
pub fn read(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => number.as_f64().and_then(from_number),
        Value::String(text) => from_text(text.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn from_number(number: f64) -> Option<Timestamp> {
    if !number.is_finite() {
        return None;
    }
    let millis = if number > FIRST_MILLIS { number } else { number * 1e3 };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, and so does `from_millis`"
    )]
    let millis = millis.round() as i64;
    Some(Timestamp::from_millis(millis))
}

fn from_text(text: &str) -> Option<Timestamp> {
    if text.len() > 100 {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return text.parse().ok().and_then(from_number);
    }
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let instant = zoned
        .or_else(|| in_utc(text.parse().ok()?))
        .or_else(|| rfc2822::DateTimeParser::new().parse_timestamp(text).ok())?;
    Some(instant.into())
}

fn in_utc(at: civil::DateTime) -> Option<jiff::Timestamp> {
    TimeZone::UTC.to_timestamp(at).ok()
}

/// A date and a time as people write them (`Jan 18th, 2026` and `7:33 PM`), read as UTC.
pub fn from_words(date: &str, time: &str) -> Option<Timestamp> {
    in_utc(date_of(date)?.to_datetime(time_of(time)?)).map(Timestamp::from)
}

fn date_of(text: &str) -> Option<civil::Date> {
    if text.len() > 60 {
        return None;
    }
    if let Ok(date) = text.trim().parse() {
        return Some(date);
    }
    let (mut month, mut day, mut year) = (None, None, None);
    let words = text.split([' ', ',', '.', '/', '-']).filter(|word| !word.is_empty());
    for word in words {
        let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
        match digits.parse::<i16>() {
            Ok(number) if number > 31 => year = Some(number),
            // A month that is a number comes before the day, as in the countries that use `AM` and
            // `PM`.
            Ok(number) if month.is_none() && day.is_none() && digits.len() == word.len() => {
                day = Some(number);
            }
            Ok(number) if month.is_none() => {
                month = day;
                day = Some(number);
            }
            Ok(number) if day.is_none() => day = Some(number),
            Ok(_) => return None,
            Err(_) => month = month.or_else(|| month_of(word)),
        }
    }
    civil::Date::new(year?, i8::try_from(month?).ok()?, i8::try_from(day?).ok()?).ok()
}

fn month_of(word: &str) -> Option<i16> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let word = word.to_ascii_lowercase();
    let index = MONTHS.iter().position(|month| word.starts_with(month))?;
    i16::try_from(index + 1).ok()
}

fn time_of(text: &str) -> Option<civil::Time> {
    let text = text.trim().to_ascii_lowercase();
    let (clock, half) = match text.find(|it: char| it.is_ascii_alphabetic()) {
        Some(at) => text.split_at_checked(at)?,
        None => (text.as_str(), ""),
    };
    let mut parts = clock.trim().split(':').map(str::trim);
    let hour: i8 = parts.next()?.parse().ok()?;
    let minute: i8 = parts.next().unwrap_or("0").parse().ok()?;
    let second: i8 = parts.next().unwrap_or("0").parse().ok()?;
    let hour = match half.trim().replace('.', "").as_str() {
        "" => hour,
        "am" if (1..=12).contains(&hour) => hour % 12,
        "pm" if (1..=12).contains(&hour) => hour % 12 + 12,
        _ => return None,
    };
    civil::Time::new(hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn p18_times_are_read_with_their_zone_else_as_utc() {
        for (value, expected) in [
            (json!("2024-12-01T03:43:15.000000Z"), "2024-12-01T03:43:15.000Z"),
            (json!("2026-07-11T12:01:58.023+00:00"), "2026-07-11T12:01:58.023Z"),
            (json!("2026-07-11T12:01:48.2+02:00"), "2026-07-11T10:01:48.200Z"),
            (json!("2026-01-17T09:02:00"), "2026-01-17T09:02:00.000Z"),
            (json!("2025-06-10 00:00:00"), "2025-06-10T00:00:00.000Z"),
            (json!("2025-06-10"), "2025-06-10T00:00:00.000Z"),
            (json!(" 2025-06-10T00:00:00Z "), "2025-06-10T00:00:00.000Z"),
            (json!("Tue, 14 Jul 2026 09:12:44 +0000"), "2026-07-14T09:12:44.000Z"),
            (json!(1_768_746_187), "2026-01-18T14:23:07.000Z"),
            (json!("1768746187"), "2026-01-18T14:23:07.000Z"),
            (json!(1_768_746_187_120_i64), "2026-01-18T14:23:07.120Z"),
            (json!("1768746187120"), "2026-01-18T14:23:07.120Z"),
            (json!(1_768_746_187.5), "2026-01-18T14:23:07.500Z"),
        ] {
            assert_eq!(read(&value).map(|it| it.to_string()).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn p18_what_is_no_time_is_none() {
        for value in [
            json!("soon"),
            json!("1.2.3"),
            json!("2026-13-01T00:00:00Z"),
            json!(null),
            json!([1]),
            json!(true),
            json!("x".repeat(3_000_000)),
        ] {
            assert_eq!(read(&value), None);
        }
    }

    #[test]
    fn p18_the_future_is_receipt() {
        let received = Timestamp::from_millis(1_768_746_187_000);
        let day = received.plus_millis(DAY_MS);
        assert_eq!(clamped(day, received), day);
        assert_eq!(clamped(day.plus_millis(1), received), received);
        let body = json!({"a": "soon", "b": 9_999_999_999_i64, "c": 1});
        assert_eq!(first(&body, &["a", "b"], received), received);
        assert_eq!(first(&body, &["a", "c"], received).as_millis(), 1_000);
        assert_eq!(first(&body, &["x"], received), received);
    }

    #[test]
    fn sms_dates_and_times_are_words() {
        for (date, time, expected) in [
            ("Jan 18th, 2026", "7:33 PM", "2026-01-18T19:33:00.000Z"),
            ("November 28th, 2025", "10:21 AM", "2025-11-28T10:21:00.000Z"),
            ("Dec 5th, 2024", "12:05 am", "2024-12-05T00:05:00.000Z"),
            ("5 December 2024", "12:00 p.m.", "2024-12-05T12:00:00.000Z"),
            ("01/18/2026", "19:33", "2026-01-18T19:33:00.000Z"),
            ("2026-01-18", "19:33:59", "2026-01-18T19:33:59.000Z"),
        ] {
            let read = from_words(date, time).map(|it| it.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{date} {time}");
        }
        for (date, time) in [("soon", "7 PM"), ("Jan 18th, 2026", "25:00"), ("Jan 18", "7 PM")] {
            assert_eq!(from_words(date, time), None, "{date} {time}");
        }
    }

    proptest! {
        #[test]
        fn no_words_panic(date in ".{0,24}", time in ".{0,12}") {
            from_words(&date, &time);
            read(&json!(date));
        }
    }
}
