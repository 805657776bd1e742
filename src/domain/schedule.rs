//! The hours in which answers may be sent without a person (docs/RULES.md AUTOMATIC).
//!
//! Hours are local: `09:00` is what a clock in the zone shows. A time that a change of clocks skips
//! is the next one that exists; one that occurs twice is its first occurrence.

use super::{Timestamp, holidays::Holidays};
use jiff::{
    ToSpan as _,
    civil::{Date, DateTime, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};

/// How many days ahead an open hour is searched.
pub const SEARCHED_DAYS: i64 = 90;
const DAY_MILLIS: i64 = 86_400_000;

/// The hours of some days of the week, and the dates on which they do not hold.
///
/// A window belongs to the day on which it starts, also if it ends on the next: whether that day is
/// closed decides about all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpeningHours {
    /// The days of the week on which a window starts.
    pub days: Vec<Weekday>,
    /// When it starts. This moment is in it.
    pub start: Time,
    /// When it ends. This moment is not in it. Not later than `start`: it ends on the next day.
    pub end: Time,
    /// The zone of the hours; `None` for that of the lead or client.
    pub zone: Option<TimeZone>,
    /// Dates on which no window starts.
    pub closed: Vec<ClosedDates>,
    /// Public holidays, on which no window starts either.
    pub holidays: Vec<Holidays>,
    /// Public holidays that count as ordinary days.
    pub holidays_except: Vec<Date>,
}

/// The first and the last of some dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedDates {
    /// The first.
    pub first: Date,
    /// The last; not before `first`.
    pub last: Date,
}

impl Default for OpeningHours {
    /// Monday to Friday, 09:00 to 17:00.
    fn default() -> Self {
        Self {
            days: vec![
                Weekday::Monday,
                Weekday::Tuesday,
                Weekday::Wednesday,
                Weekday::Thursday,
                Weekday::Friday,
            ],
            start: Time::constant(9, 0, 0, 0),
            end: Time::constant(17, 0, 0, 0),
            zone: None,
            closed: Vec::new(),
            holidays: Vec::new(),
            holidays_except: Vec::new(),
        }
    }
}

/// The zone in which a lead's hours are counted: the lead's own, if `lead` names one that exists,
/// else the client's.
pub fn zone_of(lead: Option<&str>, client: &TimeZone) -> TimeZone {
    lead.and_then(|name| TimeZone::get(name.trim()).ok()).unwrap_or_else(|| client.clone())
}

impl OpeningHours {
    /// The first open moment from `at` on: `at` itself if it is open. Hours without a zone of their
    /// own are counted in `zone`. `None` if there is none in the next [`SEARCHED_DAYS`]; then a
    /// person must decide.
    pub fn next_open(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        let now = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
        let today = zone.to_datetime(now).date();
        let latest = at.plus_millis(SEARCHED_DAYS * DAY_MILLIS);
        // Yesterday's window may still be open. An earlier one cannot: it ends by last midnight.
        (-1..=SEARCHED_DAYS + 1)
            .filter_map(|offset| today.checked_add(offset.days()).ok())
            .filter(|date| self.opens_on(*date))
            .filter_map(|date| self.window(date, zone))
            .find(|(start, end)| start < end && at < *end)
            .map(|(start, _)| start.max(at))
            .filter(|open| *open <= latest)
    }

    fn opens_on(&self, date: Date) -> bool {
        let is_holiday = || self.holidays.iter().any(|holidays| holidays.contains(date));
        self.days.contains(&date.weekday())
            && !self.closed.iter().any(|dates| (dates.first..=dates.last).contains(&date))
            && (self.holidays_except.contains(&date) || !is_holiday())
    }

    /// The window that starts on the date. It is empty if a change of clocks skips all of it.
    fn window(&self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let last = if self.end <= self.start { date.tomorrow().ok()? } else { date };
        Some((
            shown_at(date.to_datetime(self.start), zone)?,
            shown_at(last.to_datetime(self.end), zone)?,
        ))
    }
}

/// The first moment at which clocks in the zone show `civil` or later.
fn shown_at(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let moment = zone.to_ambiguous_timestamp(civil);
    let before = moment.earlier().ok()?;
    match moment.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => Some(before.into()),
        AmbiguousOffset::Gap { after, .. } => {
            let mut changes = zone.following(before);
            let change = changes.find(|change| change.offset() == after)?;
            Some(change.timestamp().into())
        }
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
