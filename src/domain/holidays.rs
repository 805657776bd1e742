//! Public holidays of countries, from the table in the crate `opening-hours`, which is made from
//! Nager.Date and ends with the year 2076.

use jiff::civil::Date;
use opening_hours::localization::Country;
use std::{collections::BTreeSet, fmt, sync::Arc};

/// The public holidays of a country: those that hold in all of it, with the days on which they are
/// observed instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Holidays {
    country: &'static str,
    dates: Arc<BTreeSet<Date>>,
}

impl Holidays {
    /// Those of the country with this code, two capital letters (`"US"`); `None` if they are not
    /// known.
    pub fn of(code: &str) -> Option<Self> {
        let country = Country::ALL.into_iter().find(|country| country.iso_code() == code)?;
        let days = country.holidays();
        let dates = days.get_public().iter().filter_map(|date| date.to_string().parse().ok());
        Some(Self { country: country.iso_code(), dates: Arc::new(dates.collect()) })
    }

    /// The codes of all countries whose holidays are known.
    pub fn countries() -> impl Iterator<Item = &'static str> {
        Country::ALL.into_iter().map(Country::iso_code)
    }

    /// True if the date is one of them.
    pub fn contains(&self, date: Date) -> bool {
        self.dates.contains(&date)
    }
}

impl fmt::Debug for Holidays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holidays({})", self.country)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holidays_follow_the_rules_of_their_country() {
        let rows = [
            // The fourth Thursday of November, and no other.
            ("US", "2026-11-26", true),
            ("US", "2026-11-19", false),
            // Observed on the Friday before, since the day itself is a Saturday.
            ("US", "2026-07-03", true),
            ("US", "2027-06-18", true),
            // Easter Monday, which moves, and a day that only some states have.
            ("DE", "2026-04-06", true),
            ("DE", "2027-03-29", true),
            ("DE", "2026-11-01", false),
            ("FR", "2026-07-14", true),
            ("DE", "2026-07-14", false),
        ];
        for (country, date, expected) in rows {
            let holidays = Holidays::of(country).unwrap();
            assert_eq!(holidays.contains(date.parse().unwrap()), expected, "{country} {date}");
        }
    }

    #[test]
    fn every_country_has_holidays_in_every_year_until_2076() {
        for country in Holidays::countries() {
            let holidays = Holidays::of(country).unwrap();
            for year in [2026, 2050, 2076] {
                let count = holidays.dates.iter().filter(|date| date.year() == year).count();
                assert!(count > 0, "{country} in {year}");
            }
        }
        assert_eq!(Holidays::of("us"), None);
        assert_eq!(Holidays::of("XX"), None);
    }
}
