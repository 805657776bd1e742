//! Phone numbers (docs/RULES.md PHONES).

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, enums::Region};

/// The fewest and the most digits of a phone number.
const DIGITS_MIN: usize = 7;
const DIGITS_MAX: usize = 18;

/// A phone number as a provider gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// In E.164, or else its digits.
    pub shown: String,
    /// In E.164; `None` if the country is not known or no such number exists. Only this identifies
    /// a lead.
    pub e164: Option<String>,
}

/// Reads a number. A number without country code belongs to the first of `countries` (ISO 3166, two
/// letters) that is a country.
pub fn read(text: &str, countries: &[Option<&str>]) -> Option<Phone> {
    let (digits, international) = digits(text)?;
    let country: Option<Region> =
        countries.iter().flatten().find_map(|name| name.trim().to_ascii_uppercase().parse().ok());
    let e164 = match (international, country) {
        (true, _) => e164(None, &format!("+{digits}")),
        (false, Some(country)) => e164(Some(country), &digits),
        (false, None) => None,
    };
    Some(Phone { shown: e164.clone().unwrap_or(digits), e164 })
}

/// The digits, and whether they start with a country code.
fn digits(text: &str) -> Option<(String, bool)> {
    let text = text.trim();
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let (mut digits, mut plus) = (String::new(), false);
    for char in text.chars() {
        match char {
            '0'..='9' => digits.push(char),
            '+' if digits.is_empty() => plus = true,
            ' ' | '\u{a0}' | '\u{202f}' | '-' | '‐' | '‑' | '–' | '.' | '(' | ')' | '/' => {}
            // An extension is no part of the number that receives messages.
            'x' | 'X' | 'e' | 'E' | '#' | ';' | ',' if digits.len() >= DIGITS_MIN => break,
            _ => return None,
        }
        if digits.len() > DIGITS_MAX {
            return None;
        }
    }
    let digits = match digits.strip_prefix("00") {
        Some(rest) if !plus => {
            plus = true;
            rest.to_owned()
        }
        _ => digits,
    };
    (digits.len() >= DIGITS_MIN).then_some((digits, plus))
}

/// The number in E.164; `None` if there is no such number.
fn e164(country: Option<Region>, number: &str) -> Option<String> {
    let number = PHONE_NUMBER_UTIL.parse(number, country).ok()?;
    number.is_valid().then(|| number.format_as(PhoneNumberFormat::E164).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_read_with_its_own_code_else_the_payloads_country_else_the_clients() {
        for (text, payload, client, shown, known) in [
            ("+16145550142", None, None, "+16145550142", true),
            ("+1 (614) 555-0142", Some("DE"), None, "+16145550142", true),
            ("001 614 555 0142", None, None, "+16145550142", true),
            ("(614) 555-0142", Some("US"), Some("DE"), "+16145550142", true),
            ("(614) 555-0142", Some("us "), None, "+16145550142", true),
            ("614.555.0142", Some("Nowhere"), Some("US"), "+16145550142", true),
            ("1-614-555-0142", None, Some("US"), "+16145550142", true),
            ("030 901820", None, Some("DE"), "+4930901820", true),
            ("+49 (0)30 901820", None, None, "+4930901820", true),
            ("06 12 34 56 78", Some("FR"), None, "+33612345678", true),
            ("6145550142", None, None, "6145550142", false),
            ("+1 614 555 0142 ext. 7", None, None, "+16145550142", true),
            ("tel:+16145550142", None, None, "+16145550142", true),
            ("+1 000 000 0000", None, None, "10000000000", false),
            ("+7 888 030 000 000", None, None, "7888030000000", false),
            ("0000000000", Some("US"), None, "00000000", false),
        ] {
            let phone = read(text, &[payload, client]).unwrap();
            assert_eq!(phone.shown, shown, "{text}");
            assert_eq!(phone.e164.is_some(), known, "{text}");
        }
    }

    #[test]
    fn the_example_number_of_each_country_is_read_as_itself() {
        let examples = PHONE_NUMBER_UTIL
            .get_supported_regions()
            .filter_map(|country| PHONE_NUMBER_UTIL.get_example_number(country).ok());
        let numbers: Vec<String> =
            examples.map(|it| it.format_as(PhoneNumberFormat::E164).into_owned()).collect();
        assert!(numbers.len() > 200, "{}", numbers.len());
        for number in numbers {
            assert_eq!(read(&number, &[]).and_then(|it| it.e164).as_ref(), Some(&number));
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "12345", "dana@larkspur.example", "call me", "CALL-US-NOW", "+", "N/A"] {
            assert_eq!(read(text, &[Some("US")]), None, "{text}");
        }
        assert_eq!(read(&"9".repeat(3_000_000), &[Some("US")]), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[+0-9 ()x./-]{0,24}", country in "[A-Z]{2}") {
            read(&text, &[Some(&country)]);
        }

        #[test]
        fn an_e164_number_is_read_as_itself(text in "\\+[1-9][0-9]{6,14}") {
            if let Some(known) = read(&text, &[]).and_then(|it| it.e164) {
                prop_assert_eq!(read(&known, &[Some("US")]).and_then(|it| it.e164), Some(known));
            }
        }

        #[test]
        fn a_national_number_is_read_as_its_e164_spelling_is(
            text in "[0-9]{7,13}", country in prop::sample::select(vec!["US", "DE", "FR", "RU", "IT", "MX", "AR", "BR", "GB", "HU", "KZ"]),
        ) {
            if let Some(known) = read(&text, &[Some(country)]).and_then(|it| it.e164) {
                prop_assert_eq!(read(&known, &[]).and_then(|it| it.e164), Some(known));
            }
        }
    }
}
