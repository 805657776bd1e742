use super::*;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
/// Zones with ordinary changes of clocks on both hemispheres, and with odd ones.
const ZONES: [&str; 14] = [
    "UTC",
    "America/Los_Angeles",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

fn dates(first: &str, last: &str) -> ClosedDates {
    ClosedDates { first: first.parse().unwrap(), last: last.parse().unwrap() }
}

fn hours(start: &str, end: &str) -> OpeningHours {
    OpeningHours { start: time(start), end: time(end), ..OpeningHours::default() }
}

fn daily(start: &str, end: &str) -> OpeningHours {
    let days = Weekday::Monday.cycle_forward().take(7).collect();
    OpeningHours { days, ..hours(start, end) }
}

#[track_caller]
fn opens(hours: &OpeningHours, zone_name: &str, from: &str, expected: &str) {
    let found = hours.next_open(at(from), &zone(zone_name));
    assert_eq!(found, Some(at(expected)), "from {from} in {zone_name}: {found:?}");
}

#[test]
fn a_window_has_its_start_and_not_its_end() {
    let nine_to_five = OpeningHours::default();
    let opens = |from, expected| opens(&nine_to_five, "Europe/Berlin", from, expected);
    // A Wednesday in January: Berlin is an hour ahead.
    opens("2026-01-14T07:59:59.999Z", "2026-01-14T08:00:00Z");
    opens("2026-01-14T08:00:00Z", "2026-01-14T08:00:00Z");
    opens("2026-01-14T15:59:59.999Z", "2026-01-14T15:59:59.999Z");
    opens("2026-01-14T16:00:00Z", "2026-01-15T08:00:00Z");
    // Over the weekend.
    opens("2026-01-16T16:00:00Z", "2026-01-19T08:00:00Z");
    opens("2026-01-17T12:00:00Z", "2026-01-19T08:00:00Z");
}

#[test]
fn an_overnight_window_belongs_to_the_day_on_which_it_starts() {
    let night = hours("22:00", "06:00");
    // Friday's window lasts into Saturday; Saturday and Sunday have none.
    opens(&night, "UTC", "2026-01-17T03:00:00Z", "2026-01-17T03:00:00Z");
    opens(&night, "UTC", "2026-01-17T06:00:00Z", "2026-01-19T22:00:00Z");
    opens(&night, "UTC", "2026-01-19T03:00:00Z", "2026-01-19T22:00:00Z");
    // A closed Tuesday takes its window away, the part on Wednesday included, and leaves Monday's.
    let closed = vec![dates("2026-01-20", "2026-01-20")];
    let night = OpeningHours { closed, ..night };
    opens(&night, "UTC", "2026-01-20T05:00:00Z", "2026-01-20T05:00:00Z");
    opens(&night, "UTC", "2026-01-20T23:00:00Z", "2026-01-21T22:00:00Z");
    opens(&night, "UTC", "2026-01-21T03:00:00Z", "2026-01-21T22:00:00Z");
}

#[test]
fn the_zone_of_the_hours_wins_over_that_of_the_lead_and_the_client() {
    let berlin = zone("Europe/Berlin");
    assert_eq!(zone_of(Some(" Asia/Kathmandu "), &berlin), zone("Asia/Kathmandu"));
    for unknown in [None, Some(""), Some("Mars/Base")] {
        assert_eq!(zone_of(unknown, &berlin), berlin, "{unknown:?}");
    }
    let own = OpeningHours { zone: Some(zone("America/New_York")), ..OpeningHours::default() };
    opens(&own, "Europe/Berlin", "2026-01-14T08:00:00Z", "2026-01-14T14:00:00Z");
}

#[test]
fn holidays_and_closed_dates_have_no_window() {
    let closed = OpeningHours {
        closed: vec![dates("2026-11-23", "2026-11-23"), dates("2026-12-24", "2027-01-03")],
        holidays: vec![Holidays::of("US").unwrap()],
        ..OpeningHours::default()
    };
    opens(&closed, "UTC", "2026-11-23T10:00:00Z", "2026-11-24T09:00:00Z");
    // Thanksgiving.
    opens(&closed, "UTC", "2026-11-26T10:00:00Z", "2026-11-27T09:00:00Z");
    opens(&closed, "UTC", "2026-12-24T10:00:00Z", "2027-01-04T09:00:00Z");
    // The range wins over an exception, which is for holidays only.
    let except = ["2026-11-26", "2026-12-25"].map(|date| date.parse().unwrap()).to_vec();
    let closed = OpeningHours { holidays_except: except, ..closed };
    opens(&closed, "UTC", "2026-11-26T10:00:00Z", "2026-11-26T10:00:00Z");
    opens(&closed, "UTC", "2026-12-25T10:00:00Z", "2027-01-04T09:00:00Z");
}

#[test]
fn a_time_that_is_skipped_is_the_next_that_exists() {
    // New York skips 02:00 to 03:00 on 8 March 2026, at 07:00 UTC.
    opens(
        &daily("02:30", "05:00"),
        "America/New_York",
        "2026-03-08T06:00:00Z",
        "2026-03-08T07:00:00Z",
    );
    opens(
        &daily("01:00", "02:15"),
        "America/New_York",
        "2026-03-08T06:59:59Z",
        "2026-03-08T06:59:59Z",
    );
    opens(
        &daily("01:00", "02:15"),
        "America/New_York",
        "2026-03-08T07:00:00Z",
        "2026-03-09T05:00:00Z",
    );
    // A window that is skipped as a whole does not exist on that day.
    opens(
        &daily("02:10", "02:50"),
        "America/New_York",
        "2026-03-08T06:00:00Z",
        "2026-03-09T06:10:00Z",
    );
    // Lord Howe skips half an hour, 02:00 to 02:30 on 4 October 2026, at 15:30 UTC.
    opens(
        &daily("02:15", "04:00"),
        "Australia/Lord_Howe",
        "2026-10-03T15:00:00Z",
        "2026-10-03T15:30:00Z",
    );
    // Apia skipped the whole of 30 December 2011, at 10:00 UTC.
    opens(&daily("09:00", "17:00"), "Pacific/Apia", "2011-12-30T04:00:00Z", "2011-12-30T19:00:00Z");
    opens(&daily("22:00", "06:00"), "Pacific/Apia", "2011-12-30T16:00:00Z", "2011-12-31T08:00:00Z");
}

#[test]
fn a_time_that_occurs_twice_is_the_first() {
    // New York shows 01:00 to 02:00 twice on 1 November 2026, from 05:00 and from 06:00 UTC.
    opens(
        &daily("01:30", "05:00"),
        "America/New_York",
        "2026-11-01T05:00:00Z",
        "2026-11-01T05:30:00Z",
    );
    opens(
        &daily("01:30", "05:00"),
        "America/New_York",
        "2026-11-01T06:10:00Z",
        "2026-11-01T06:10:00Z",
    );
    opens(
        &daily("00:00", "01:30"),
        "America/New_York",
        "2026-11-01T05:30:00Z",
        "2026-11-02T05:00:00Z",
    );
    opens(
        &daily("01:15", "01:45"),
        "America/New_York",
        "2026-11-01T06:20:00Z",
        "2026-11-02T06:15:00Z",
    );
}

#[test]
fn a_whole_day_ends_at_midnight() {
    let monday = OpeningHours { days: vec![Weekday::Monday], ..hours("00:00", "00:00") };
    opens(&monday, "UTC", "2026-01-19T23:59:59Z", "2026-01-19T23:59:59Z");
    opens(&monday, "UTC", "2026-01-20T00:00:00Z", "2026-01-26T00:00:00Z");
}

#[test]
fn an_hour_is_searched_for_90_days() {
    let utc = zone("UTC");
    let from = at("2026-01-14T12:00:00Z");
    let closed =
        |last| OpeningHours { closed: vec![dates("2026-01-14", last)], ..daily("12:00", "17:00") };
    // 90 days later is 14 April at 12:00, when the window starts.
    assert_eq!(closed("2026-04-13").next_open(from, &utc), Some(at("2026-04-14T12:00:00Z")));
    assert_eq!(closed("2026-04-14").next_open(from, &utc), None);
    let never = OpeningHours { days: Vec::new(), ..OpeningHours::default() };
    assert_eq!(never.next_open(from, &utc), None);
    // At the ends of the calendar nothing panics.
    for millis in [i64::MIN, i64::MAX] {
        for name in ZONES {
            let _end =
                OpeningHours::default().next_open(Timestamp::from_millis(millis), &zone(name));
        }
    }
}

/// What a clock that never goes back would show, minute by minute: the latest that a clock in the
/// zone has shown. A moment is open if this is in a window.
struct SteadyClock {
    zone: TimeZone,
    latest: DateTime,
}

impl SteadyClock {
    fn at(zone: &TimeZone, start: Timestamp) -> Self {
        let mut clock = Self { zone: zone.clone(), latest: DateTime::MIN };
        for minutes in (0..=180).rev() {
            clock.show(start.plus_millis(-minutes * MINUTE));
        }
        clock
    }

    fn show(&mut self, moment: Timestamp) -> DateTime {
        let moment = jiff::Timestamp::from_millisecond(moment.as_millis()).unwrap();
        self.latest = self.latest.max(self.zone.to_datetime(moment));
        self.latest
    }
}

fn is_open(hours: &OpeningHours, shown: DateTime) -> bool {
    let (date, time) = (shown.date(), shown.time());
    let (start, end) = (hours.start, hours.end);
    if start < end {
        return hours.opens_on(date) && start <= time && time < end;
    }
    (hours.opens_on(date) && start <= time)
        || (hours.opens_on(date.yesterday().unwrap()) && time < end)
}

/// Changes of clocks of the zone in the years that are tested.
fn changes(zone: &TimeZone) -> Vec<i64> {
    let from: jiff::Timestamp = "2005-01-01T00:00:00Z".parse().unwrap();
    let until: jiff::Timestamp = "2040-01-01T00:00:00Z".parse().unwrap();
    let changes = zone.following(from).map(|change| change.timestamp());
    changes.take_while(|change| *change < until).map(jiff::Timestamp::as_millisecond).collect()
}

fn any_hours() -> impl Strategy<Value = OpeningHours> {
    let minutes = || 0_i8..96;
    let time = |quarter: i8| Time::constant(quarter / 4, quarter % 4 * 15, 0, 0);
    (minutes(), minutes(), 1_u8..128, any::<bool>()).prop_map(move |(start, end, days, has_us)| {
        let all = Weekday::Monday.cycle_forward().take(7).enumerate();
        OpeningHours {
            days: all.filter(|(at, _)| days >> at & 1 == 1).map(|(_, day)| day).collect(),
            start: time(start),
            end: time(end),
            holidays: if has_us { vec![Holidays::of("US").unwrap()] } else { Vec::new() },
            ..OpeningHours::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Half of the moments lie about a change of clocks.
    #[test]
    fn the_next_open_moment_is_open_and_nothing_before_it_is(
        hours in any_hours(), name in proptest::sample::select(&ZONES[..]),
        minute in 18_500_000_i64..36_000_000, near in -3_000_i64..300, pick: usize, is_near: bool,
    ) {
        let zone = zone(name);
        let changes = changes(&zone);
        let minute = match changes.get(pick.checked_rem(changes.len()).unwrap_or(0)) {
            Some(change) if is_near => change / MINUTE + near,
            _ => minute,
        };
        let from = Timestamp::from_millis(minute * MINUTE);
        let found = hours.next_open(from, &zone);
        let found = found.expect("some day of the week is open");
        prop_assert!(found >= from);
        prop_assert_eq!(found.as_millis() % MINUTE, 0);
        let mut clock = SteadyClock::at(&zone, from);
        let mut moment = from;
        while moment < found {
            prop_assert!(!is_open(&hours, clock.show(moment)), "{moment} is open, found {found}");
            moment = moment.plus_millis(MINUTE);
        }
        prop_assert!(is_open(&hours, clock.show(found)), "{found} is closed");
    }
}
