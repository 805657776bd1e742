//! Times and durations.
//!
//! Without the script, a time is shown in UTC and says so. The script shows it in the reader's own
//! zone, and counts the seconds of an age on.

use crate::domain::Timestamp;
use maud::{Markup, html};

/// An instant as a time of day, with its date if that is not today's: `14:03:11`.
pub(in crate::http::ui) fn clock(at: Timestamp, now: Timestamp) -> Markup {
    let text = at.to_string();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    let time = time.split_once('.').map_or(time, |it| it.0);
    let is_today = now.to_string().starts_with(date);
    html! {
        time datetime=(text) data-clock title=(text) {
            @if !is_today { (date) " " }
            (time) " UTC"
        }
    }
}

/// How long ago something was, or in how long it will be: `12 s ago`, `in 4 min`.
pub(in crate::http::ui) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let millis = now.millis_since(at);
    let text = at.to_string();
    html! {
        time datetime=(text) data-ago title=(text) {
            @if millis >= 0 { (duration(millis)) " ago" } @else { "in " (duration(-millis)) }
        }
    }
}

/// How long something has lasted: `42 min`.
pub(in crate::http::ui) fn since(at: Timestamp, now: Timestamp) -> Markup {
    let text = at.to_string();
    html! {
        time datetime=(text) data-since title=(text) { (duration(now.millis_since(at).max(0))) }
    }
}

/// A duration in milliseconds, in its two largest units: `3 ms`, `0.4 s`, `12 s`, `4 min 20 s`,
/// `1 h 48 min`, `3 d`.
pub(in crate::http::ui) fn duration(millis: i64) -> String {
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large} {unit}")
        } else {
            format!("{large} {unit} {small} {small_unit}")
        }
    };
    let seconds = millis / 1_000;
    match seconds {
        0 if millis < 100 => format!("{millis} ms"),
        0..10 => {
            let tenths = millis / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        10..60 => format!("{seconds} s"),
        60..600 => two(seconds / 60, "min", seconds % 60, "s"),
        600..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        86_400..864_000 => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_at_most_two_units() {
        for (millis, text) in [
            (0, "0 ms"),
            (99, "99 ms"),
            (400, "0.4 s"),
            (9_999, "9.9 s"),
            (10_000, "10 s"),
            (260_000, "4 min 20 s"),
            (2_520_000, "42 min"),
            (6_480_000, "1 h 48 min"),
            (3_600_000, "1 h"),
            (259_200_000, "3 d"),
            (2_592_000_000, "30 d"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }

    #[test]
    fn a_time_names_its_day_unless_it_is_today() {
        let at = Timestamp::from_millis(1_768_744_991_120);
        let today = clock(at, at.plus_millis(60_000)).into_string();
        assert!(today.contains(">14:03:11 UTC<") || today.contains(":11 UTC<"), "{today}");
        let later = clock(at, at.plus_millis(90_000_000)).into_string();
        assert!(later.contains(">2026-01-18 "), "{later}");
        assert!(ago(at, at.plus_millis(12_000)).into_string().contains(">12 s ago<"));
        assert!(ago(at, at.plus_millis(-38_000)).into_string().contains(">in 38 s<"));
    }
}
